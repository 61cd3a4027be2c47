"""Reads messages for builders: the field of a oneof that is set, and the values of all fields."""

from typing import Any

from google.protobuf.message import Message

from ssd_tf.errors import InputError


def chosen(message: Message, oneof: str, path: str, choices: tuple[str, ...]) -> str:
  """The field of a oneof that is set."""
  name = message.WhichOneof(oneof)
  if name not in choices:
    found = f'is {name}' if name else 'is not set'
    raise InputError(f'{path}: {found}; expected one of {", ".join(choices)}')
  return name


def values_of(message: Message) -> dict[str, Any]:
  """The value of every field by its name, repeated ones as lists; one not set has its default."""
  values = {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields}
  return {name: list(v) if hasattr(v, 'append') else v for name, v in values.items()}
