"""Applies changes to a message that are given as text: `train_config.batch_size=8`."""

import re
from collections.abc import Sequence

from google.protobuf import text_encoding
from google.protobuf.message import Message

from ssd_tf.config import text_proto
from ssd_tf.errors import InputError, closest


def apply(message: Message, overrides: Sequence[str]) -> None:
  """Changes a message in place, by `field.path=value` each.

  Such as `train_config.batch_size=8` or `eval_input_reader[0].shuffle=false`. A repeated field gets
  a whole new list, `["a.record", "b.record"]` or of one value, and a message the value's text,
  `model.ssd.loss.classification_loss={weighted_sigmoid {}}`.

  Raises:
    InputError: an override is wrong: what of it, with the closest known field.
  """
  for override in overrides:
    _apply(message, override)


def _apply(message, override):
  """Applies one `field.path=value`."""
  path, separator, value = (part.strip() for part in override.partition('='))
  if not separator:
    raise InputError(f'override {override!r}: expected field.path=value')
  *parents, leaf = path.split('.')
  try:
    for part in parents:
      message = _child(message, *_field(message, part))
    _set(message, *_field(message, leaf), value)
  except InputError as error:
    reason = re.sub(r'^value:\d+:\d+: ', '', str(error))
    raise InputError(f'override {override!r}: {reason}') from None


def _field(message, part):
  """The descriptor and the index, or None, of `name` or `name[index]`."""
  match = re.fullmatch(r'(\w+)(?:\[(\d+)\])?', part)
  if not match:
    raise InputError(f'{part!r} is no field: expected name or name[index]')
  known = message.DESCRIPTOR.fields_by_name
  if match[1] not in known:
    hint = closest(match[1], known)
    raise InputError(f'unknown field "{match[1]}" in {message.DESCRIPTOR.name}: {hint}')
  return known[match[1]], None if match[2] is None else int(match[2])


def _is_repeated(field):
  # The attribute for it has changed its name between the versions of protobuf.
  return field.default_value == []


def _child(message, field, index):
  """The message in a field; of a repeated one the item at index, or the only one."""
  if field.message_type is None or field.message_type.GetOptions().map_entry:
    raise InputError(f'{field.name} has no fields of its own: give it a whole new value')
  child = getattr(message, field.name)
  if not _is_repeated(field):
    if index:
      raise InputError(f'there is only one {field.name}')
    return child
  if index is None and len(child) > 1:
    raise InputError(f'there are {len(child)} of {field.name}: say which, as {field.name}[0]')
  if index is None or index == len(child):
    return child[0] if child and index is None else child.add()
  if index > len(child):
    raise InputError(f'there are {len(child)} of {field.name}, so no {field.name}[{index}]')
  return child[index]


def _set(message, field, index, value):
  """Parses `value` as text format, strings without quotes, and puts it into the field."""
  is_list = _is_repeated(field) and value.startswith('[') and value.endswith(']')
  is_text = field.type == field.TYPE_STRING and not is_list and value[:1] not in ('"', "'")
  if is_text:
    value = f'"{text_encoding.CEscape(value, as_utf8=True)}"'
  parsed = type(message)()
  text_proto.parse(f'{field.name}: {value}', 'value', parsed)
  if any(other is not field for other, _ in parsed.ListFields()):
    raise InputError(f'expected one value of {field.name}')
  if index is None or not _is_repeated(field):
    message.ClearField(field.name)
    message.MergeFrom(parsed)
    return
  old, new = getattr(message, field.name), getattr(parsed, field.name)
  if index > len(old) or len(new) != 1:
    raise InputError(f'there are {len(old)} of {field.name}, so no {field.name}[{index}]')
  items = [*old[:index], *new, *old[index + 1 :]]
  message.ClearField(field.name)
  getattr(message, field.name).extend(items)
