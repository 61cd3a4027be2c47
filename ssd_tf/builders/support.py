"""What every builder says when a config asks for something that is not there."""

from google.protobuf.message import Message

from ssd_tf.errors import InputError


def chosen(message: Message, oneof: str, path: str, choices: tuple[str, ...]) -> str:
  """The field of a oneof that is set.

  Raises:
    InputError: none is set, or another one.
  """
  name = message.WhichOneof(oneof)
  if name not in choices:
    found = f'is {name}' if name else 'is not set'
    raise InputError(f'{path}: {found}; expected one of {", ".join(choices)}')
  return name
