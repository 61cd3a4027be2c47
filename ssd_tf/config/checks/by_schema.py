"""Checks a config against the schema: fields that it refuses, numbers out of range or order."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ssd_tf.config import schema
from ssd_tf.config.checks.fault import Fault, refuse

_AnyMessage = TypeVar('_AnyMessage', bound=Message)


def unsupported_fields(message: Message, prefix: str = '') -> Iterator[Fault]:
  """Finds what a config sets and this package would not do."""
  for path, status in _without_work(message, prefix):
    if status.kind == schema.ERROR:
      yield Fault(path, status.note)


def ineffective_fields(message: Message) -> list[str]:
  """Lists the paths of fields that are set away from their default and change nothing here."""
  found = _without_work(message, '')
  return list(dict.fromkeys(path for path, status in found if status.kind == schema.NO_EFFECT))


def out_of_range(message: Message, prefix: str = '') -> list[Fault]:
  """Finds the numbers that are not finite or out of their range, and lists that are too long.

  A field that is not set counts with its default.
  """
  faults = []
  for number in _numbers(message, prefix):
    if number.is_excess:
      text = f'has more than {number.range.max_count} numbers; leave some out'
      faults.append(Fault(number.path, text))
    elif number.value not in number.range:
      found = f'{number.value:g}' if isinstance(number.value, float) else number.value
      path = number.path if number.index is None else f'{number.path}[{number.index}]'
      faults.append(Fault(path, f'is {found}; expected {number.range}'))
  return faults


def out_of_order(message: Message, prefix: str = '') -> Iterator[Fault]:
  """Finds the numbers that are less than another one of their message and may not be."""
  for number in _numbers(message, prefix):
    least = schema.not_below(number.field)
    if least and number.value < getattr(number.message, least):
      bound = getattr(number.message, least)
      yield Fault(number.path, f'is {number.value:g}; expected {least}, {bound:g}, or more')


def within_range(message: _AnyMessage) -> _AnyMessage:
  """The message, or a copy whose numbers all are in their ranges, for other checks to go on with.

  In the copy a number close by stands where one is out of its range, and long lists are cut.
  """
  if not out_of_range(message):
    return message
  copy = type(message)()
  copy.CopyFrom(message)
  for number in list(_numbers(copy, '')):
    name = number.field.name
    if number.is_excess:
      del getattr(number.message, name)[number.index :]
    elif number.value not in number.range:
      nearest = number.range.nearest(number.value, number.field.default_value or 0)
      if number.index is None:
        setattr(number.message, name, nearest)
      else:
        getattr(number.message, name)[number.index] = nearest
  return copy


def require_supported(message: Message, path: str = '') -> None:
  """Refuses all fields that would have to change the result and do not, and numbers at fault."""
  refuse(
    [
      *out_of_range(message, path),
      *out_of_order(message, path),
      *unsupported_fields(message, path),
    ]
  )


def require_supported_model(config: Message) -> None:
  """As `require_supported`, for what evaluation and export use: model and graph_rewriter."""
  require_supported(model_part(config))


def model_part(config: _AnyMessage) -> _AnyMessage:
  """A config with nothing but what evaluation and export use of it besides readers."""
  used = type(config)(model=config.model)
  if config.HasField('graph_rewriter'):
    used.graph_rewriter.CopyFrom(config.graph_rewriter)
  return used


class _Number(NamedTuple):
  """A number of a message: of a list, or of a map, the one at index."""

  message: Message
  field: FieldDescriptor
  path: str
  index: int | str | None
  value: float
  range: schema.Range

  @property
  def is_excess(self):
    return self.index == self.range.max_count


def _without_work(message, prefix):
  """Yields (path, status) of the fields that are set and do not work."""
  for field, value in message.ListFields():
    path = f'{prefix}.{field.name}' if prefix else field.name
    is_message = field.message_type is not None and not _is_map(field)
    status = schema.status_of(field)
    if status.kind != schema.WORKS:
      if is_message or value != field.default_value:
        yield path, status
    elif is_message:
      for item in value if hasattr(value, 'add') else [value]:
        yield from _without_work(item, path)


def _numbers(message, prefix) -> Iterator[_Number]:
  """Those of messages within it too. What has no effect, or is refused, has only to be finite."""
  for field in message.DESCRIPTOR.fields:
    path = f'{prefix}.{field.name}' if prefix else field.name
    value = getattr(message, field.name)
    is_map = _is_map(field)
    kind = field.message_type.fields_by_name['value'] if is_map else field
    if kind.cpp_type in schema.NUMBER_TYPES:
      numbers = schema.range_of(field)
      if is_map:
        items = value.items()
      else:
        items = enumerate(value) if hasattr(value, 'append') else [(None, value)]
      for index, item in itertools.islice(items, numbers.max_count + 1):
        yield _Number(message, field, path, index, item, numbers)
    elif kind.message_type is not None and not is_map:
      if hasattr(value, 'add'):
        for index, item in enumerate(value):
          yield from _numbers(item, f'{path}[{index}]')
      elif message.HasField(field.name):
        yield from _numbers(value, path)


def _is_map(field):
  return field.message_type is not None and field.message_type.GetOptions().map_entry
