"""Lists the fields in which two messages differ."""

from collections.abc import Iterator

from google.protobuf import text_format
from google.protobuf.message import Message

_LONGEST_VALUE = 60


def differences(old: Message, new: Message, prefix: str = '') -> Iterator[str]:
  """Tells each field that differs as `train_config.batch_size: 8 -> 4`.

  Args:
    prefix: what the path of each field begins with.
  """
  for field in new.DESCRIPTOR.fields:
    name, first, second = (
      f'{prefix}{field.name}',
      getattr(old, field.name),
      getattr(new, field.name),
    )
    if not isinstance(first, Message):
      if first != second:
        yield f'{name}: {_shown(first, field)} -> {_shown(second, field)}'
    elif (is_set := (old.HasField(field.name), new.HasField(field.name))) == (True, True):
      yield from differences(first, second, f'{name}.')
    elif is_set != (False, False):
      texts = [
        _shown(value, field) if known else 'none'
        for value, known in zip((first, second), is_set, strict=True)
      ]
      yield f'{name}: {texts[0]} -> {texts[1]}'


def _shown(value, field):
  if isinstance(value, Message):
    text = f'{{{text_format.MessageToString(value, as_one_line=True)}}}'
  elif hasattr(value, 'append') or hasattr(value, 'add'):
    text = f'[{", ".join(_shown(item, field) for item in value)}]'
  elif field.enum_type is not None:
    text = field.enum_type.values_by_number[value].name
  elif isinstance(value, float):
    text = f'{value:g}'
  else:
    text = repr(value) if isinstance(value, str | bytes) else str(value).lower()
  return text if len(text) <= _LONGEST_VALUE else f'{text[: _LONGEST_VALUE - 3]}...'
