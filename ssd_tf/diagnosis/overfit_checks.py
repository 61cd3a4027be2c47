"""The check that trains: can the model learn a few images by heart?"""

from collections.abc import Iterator

from ssd_tf import fields
from ssd_tf.diagnosis import overfit
from ssd_tf.diagnosis.finding import Finding, Severity
from ssd_tf.diagnosis.project import Project


def check(project: Project, num_steps: int = 300) -> Iterator[Finding]:
  """Trains on 8 images, without augmentation; minutes on a CPU.

  Args:
    project: with a config that can be trained.
    num_steps: limit of the steps.

  Yields:
    One finding: a note if they were learned, else an error.

  Raises:
    InputError: config, data or checkpoint are at fault.
  """
  result = overfit.learn_by_heart(project.pipeline, num_steps=num_steps)
  yield from check_result(result)


def check_result(result: overfit.LearnedByHeart) -> Iterator[Finding]:
  """Tells how it went.

  Args:
    result: of the training.

  Yields:
    One finding.
  """
  what = f'{result.num_images} images with {result.num_objects} objects'
  numbers = {
    **{'steps': result.num_steps, 'images': result.num_images, 'objects': result.num_objects},
    'curve': [{'step': p.step, 'ap50': p.ap50, **p.losses} for p in result.curve],
  }
  if result.passed:
    yield Finding(
      'overfit',
      Severity.NOTE,
      f'{what} are learned by heart in {result.num_steps} steps (AP at IoU 0.5 '
      f'{result.curve[-1].ap50:.3f}): model, targets and losses work.',
      '',
      numbers,
    )
    return
  if result.is_finite:
    first, last = result.curve[0].losses, result.curve[-1].losses
    losses = ', '.join(
      f'{name} {first[name]:.4g} to {last[name]:.4g}' for name in fields.LOSSES[:3]
    )
    how = f'AP at IoU 0.5 is {result.curve[-1].ap50:.3f}, {overfit.WANTED_AP} expected; {losses}'
  else:
    how = 'then the loss was not finite'
  yield Finding(
    'overfit',
    Severity.ERROR,
    f'{what} are not learned by heart in {result.num_steps} steps: {how}.',
    overfit.likely_causes(result),
    numbers,
  )
