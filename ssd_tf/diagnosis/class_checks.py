"""Checks classes: their boxes, their names, and what records are labeled for."""

import collections
from collections.abc import Iterator

import numpy as np

from ssd_tf.diagnosis.finding import Finding, Severity
from ssd_tf.diagnosis.project import Project
from ssd_tf.errors import listed

_RARE = 10  # Boxes of a class.
_MAX_IMBALANCE = 100
# Of a class that a file lacks; by chance that is next to impossible, were the files alike.
_EXPECTED_BOXES = 20
_MAX_NAMES = 10
_LOOK_AT_ALL = 'Raise --max_records to look at all of them.'


def check_classes(project: Project) -> Iterator[Finding]:
  """Whether the training's boxes are of all classes, and of each often enough."""
  tables = [project.table(field) for field in project.training_fields]
  counts, labeled = collections.Counter(), set()
  for table in tables:
    counts.update(table.model_class_ids[table.usable].tolist())
    labeled = labeled.union(*table.labeled)
  names, fields = project.pipeline.class_names, ', '.join(project.training_fields)
  is_complete = all(table.is_complete for table in tables)
  images = f'the {sum(table.num_images for table in tables)} images looked at'
  somewhere = '' if is_complete else f' in {images}'
  if not counts:
    yield Finding.error(
      'classes',
      f'{fields}: there is no box of any class of the model{somewhere}.',
      'Look at the label map, at class_map of the reader, and at how the records were made.',
      {'boxes': 0},
    )
    return
  # Classes that no image is labeled for have a finding of their own.
  absent = [i for i in names if not counts[i] and i in labeled]
  severity = Severity.WARNING if is_complete else Severity.NOTE
  if absent:
    why = '; they will never be detected' if is_complete else ''
    yield Finding(
      'classes',
      severity,
      f'{fields}: {len(absent)} of {len(names)} classes have no box{somewhere}: '
      f'{_names(names, absent)}{why}.',
      'Add images of them, or remove them from the label map (and lower model.ssd.num_classes).'
      if is_complete
      else _LOOK_AT_ALL,
      {'absent': len(absent), 'classes': len(names)},
    )
  rare = {i: counts[i] for i in names if 0 < counts[i] < _RARE}
  if rare:
    why = '; too few to learn from' if is_complete else ''
    yield Finding(
      'classes',
      severity,
      f'{fields}: {len(rare)} of {len(names)} classes have fewer than {_RARE} boxes{somewhere}: '
      f'{_names(names, rare, counts)}{why}.',
      'Add images of them, or drop them by class_map of the reader.'
      if is_complete
      else _LOOK_AT_ALL,
      {'rare': {names[i]: n for i, n in rare.items()}},
    )
  most = max(counts, key=counts.get)
  lopsided = [i for i in names if counts[i] >= _RARE and counts[i] * _MAX_IMBALANCE < counts[most]]
  if lopsided:
    yield Finding.note(
      'classes',
      f'{fields}: {len(lopsided)} classes have less than a hundredth of the boxes of '
      f'{names[most]!r} ({counts[most]}): {_names(names, lopsided, counts)}.',
      numbers={'lopsided': len(lopsided), 'most': counts[most]},
    )


def check_class_texts(project: Project) -> Iterator[Finding]:
  """Whether the records' names of classes are those that the label map has for their ids."""
  for field in project.fields:
    classes, table = project.label_map(field), project.table(field)
    if classes is None:
      continue
    pairs = collections.Counter(zip(table.class_ids.tolist(), table.class_texts, strict=True))
    pairs = {(i, text): n for (i, text), n in pairs.items() if text and i > 0}
    ids = {text: i for i, text in zip(classes.ids, classes.display_names, strict=True)}
    ids |= classes.id_by_name
    shifts, unknown = collections.Counter(), collections.Counter()
    for (class_id, text), count in pairs.items():
      if text not in ids:
        unknown[text] += count
      elif not _same_name(classes, class_id, text):
        shifts[ids[text] - class_id] += count
    yield from _shifted(field, classes, shifts, sum(pairs.values()), pairs, ids)
    if unknown and not shifts:
      yield _unknown_texts(field, unknown, sum(pairs.values()))


def check_label_maps(project: Project) -> Iterator[Finding]:
  """Whether training and evaluation go by the same classes."""
  for field in project.evaluation_fields:
    theirs = project.label_map(field)
    if theirs is None:
      continue
    known = set(theirs.names)
    reader = project.pipeline.readers[field]
    known |= {mapping.to for mapping in reader.class_map}
    model = project.pipeline.class_names
    missing = [name for name in model.values() if name not in known | set(theirs.display_names)]
    if missing:
      yield Finding.warning(
        'label maps',
        f'{field}.label_map_path lacks {len(missing)} of the {len(model)} classes that are '
        f'trained: {listed(missing, _MAX_NAMES)}; they are not measured.',
        'Give both readers the same label map.',
        {'missing': len(missing), 'classes': len(model)},
      )
    for other in project.training_fields[:1]:
      ours = project.label_map(other)
      moved = [] if ours is None else _moved(ours, theirs)
      if moved:
        yield Finding.warning(
          'label maps',
          f'{other} and {field} have label maps with other ids for {len(moved)} classes: '
          f'{listed(moved, _MAX_NAMES)}; classes are told by name, so this is right only if the '
          'records of each reader hold the ids of its own map.',
          'Make sure of that (tools/describe_dataset.py shows both), or use one label map.',
          {'moved': len(moved)},
        )


def check_missing_labels(project: Project) -> Iterator[Finding]:
  """Whether files that are trained together seem to be annotated for different classes.

  A class that is frequent in the files of one input_path, and has no box in those of another
  although their images count as labeled for it, is taken for background there.
  """
  sources = [
    (f'{field} {path}', project.table(field).part, images, counts)
    for field in project.training_fields
    for path, images, counts in _by_input_path(project, field)
  ]
  names = project.pipeline.class_names
  for source, part, images, counts in sources:
    missing = {}
    for class_id in names:
      rate = max((other[class_id] / max(1, n[0]) for *_, n, other in sources), default=0)
      if not counts[class_id] and rate * images[class_id] >= _EXPECTED_BOXES:
        missing[class_id] = images[class_id]
    if missing:
      yield Finding.warning(
        'missing labels',
        f'{source}: its {images[0]} images{part} have no box of {_names(names, missing)}, which '
        'other training files hold, but count as labeled for them: where such objects are in the '
        'images, they are trained as background.',
        'If nobody annotated these classes there, read the files by a train_input_reader of their '
        'own, with labeled_class for those that are annotated; or write '
        'image/class/labeled_classes (tools/merge_datasets.py does).',
        {'classes': [names[i] for i in missing], 'images': images[0]},
      )


def _same_name(classes, class_id, text):
  if class_id not in classes.ids:
    return False
  return text in (classes.name_by_id[class_id], classes.display_name_by_id[class_id])


def _shifted(field, classes, shifts, num_boxes, pairs, ids):
  if not shifts:
    return
  count = shifts.total()
  shift, most = shifts.most_common(1)[0]
  is_constant = most == count
  class_id, text = next(pair for pair in pairs if pair[1] in ids and not _same_name(classes, *pair))
  mapped = repr(classes.name_by_id[class_id]) if class_id in classes.ids else 'nothing'
  kind = f'is off by {abs(shift)}' if is_constant else 'is not that of the records'
  yield Finding.error(
    'label map off by one' if is_constant and abs(shift) == 1 else 'class names',
    f'{field}: the label map {kind}: {count} of {num_boxes} boxes have a class text that the map '
    f'has under another id, such as id {class_id} with the text {text!r}, which is {mapped} in the '
    f'map, where {text!r} is {ids[text]}.',
    f'Give {field}.label_map_path the map that the records were made with, or convert again.',
    {'count': count, 'boxes': num_boxes, 'shift': shift if is_constant else None},
  )


def _unknown_texts(field, unknown, num_boxes):
  texts = ', '.join(f'{text!r} {count}' for text, count in unknown.most_common(_MAX_NAMES))
  return Finding.note(
    'class names',
    f'{field}: {unknown.total()} of {num_boxes} boxes have a class text that is not in the label '
    f'map: {texts}; their ids count, not their texts.',
    numbers={'count': unknown.total(), 'boxes': num_boxes},
  )


def _moved(ours, theirs):
  common = [name for name in ours.names if name in theirs.names]
  return [
    f'{name} {ours.id_of(name)} and {theirs.id_of(name)}'
    for name in common
    if ours.id_of(name) != theirs.id_of(name)
  ]


def _by_input_path(project, field):
  """(input_path, images, boxes by class id) of each input_path of a reader.

  Images by class id are those that count as labeled for it without saying so; under 0, all.
  """
  table, reader = project.table(field), project.pipeline.readers[field]
  for pattern in reader.tf_record_input_reader.input_path:
    files = set(project.pipeline.input_files([pattern]))
    rows = np.array([path in files for path in table.paths], bool)
    images = collections.Counter({0: int(rows.sum())})
    for row in np.flatnonzero(rows & ~table.says_labeled):
      if not reader.labeled_class:
        images.update(table.labeled[row])
    boxes = table.usable & rows[table.image_index]
    yield pattern, images, collections.Counter(table.model_class_ids[boxes].tolist())


def _names(names, ids, counts=None):
  texts = [f'{names[i]!r} {counts[i]}' if counts else repr(names[i]) for i in ids]
  return listed(texts, _MAX_NAMES)
