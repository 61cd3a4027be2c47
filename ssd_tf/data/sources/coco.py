"""Reads COCO: instances JSON files and their images."""

import collections
import dataclasses
import operator
import os
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ssd_tf.data import box_units, image_files
from ssd_tf.data.annotation import Annotation
from ssd_tf.data.source import Source
from ssd_tf.data.sources import coco_entries, image_paths
from ssd_tf.errors import InputError
from ssd_tf.files import json_file


@dataclasses.dataclass(frozen=True)
class CocoImage:
  """One entry of 'images', and the entries of 'annotations' that refer to it."""

  entry: Mapping[str, Any]
  instances: Sequence[Mapping[str, Any]]

  def __str__(self):
    return self.entry['file_name']

  def path_in(self, image_dir: str) -> str:
    """Where the image lies if the data set's images are in `image_dir`."""
    return image_paths.locate(image_dir, str(self), f'image {self.entry["id"]}')

  def read_annotation(self, image_dir: str, id_to_name: Mapping[int, str]) -> Annotation:
    """Reads an image, and brings its instances to normalized boxes, not yet clipped.

    source_id is the image's id; area is the annotated one, of the object's mask.

    Raises:
      InputError: the image is missing or broken, or an instance's bbox is; names the file.

    Source: the Object Detection API's create_coco_tf_record, which divides by the JSON's size.
    """
    path = self.path_in(image_dir)
    said = (self.entry.get('height'), self.entry.get('width'))
    encoded = image_files.read_image(path, said)
    xywh = np.array([_box(path, instance) for instance in self.instances]).reshape(-1, 4)
    x, y, w, h = xywh.T
    areas = [instance.get('area') for instance in self.instances]
    boxes = np.stack([y, x, y + h, x + w], axis=-1)
    class_ids = [instance['category_id'] for instance in self.instances]
    return Annotation(
      **vars(encoded),
      filename=os.path.basename(path),
      source_id=str(self.entry['id']),
      boxes=box_units.normalize(boxes, encoded.height, encoded.width, path),
      class_ids=np.array(class_ids, np.int64),
      class_names=[id_to_name[class_id] for class_id in class_ids],
      is_crowd=np.array([bool(instance.get('iscrowd')) for instance in self.instances], bool),
      area=np.float32([w[i] * h[i] if area is None else area for i, area in enumerate(areas)]),
      labeled_classes=self.entry.get('labeled_category_ids'),
      remarks=encoded.size_remarks(said, 'the JSON says'),
    )


@dataclasses.dataclass(frozen=True)
class CocoAnnotations:
  """A COCO JSON file: its images in the file's order, and (file, remark) of what cannot be used."""

  path: str
  images: Sequence[CocoImage]
  name_to_id: Mapping[str, int]
  remarks: Sequence[tuple[str, str]]


def load_annotations(
  path: str,
  *,
  image_type: type[CocoImage] = CocoImage,
  object_hook: Callable[[dict[str, Any]], Any] | None = None,
) -> CocoAnnotations:
  """Reads an instances JSON file (or image_info, which has no annotations).

  Returns:
    Its images, each with its instances, whose category_id, image_id, area and iscrowd are numbers
    and which have a bbox (it may still be broken, which `read_annotation` refuses).

  Raises:
    InputError: it is no JSON, or not as `coco_entries` expects it.
  """
  return read_content(path, json_file.load(path, object_hook), image_type=image_type)


def read_content(
  path: str, content: object, *, image_type: type[CocoImage] = CocoImage
) -> CocoAnnotations:
  """Checks the content of an instances JSON file, which may change; see `load_annotations`."""
  entries, instances, categories = coco_entries.read_lists(path, content)
  name_to_id = coco_entries.read_categories(path, categories)
  class_ids = {*name_to_id.values()}
  coco_entries.check_images(path, entries, class_ids)
  names = [_name(path, image_type, i, entry) for i, entry in enumerate(entries)]
  instances, found = coco_entries.check_instances(path, instances, class_ids)
  groups = coco_entries.group_by_image(path, entries, names, instances)
  images = [image_type(entry, group) for entry, group in zip(entries, groups, strict=True)]
  if 'annotations' not in content:
    found.append("it has no 'annotations': its images count as images without objects")
  counts = collections.Counter(map(os.path.normpath, names))
  if twice := [name for name, count in counts.items() if count > 1]:
    listed = ', '.join(twice[:5]) + (', ...' if len(twice) > 5 else '')
    found.append(f'{counts.total() - len(counts)} images are listed twice, by other ids: {listed}')
  return CocoAnnotations(path, images, name_to_id, [(path, text) for text in found])


def require_pixels(annotations: CocoAnnotations) -> None:
  """Refuses a file whose boxes are fractions of the images' sizes."""
  boxes = []
  for image in annotations.images:
    for instance in image.instances:
      box = coco_entries.box_values(instance['bbox'])
      if box is None or not coco_entries.has_area(instance['bbox']):
        continue
      x, y, w, h = box
      boxes.append([y, x, y + h, x + w])
      if max(boxes[-1]) > 2:
        return  # No fraction: of a million boxes, the first usually tells.
  box_units.require_pixels(np.reshape(boxes, [-1, 4]), annotations.path)


def load_sets(
  paths: Sequence[str], load: Callable[[str], CocoAnnotations] = load_annotations
) -> list[CocoAnnotations]:
  """Reads the annotation files of a data set's parts; refuses those of other categories or ids."""
  sets = [load(path) for path in paths]
  for other in sets[1:]:
    if other.name_to_id != sets[0].name_to_id:
      odd = sorted({*sets[0].name_to_id.items()} ^ {*other.name_to_id.items()})
      raise InputError(
        f'{other.path}: its categories are not those of {sets[0].path}: {odd}; '
        'give both the same names and ids'
      )
  return sets


def open_source(annotations: CocoAnnotations, image_dir: str) -> Source:
  """Opens an annotation file and its images as a data set; refuses boxes that are fractions."""
  require_pixels(annotations)
  names = dict(sorted((class_id, name) for name, class_id in annotations.name_to_id.items()))
  return Source(
    names,
    annotations.images,
    operator.methodcaller('read_annotation', image_dir, names),
    annotations.remarks,
    [annotations.path],
  )


def _name(path, image_type, i, entry):
  try:
    return str(image_type(entry, ()))
  except KeyError as error:
    raise InputError(f'{path}: images[{i}] lacks {error}: {reprlib.repr(entry)}') from error


def _box(path, instance):
  box = coco_entries.box_values(instance['bbox'])
  if box is None:
    raise InputError(
      f'{path}: annotation {instance.get("id")} has bbox {reprlib.repr(instance["bbox"])}; '
      'expected [x, y, width, height] in pixels'
    )
  return box
