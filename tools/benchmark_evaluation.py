"""Times an evaluation, whole and in parts, beside the Object Detection API's figures.

python tools/benchmark_evaluation.py --pipeline_config_path=CONFIG --checkpoint=DIR/ckpt-1500
"""

from absl import flags

from ssd_tf import command_line

PIPELINE_CONFIG_PATH = flags.DEFINE_string(
  'pipeline_config_path',
  'configs/ssd_mobilenet_v2_320x320_bccd.config',
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


def main():
  """Prints milliseconds per image."""
  from ssd_tf.benchmarks import evaluation_benchmark

  parts = evaluation_benchmark.measure(
    PIPELINE_CONFIG_PATH.value,
    [*CONFIG_OVERRIDE.value, f'eval_config.batch_size={BATCH_SIZE.value}'],
    checkpoint=CHECKPOINT.value,
    num_rounds=NUM_ROUNDS.value,
  )
  print(evaluation_benchmark.report(parts))


if __name__ == '__main__':
  command_line.run(main)
