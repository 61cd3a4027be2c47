"""Times the training input of a stock SSD: decode, flip, ssd_random_crop, resize, batch.

  python tools/benchmarks/input_pipeline.py --input_path='data/train.record-?????-of-00010'

The Object Detection API took 8.6 ms for a batch of 8 on BCCD (640x480 JPEGs, to 300x300, 2 cores).
"""

import dataclasses
import functools
import time
from collections.abc import Sequence

import tensorflow as tf
from absl import flags

from ssd_tf.commands import command_line
from ssd_tf.config import input_paths
from ssd_tf.data import augmentation, input_pipeline, preprocessing, record_files, tf_example

_INPUT_PATH = flags.DEFINE_string('input_path', None, 'TFRecord file, glob or shards as a@10.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 8, 'Examples of a batch.', lower_bound=1)
_NUM_BATCHES = flags.DEFINE_integer('num_batches', 300, 'Batches timed.', lower_bound=1)
_IMAGE_SIZE = flags.DEFINE_integer('image_size', 300, 'Side of the resized image.', lower_bound=1)
_NUM_CLASSES = flags.DEFINE_integer('num_classes', 90, 'Greatest class id.', lower_bound=1)
flags.mark_flags_as_required(['input_path'])


@dataclasses.dataclass(frozen=True)
class InputTiming:
  """Milliseconds for a batch.

  Attributes:
    wall: passed until the next batch was there, all cores at work.
    cpu: of all cores together: what a training step on the same cores loses.
  """

  wall: float
  cpu: float


def time_batches(
  dataset: tf.data.Dataset, num_batches: int, num_warmup_batches: int = 20
) -> InputTiming:
  """Takes batches as fast as they come.

  Args:
    dataset: batches, enough of them.
    num_batches: timed.
    num_warmup_batches: taken before, while buffers fill and parallelism settles.

  Returns:
    The mean over the batches timed.
  """
  iterator = iter(dataset)
  for _ in range(num_warmup_batches):
    next(iterator)
  wall, cpu = time.perf_counter(), time.process_time()
  for _ in range(num_batches):
    next(iterator)
  wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
  return InputTiming(wall=1e3 * wall / num_batches, cpu=1e3 * cpu / num_batches)


def time_training_input(
  input_paths: Sequence[str],
  *,
  num_classes: int,
  image_size: int,
  batch_size: int,
  num_batches: int,
) -> InputTiming:
  """Times the input of a stock SSD: horizontal flip, ssd_random_crop, a square image.

  Args:
    input_paths: TFRecord files.
    num_classes: K; class ids are 1..K.
    image_size: height and width, pixels.
    batch_size: examples of a batch.
    num_batches: timed.

  Returns:
    The mean over the batches timed.

  Raises:
    InputError: a record is damaged or does not decode.
  """
  decode_fn = functools.partial(tf_example.decode_example, num_classes=num_classes)
  resize_fn = functools.partial(preprocessing.resize, size=(image_size, image_size))
  dataset = input_pipeline.build_dataset(
    [input_pipeline.RecordSource(input_paths, decode_fn)],
    preprocess_fn=lambda example, _: preprocessing.preprocess(
      example,
      preprocess_image_fn=functools.partial(preprocessing.preprocess_image, resize_fn=resize_fn),
    ),
    batch_size=batch_size,
    max_num_boxes=100,
    training=input_pipeline.TrainingOrder(
      [
        ('random_horizontal_flip', augmentation.random_horizontal_flip),
        ('ssd_random_crop', augmentation.ssd_random_crop),
      ]
    ),
  )
  with record_files.explained_errors([(input_paths, decode_fn)]):
    return time_batches(dataset, num_batches)


def main() -> None:
  """Prints the milliseconds for a batch."""
  paths = input_paths.expand_input_paths([_INPUT_PATH.value])
  timing = time_training_input(
    paths,
    num_classes=_NUM_CLASSES.value,
    image_size=_IMAGE_SIZE.value,
    batch_size=_BATCH_SIZE.value,
    num_batches=_NUM_BATCHES.value,
  )
  print(f'{timing.wall:.2f} ms a batch of {_BATCH_SIZE.value} ({timing.cpu:.2f} ms of CPU)')


if __name__ == '__main__':
  command_line.run(main)
