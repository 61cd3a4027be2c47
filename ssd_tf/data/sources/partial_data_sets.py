"""Turns a complete data set, TFRecords or COCO JSON, into one with partial labels, and counts."""

import collections
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ssd_tf.data import box_validation, labeled_classes, record_output, record_writer
from ssd_tf.data.source import Source
from ssd_tf.data.sources import coco, coco_entries, label_dropping
from ssd_tf.data.sources.label_dropping import DroppingRules
from ssd_tf.errors import InputError
from ssd_tf.files import json_file
from ssd_tf.files.failed_writes import writing


@dataclasses.dataclass(frozen=True)
class _ImageLabels:
  """What became of one image: boxes kept and dropped by class id."""

  group: int
  labeled: set[int]
  kept: collections.Counter
  dropped: collections.Counter


class _Dropping:
  """The rules applied to one data set's images, in any order, with what became of each."""

  def __init__(self, rules: DroppingRules, name_to_id: Mapping[str, int], num_images: int):
    self.rules = rules
    self.name_to_id = name_to_id
    if rules.groups is None and rules.num_groups > num_images:
      raise InputError(
        f'num_groups: {rules.num_groups} groups of {num_images} images leave one without an image; '
        f'give at most {num_images}'
      )
    self.groups = rules.class_groups(name_to_id)
    fractions = rules.group_fractions or [1 / len(self.groups)] * len(self.groups)
    shuffle_seed = rules.seed if rules.shuffle else None
    self._group_of_image = label_dropping.deal_images(num_images, fractions, shuffle_seed)
    self._class_drop = {name_to_id[name]: rate for name, rate in rules.class_drop.items()}
    self.images: list[_ImageLabels | None] = [None] * num_images

  def apply(self, index, class_ids, labeled):
    """Returns (bool[n], whether a box stays; the classes labeled then), and notes both."""
    group = int(self._group_of_image[index])
    class_ids = np.asarray(class_ids, np.int64)
    keep, labeled = label_dropping.keep_labels(
      class_ids,
      labeled,
      self.groups[group],
      drop_rate=self.rules.drop_rate,
      class_drop=self._class_drop,
      # A stream for each image: threads may come in any order.
      rng=np.random.default_rng([self.rules.seed, index]),
    )
    self.images[index] = _ImageLabels(
      group,
      labeled,
      collections.Counter(class_ids[keep].tolist()),
      collections.Counter(class_ids[~keep].tolist()),
    )
    return keep, labeled


def write_partial_records(
  source: Source,
  output_path: str,
  rules: DroppingRules,
  *,
  num_workers: int | None = None,
) -> dict[str, Any]:
  """Writes records of whose labels some are dropped, and returns the manifest.

  An image that is labeled for some classes only is labeled for fewer then. Boxes that
  `box_validation` drops are not counted.

  Raises:
    InputError: the rules do not fit the classes; an image is broken or has a box of a class that
      the source has not; there is no image; the output is one of the inputs.
  """
  record_output.sharded(output_path).require_apart_from(source.files)
  if not source.items:
    raise InputError(f'{", ".join(source.files)}: the source has no image')
  names = source.names
  dropping = _Dropping(rules, source.name_to_id, len(source.items))

  def read(numbered):
    index, item = numbered
    annotation, findings = box_validation.validate_boxes(source.read(item))
    unknown = {*annotation.class_ids.tolist(), *(annotation.labeled_classes or ())} - names.keys()
    if unknown:
      raise InputError(
        f'{item}: class ids {sorted(unknown)} (of boxes or labeled) are not in the label '
        'map; correct either'
      )
    keep, labeled = dropping.apply(
      index, annotation.class_ids, annotation.labeled_class_ids(default=names)
    )
    human = annotation.human_labeled_classes
    remarks = [
      *annotation.remarks,
      *(f'clipped to the image: {text}' for text in findings.clipped),
      *(f'left out, no area or outside: {text}' for text in findings.dropped),
    ]
    kept = dataclasses.replace(annotation.select(keep), remarks=remarks)
    return kept.relabeled(labeled, None if human is None else labeled & set(human))

  partial = Source(names, list(enumerate(source.items)), read, source.remarks)
  record_writer.write_records(partial, output_path, num_workers=num_workers, strict=True)
  return make_manifest(dropping, source.files, output_path)


def write_partial_coco(
  annotations_file: str, output_path: str, rules: DroppingRules
) -> dict[str, Any]:
  """Writes a COCO JSON of whose labels some are dropped, by images; returns the manifest.

  Its images say labeled_category_ids.

  Raises:
    InputError: the file is broken or has no image; the rules do not fit the categories; the output
      is the input.
  """
  if os.path.realpath(output_path) == os.path.realpath(annotations_file):
    raise InputError(f'{output_path}: is the input, too; give another output_path')
  annotations = coco.load_annotations(annotations_file)
  if not annotations.images:
    raise InputError(f"{annotations_file}: 'images' is empty; expected at least one")
  dropping = _Dropping(rules, annotations.name_to_id, len(annotations.images))
  images, instances = [], []
  for index, image in enumerate(annotations.images):
    class_ids = [instance['category_id'] for instance in image.instances]
    labeled = labeled_classes.labeled_class_ids(
      explicit=image.entry.get('labeled_category_ids'),
      verified=image.entry.get('neg_category_ids'),
      not_exhaustive=image.entry.get('not_exhaustive_category_ids') or (),
      group_of=(),
      boxes=class_ids,
      default=annotations.name_to_id.values(),
    )
    keep, labeled = dropping.apply(index, class_ids, labeled)
    entry = {key: image.entry[key] for key in image.entry if key not in coco_entries.LVIS_LISTS}
    images.append({**entry, 'labeled_category_ids': sorted(labeled)})
    instances += [image.instances[i] for i in np.flatnonzero(keep)]
  content = json_file.load(annotations_file)
  # By id as the annotations have it now, should the file have texts.
  categories = [
    {**entry, 'id': annotations.name_to_id[entry['name']]} for entry in content['categories']
  ]
  changed = {'images': images, 'annotations': instances, 'categories': categories}
  write_json(output_path, {**content, **changed})
  manifest = make_manifest(dropping, [annotations_file], output_path)
  manifest['warnings'] += [f'{path}: {remark}' for path, remark in annotations.remarks]
  return manifest


def make_manifest(
  dropping: _Dropping, input_paths: Sequence[str], output_path: str
) -> dict[str, Any]:
  """Counts what was kept and dropped: in all, of each class and of each group; for a JSON file."""
  images = dropping.images

  def count(some, class_id=None):
    totals = {'boxes_kept': 0, 'boxes_dropped': 0}
    for image in some:
      for key, boxes in (('boxes_kept', image.kept), ('boxes_dropped', image.dropped)):
        totals[key] += boxes.total() if class_id is None else boxes[class_id]
    return totals

  total = count(images)
  names = sorted(dropping.name_to_id, key=dropping.name_to_id.get)
  classes = {}
  for name in names:
    class_id = dropping.name_to_id[name]
    num_labeled = sum(class_id in image.labeled for image in images)
    classes[name] = {'id': class_id, **count(images, class_id), 'images_labeled': num_labeled}
  groups = []
  for number, ids in enumerate(dropping.groups):
    own = [image for image in images if image.group == number]
    listed = [name for name in names if dropping.name_to_id[name] in ids]
    groups.append({'classes': listed, 'num_images': len(own), **count(own)})
  return {
    'input_paths': list(input_paths),
    'output_path': output_path,
    'rules': dataclasses.asdict(dropping.rules),
    'num_images': len(images),
    **total,
    'share_dropped': round(total['boxes_dropped'] / max(sum(total.values()), 1), 6),
    'classes': classes,
    'groups': groups,
    'warnings': _warnings(classes, groups),
  }


def describe_manifest(manifest: Mapping[str, Any]) -> str:
  """The counts of a manifest as a table: a row for each class, each group, and the total."""
  classes = manifest['classes']
  titles = {
    number: f'group {number}: {", ".join(group["classes"])}'
    for number, group in enumerate(manifest['groups'])
  }
  width = min(max(map(len, (*classes, *titles.values()))), 60)
  lines = [f'{"":{width}}  boxes kept  dropped  images labeled']
  for name, row in classes.items():
    lines.append(_row(name, width, row, row['images_labeled']))
  lines.append(f'{"":{width}}  boxes kept  dropped          images')
  for number, group in enumerate(manifest['groups']):
    lines.append(_row(titles[number], width, group, group['num_images']))
  lines.append(_row('all', width, manifest, manifest['num_images']))
  lines.append(f'{manifest["share_dropped"]:.1%} of the boxes dropped')
  return '\n'.join(lines)


def write_json(path: str, content: Any) -> None:
  """Writes a JSON file; a reader sees the old file or the new one, never a part."""
  os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
  temporary = f'{path}.tmp'
  # What UTF-8 cannot hold, half of a surrogate pair, is escaped as it was in the JSON read.
  with (
    writing(path),
    open(temporary, 'w', encoding='utf-8', errors='backslashreplace') as file,
  ):
    json.dump(content, file, ensure_ascii=False, indent=2)
  os.replace(temporary, path)


def _warnings(classes, groups):
  grouped = {name for group in groups for name in group['classes']}
  found = [
    f'class {name!r} is in no group: all of its boxes are dropped'
    for name in classes
    if name not in grouped
  ]
  found += [
    f'class {name!r} is labeled in no image: a detector gets no negatives for it'
    for name, row in classes.items()
    if name in grouped and not row['images_labeled']
  ]
  return found + [
    f'group {number} (counted from 0) has no image'
    for number, group in enumerate(groups)
    if not group['num_images']
  ]


def _row(title, width, counts, images):
  return (
    f'{title[:width]:{width}}  {counts["boxes_kept"]:10}  {counts["boxes_dropped"]:7}  {images:14}'
  )
