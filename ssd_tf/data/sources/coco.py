"""COCO: instances JSON files and their images."""

import collections
import dataclasses
import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ssd_tf.data import image_files, record_writer
from ssd_tf.data.tf_example import Annotation
from ssd_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class CocoImage:
  """One entry of 'images' with its annotations.

  Attributes:
    entry: with id and file_name, and perhaps width, height and labeled_category_ids, the categories
      of which every instance in the image is annotated.
    instances: the entries of 'annotations' that refer to it.
  """

  entry: Mapping[str, Any]
  instances: Sequence[Mapping[str, Any]]

  def __str__(self):
    return str(self.entry['file_name'])

  def path_in(self, image_dir: str) -> str:
    """Where the image lies if the data set's images are in `image_dir`."""
    return os.path.join(image_dir, str(self))


@dataclasses.dataclass(frozen=True)
class CocoAnnotations:
  """A COCO JSON file.

  Attributes:
    path: of the file.
    images: in the file's order, those without annotations too.
    name_to_id: the categories.
    remarks: (file, remark): what in the file cannot be used.
  """

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

  Args:
    path: the JSON file.
    image_type: of the images returned.
    object_hook: of `json.load`.

  Returns:
    Its images, each with its instances.

  Raises:
    InputError: it is no JSON, lacks images or categories, has a category id below 1 or a name
      twice, annotations of unknown categories, or images labeled for some.
    OSError: it cannot be read.
  """
  with open(path, 'rb') as file:
    try:
      content = json.load(file, object_hook=object_hook)
    except ValueError as error:
      raise InputError(f'{path}: broken JSON: {error}') from error
  if not isinstance(content, dict) or not {'images', 'categories'} <= content.keys():
    raise InputError(f"{path}: expected an object with 'images', 'annotations' and 'categories'")
  by_image = collections.defaultdict(list)
  try:
    name_to_id = _categories(path, content['categories'])
    for instance in content.get('annotations', []):
      by_image[instance['image_id']].append(instance)
    unknown = collections.Counter(
      instance['category_id'] for instances in by_image.values() for instance in instances
    )
    images = [image_type(entry, by_image.pop(entry['id'], [])) for entry in content['images']]
    names = [str(image) for image in images]
  except (KeyError, TypeError) as error:
    raise InputError(
      f'{path}: an image, annotation or category lacks {error}; expected id, file_name, image_id, '
      'category_id and name as in instances_train2017.json'
    ) from error
  for class_id in name_to_id.values():
    unknown.pop(class_id, None)
  if unknown:
    listed = ', '.join(f'{class_id} ({count} boxes)' for class_id, count in unknown.most_common())
    raise InputError(f"{path}: annotations of categories that 'categories' lacks: {listed}")
  _check_labeled(path, images, name_to_id.values())
  remarks = []
  if by_image:
    count = sum(map(len, by_image.values()))
    remarks.append((path, f"{count} annotations refer to {len(by_image)} ids not in 'images'"))
  if len(set(names)) < len(names):
    remarks.append((path, f'{len(names) - len(set(names))} images are listed twice'))
  return CocoAnnotations(path, images, name_to_id, remarks)


def load_sets(
  paths: Sequence[str], load: Callable[[str], CocoAnnotations] = load_annotations
) -> list[CocoAnnotations]:
  """Reads the annotation files of one data set's parts.

  Args:
    paths: JSON files, at least one.
    load: reads one of them.

  Returns:
    Them all.

  Raises:
    InputError: as `load`; two files give the same category different ids.
    OSError: one cannot be read.
  """
  sets = [load(path) for path in paths]
  for other in sets[1:]:
    if other.name_to_id != sets[0].name_to_id:
      odd = sorted({*sets[0].name_to_id.items()} ^ {*other.name_to_id.items()})
      raise InputError(
        f'{other.path}: its categories are not those of {sets[0].path}: {odd}; '
        'give both the same names and ids'
      )
  return sets


def read_annotation(image: CocoImage, image_dir: str, id_to_name: Mapping[int, str]) -> Annotation:
  """Reads an image, and brings its instances to normalized boxes.

  Args:
    image: of `load_annotations`.
    image_dir: the folder of the images.
    id_to_name: the categories.

  Returns:
    The annotation; boxes as annotated, not yet clipped. source_id is the image's id; area is the
    annotated one, of the object's mask; labeled_classes are the entry's labeled_category_ids.

  Raises:
    InputError: the image is missing or broken, or an instance's bbox is; names the file.

  Source: the Object Detection API's create_coco_tf_record, which divides by the JSON's size.
  """
  path = image.path_in(image_dir)
  said = (image.entry.get('width'), image.entry.get('height'))
  encoded = image_files.read_image(path, said[::-1])
  remarks = []
  if None not in said and said != (encoded.width, encoded.height):
    remarks.append(
      f'the JSON says {said[0]} x {said[1]} pixels, the image has {encoded.width} x '
      f'{encoded.height}: the boxes are taken as pixels of the image'
    )
  xywh = np.array([_box(path, instance) for instance in image.instances]).reshape(-1, 4)
  x, y, w, h = xywh.T
  areas = [instance.get('area') for instance in image.instances]
  size = [encoded.height, encoded.width] * 2
  class_ids = [instance['category_id'] for instance in image.instances]
  return Annotation(
    **vars(encoded),
    filename=os.path.basename(path),
    source_id=str(image.entry['id']),
    boxes=(np.stack([y, x, y + h, x + w], axis=-1) / size).astype(np.float32),
    class_ids=np.array(class_ids, np.int64),
    class_names=[id_to_name[class_id] for class_id in class_ids],
    is_crowd=np.array([bool(instance.get('iscrowd')) for instance in image.instances], bool),
    area=np.float32([w[i] * h[i] if area is None else area for i, area in enumerate(areas)]),
    labeled_classes=image.entry.get('labeled_category_ids'),
    remarks=remarks,
  )


def write_data_set(
  annotations: CocoAnnotations,
  image_dir: str,
  output_path: str,
  *,
  read: Callable[..., Annotation] = read_annotation,
  **options: Any,
) -> record_writer.ConversionReport:
  """Converts an annotation file and its images to TFRecords.

  Args:
    annotations: of `load_annotations`.
    image_dir: the folder of the images.
    output_path: the record file.
    read: what `read_annotation` is for this kind of images.
    **options: num_shards, num_workers, strict of `record_writer.write_records`.

  Returns:
    The report.

  Raises:
    InputError: as `record_writer.write_records`.
  """
  id_to_name = {class_id: name for name, class_id in annotations.name_to_id.items()}
  return record_writer.write_records(
    annotations.images,
    functools.partial(read, image_dir=image_dir, id_to_name=id_to_name),
    output_path,
    remarks=annotations.remarks,
    **options,
  )


def _categories(path, categories):
  name_to_id = {}
  for category in categories:
    name, class_id = category['name'], category['id']
    if not isinstance(class_id, int) or class_id < 1:
      raise InputError(
        f'{path}: category {name!r} has id {class_id!r}; ids start at 1, because 0 is the '
        'background: add 1 to every id of categories and every category_id'
      )
    if name in name_to_id or class_id in name_to_id.values():
      raise InputError(f'{path}: two categories are {name!r} or have id {class_id}')
    name_to_id[name] = class_id
  return name_to_id


def _check_labeled(path, images, known):
  for image in images:
    labeled = image.entry.get('labeled_category_ids')
    if labeled is None:
      continue
    if not isinstance(labeled, list):
      raise InputError(
        f'{path}: image {image} has labeled_category_ids {labeled!r}; expected a list of ids'
      )
    if unknown := [class_id for class_id in labeled if class_id not in known]:
      raise InputError(
        f"{path}: image {image} has labeled_category_ids {unknown} that 'categories' lacks"
      )


def _box(path, instance):
  box = instance.get('bbox')
  try:
    x, y, w, h = (float(value) for value in box)
  except (TypeError, ValueError):
    raise InputError(
      f'{path}: annotation {instance.get("id")} has bbox {box!r}; expected [x, y, width, height]'
    ) from None
  return x, y, w, h
