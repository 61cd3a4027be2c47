"""Reads text-format protobuf files; errors name file, line, column and the closest known name."""

import os
import re

from absl import logging
from google.protobuf import message as protobuf_message
from google.protobuf import text_format

from ssd_tf.errors import InputError, closest
from ssd_tf.files import atomic_file


def parse(
  text: str,
  path: str | os.PathLike,
  message: protobuf_message.Message,
  allow_repeats: bool = False,
) -> None:
  """Parses text format into an empty message.

  With allow_repeats, where a field that holds one value is given twice, the last one counts, with a
  warning.

  Raises:
    InputError: `path:line:column: what is wrong`; for an unknown name, with the closest known one.
  """
  try:
    text_format.Parse(text, message)
  except text_format.ParseError as error:
    if not allow_repeats:
      raise InputError(_explain(error, path, message)) from None
    message.Clear()
    try:
      text_format.Merge(text, message)
    except text_format.ParseError as error_but_repeats:
      raise InputError(_explain(error_but_repeats, path, message)) from None
    logging.warning('%s The last one counts.', _explain(error, path, message))


def write(message: protobuf_message.Message, path: str | os.PathLike) -> None:
  """Writes a message as text format; a reader sees the old file or the new one, never a part."""
  atomic_file.write_text(path, text_format.MessageToString(message, as_utf8=True))


def _explain(error, path, message):
  """`path:line:column: reason`, from protobuf's own '3:5 : reason'."""
  reason = re.sub(r'^\d+:\d+ : ', '', str(error))
  pool = message.DESCRIPTOR.file.pool
  if unknown := re.search(r'Message type "(.+)" has no field named "(.+)"', reason):
    owner = pool.FindMessageTypeByName(unknown[1])
    hint = closest(unknown[2], owner.fields_by_name)
    reason = f'unknown field "{unknown[2]}" in {owner.name}: {hint}'
  elif unknown := re.search(r'Enum type "(.+)" has no value named (.+)\.$', reason):
    owner = pool.FindEnumTypeByName(unknown[1])
    hint = closest(unknown[2], owner.values_by_name)
    reason = f'unknown value "{unknown[2]}" of {owner.name}: {hint}'
  else:
    reason = reason.replace(f'{message.DESCRIPTOR.file.package}.', '')
  return f'{path}:{error.GetLine()}:{error.GetColumn()}: {reason}'
