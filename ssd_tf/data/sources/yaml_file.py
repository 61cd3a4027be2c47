"""Reads users' YAML files: values as they are written, bounded size and depth, no aliases."""

import dataclasses
import os
from typing import Any

import yaml

from ssd_tf.errors import InputError
from ssd_tf.files import text_file

# The names of 21,000 classes take 0.6 million characters and 42,000 values. PyYAML reads 12,000
# values in a second.
_MAX_CHARACTERS = 1_000_000
_MAX_VALUES = 100_000
_MAX_DEPTH = 20


@dataclasses.dataclass(frozen=True)
class Entry:
  """What stands behind a key, a text, a list or a dict ('' for null), and the line of the key."""

  value: Any
  line: int


def read_mapping(path: str | os.PathLike) -> dict[str, Entry]:
  """Reads a file that is a mapping; {} of an empty file.

  Numbers, dates and booleans stay texts, as they are written: of the names of classes in
  `[yes, no, on, 007]`, YAML itself would make True, False, True and 7.

  Raises:
    InputError: it is not UTF-8, not YAML or no mapping; a key occurs twice; it has an alias
      (`*name`), which can unfold to any size, or more than a million characters, 100,000 values or
      20 levels. Names the line.
  """
  text = text_file.read(path)
  if len(text) > _MAX_CHARACTERS:
    raise InputError(
      f'{path}: expected at most {_MAX_CHARACTERS:,} characters of YAML, found {len(text):,}: is '
      'this the right file?'
    )
  try:
    loader = _Loader(text)
    root = loader.get_single_node()
    if root is None:
      return {}
    if not isinstance(root, yaml.MappingNode):
      raise InputError(f'{path}:{_line(root)}: expected `key: value` lines, found a {root.id}')
    content = loader.construct_document(root)
    return {key.value: Entry(content[key.value], _line(key)) for key, _ in root.value}
  except yaml.MarkedYAMLError as error:
    mark = error.problem_mark or error.context_mark
    raise InputError(f'{path}:{mark.line + 1}: not YAML: {error.problem}') from None
  except yaml.reader.ReaderError as error:
    line = text.count('\n', 0, error.position) + 1
    raise InputError(f'{path}:{line}: not YAML: a character U+{error.character:04X}') from None


class _Loader(yaml.BaseLoader):
  """Takes every scalar as text, and refuses what a plain file of settings does not have."""

  _depth = 0
  _num_values = 0

  def compose_node(self, parent, index):
    event = self.peek_event()
    if isinstance(event, yaml.AliasEvent):
      raise _fault(f'aliases are not read here; write out what *{event.anchor} stands for', event)
    if self._depth == _MAX_DEPTH:
      raise _fault(f'expected at most {_MAX_DEPTH} levels', event)
    if self._num_values == _MAX_VALUES:
      raise _fault(f'expected at most {_MAX_VALUES:,} values', event)
    self._num_values += 1
    self._depth += 1
    node = super().compose_node(parent, index)
    self._depth -= 1
    return node

  def construct_mapping(self, node, deep=False):
    keys = set()
    for key, _ in node.value:
      if not isinstance(key, yaml.ScalarNode):
        raise _fault(f'expected a text for a key, found a {key.id}', key)
      if not self.construct_scalar(key):
        raise _fault('expected a text for a key, found none', key)
      if key.value in keys:
        raise _fault(f'the key {key.value!r} occurs twice; remove one', key)
      keys.add(key.value)
    return super().construct_mapping(node, deep)

  def construct_scalar(self, node):
    is_null = node.style is None and node.value in ('~', 'null', 'Null', 'NULL')
    return '' if is_null else super().construct_scalar(node)


def _fault(problem, place):
  return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)


def _line(node):
  return node.start_mark.line + 1
