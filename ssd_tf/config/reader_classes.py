"""Determines the classes of each input reader, and of the model that all of them train.

Every reader has a label map of its own, whose ids its records hold. The model's classes are those
of the config's label_map_path; without one, those of the readers, merged by name: the first
reader's keep their ids, every new name of the others gets the next one. Before, class_map may
rename or drop a reader's classes.
"""

import dataclasses
from collections.abc import Iterable, Mapping

from google.protobuf.message import Message

from ssd_tf.config.label_map import LabelMap
from ssd_tf.errors import InputError, closest


@dataclasses.dataclass(frozen=True)
class ReaderClasses:
  """What a reader's records call the model's classes.

  Attributes:
    num_classes: the ids of the records are 1..num_classes.
    id_to_name: the reader's label map; empty without one.
    labeled_ids: classes labeled where a record does not say, by the reader's ids.
    table: reader's id -> model's id, 0 for a dropped class; None: they are the same.
    unused_ids: ids of the model that no class has: every image counts as labeled for them.
  """

  num_classes: int
  id_to_name: Mapping[int, str]
  labeled_ids: frozenset[int]
  table: Mapping[int, int] | None
  unused_ids: frozenset[int] = frozenset()


# Why a reader has to have a label map.
NEEDS_NAMES = (
  'is empty, but several readers, labeled_class and class_map go by names: give the label map of '
  'these records'
)


def named_readers(config: Message) -> dict[str, Message]:
  """All readers of a config by their field, those of the training first."""
  readers = config.train_input_reader
  names = [f'train_input_reader[{i}]' for i in range(len(readers))]
  named = dict(zip(names if len(readers) > 1 else ['train_input_reader'], readers, strict=False))
  return named | {f'eval_input_reader[{i}]': r for i, r in enumerate(config.eval_input_reader)}


def merge_classes(
  readers: Iterable[tuple[str, Message, LabelMap | None]],
) -> LabelMap | None:
  """The classes of readers, (field, reader, label map) each, together; None without label maps."""
  merged, display_names, next_id = {}, {}, None
  for field, reader, own in readers:
    if own is None:
      continue
    for class_id, target in _targets(field, reader, own).items():
      if target is not None and target not in merged:
        merged[target] = next_id or class_id
        if next_id:
          next_id += 1
        same = target == own.name_by_id[class_id]
        display_names[target] = own.display_name_by_id[class_id] if same else target
    next_id = max(merged.values()) + 1
  if not merged:
    return None
  rows = sorted((class_id, name) for name, class_id in merged.items())
  ids, names = zip(*rows, strict=True)
  return LabelMap(ids, names, tuple(display_names[name] for name in names))


def relate_classes(
  field: str, reader: Message, own: LabelMap | None, model: LabelMap | None, num_classes: int
) -> ReaderClasses:
  """Brings a reader's classes to the model's, which are None where the reader has no label map.

  A class of the model that the reader's label map lacks is labeled in no image of it; an id of the
  model that no class has, in all of them.

  Raises:
    InputError: a name is not in the label map, or not in the model's; a class_map contradicts
      itself.
  """
  if own is None:
    if reader.labeled_class or reader.class_map:
      raise InputError(f'{field}.label_map_path: {NEEDS_NAMES}')
    return ReaderClasses(num_classes, {}, frozenset(range(1, num_classes + 1)), None)
  table = {}
  for class_id, target in _targets(field, reader, own).items():
    if target is not None and target not in model.id_by_name:
      raise InputError(
        f'{field}: the model has no class {target!r}: '
        f'{closest(target, model.names)}; to rename it or leave it out: '
        f"class_map {{ name: '{own.name_by_id[class_id]}' to: '...' }}, or drop: true"
      )
    table[class_id] = 0 if target is None else model.id_of(target)
  labeled = frozenset(_id_of(own, name, f'{field}.labeled_class') for name in reader.labeled_class)
  is_same = table == {class_id: class_id for class_id in model.ids}
  return ReaderClasses(
    num_classes=num_classes if is_same else own.num_classes,
    id_to_name=own.name_by_id,
    labeled_ids=labeled or frozenset(own.ids),
    table=None if is_same else table,
    unused_ids=frozenset(range(1, num_classes + 1)) - frozenset(model.ids),
  )


def _targets(field, reader, own):
  """{reader's id: name in the model, or None where dropped}."""
  targets = dict(own.name_by_id)
  seen = set()
  for mapping in reader.class_map:
    path = f'{field}.class_map'
    class_id = _id_of(own, mapping.name, path)
    if class_id in seen:
      raise InputError(f'{path}: {mapping.name!r} occurs twice')
    seen.add(class_id)
    if bool(mapping.to) == mapping.drop:
      raise InputError(f'{path}: {mapping.name!r} needs either to: "..." or drop: true')
    targets[class_id] = None if mapping.drop else mapping.to
  if not any(targets.values()):
    raise InputError(f'{field}.class_map: drops every class, so that nothing is left to learn')
  return targets


def _id_of(own, name, path):
  try:
    return own.id_of(name)
  except InputError as error:
    raise InputError(f'{path}: {error}') from None
