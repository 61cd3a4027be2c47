import pytest

from ssd_tf import fields
from ssd_tf.diagnosis import overfit_checks
from ssd_tf.diagnosis.finding import Severity
from ssd_tf.diagnosis.overfit import Overfitting, Point


def overfitting(first, last, ap50, **options):
  def point(step, losses, ap50):
    return Point(step, dict(zip(fields.LOSSES, losses, strict=True)), ap50)

  return Overfitting(
    **{'num_images': 8, 'num_objects': 12, 'is_finite': True, 'trainable_share': 1.0, **options},
    curve=[point(1, first, 0.0), point(300, last, ap50)],
  )


START = (1.0, 4.0, 0.1, 5.1)


def test_images_that_are_overfit():
  (finding,) = overfit_checks.check_result(overfitting(START, (0.01, 0.02, 0.1, 0.13), 0.95))
  assert (finding.check, finding.severity) == ('overfit', Severity.NOTE)
  assert finding.what == (
    '8 images with 12 objects are overfit in 300 steps (AP at IoU 0.5 0.950): model, '
    'targets and losses work.'
  )


@pytest.mark.parametrize(
  ('last', 'options', 'cause'),
  [
    ((0.01, 0.02, 0.1, 0.13), {}, 'The losses fell'),
    ((0.9, 0.02, 0.1, 1.02), {}, 'Localization did not fall'),
    ((0.01, 3.0, 0.1, 3.11), {}, 'Classification did not fall'),
    ((0.9, 3.9, 0.1, 4.9), {}, 'Neither loss fell'),
    ((0.9, 3.9, 9.0, 13.8), {}, 'Regularization outweighs'),
    ((0.9, 3.9, 0.1, 4.9), {'trainable_share': 0.05}, 'Only 5.0% of the parameters train'),
    ((0.9, 3.9, 0.1, 4.9), {'is_finite': False}, 'Look at the data checks'),
  ],
)
def test_images_that_are_not(last, options, cause):
  (finding,) = overfit_checks.check_result(overfitting(START, last, 0.3, **options))
  assert (finding.check, finding.severity, finding.numbers['steps']) == (
    'overfit',
    Severity.ERROR,
    300,
  )
  assert finding.remedy.startswith(cause)
  if not options:
    assert 'AP at IoU 0.5 is 0.300, 0.9 expected; Loss/localization_loss 1 to ' in finding.what
