"""Label maps: pbtxt files of StringIntLabelMap, between class ids and names."""

import collections
import dataclasses
import functools
import os
import re
from collections.abc import Mapping, Sequence

from ssd_tf.config import text_proto
from ssd_tf.config.schema import MAX_CLASSES
from ssd_tf.errors import InputError, closest
from ssd_tf.files import plain_text, text_file
from ssd_tf.protos import string_int_label_map_pb2


@dataclasses.dataclass(frozen=True)
class LabelMap:
  """The classes of a data set, by ascending id.

  Attributes:
    ids: the class ids, from 1; there may be gaps.
    names: the name of each, as the records have it.
    display_names: the name of each for people; its name where the file has no other.
  """

  ids: tuple[int, ...]
  names: tuple[str, ...]
  display_names: tuple[str, ...]

  @property
  def num_classes(self) -> int:
    """The greatest id, which is what model.ssd.num_classes has to cover."""
    return max(self.ids)

  @functools.cached_property
  def name_by_id(self) -> dict[int, str]:
    """The names by class id."""
    return dict(zip(self.ids, self.names, strict=True))

  @functools.cached_property
  def display_name_by_id(self) -> dict[int, str]:
    """The names for people by class id."""
    return dict(zip(self.ids, self.display_names, strict=True))

  @functools.cached_property
  def id_by_name(self) -> dict[str, int]:
    """The class ids by name."""
    return dict(zip(self.names, self.ids, strict=True))

  def id_of(self, name: str) -> int:
    """The class id of a name; the InputError for an unknown one says the closest one."""
    if name not in self.id_by_name:
      hint = closest(name, self.names)
      raise InputError(f'the label map has no class named "{name}": {hint}')
    return self.id_by_name[name]


def load(path: str | os.PathLike) -> LabelMap:
  """Reads a label map file."""
  return parse(text_file.read(path), path)


def load_or_list(path: str | os.PathLike) -> LabelMap:
  """Reads a label map file, or, if it ends in .txt, a class name on each line, numbered from 1.

  Lines that are empty or '???' are skipped; the latter stands for background in the label files
  of TFLite.

  Raises:
    InputError: as `parse`; a name occurs twice, or is no text; there is none.
  """
  if not os.fspath(path).endswith('.txt'):
    return load(path)
  names = [
    plain_text.check(name, f'{path}:{number}: class name')
    for number, name in text_file.read_lines(path)
    if name != '???'
  ]
  twice = sorted(name for name, count in collections.Counter(names).items() if count > 1)
  if twice or not names:
    found = f'found twice: {", ".join(map(repr, twice))}' if twice else 'the file has none'
    raise InputError(f'{path}: expected a class name on each line, each once; {found}')
  return numbered(names)


def numbered(names: Sequence[str]) -> LabelMap:
  """A label map of names, numbered from 1."""
  return of_names(dict(enumerate(names, start=1)))


def of_names(name_by_id: Mapping[int, str]) -> LabelMap:
  """A label map of names by class id, in any order."""
  ids = tuple(sorted(name_by_id))
  names = tuple(name_by_id[class_id] for class_id in ids)
  return LabelMap(ids, names, names)


@functools.lru_cache(maxsize=32)  # One run reads the same file for several readers.
def parse(text: str, path: str | os.PathLike) -> LabelMap:
  """Parses and checks a label map.

  An item may have any legal field, in any order. An item `id: 0 name: "background"` is passed
  over, since 0 means just that. An item without a name has its display_name for one.

  Raises:
    InputError: one line per fault, each with path and line: what protobuf cannot parse, an id
      below 1 or above MAX_CLASSES, a missing id or name, a name that is not one line of text, an id
      or a name given twice, two classes in one item (a brace is missing), no class at all.
  """
  proto = string_int_label_map_pb2.StringIntLabelMap()
  try:
    text_proto.parse(text, path, proto)
  except InputError as error:
    raise InputError(_with_brace_hint(str(error))) from None
  places = _item_places(text)
  rows, lines_by_name, problems = {}, {}, []
  for item, place in zip(proto.item, places, strict=True):
    name = item.name or item.display_name
    if item.HasField('id') and item.id == 0 and 'background' in (item.name, item.display_name):
      continue
    faults = _faults(item, name, place, rows, lines_by_name.get(name, ()))
    problems += [f'{path}:{line}: {fault}' for line, fault in faults]
    if item.id not in rows:
      rows[item.id] = (name, item.display_name or name, place)
      lines_by_name.setdefault(name, []).append(place['item'])
  if not rows:
    problems.append(f"{path}:1: no item: expected at least one, as item {{ id: 1 name: 'cat' }}")
  if problems:
    raise InputError('\n'.join(problems))
  ids = tuple(sorted(rows))
  return LabelMap(ids, tuple(rows[i][0] for i in ids), tuple(rows[i][1] for i in ids))


def save(label_map: LabelMap, path: str | os.PathLike) -> None:
  """Writes a label map file."""
  proto = string_int_label_map_pb2.StringIntLabelMap()
  for class_id, name, display_name in zip(
    label_map.ids, label_map.names, label_map.display_names, strict=True
  ):
    item = proto.item.add(name=name, id=class_id)
    if display_name != name:
      item.display_name = display_name
  text_proto.write(proto, path)


# The ids that SSD-Tensorflow and most others give to Pascal VOC's classes.
PASCAL_VOC = numbered(
  (
    *('aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow'),
    *('diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa'),
    *('train', 'tvmonitor'),
  )
)


def _faults(item, name, place, rows, lines_of_name):
  """Yields (line, fault) of one item, given the rows before it, and those of its name."""
  start = place['item']
  id_line, name_line = place.get('id', start), place.get('name', start)
  if not item.HasField('id'):
    yield start, f'the item has no id: add one, 1 or above{f" (name {name!r})" if name else ""}'
  elif item.id < 1:
    yield id_line, f'id {item.id}: ids start at 1, since 0 is the background'
  elif item.id > MAX_CLASSES:
    yield id_line, f'id {item.id}: expected at most {MAX_CLASSES}; number the classes from 1'
  elif item.id in rows:
    other_name, _, other = rows[item.id]
    yield id_line, f'id {item.id} is already that of {other_name!r} on line {other["item"]}'
  if not name:
    yield start, 'the item has no name: add one, as it is written in the records'
  for text in filter(None, dict.fromkeys((item.name, item.display_name))):
    try:
      plain_text.check(text, 'class name')
    except InputError as error:
      yield name_line, str(error)
  for line in lines_of_name if name else ():
    yield name_line, f'name {name!r} is already that of the item on line {line}'


def _with_brace_hint(error):
  """Adds what usually lies behind a class that runs into the next."""
  if 'should not have multiple' in error:
    return f'{error} Two classes in one item: is a "}}" missing above?'
  if 'unknown field "item" in StringIntLabelMapItem' in error:
    return f'{error.split(": unknown")[0]}: an item within an item: is a "}}" missing above?'
  return error


def _item_places(text):
  """Per item the lines of its brace ('item'), 'id' and 'name', which protobuf's parser forgets."""
  tokens = re.compile(
    r"""\#[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | [{}<>] | [A-Za-z_]\w*(?=\s*:)""",
    re.VERBOSE,
  )
  places, depth, line, end = [], 0, 1, 0
  for token in tokens.finditer(text):
    line += text.count('\n', end, token.start())
    end = token.start()
    if token[0] in '{<':
      if depth == 0:
        places.append({'item': line})
      depth += 1
    elif token[0] in '}>':
      depth -= 1
    elif depth == 1 and token[0] in ('id', 'name'):
      places[-1][token[0]] = line
  return places
