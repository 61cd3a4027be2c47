"""Writes the list in docs/object_detection_api.md: what becomes of every field of a config.

  python docs/make_field_table.py

Made from the protos, `ssd_tf.supported_fields` and `ssd_tf.field_ranges`, which decide it.
"""

import pathlib
from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor

from ssd_tf.config import field_ranges, supported_fields
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
      if supported_fields.status(message.name, field.name).kind == supported_fields.WORKS:
        seen.add(inner.full_name)
        waiting.append(inner)


def listing() -> str:
  """Every message: its fields that work, numbers with their range; a line for each other one."""
  lines = []
  for message in reachable(PipelineConfig.DESCRIPTOR):
    lines += [f'**{message.name}**', '']
    statuses = {f: supported_fields.status(message.name, f.name) for f in message.fields}
    working = [f for f, status in statuses.items() if status.kind == supported_fields.WORKS]
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
  numbers = field_ranges.ranges_of(field.containing_type.name).get(field.name)
  return f' ({numbers})' if numbers not in (None, field_ranges.Range()) else ''


def page() -> str:
  """The page with its list as it has to be."""
  text = PAGE.read_text(encoding='utf-8')
  head, _, rest = text.partition(BEGIN)
  _, _, tail = rest.partition(END)
  return f'{head}{BEGIN}\n\n{listing()}\n{END}{tail}'


if __name__ == '__main__':
  PAGE.write_text(page(), encoding='utf-8')
