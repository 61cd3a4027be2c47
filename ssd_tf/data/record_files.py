"""Counts the records of TFRecord files, and finds broken ones."""

import contextlib
import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence

import tensorflow as tf
from google.protobuf import message

from ssd_tf.data import record_schema
from ssd_tf.errors import InputError

# A record: its length u64, a checksum of that u32, the bytes, a checksum of them u32.
HEADER_BYTES = 12
FOOTER_BYTES = 4


def count_records(path: str) -> int:
  """Counts the records of a file by hopping from length to length; reads none of them."""
  size = os.path.getsize(path)
  count = position = 0
  with open(path, 'rb') as file:
    while position < size:
      header = file.read(HEADER_BYTES)
      if len(header) == HEADER_BYTES:
        position += HEADER_BYTES + struct.unpack('<Q', header[:8])[0] + FOOTER_BYTES
      if len(header) < HEADER_BYTES or position > size:
        raise InputError(
          f'{path}: record {count} (counted from 0) reaches beyond the end of the file, which is '
          f'cut short, damaged or no TFRecord file; copy or convert it again'
        )
      file.seek(position)
      count += 1
  return count


def read_records(
  paths: Sequence[str], max_per_file: int | None = None
) -> Iterator[tuple[str, int, bytes]]:
  """Yields (path, number in the file, from 0; record); names path and number of a damaged one."""
  limit = -1 if max_per_file is None else max_per_file

  def numbered(path):
    batches = tf.data.TFRecordDataset(path).take(limit).enumerate().batch(64)
    return batches.map(lambda numbers, records: (path, numbers, records))

  try:
    # One data set for all files, and many records at a time: to make one for each file, or to step
    # through them one by one, would cost more than reading them.
    batches = tf.data.Dataset.from_tensor_slices(list(paths)).flat_map(numbered)
    for path, numbers, records in batches.as_numpy_iterator():
      for number, record in zip(numbers.tolist(), records, strict=True):
        yield path.decode(), number, record
  except tf.errors.DataLossError as error:
    raise _corruption(paths, error) from error


@contextlib.contextmanager
def explained_errors(
  sources: Sequence[tuple[Sequence[str], Callable[[tf.Tensor], object]]],
) -> Iterator[None]:
  """Turns an error of TensorFlow's that a record causes into one that names file and record.

  Put around the training or evaluation loop. When that has failed, every record is read, and if
  need be decoded, until one fails likewise; an error that no record causes passes unchanged.

  Args:
    sources: all that is read in the loop: TFRecord files, and their serialized string[] -> example,
      as given to `build_dataset`.

  Raises:
    InputError: a record is damaged or does not decode.
  """
  try:
    yield
  except tf.errors.DataLossError as error:
    raise _corruption([path for paths, _ in sources for path in paths], error) from error
  except tf.errors.InvalidArgumentError as error:
    for paths, decode_fn in sources:
      if (found := _undecodable(paths, decode_fn)) is not None:
        raise found from error
    raise


def source_id(features: Mapping[str, tf.train.Feature]) -> str:
  """What a record calls its image: image/source_id, else image/filename, else ''."""
  for key in ('image/source_id', 'image/filename'):
    for value in features[key].bytes_list.value:
      return value.decode('utf-8', 'replace')
  return ''


def _undecodable(paths, decode_fn):
  """The InputError that names the first record which does not decode; None if all do."""
  for path, number, record in read_records(paths):
    try:
      decode_fn(tf.constant(record))
    except tf.errors.InvalidArgumentError as error:
      return InputError(f'{path}: record {number} (counted from 0{_cause(record, error)}')
  return None


def _cause(record, error):
  """What is wrong with a record by its features, else in TensorFlow's words; goes on from '('."""
  try:
    features = tf.train.Example.FromString(record).features.feature
  except message.DecodeError:
    return ') is no tf.train.Example: convert it again'
  # Without the names of TensorFlow's own functions and ops.
  words = ' '.join(re.sub(r'\{\{.*?\}\}|\[Op:.*', '', error.message).split())
  cause = '; '.join(map(str, record_schema.faults(features))) or words
  return (
    f', source_id {source_id(features)!r}) does not decode: {cause}; fix or remove it at its '
    'source and convert again'
  )


def _corruption(paths, error):
  """The InputError that names the first record which cannot be read."""
  for path in paths:
    number = 0
    try:
      for _ in tf.data.TFRecordDataset(path):
        number += 1
    except tf.errors.DataLossError as found:
      cause = re.search(r'(corrupted|truncated) record at \d+', found.message)
      return InputError(
        f'{path}: record {number} (counted from 0) cannot be read'
        f'{f" ({cause[0]} bytes)" if cause else ""}: the file is damaged, cut short or no TFRecord '
        'file; copy or convert it again'
      )
  return InputError(f'{", ".join(paths)}: {error.message}; at a second reading they are whole')
