"""Finds data sets as SSD-Tensorflow's scripts name them: by a folder, a name and a split."""

import collections
import dataclasses
import os
import re
from collections.abc import Sequence

from absl import logging

from ssd_tf.config import label_map as label_maps
from ssd_tf.data import record_files, tf_example
from ssd_tf.errors import InputError
from ssd_tf.files import plain_text, text_file

# Names whose files begin with another one.
_FILE_NAMES = {'pascalvoc_2007': 'voc_2007', 'pascalvoc_2012': 'voc_2012'}
_RECORDS = re.compile(r'\.(tfrecords?|records?)(-\d{5}-of-\d{5})?$')
_MAX_NAMES = 5


@dataclasses.dataclass
class ClassCounts:
  """The classes of the boxes in records: boxes and files by id, boxes by (id or None, text)."""

  num_records: int = 0
  boxes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  texts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  files: dict[int, set[str]] = dataclasses.field(
    default_factory=lambda: collections.defaultdict(set)
  )


def count_classes(paths: Sequence[str]) -> ClassCounts:
  """Counts the boxes of each class, without decoding pixels; refuses what is no annotated image."""
  counts = ClassCounts()
  for path, number, record in record_files.read_records(paths):
    annotation = tf_example.parse_example(record, f'{path}, record {number}')
    ids, texts = annotation.class_ids.tolist(), annotation.class_names
    counts.num_records += 1
    counts.boxes.update(ids)
    for class_id in set(ids):
      counts.files[class_id].add(path)
    if not ids:
      counts.texts.update((None, text) for text in texts)
    elif texts:
      counts.texts.update(zip(ids, texts, strict=True))
  return counts


@dataclasses.dataclass(frozen=True)
class DataSet:
  """The records of a split, what is in them, and their classes by a label map from some source."""

  paths: Sequence[str]
  counts: ClassCounts
  classes: label_maps.LabelMap
  source: str


def load(dataset_dir: str, dataset_name: str, split: str, label_map_path: str = '') -> DataSet:
  """Finds the records of a split and their label map, and reads all of them once.

  The label map is the first of: `label_map_path`; label_map.pbtxt or labels.txt in the folder; for
  a name that begins with pascalvoc, the classes of Pascal VOC; what the records say.

  Raises:
    InputError: there are no such records, they are damaged, or nothing names their classes.
  """
  paths = find_records(dataset_dir, dataset_name, split)
  counts = count_classes(paths)
  candidates = [label_map_path] if label_map_path else _label_map_files(dataset_dir, dataset_name)
  if candidates:
    return DataSet(paths, counts, _load_label_map(candidates[0]), candidates[0])
  if dataset_name.startswith('pascalvoc'):
    return DataSet(paths, counts, label_maps.PASCAL_VOC, "Pascal VOC's classes")
  return DataSet(paths, counts, _named_by_records(counts, paths), 'what the records say')


def find_records(dataset_dir: str, dataset_name: str, split: str) -> list[str]:
  """Lists the TFRecord files of a split.

  pascalvoc_2007 stands for voc_2007_<split>_*.tfrecord, pascalvoc_2012 likewise, any other name for
  <name>_<split>_*.tfrecord; where there are none, any TFRecord file that has the split in its name
  is taken.
  """
  if not os.path.isdir(dataset_dir):
    raise InputError(f'--dataset_dir={dataset_dir}: no such folder')
  names = sorted(name for name in os.listdir(dataset_dir) if _RECORDS.search(name))
  start = f'{_FILE_NAMES.get(dataset_name, dataset_name)}_{split}'
  found = [name for name in names if re.match(rf'{re.escape(start)}(_|\.)', name)]
  if not found:
    is_split = re.compile(rf'(?<![a-zA-Z]){re.escape(split)}(?![a-zA-Z])')
    found = [name for name in names if is_split.search(name)]
    if found:
      logging.warning(
        'No %s_*.tfrecord in %s: taking all %d files with %r in the name, from %s on.',
        start, dataset_dir, len(found), split, found[0],
      )  # fmt: skip
  if not found:
    there = ', '.join(names[:_MAX_NAMES]) + (', ...' if len(names) > _MAX_NAMES else '')
    raise InputError(
      f'--dataset_dir={dataset_dir}: expected {start}_*.tfrecord (of --dataset_name and '
      f'--dataset_split_name), or TFRecords with {split!r} in the name; '
      f'{f"there are {there}" if names else "there is no TFRecord file"}'
    )
  return [os.path.join(dataset_dir, name) for name in found]


def classes_below(data_set: DataSet, num_classes: int) -> label_maps.LabelMap:
  """The classes of a data set with ids below num_classes, which counts the background.

  Raises:
    InputError: a box has a class id outside 1 to num_classes - 1: names it, how many boxes it has,
      and both ways to fix it; or no class has such an id.
  """
  _check_boxes(data_set, num_classes)
  names = {i: name for i, name in data_set.classes.name_by_id.items() if i < num_classes}
  if not names:
    raise InputError(
      f'--num_classes={num_classes}: counts the background; the classes of {data_set.source} have '
      f'the ids {", ".join(map(str, data_set.classes.ids))}'
    )
  return label_maps.of_names(names)


def _check_boxes(data_set, num_classes):
  outside = {i: n for i, n in data_set.counts.boxes.items() if not 1 <= i < num_classes}
  if not outside:
    return
  found = ', '.join(f'{n:,} of class id {i} ({_name(data_set, i)})' for i, n in outside.items())
  files = sorted({path for i in outside for path in data_set.counts.files[i]})
  places = f'{files[0]} holds' if len(files) == 1 else f'{len(files)} files hold'
  most = max(data_set.counts.boxes)
  raise_it = f'raise --num_classes to {most + 1} or more' if most > 0 else 'number them from 1'
  names = [_name(data_set, i) for i in sorted(data_set.counts.boxes) if i in data_set.classes.ids]
  choose = (
    f'number the classes to train from 1 by name: --classes={",".join(names)} '
    f'--num_classes={len(names) + 1}'
    if names
    else 'name them in a label map (--label_map_path), and choose by --classes'
  )
  raise InputError(
    f'--num_classes={num_classes}: counts the background, so class ids are 1 to {num_classes - 1}, '
    f'but {places} boxes outside: {found}. They would not train, and of them mAP would be 0. '
    f'Either {raise_it}, or {choose}'
  )


def _name(data_set, class_id):
  classes = data_set.classes
  return classes.name_by_id.get(class_id, 'no name')


def _label_map_files(folder, dataset_name):
  names = ('label_map.pbtxt', f'{dataset_name}_label_map.pbtxt', 'labels.txt')
  paths = [os.path.join(folder, name) for name in names]
  return [path for path in paths if os.path.exists(path)]


def _load_label_map(path):
  """Also of lines `id:name`, as TF-Slim's converters write labels.txt."""
  if not path.endswith('.txt'):
    return label_maps.load(path)
  lines = text_file.read_lines(path)
  pairs = [(number, re.fullmatch(r'(\d{1,9})\s*:\s*(.+)', line)) for number, line in lines]
  if not lines or not all(pair for _, pair in pairs):
    return label_maps.load_or_list(path)
  names = {}
  for number, pair in pairs:
    class_id = int(pair[1])
    if class_id in names:
      other = names[class_id]
      raise InputError(f'{path}:{number}: class id {class_id} is already that of {other!r}')
    names[class_id] = pair[2]
  names.pop(0, None)  # The background.
  return _label_map(names, path)


def _named_by_records(counts, paths):
  """The ids and texts of the records; texts alone are numbered in the order of the alphabet."""
  if not counts.boxes:
    names = sorted({text for _, text in counts.texts})
    if not names:
      raise InputError(f'{paths[0]}: no record of {len(paths)} files has a box of any class')
    return _label_map(dict(enumerate(names, start=1)), paths[0])
  by_id = collections.defaultdict(list)
  for (class_id, text), _ in counts.texts.most_common():
    if class_id is not None:
      by_id[class_id].append(text)
  for class_id, texts in by_id.items():
    if len(texts) > 1:
      logging.warning(
        'Class id %d is called %s: taken for %r.',
        class_id,
        ' and '.join(map(repr, texts)),
        texts[0],
      )
  ids = [class_id for class_id in counts.boxes if class_id > 0]
  return _label_map({i: by_id[i][0] if by_id[i] else f'class {i}' for i in ids}, paths[0])


def _label_map(names, path):
  twice = sorted(name for name, n in collections.Counter(names.values()).items() if n > 1)
  if twice or not names:
    fault = f'{twice[0]!r} is the name of several class ids' if twice else 'no class id above 0'
    raise InputError(f'{path}: {fault}; give a label map (--label_map_path)')
  for class_id, name in names.items():
    plain_text.check(name, f'{path}: name of class id {class_id}')
  return label_maps.of_names(names)
