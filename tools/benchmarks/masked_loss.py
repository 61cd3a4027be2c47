"""Times the masked loss against the plain composition with autodiff, with XLA and without.

python tools/benchmarks/masked_loss.py
"""

import dataclasses
import multiprocessing
import pathlib
import statistics
import time

import numpy as np
import tensorflow as tf
from absl import flags

from ssd_tf.commands import command_line
from ssd_tf.errors import InputError
from ssd_tf.ops import masked_loss

KINDS = flags.DEFINE_list('kinds', ['sigmoid', 'focal', 'softmax'], 'Losses to measure.')
NUM_ROUNDS = flags.DEFINE_integer('num_rounds', 3, 'Of each, in turn.', lower_bound=1)

# Batch, anchors, columns: an SSD512 on COCO, and an SSD300 as on one small GPU.
_SHAPES = {(32, 24_564, 81): 5, (8, 1_917, 91): 40}

LOSSES = {
  'sigmoid': masked_loss.SigmoidLoss(background_as_zeros=True),
  'focal': masked_loss.SigmoidLoss(gamma=2.0, alpha=0.25, background_as_zeros=True),
  'softmax': masked_loss.SoftmaxLoss(),
}
_PEAK_RESET = pathlib.Path('/proc/self/clear_refs')


@dataclasses.dataclass(frozen=True)
class Cost:
  """Of a loss with its gradient.

  Attributes:
    milliseconds: median of the runs.
    megabytes: the most memory held during a run, beside the logits.
  """

  milliseconds: float
  megabytes: float


def plain_loss(
  class_logits: tf.Tensor,
  class_targets: tf.Tensor,
  labeled_classes: tf.Tensor,
  loss: masked_loss.SigmoidLoss | masked_loss.SoftmaxLoss,
) -> tf.Tensor:
  """The masked loss as one would write it down: one-hot targets, losses of all columns, a mask.

  Args:
    class_logits: f[B, A, K+1].
    class_targets: i32[B, A].
    labeled_classes: bool[B, K].
    loss: which one, and its options.

  Returns:
    f[B, A].
  """
  num_columns = class_logits.shape[-1]
  positive = (class_targets > 0)[..., tf.newaxis]
  is_target = class_targets[..., tf.newaxis] == tf.range(num_columns)
  complete = tf.reduce_all(labeled_classes, axis=1, keepdims=True)
  if isinstance(loss, masked_loss.SoftmaxLoss):
    logits = class_logits / loss.logit_scale
    background = tf.ones_like(complete)
    may_be_right = ~positive & tf.concat([background, ~labeled_classes], 1)[:, tf.newaxis]
    right = tf.where(is_target | may_be_right, logits, logits.dtype.min)
    return tf.reduce_logsumexp(logits, axis=-1) - tf.reduce_logsumexp(right, axis=-1)
  yes = is_target & positive if loss.background_as_zeros else is_target
  targets = tf.cast(yes, class_logits.dtype)
  losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=class_logits)
  if loss.gamma:
    wrong = tf.sigmoid((1.0 - 2.0 * targets) * class_logits)
    losses *= tf.pow(wrong, loss.gamma)
  if loss.alpha is not None:
    losses *= targets * loss.alpha + (1.0 - targets) * (1.0 - loss.alpha)
  background = tf.range(num_columns) == 0
  labeled = tf.concat([complete, labeled_classes], 1)[:, tf.newaxis]
  mask = labeled | is_target & positive | background & positive
  return tf.reduce_sum(losses * tf.cast(mask, losses.dtype), axis=-1)


def compare(
  kind: str, shape: tuple[int, int, int], *, jit_compile: bool, num_runs: int, num_rounds: int
) -> tuple[Cost, Cost]:
  """Measures the masked loss and the plain composition, in turn, each in processes of its own.

  Args:
    kind: one of LOSSES.
    shape: (B, A, K+1).
    jit_compile: whether XLA compiles them.
    num_runs: in a round.
    num_rounds: of each.

  Returns:
    Cost of the masked loss, and of the plain composition; the medians of the rounds.

  Raises:
    InputError: the system does not tell the peak of a process's memory.
  """
  if not _PEAK_RESET.exists():
    raise InputError(f'{_PEAK_RESET} is missing: peak memory can be measured on Linux only')
  rounds = ([], [])
  # A process for each, as memory that one has freed would serve the other.
  with multiprocessing.get_context('spawn').Pool(1, maxtasksperchild=1) as pool:
    for _ in range(num_rounds):
      for is_plain, costs in enumerate(rounds):
        arguments = (kind, shape, bool(is_plain), jit_compile, num_runs)
        costs.append(pool.apply(_measure, arguments))
  return tuple(Cost(*map(statistics.median, zip(*costs, strict=True))) for costs in rounds)


def _measure(kind, shape, is_plain, jit_compile, num_runs):
  """(milliseconds, megabytes) of one of the two."""
  logits, targets, labeled = _inputs(shape)
  loss = LOSSES[kind]

  @tf.function(jit_compile=jit_compile)
  def run(logits):
    with tf.GradientTape() as tape:
      tape.watch(logits)
      if is_plain:
        losses = plain_loss(logits, targets, labeled, loss)
      else:
        losses = masked_loss.masked_classification_loss(logits, targets, labeled, loss=loss)
      total = tf.reduce_sum(losses)
    return total, tape.gradient(total, logits)

  held = _memory('VmRSS')
  _PEAK_RESET.write_text('5', encoding='ascii')
  times = []
  for _ in range(num_runs + 1):
    began = time.perf_counter()
    run(logits)[0].numpy()
    times.append(time.perf_counter() - began)
  return 1e3 * statistics.median(times[1:]), _memory('VmHWM') - held


def _inputs(shape):
  """Logits of a started training; one anchor in a hundred matched, half of the pairs labeled."""
  rng = np.random.default_rng(0)
  positive = rng.random(shape[:2]) < 0.01
  targets = np.where(positive, rng.integers(1, shape[2], shape[:2]), 0)
  labeled = rng.random([shape[0], shape[2] - 1]) < 0.5
  logits = rng.normal(-2, 2, shape).astype(np.float32)
  return tf.constant(logits), tf.constant(targets, tf.int32), tf.constant(labeled)


def _memory(name):
  """Of this process, in 10^6 bytes."""
  for line in pathlib.Path('/proc/self/status').read_text(encoding='ascii').splitlines():
    if line.startswith(f'{name}:'):
      return int(line.split()[1]) * 1024 / 1e6
  raise InputError(f'/proc/self/status has no {name}')


def main():
  """Prints a table: times, memory, and how many times less the masked loss needs."""
  print('loss     B x A x (K+1)  XLA  masked: ms, MB      plain: ms, MB      faster  memory')
  for shape, num_runs in _SHAPES.items():
    for kind in KINDS.value:
      for jit_compile in (False, True):
        ours, plain = compare(
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
