"""Checks the schedule: its length, the statistics that it moves, and the losses at step 0."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ssd_tf.diagnosis.finding import Finding, Severity
from ssd_tf.diagnosis.project import Project
from ssd_tf.errors import InputError

# What the average, or a batch norm's statistics, may keep of their random start at the end.
_MAX_INITIAL_SHARE = 0.05
_MAX_EPOCHS = 500
# Of the losses at step 0 to those of heads that say the same everywhere.
_HIGH_LOSS, _EXPLODED_LOSS = 5, 50


def check(project: Project) -> Iterator[Finding]:
  """Everything about the schedule; the losses of a real first batch come last."""
  settings = project.config.train_config
  yield from check_length(settings.num_steps, project.images_per_step, _num_images(project))
  if settings.optimizer.use_moving_average:
    yield from check_moving_average(settings.optimizer.moving_average_decay, settings.num_steps)
  start = project.start
  if start.refusal:
    return  # The checks of the start tell of it.
  yield from check_batch_norms(
    start.batch_norm_decays,
    settings.batch_size,
    settings.num_steps,
    start.has_backbone,
    batches_per_step=max(1, settings.gradient_accumulation_steps),
  )
  yield from check_losses(start.losses, start.expected_losses, start.has_class_heads)
  if settings.add_regularization_loss:
    yield from check_regularization(start.regularization, sum(start.losses.values()))
  if settings.gradient_clipping_by_norm:
    yield from check_clipping(settings.gradient_clipping_by_norm, start.gradient_norm)


def check_length(num_steps: int, batch_size: int, num_images: int) -> Iterator[Finding]:
  """Whether a training goes through its images often enough, and not hundreds of times."""
  if not num_steps:
    yield Finding.note(
      'training length',
      'train_config.num_steps is 0: the training continues until it is stopped.',
      'Set train_config.num_steps, or --num_train_steps, to have an end.',
    )
    return
  if not num_images:
    return
  epochs = num_steps * batch_size / num_images
  numbers = {'epochs': epochs, 'num_steps': num_steps, 'num_images': num_images}
  what = (
    f'train_config.num_steps {num_steps} of {batch_size} images are {epochs:.3g} epochs of '
    f'{num_images} images'
  )
  if epochs < 1:
    yield Finding.warning(
      'training length',
      f'{what}: some images are never seen.',
      f'Raise train_config.num_steps to {math.ceil(10 * num_images / batch_size)} or more, ten '
      'epochs.',
      numbers,
    )
  elif epochs > _MAX_EPOCHS:
    yield Finding.warning(
      'training length',
      f'{what}: it will overfit them.',
      f'Lower train_config.num_steps (100 epochs are {100 * num_images // batch_size}), set '
      'train_config.early_stopping, or add images.',
      numbers,
    )


def initial_share(decay: float, num_steps: int) -> float:
  """What a moving average of the weights still holds of the start after so many updates.

  The product of min(decay, (1 + s) / (10 + s)) over the updates s = 1, 2, ...; see
  `training.moving_average`.
  """
  steps = np.arange(1, num_steps + 1, dtype=np.float64)
  return float(np.prod(np.minimum(decay, (1 + steps) / (10 + steps))))


def check_moving_average(decay: float, num_steps: int) -> Iterator[Finding]:
  """Whether the average of the weights, which is evaluated, still is the start."""
  share = initial_share(decay, num_steps) if num_steps else 0.0
  if share > _MAX_INITIAL_SHARE:
    yield Finding(
      'moving average',
      Severity.ERROR if share > 0.5 else Severity.WARNING,
      f'The moving average of the weights (decay {decay:g}) still is {share:.0%} the start after '
      f'{num_steps} steps, and it is what is evaluated and exported.',
      'Set train_config.optimizer.use_moving_average to false, or train longer.',
      {'initial_share': share, 'decay': decay, 'num_steps': num_steps},
    )


def check_batch_norms(
  decays: Sequence[float],
  batch_size: int,
  num_steps: int,
  has_backbone: bool,
  batches_per_step: int = 1,
) -> Iterator[Finding]:
  """Whether batch norms that train get batches, and time, to take statistics of.

  Args:
    decays: of the moving statistics, of each batch norm that trains.
    batch_size: of a step; accumulated batches stay apart for a batch norm.
    batches_per_step: that are accumulated; each of them updates the statistics.
  """
  if not decays:
    return
  if batch_size < 4:
    yield Finding(
      'batch norm',
      Severity.ERROR if batch_size == 1 else Severity.WARNING,
      f'{len(decays)} batch norms train on batches of train_config.batch_size {batch_size}: of '
      'feature maps of one cell '
      + ('the variance is 0.' if batch_size == 1 else 'they see as many values.'),
      'Raise train_config.batch_size to 8 or more, or set model.ssd.freeze_batchnorm with a '
      'checkpoint.',
      {'batch_size': batch_size, 'batch_norms': len(decays)},
    )
  num_updates = num_steps * batches_per_step
  share = max(decays) ** num_updates if num_updates else 0.0
  if share > _MAX_INITIAL_SHARE:
    is_bad = share > 0.5 and not has_backbone
    fitting = 1 - 5 / num_updates if num_updates > 10 else 0.5  # exp(-5) is left: less than 1%.
    steps = f'{num_steps} steps' + (f' of {batches_per_step} batches' * (batches_per_step > 1))
    yield Finding(
      'batch norm decay',
      Severity.ERROR if is_bad else Severity.WARNING,
      f'Moving statistics of batch norms (decay {max(decays):g}) still are {share:.0%} their start '
      f'after {steps}; an evaluation uses them.',
      f'Set batch_norm.decay in conv_hyperparams to {fitting:.3g}, or train '
      f'{math.ceil(-5 / math.log(max(decays)) / batches_per_step)} steps.',
      {'initial_share': share, 'decay': max(decays), 'num_updates': num_updates},
    )


def check_losses(
  losses: Mapping[str, float], expected: Mapping[str, float], has_class_heads: bool
) -> Iterator[Finding]:
  """Whether the losses at step 0 are those of heads that know nothing yet, or less.

  Args:
    losses: of the first batch, without regularization.
    expected: of the same targets, where all class logits are the bias that they start at, and all
      boxes are their anchors.
  """
  total, known = sum(losses.values()), sum(expected.values())
  told = ', '.join(f'{name} {value:.4g}' for name, value in losses.items())
  numbers = {'losses': dict(losses), 'expected': dict(expected)}
  if not math.isfinite(total):
    yield Finding.error(
      'loss at step 0',
      f'The loss of the first batch is not finite: {told}.',
      'Look at the checkpoint, the initializers and the boxes of the batch (the data checks).',
      numbers,
    )
    return
  limits = (1.5, 10) if has_class_heads else (_HIGH_LOSS, _EXPLODED_LOSS)
  ratio = total / known if known else 1.0
  if ratio > limits[0]:
    yield Finding(
      'loss at step 0',
      Severity.ERROR if ratio > limits[1] else Severity.WARNING,
      f'The loss of the first batch is {total:.4g} ({told}), {ratio:.1f} times that of heads that '
      f'know nothing, {known:.4g}.',
      'The heads of the checkpoint are of other classes, or in another order: give '
      'train_config.fine_tune_class_map, or fine_tune_checkpoint_type "detection".'
      if has_class_heads
      else 'Activations are too large: look at the initializer of conv_hyperparams, batch_norm, '
      'and at the checkpoint.',
      {**numbers, 'ratio': ratio},
    )


def check_regularization(regularization: float, loss: float) -> Iterator[Finding]:
  """Whether the weights' decay outweighs the other terms of the loss at step 0."""
  ratio = regularization / loss if loss > 0 else 0.0
  if ratio > 1:
    yield Finding(
      'regularization',
      Severity.ERROR if ratio > 10 else Severity.WARNING,
      f'The regularization loss is {regularization:.4g} at step 0, {ratio:.1f} times the other '
      f'losses, {loss:.4g}: regularization dominates the training.',
      'Lower regularizer.l2_regularizer.weight in the conv_hyperparams; the Object Detection API '
      'has 0.00004.',
      {'regularization': regularization, 'loss': loss, 'ratio': ratio},
    )


def check_clipping(clip: float, gradient_norm: float) -> Iterator[Finding]:
  """Whether the gradient of the first batch is cut down to next to nothing."""
  share = clip / gradient_norm if gradient_norm > 0 else 1.0
  if share < 0.01:
    yield Finding.warning(
      'gradient clipping',
      f'train_config.gradient_clipping_by_norm {clip:g} leaves {share:.2%} of the first gradient, '
      f'whose norm is {gradient_norm:.4g}.',
      'Raise it to 10, as in the Object Detection API, or to 0 for none.',
      {'clip': clip, 'gradient_norm': gradient_norm, 'share': share},
    )


def _num_images(project):
  """Of an epoch; 0 where the records cannot be read, which the checks of the data tell."""
  try:
    return sum(
      -(
        -project.table(field).num_records
        // max(1, project.pipeline.readers[field].sample_1_of_n_examples)
      )
      for field in project.training_fields
    )
  except InputError:
    return 0
