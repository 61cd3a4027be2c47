"""Times the masked loss against the plain composition with autodiff, with XLA and without.

python tools/benchmark_masked_loss.py
"""

from absl import flags

from ssd_tf import command_line

KINDS = flags.DEFINE_list('kinds', ['sigmoid', 'focal', 'softmax'], 'Losses to measure.')
NUM_ROUNDS = flags.DEFINE_integer('num_rounds', 3, 'Of each, in turn.', lower_bound=1)

# Batch, anchors, columns: an SSD512 on COCO, and an SSD300 as on one small GPU.
_SHAPES = {(32, 24_564, 81): 5, (8, 1_917, 91): 40}


def main():
  """Prints a table: times, memory, and how many times less the masked loss needs."""
  from ssd_tf.benchmarks import loss_benchmark

  print('loss     B x A x (K+1)  XLA  masked: ms, MB      plain: ms, MB      faster  memory')
  for shape, num_runs in _SHAPES.items():
    for kind in KINDS.value:
      for jit_compile in (False, True):
        ours, plain = loss_benchmark.compare(
          kind, shape, jit_compile=jit_compile, num_runs=num_runs, num_rounds=NUM_ROUNDS.value
        )
        print(
          f'{kind:8} {"x".join(map(str, shape)):14} {"yes" if jit_compile else "no":3} '
          f'{ours.milliseconds:8.1f} {ours.megabytes:8.0f}  {plain.milliseconds:10.1f} '
          f'{plain.megabytes:8.0f} {plain.milliseconds / ours.milliseconds:9.2f}x '
          f'{ours.megabytes / plain.megabytes:7.2f}',
          flush=True,
        )


if __name__ == '__main__':
  command_line.run(main)
