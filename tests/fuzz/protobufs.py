"""Mutators of protobufs: configs, label maps, and the tf.train.Examples of a TFRecord file."""

import io
import math
import random
import struct
import tempfile

from fuzz import mutations
from google.protobuf import message as protobuf_message
from google.protobuf import text_format

from ssd_tf.protos import pipeline_pb2, string_int_label_map_pb2

_FLOATS = (math.nan, math.inf, -math.inf, -1.0, 0.0, -0.0, 1e-45, 0.5, 1.0, 2.0, 1e9, 3e38)
_INTS = (-(2**63), -(2**31), -1, 0, 1, 2, 3, 255, 1000, 2**31 - 1, 2**31, 2**32, 2**63 - 1)


def change_config(content: bytes, rng: random.Random) -> bytes:
  """Sets, adds or clears one field of a pipeline.config."""
  return _changed_text(pipeline_pb2.TrainEvalPipelineConfig(), content, rng)


def change_label_map(content: bytes, rng: random.Random) -> bytes:
  """Sets, adds or clears one field of a label map."""
  return _changed_text(string_int_label_map_pb2.StringIntLabelMap(), content, rng)


def change_example(content: bytes, rng: random.Random) -> bytes:
  """Changes features of the first record of a TFRecord file; its checksums are right again."""
  import tensorflow as tf  # Not for the kinds that need none.

  records = _records(content)
  try:
    example = tf.train.Example.FromString(records[0])
  except (IndexError, protobuf_message.DecodeError):
    return content
  for _ in range(rng.choice((1, 1, 2))):
    _change_feature(example.features.feature, rng)
  return _framed([example.SerializeToString(deterministic=True), *records[1:]])


def change_record(content: bytes, rng: random.Random) -> bytes:
  """Changes bytes of the first record of a TFRecord file; its checksums are right again."""
  records = _records(content)
  if not records:
    return content
  return _framed([rng.choice(mutations.BYTES)(records[0], rng), *records[1:]])


def _changed_text(message, content, rng):
  try:
    text_format.Merge(content.decode(), message)
  except (text_format.ParseError, UnicodeDecodeError, RecursionError):
    return content
  messages = [each for each in _messages(message) if each.DESCRIPTOR.fields]
  _change_field(rng.choice(messages), rng)
  return text_format.MessageToString(message, as_utf8=True).encode()


def _messages(message):
  yield message
  for field, value in message.ListFields():
    if field.message_type is not None and not field.message_type.GetOptions().map_entry:
      for child in value if _is_repeated(field) else (value,):
        yield from _messages(child)


def _is_repeated(field):
  return field.default_value == []


def _change_field(message, rng):
  """Clears a field, or gives it one more value: mostly one that is set, sometimes any other."""
  known = [field for field, _ in message.ListFields()] if rng.random() < 0.6 else []
  field = rng.choice(known or list(message.DESCRIPTOR.fields))
  if field.message_type is not None and field.message_type.GetOptions().map_entry:
    return
  if rng.random() < 0.1:
    message.ClearField(field.name)
    return
  children = getattr(message, field.name)
  if field.message_type is not None:
    child = children.add() if _is_repeated(field) else children
    child.SetInParent()
    if child.DESCRIPTOR.fields:
      _change_field(child, rng)
    return
  value = _field_value(field, rng)
  if not _is_repeated(field):
    setattr(message, field.name, value)
  elif children and rng.random() < 0.7:
    children[rng.randrange(len(children))] = value
  else:
    children.append(value)


def _field_value(field, rng):
  if field.enum_type is not None:
    return rng.choice(field.enum_type.values).number
  if field.cpp_type == field.CPPTYPE_BOOL:
    return rng.random() < 0.5
  if field.cpp_type == field.CPPTYPE_STRING:
    texts = ('', 'cat', 'a\nb', 'x' * 5000, '../a', 'label_map.pbtxt', '[', 'a\0b', 'fine_tune')
    return rng.choice(texts)
  if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
    return rng.choice(_FLOATS)
  bits = 32 if field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_UINT32) else 64
  signed = field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_INT64)
  least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
  return rng.choice([value for value in (*_INTS, most) if least <= value <= most])


def _change_feature(features, rng):
  """Deletes a feature, gives it another kind, or changes, drops or adds one of its values."""
  feature = features[rng.choice(sorted(features))]
  kinds = {
    'float_list': _FLOATS,
    'int64_list': _INTS,
    'bytes_list': (b'', b'cat', b'\xff\xfe', b'a\0b', b'a\nb', b'x' * 5000, b'0', b'GIF89a'),
  }
  how = rng.choice(('value', 'value', 'value', 'drop', 'add', 'delete', 'kind', 'other'))
  kind = feature.WhichOneof('kind')
  if how == 'delete':
    feature.Clear()
  elif how == 'kind' or kind is None:
    kind = rng.choice(sorted(kinds))
    number = rng.choice((0, 1, 1, 2, 3))
    feature.Clear()
    getattr(feature, kind).value.extend(rng.choice(kinds[kind]) for _ in range(number))
  elif how == 'other':
    feature.CopyFrom(features[rng.choice(sorted(features))])
  else:
    values = getattr(feature, kind).value
    if how == 'add' or not values:
      values.append(rng.choice(kinds[kind]))
    elif how == 'drop':
      del values[rng.randrange(len(values))]
    else:
      values[rng.randrange(len(values))] = rng.choice(kinds[kind])


def _records(content):
  """The records of a TFRecord file, as far as it is whole."""
  found, stream = [], io.BytesIO(content)
  while len(header := stream.read(12)) == 12:
    length = struct.unpack('<Q', header[:8])[0]
    if length > len(content):
      break
    found.append(stream.read(length))
    stream.read(4)
  return found


def _framed(records):
  import tensorflow as tf

  with tempfile.NamedTemporaryFile() as file:
    with tf.io.TFRecordWriter(file.name) as writer:
      for record in records:
        writer.write(record)
    return file.read()
