"""Reads LVIS v0.5 and v1: instances JSON files of COCO's images, each labeled for some classes."""

import collections
import dataclasses
import os
import re
from collections.abc import Mapping

from ssd_tf.data.annotation import Annotation
from ssd_tf.data.sources import coco, coco_entries, image_paths
from ssd_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class LvisImage(coco.CocoImage):
  """One entry of 'images', which has neg_category_ids and not_exhaustive_category_ids."""

  def __str__(self):
    url = self.entry.get('coco_url')
    return '/'.join(str(url).split('/')[-2:]) if url else self.entry['file_name']

  def path_in(self, image_dir: str) -> str:
    """Where the image lies: in `image_dir` itself or in COCO's folder of it, such as train2017."""
    names = [os.path.basename(str(self)), str(self)]
    if old_name := self.entry.get('file_name'):
      # v0.5 says COCO_train2014_000000391895.jpg of what COCO calls 000000391895.jpg since 2017.
      names += [old_name, re.sub(r'^COCO_\w+_', '', old_name)]
    place = f'image {self.entry["id"]}'
    paths = [image_paths.locate(image_dir, name, place) for name in dict.fromkeys(names)]
    for path in paths:
      if os.path.isfile(path):
        return path
    raise InputError(f'{place}: no such file: {", ".join(paths)}')

  def read_annotation(self, image_dir: str, id_to_name: Mapping[int, str]) -> Annotation:
    """Reads an image as `coco.CocoImage` does, and what is known of its categories.

    Verified present are the categories with annotations. A remark tells of ids of no category.

    Args:
      image_dir: the folder of the images, or of the folders train2017 and so on.
    """
    annotation = super().read_annotation(image_dir, id_to_name)
    remarks = list(annotation.remarks)
    known = {}
    for key in coco_entries.LVIS_LISTS:
      ids = sorted({*self.entry[key]})
      known[key] = [class_id for class_id in ids if class_id in id_to_name]
      if unknown := [class_id for class_id in ids if class_id not in id_to_name]:
        remarks.append(
          f"image {self.entry['id']}: {key} {unknown} are not in 'categories': left out"
        )
    absent, not_exhaustive = known.values()
    present = collections.Counter(annotation.class_ids.tolist())
    for class_id in absent:
      if class_id in present:
        remarks.append(
          f'image {self.entry["id"]}: neg_category_ids says that {id_to_name[class_id]} '
          f'({class_id}) is not in the image: it has {present[class_id]} annotations'
        )
    return dataclasses.replace(
      annotation,
      verified_present=sorted(present),
      verified_absent=absent,
      not_exhaustive=not_exhaustive,
      remarks=remarks,
    )


def load_annotations(path: str) -> coco.CocoAnnotations:
  """Reads an instances JSON file, but for its masks, which spares most of the memory.

  Raises:
    InputError: as `coco.load_annotations`; an image lacks a list of categories.
  """
  annotations = coco.load_annotations(path, image_type=LvisImage, object_hook=_without_mask)
  for image in annotations.images:
    for key in coco_entries.LVIS_LISTS:
      if image.entry.get(key) is None:
        raise InputError(
          f'{path}: image {image.entry["id"]} has no {key}; expected a list of category ids; '
          'a file without them is no LVIS: create_coco_tf_record.py converts it'
        )
  return annotations


def _without_mask(entry):
  if coco_entries.has_area(entry.get('bbox')):
    entry.pop('segmentation', None)
  return entry
