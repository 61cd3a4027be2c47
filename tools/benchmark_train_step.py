r"""Times forward pass and training step against a bare tf_keras network with the same heads.

  python tools/benchmark_train_step.py --pipeline_config_path=CONFIG
  python tools/benchmark_train_step.py --batch_size=2 --num_steps=2 \
    --pipeline_config_path=configs/ssd300_vgg_voc0712.config
"""

from absl import flags

from ssd_tf import command_line

PIPELINE_CONFIG_PATH = flags.DEFINE_string(
  'pipeline_config_path',
  'configs/ssd_mobilenet_v2_320x320_bccd.config',
  'A pipeline.config of an SSD MobileNet v2, or of SSD300 with VGG-16.',
)
BATCH_SIZE = flags.DEFINE_integer(
  'batch_size', None, "Images in a batch; default: the config's.", lower_bound=1
)
NUM_STEPS = flags.DEFINE_integer('num_steps', 10, 'Steps in a round.', lower_bound=1)
NUM_ROUNDS = flags.DEFINE_integer(
  'num_rounds', 5, 'Rounds, in turn with the other one.', lower_bound=1
)


def main():
  """Prints the medians and their ratios."""
  from ssd_tf.benchmarks import step_benchmark

  times = step_benchmark.compare(
    PIPELINE_CONFIG_PATH.value,
    num_steps=NUM_STEPS.value,
    num_rounds=NUM_ROUNDS.value,
    batch_size=BATCH_SIZE.value,
  )
  for name, (ours, bare) in times.items():
    print(f'{name}: ssd_tf {ours:.4f} s, bare tf_keras {bare:.4f} s, ratio {ours / bare:.3f}')


if __name__ == '__main__':
  command_line.run(main)
