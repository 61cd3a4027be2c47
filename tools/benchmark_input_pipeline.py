"""Times the training input of a stock SSD: decode, flip, ssd_random_crop, resize, batch.

  python tools/benchmark_input_pipeline.py --input_path='data/train.record-?????-of-00010'

The Object Detection API took 8.6 ms for a batch of 8 on BCCD (640x480 JPEGs, to 300x300, 2 cores).
"""

from absl import flags

from ssd_tf import command_line
from ssd_tf.config import input_paths

_INPUT_PATH = flags.DEFINE_string('input_path', None, 'TFRecord file, glob or shards as a@10.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 8, 'Examples of a batch.', lower_bound=1)
_NUM_BATCHES = flags.DEFINE_integer('num_batches', 300, 'Batches timed.', lower_bound=1)
_IMAGE_SIZE = flags.DEFINE_integer('image_size', 300, 'Side of the resized image.', lower_bound=1)
_NUM_CLASSES = flags.DEFINE_integer('num_classes', 90, 'Greatest class id.', lower_bound=1)
flags.mark_flags_as_required(['input_path'])


def main() -> None:
  """Prints the milliseconds for a batch."""
  paths = input_paths.expand_input_paths([_INPUT_PATH.value])
  from ssd_tf.benchmarks import input_benchmark  # TensorFlow: not for --help.

  timing = input_benchmark.time_training_input(
    paths,
    num_classes=_NUM_CLASSES.value,
    image_size=_IMAGE_SIZE.value,
    batch_size=_BATCH_SIZE.value,
    num_batches=_NUM_BATCHES.value,
  )
  print(f'{timing.wall:.2f} ms a batch of {_BATCH_SIZE.value} ({timing.cpu:.2f} ms of CPU)')


if __name__ == '__main__':
  command_line.run(main)
