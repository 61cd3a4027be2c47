"""Times an evaluation, whole and in parts, beside the Object Detection API's figures.

python tools/benchmarks/evaluation.py --pipeline_config_path=CONFIG --checkpoint=DIR/ckpt-1500
"""

import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from absl import flags

from ssd_tf import builders, fields
from ssd_tf.commands import command_line
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.evaluation.pictures import Pictures
from ssd_tf.models.folding import fold_batch_norm
from ssd_tf.pretrained.loading import load_pretrained
from ssd_tf.training.evaluator import Evaluator

PIPELINE_CONFIG_PATH = flags.DEFINE_string(
  'pipeline_config_path',
  'ssd_tf/configs/ssd_mobilenet_v2_320x320_bccd.config',
  'A pipeline.config; its first eval_input_reader is read.',
)
CHECKPOINT = flags.DEFINE_string(
  'checkpoint', '', 'Prefix of the weights; random ones find many boxes of low scores.'
)
BATCH_SIZE = flags.DEFINE_integer(
  'batch_size', 16, 'Instead of eval_config.batch_size.', lower_bound=1
)
NUM_ROUNDS = flags.DEFINE_integer(
  'num_rounds', 3, 'Of each part; the fastest counts.', lower_bound=1
)
CONFIG_OVERRIDE = flags.DEFINE_multi_string(
  'config_override', [], 'A change to the config: train_config.batch_size=4. May be repeated.'
)

# Of the Object Detection API: ssd_mobilenet_v2_320x320 (300x300 pixels), batch 1, on the 87 images
# of BCCD's validation, 2 CPU cores, TensorFlow 2.15; from the first step's line of the log to the
# metrics' first one.
ORIGINAL_MS, ORIGINAL_MS_WITH_PICTURES, ORIGINAL_DETECT_MS = 30.4, 37.6, 18.7


@dataclasses.dataclass(frozen=True)
class Part:
  """What a part of an evaluation takes for each image.

  Attributes:
    name: of the part.
    wall_ms: milliseconds that pass.
    cpu_ms: milliseconds of all processors together; other programs do not lengthen it much.
  """

  name: str
  wall_ms: float
  cpu_ms: float


def measure(
  config_path: str,
  overrides: Sequence[str] = (),
  *,
  checkpoint: str = '',
  num_rounds: int = 3,
) -> list[Part]:
  """Times an evaluation without pictures; a first round of each part, not counted, warms it up.

  Args:
    config_path: a pipeline.config.
    overrides: changes to it.
    checkpoint: prefix of the weights; '' leaves them random, which gives many low scores.
    num_rounds: of each part; the fastest is taken.

  Returns:
    The whole loop over all batches, then each of its parts alone on batches in memory, then the
    metrics, whose result comes once, after the loop.
  """
  pipeline = Pipeline.load(config_path, overrides)
  detector = builders.build_detector(pipeline.config.model, is_training=False)
  if checkpoint:
    load_pretrained(detector.model, checkpoint)
  dataset = builders.build_eval_dataset(pipeline, detector)
  model = fold_batch_norm(detector.model)
  batches = list(dataset)
  num_images = sum(int(np.sum(batch[fields.EXAMPLE_MASK])) for batch in batches)
  forward = tf.function(lambda batch: model(batch[fields.IMAGE], training=False))
  detect = tf.function(
    lambda outputs, batch: detector.postprocess(outputs, batch[fields.TRUE_SIZE])
  )
  losses = tf.function(detector.sum_losses)
  outputs = [forward(batch) for batch in batches]
  pairs = list(zip(outputs, batches, strict=True))
  evaluator = _evaluator(pipeline, detector, dataset)

  def parts():
    loop = tf.function(lambda iterator: evaluator.eval_step(iterator))
    state = evaluator.eval_begin()

    def whole():
      iterator = iter(dataset)
      for _ in batches:
        evaluator.eval_reduce(state, loop(iterator))

    yield 'whole loop', whole
    yield 'read, decode, resize', lambda: [None for _ in dataset]
    yield 'network', lambda: [forward(batch) for batch in batches]
    yield 'post-processing', lambda: [detect(*pair) for pair in pairs]
    yield 'losses', lambda: [losses(*pair) for pair in pairs]
    found = [detect(*pair) for pair in pairs]

    def result():
      metrics = builders.build_metrics(pipeline)
      for batch, detections in zip(batches, found, strict=True):
        metrics.update(batch, detections)
      metrics.result()

    yield 'metrics and their result', result

  return [_time(name, run, num_rounds, num_images) for name, run in parts()]


def report(parts: Sequence[Part]) -> str:
  """The parts as a table, beside the original's figures."""
  lines = [f'{"ms per image":26}{"wall":>8}{"CPU":>8}']
  lines += [f'{part.name:26}{part.wall_ms:8.2f}{part.cpu_ms:8.2f}' for part in parts]
  lines.append(
    f'Object Detection API, ssd_mobilenet_v2_320x320, BCCD, 2 cores: whole loop {ORIGINAL_MS} '
    f'({ORIGINAL_MS_WITH_PICTURES} with 10 pictures), detection alone {ORIGINAL_DETECT_MS}; '
    f'ours is {parts[0].wall_ms / ORIGINAL_MS:.2f} of it'
  )
  return '\n'.join(lines)


def _evaluator(pipeline, detector, dataset):
  return Evaluator(
    detector=detector,
    dataset=dataset,
    make_metrics=lambda: builders.build_metrics(pipeline),
    strategy=tf.distribute.get_strategy(),
    pictures=Pictures(names={}, max_images=0),
  )


def _time(name: str, run: Callable, num_rounds: int, num_images: int) -> Part:
  run()  # Traces what there is to trace.
  best = None
  for _ in range(num_rounds):
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    best = min(best or (wall, cpu), (wall, cpu))
  return Part(name, *(1e3 * seconds / num_images for seconds in best))


def main():
  """Prints milliseconds per image."""
  parts = measure(
    PIPELINE_CONFIG_PATH.value,
    [*CONFIG_OVERRIDE.value, f'eval_config.batch_size={BATCH_SIZE.value}'],
    checkpoint=CHECKPOINT.value,
    num_rounds=NUM_ROUNDS.value,
  )
  print(report(parts))


if __name__ == '__main__':
  command_line.run(main)
