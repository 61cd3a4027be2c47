"""The classes of each input reader, and of the model that all of them train.

Every reader has a label map of its own, whose ids its records hold. The model's classes are those
of the config's label_map_path; without one, those of the readers, merged by name: the first
reader's keep their ids, every new name of the others gets the next one. Before, class_map may
rename or drop a reader's classes.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping

from absl import logging
from google.protobuf.message import Message

from ssd_tf.config import label_map as label_maps
from ssd_tf.config.input_paths import resolve_path
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


def named_readers(config: Message) -> Iterator[tuple[str, Message]]:
  """Yields (path of the field, reader) of all training readers, then of the evaluation's."""
  readers = config.train_input_reader
  for i, reader in enumerate(readers):
    yield (f'train_input_reader[{i}]' if len(readers) > 1 else 'train_input_reader'), reader
  for i, reader in enumerate(config.eval_input_reader):
    yield f'eval_input_reader[{i}]', reader


def model_classes(config: Message, config_path: str | os.PathLike) -> label_maps.LabelMap | None:
  """Returns the model's classes; None if no reader has a label map.

  Args:
    config: a pipeline.config.
    config_path: where it is from, for its relative paths.

  Raises:
    InputError: a label map or a class_map is at fault, or there are more classes than num_classes.
  """
  if config.label_map_path:
    return label_maps.load(resolve_path(config.label_map_path, config_path))
  merged, display_names = {}, {}
  for name, reader in _defining_readers(config, config_path):
    own = _load(reader, config_path)
    if own is None:
      continue
    first = not merged
    for class_id, target in _targets(name, reader, own).items():
      if target is not None and target not in merged:
        merged[target] = class_id if first else max(merged.values()) + 1
        same = target == own.name_of(class_id)
        display_names[target] = own.display_name_of(class_id) if same else target
  if not merged:
    return None
  rows = sorted((class_id, name) for name, class_id in merged.items())
  ids, names = zip(*rows, strict=True)
  return label_maps.LabelMap(ids, names, tuple(display_names[name] for name in names))


def reader_classes(
  config: Message, config_path: str | os.PathLike, field: str, reader: Message
) -> ReaderClasses:
  """Brings a reader's classes to the model's.

  Args:
    config: the whole config.
    config_path: where it is from.
    field: the reader's, such as 'train_input_reader[1]'; for the errors.
    reader: one of the config's.

  Returns:
    Its classes. A class of the model that the reader's label map lacks is labeled in no image of
    it; an id of the model that no class has, in all of them.

  Raises:
    InputError: a name is not in the label map, or not in the model's; a class_map contradicts
      itself.
  """
  num_classes = config.model.ssd.num_classes
  own = _load(reader, config_path)
  if own is None:
    if reader.labeled_class or reader.class_map or len(config.train_input_reader) > 1:
      raise InputError(
        f'{field}.label_map_path: is empty, but several readers, labeled_class and class_map go by '
        'names: give the label map of these records'
      )
    return ReaderClasses(num_classes, {}, frozenset(range(1, num_classes + 1)), None)
  model = model_classes(config, config_path)
  targets = _targets(field, reader, own)
  table = {}
  for class_id, target in targets.items():
    if target is not None and target not in model.names:
      raise InputError(
        f'{field}: the model has no class {target!r}: '
        f'{closest(target, model.names)}; to rename it or leave it out: '
        f"class_map {{ name: '{own.name_of(class_id)}' to: '...' }}, or drop: true"
      )
    table[class_id] = 0 if target is None else model.id_of(target)
  labeled = frozenset(_id_of(own, name, f'{field}.labeled_class') for name in reader.labeled_class)
  is_same = table == {class_id: class_id for class_id in model.ids}
  return ReaderClasses(
    num_classes=num_classes if is_same else own.num_classes,
    id_to_name=dict(zip(own.ids, own.names, strict=True)),
    labeled_ids=labeled or frozenset(own.ids),
    table=None if is_same else table,
    unused_ids=frozenset(range(1, num_classes + 1)) - frozenset(model.ids),
  )


def _defining_readers(config, config_path):
  """The training readers; where their files are not at hand, as in an evaluation, the others."""
  readers = [item for item in named_readers(config) if item[1].label_map_path]
  training = [item for item in readers if item[0].startswith('train')]
  evaluation = [item for item in readers if item[0].startswith('eval')]
  for field, reader in training:
    try:
      resolve_path(reader.label_map_path, config_path)
    except InputError as error:
      if len(training) > 1 or reader.class_map or not evaluation:
        raise InputError(
          f'{field}.label_map_path: {error}; where the training data is not at hand, put the label '
          'map that an export has beside it at the top of the config, as label_map_path'
        ) from error
      logging.warning(
        '%s.label_map_path: %s; the classes are taken from %s, whose ids have to be the same.',
        field, error, evaluation[0][0],
      )  # fmt: skip
      return evaluation
  return training or evaluation


def _load(reader, config_path):
  if not reader.label_map_path:
    return None
  return label_maps.load(resolve_path(reader.label_map_path, config_path))


def _targets(field, reader, own):
  """{reader's id: name in the model, or None where dropped}."""
  targets = dict(zip(own.ids, own.names, strict=True))
  seen = set()
  for mapping in reader.class_map:
    path = f'{field}.class_map'
    class_id = _id_of(own, mapping.name, path)
    if class_id in seen:
      raise InputError(f'{path}: {mapping.name!r} is there twice')
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
