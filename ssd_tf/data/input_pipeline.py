"""Builds batches from TFRecords, the same ones in the same order for the same seed.

Every example has a position, counted from 0 through all epochs. The order of an epoch is a function
of (seed, epoch), the augmentation of an example one of (seed, position). So a pipeline that starts
at step k gives the batches that one started at 0 would have given: whole epochs are skipped using
their record counts, the rest of an epoch is read but not decoded.
"""

import dataclasses
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from ssd_tf import fields
from ssd_tf.data import augmentation, record_files
from ssd_tf.errors import InputError

Example = dict[str, tf.Tensor]


_PREFETCHED_BATCHES = 2
# Positions after which the order in which sources take turns begins anew.
_TURNS = 1000


@dataclasses.dataclass(frozen=True)
class RecordSource:
  """Records that are read and decoded alike.

  Attributes:
    decode_fn: serialized string[] -> example; that of every source gives the same keys.
    weight: share of the examples, relative to the other sources'; 0 in all: by number of records.
    shuffle_buffer_size: records, encoded, from which the next one is drawn.
    sample_1_of_n: take every n-th record only; the files are then read in their own order.
  """

  paths: Sequence[str]
  decode_fn: Callable[[tf.Tensor], Example]
  weight: float = 0.0
  shuffle: bool = True
  shuffle_buffer_size: int = 2048
  num_readers: int = 8
  sample_1_of_n: int = 1


@dataclasses.dataclass(frozen=True)
class TrainingOrder:
  """How a training goes through its sources, for ever; start_step batches are left out.

  Attributes:
    max_shuffle_bytes: limit of the shuffle buffers' memory; lowers shuffle_buffer_size.
  """

  augment_operations: Sequence[tuple[str, augmentation.Operation]] = ()
  seed: int = 0
  start_step: int = 0
  max_shuffle_bytes: int = 512 * 2**20


def build_dataset(
  sources: Sequence[RecordSource],
  *,
  preprocess_fn: Callable[[Example, tf.Tensor], Example],
  batch_size: int,
  max_num_boxes: int,
  training: TrainingOrder | None = None,
  num_parallel_calls: int = tf.data.AUTOTUNE,
) -> tf.data.Dataset:
  """Reads, shuffles, decodes, augments, preprocesses and batches examples.

  A training repeats for ever, so no example is lost at an epoch's end, and every batch is full; its
  sources take turns by weight in a fixed order, each with epochs of its own. In evaluation they
  come one after the other, each example once; the last batch is filled with empty examples.

  With a tf.distribute strategy, give the data set to `strategy.experimental_distribute_dataset`,
  which splits each global batch over the replicas, in order.

  Args:
    preprocess_fn: (example, number of the global batch, from 0 on, i64[]) -> example with an image
      f32[H,W,C]; sizes are equal within a batch.
    max_num_boxes: N; of an example with more boxes the first N are kept.
    training: None in evaluation.

  Returns:
    Batches: image f32[B,H,W,C], the keys of `fields.PER_BOX` padded with 0 or False to N,
    groundtruth_mask bool[B,N], example_mask bool[B], and the example's other keys with a leading B.
    An example that fills the last batch is 0, False or '' throughout.

  Source: the original's input_reader and pad_input_data_to_static_shapes. There the order differs
  from run to run, and groundtruth has one column for each class.
  """
  for source in sources:
    if not sum(os.path.getsize(path) for path in source.paths):
      raise InputError(f'{", ".join(source.paths)}: no record in there; expected at least one')
  if training is None:
    start, seed, operations = 0, 0, ()
    records = _records_in_turn(sources)
  else:
    start, operations = training.start_step * batch_size, training.augment_operations
    seed = training.seed % tf.int32.max
    records = _mixed_records(sources, start, seed, training.max_shuffle_bytes // len(sources))

  # No Python control flow depends on a tensor: AutoGraph would find nothing, in seconds of tracing.
  @tf.autograph.experimental.do_not_convert
  def make_example(position, record):
    number, serialized = record
    decoders = [lambda source=source: source.decode_fn(serialized) for source in sources]
    example = decoders[0]() if len(decoders) == 1 else tf.switch_case(number, decoders)
    if operations:
      example_seed = tf.cast(tf.stack([seed, position % tf.int32.max]), tf.int32)
      example = augmentation.augment(example, example_seed, operations)
    example = preprocess_fn(example, position // batch_size)
    example = pad_groundtruth(example, max_num_boxes)
    return {**example, fields.EXAMPLE_MASK: tf.constant(True)}

  examples = records.enumerate(start).map(
    make_example, num_parallel_calls=num_parallel_calls, deterministic=True
  )
  if training is None and batch_size > 1:
    examples = examples.concatenate(_empty_examples(examples.element_spec).repeat(batch_size - 1))
  batches = examples.batch(batch_size, drop_remainder=True).prefetch(_PREFETCHED_BATCHES)
  return batches.with_options(_options())


def pad_groundtruth(example: Example, max_num_boxes: int) -> Example:
  """Pads the keys of `fields.PER_BOX` with 0 or False, or cuts them, to N rows; adds their mask."""
  padded = dict(example)
  num_boxes = tf.minimum(tf.shape(example[fields.GROUNDTRUTH_BOXES])[0], max_num_boxes)
  for key in fields.PER_BOX:
    values = example[key][:max_num_boxes]
    paddings = [[0, max_num_boxes - num_boxes]] + [[0, 0]] * (len(values.shape) - 1)
    padded[key] = tf.ensure_shape(tf.pad(values, paddings), [max_num_boxes, *values.shape[1:]])
  padded[fields.GROUNDTRUTH_MASK] = tf.sequence_mask(num_boxes, max_num_boxes)
  return padded


def _mixed_records(sources, start, seed, max_shuffle_bytes):
  """(number of the source, serialized record), from a position on."""
  turns = _turns([_weight(source, sources) for source in sources], seed)
  taken = [
    start // len(turns) * np.sum(turns == i) + np.sum(turns[: start % len(turns)] == i)
    for i in range(len(sources))
  ]
  streams = []
  for i, source in enumerate(sources):
    stream = _training_records(source, int(taken[i]), seed, max_shuffle_bytes)
    streams.append(tf.data.Dataset.zip(tf.data.Dataset.from_tensors(i).repeat(), stream))
  if len(streams) == 1:
    return streams[0]
  choices = tf.data.Dataset.range(start, tf.int64.max).map(
    lambda position: tf.gather(tf.constant(turns, tf.int64), position % len(turns))
  )
  return tf.data.Dataset.choose_from_datasets(streams, choices)


def _records_in_turn(sources):
  """As `_mixed_records`, each record once, in the files' order."""
  parts = [
    tf.data.Dataset.zip(
      tf.data.Dataset.from_tensors(i).repeat(),
      tf.data.TFRecordDataset(source.paths).shard(source.sample_1_of_n, 0),
    )
    for i, source in enumerate(sources)
  ]
  records = parts[0]
  for part in parts[1:]:
    records = records.concatenate(part)
  return records


def _weight(source, sources):
  if any(other.weight for other in sources):
    return source.weight
  return sum(map(record_files.count_records, source.paths)) / source.sample_1_of_n


def _turns(weights, seed):
  """i[_TURNS], whose turn it is: each number in proportion to its weight, but at least once."""
  if len(weights) == 1:
    return np.zeros(1, np.int64)
  counts = np.rint(np.array(weights) / np.sum(weights) * _TURNS).astype(int)
  counts = np.maximum(counts, 1)
  counts[np.argmax(counts)] += _TURNS - np.sum(counts)  # What rounding left over, or took.
  turns = np.repeat(np.arange(len(weights)), counts)
  return np.random.default_rng(seed).permutation(turns)


def _training_records(source, start, seed, max_shuffle_bytes):
  """A source's serialized records, epoch after epoch, from the record numbered `start` on."""
  buffer_size = source.shuffle_buffer_size
  if source.shuffle:
    buffer_size = _bounded_buffer(source.paths, buffer_size, max_shuffle_bytes)

  @tf.autograph.experimental.do_not_convert
  def epoch_records(epoch):
    if not source.shuffle:
      return tf.data.TFRecordDataset(source.paths).shard(source.sample_1_of_n, 0)
    return _shuffled_records(source, buffer_size, seed, epoch)

  start_epoch, skipped = _locate(start, source.paths, source.sample_1_of_n)
  epochs = tf.data.Dataset.range(start_epoch, tf.int64.max)
  return epochs.flat_map(epoch_records).skip(skipped)


def _shuffled_records(source, buffer_size, seed, epoch):
  """One epoch's serialized records, in an order that is a function of paths, seed and epoch."""
  paths = tf.constant(source.paths)
  if source.sample_1_of_n == 1:  # The sample has to be the same in each epoch.
    paths = tf.random.experimental.stateless_shuffle(paths, tf.stack([seed, epoch]))
  # Inside Dataset.flat_map this is the seed of the graph being traced, not the program's: that one
  # has no say in the order. Dataset.shuffle takes a tensor beside any seed but 0.
  tf.random.set_seed(seed + 1)
  files = tf.data.Dataset.from_tensor_slices(paths)
  cycle_length = min(source.num_readers, paths.shape[0])
  records = files.interleave(
    tf.data.TFRecordDataset,
    cycle_length=cycle_length,
    num_parallel_calls=cycle_length,
    deterministic=True,
  )
  records = records.shard(source.sample_1_of_n, 0)
  return records.shuffle(buffer_size, seed=epoch, reshuffle_each_iteration=False)


def _locate(position, paths, sample_1_of_n):
  """The epoch that a position falls in, and the number of that epoch's records before it."""
  if not position:
    return 0, 0
  num_records = sum(record_files.count_records(path) for path in paths)
  return divmod(position, -(-num_records // sample_1_of_n))


def _bounded_buffer(paths, buffer_size, max_bytes):
  """The shuffle buffer's number of records, lowered where it would need more than max_bytes."""
  path = max(paths, key=os.path.getsize)
  record_bytes = os.path.getsize(path) / record_files.count_records(path)
  bounded = max(1, min(buffer_size, int(max_bytes / record_bytes)))
  logging.info(
    'Shuffle buffer: %d records of about %.0f kB, %.0f MB at most%s.',
    bounded,
    record_bytes / 1e3,
    bounded * record_bytes / 1e6,
    f' (lowered from {buffer_size})' if bounded < buffer_size else '',
  )
  return bounded


def _empty_examples(element_spec):
  """A data set of one example that holds nothing: 0, False and '' everywhere."""
  empty = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), element_spec)
  return tf.data.Dataset.from_tensors(empty)


def _options():
  options = tf.data.Options()
  options.deterministic = True
  # Sharding is ours: it has to follow the common order of the examples.
  options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
  return options
