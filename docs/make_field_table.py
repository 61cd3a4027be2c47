"""Writes the list in docs/object_detection_api.md: what becomes of every field of a config.

  python docs/make_field_table.py

Made from the options of the fields in protos/*.proto, which decide it.
"""

import math
import pathlib
from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor

from ssd_tf.config import schema
from ssd_tf.config.pipeline import PipelineConfig

PAGE = pathlib.Path(__file__).with_name('object_detection_api.md')
BEGIN = '<!-- made by docs/make_field_table.py -->'
END = '<!-- end -->'


def reachable(descriptor: Descriptor) -> Iterator[Descriptor]:
  """The messages that a config may hold where none of its fields is refused, each once."""
  seen, waiting = {descriptor.full_name}, [descriptor]
  while waiting:
    message = waiting.pop(0)
    yield message
    for field in message.fields:
      inner = field.message_type
      if inner is None or inner.GetOptions().map_entry or inner.full_name in seen:
        continue
      if schema.status_of(field).kind == schema.WORKS:
        seen.add(inner.full_name)
        waiting.append(inner)


def listing() -> str:
  """Every message: its fields that work, numbers with their range; a line for each other one."""
  lines = []
  for message in reachable(PipelineConfig.DESCRIPTOR):
    lines += [f'**{message.name}**', '']
    statuses = {field: schema.status_of(field) for field in message.fields}
    working = [f for f, status in statuses.items() if status.kind == schema.WORKS]
    if working:
      lines.append(f'- works: {", ".join(_name(field) + _range(field) for field in working)}')
    for field, (kind, note) in statuses.items():
      if field not in working:
        lines.append(f'- {kind}: {_name(field)}: {note}')
    if not statuses:
      lines.append('- has no fields')
    lines.append('')
  return '\n'.join(lines)


def _name(field):
  return f'`{field.name}`' + ('*' if field.number >= 1000 else '')


def _range(field):
  numbers = schema.range_of(field)
  is_any = (numbers.low, numbers.high) == (-math.inf, math.inf)
  return '' if is_any else f' ({numbers})'


def page() -> str:
  """The page with its list as it has to be."""
  text = PAGE.read_text(encoding='utf-8')
  head, _, rest = text.partition(BEGIN)
  _, _, tail = rest.partition(END)
  return f'{head}{BEGIN}\n\n{listing()}\n{END}{tail}'


if __name__ == '__main__':
  PAGE.write_text(page(), encoding='utf-8')
