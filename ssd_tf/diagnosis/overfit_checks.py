"""Trains the model on a few images and checks that it overfits them."""

from collections.abc import Iterator

from ssd_tf import fields
from ssd_tf.diagnosis.finding import Finding
from ssd_tf.diagnosis.overfit import WANTED_AP, Overfitting, overfit
from ssd_tf.diagnosis.project import Project


def check(project: Project) -> Iterator[Finding]:
  """Trains on 8 images, without augmentation, if the project asks for it; minutes on a CPU."""
  if project.overfit_steps:
    result = overfit(project.pipeline, num_steps=project.overfit_steps)
    yield from check_result(result)


def check_result(result: Overfitting) -> Iterator[Finding]:
  """Tells how it went."""
  what = f'{result.num_images} images with {result.num_objects} objects'
  numbers = {
    **{'steps': result.num_steps, 'images': result.num_images, 'objects': result.num_objects},
    'curve': [{'step': p.step, 'ap50': p.ap50, **p.losses} for p in result.curve],
  }
  if result.succeeded:
    yield Finding.note(
      'overfit',
      f'{what} are overfit in {result.num_steps} steps (AP at IoU 0.5 '
      f'{result.curve[-1].ap50:.3f}): model, targets and losses work.',
      numbers=numbers,
    )
    return
  if result.is_finite:
    first, last = result.curve[0].losses, result.curve[-1].losses
    losses = ', '.join(
      f'{name} {first[name]:.4g} to {last[name]:.4g}' for name in fields.LOSSES[:3]
    )
    how = f'AP at IoU 0.5 is {result.curve[-1].ap50:.3f}, {WANTED_AP} expected; {losses}'
  else:
    how = 'then the loss was not finite'
  yield Finding.error(
    'overfit',
    f'{what} are not overfit in {result.num_steps} steps: {how}.',
    likely_causes(result),
    numbers,
  )


def likely_causes(result: Overfitting) -> str:
  """What to look at where the images are not overfit, told by what the losses did."""
  if not result.is_finite:
    return 'Look at the data checks (boxes without area), the checkpoint and the initializers.'
  first, last = result.curve[0].losses, result.curve[-1].losses

  def fell(name):
    return last[name] < 0.2 * first[name] or last[name] < 0.05

  others = last[fields.LOCALIZATION_LOSS] + last[fields.CLASSIFICATION_LOSS]
  if last[fields.REGULARIZATION_LOSS] > others > 0.2:
    return 'Regularization outweighs the rest: lower the l2_regularizer of the conv_hyperparams.'
  if result.trainable_share < 0.1:
    return (
      f'Only {result.trainable_share:.1%} of the parameters train: look at train_config.freeze and '
      'freeze_variables.'
    )
  if fell(fields.CLASSIFICATION_LOSS) and fell(fields.LOCALIZATION_LOSS):
    return (
      'The losses fell, so look at what comes after: model.ssd.post_processing (score_converter, '
      'score_threshold, iou_threshold), two labels on one box, and objects smaller than a cell.'
    )
  if fell(fields.CLASSIFICATION_LOSS):
    return (
      'Localization did not fall: look at the anchors, the box_coder and the localization_loss.'
    )
  if fell(fields.LOCALIZATION_LOSS):
    return (
      'Classification did not fall: look at the labels, class_prediction_bias_init, the '
      'classification_loss and hard_example_miner.'
    )
  return (
    'Neither loss fell: look at the checkpoint, freezing, and the initializers and batch_norm '
    'of the conv_hyperparams; or give it more steps, --overfit_steps.'
  )
