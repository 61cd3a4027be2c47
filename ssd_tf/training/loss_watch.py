"""Warns if, while a training runs, one loss dominates or no box matches an anchor."""

import collections
from collections.abc import Mapping

from absl import logging

from ssd_tf import fields

IMAGES, BOXES, POSITIVES = COUNTS = ('images', 'boxes', 'positives')

# Less than a twentieth is left for the other terms: less than the total goes up and down by from
# batch to batch, so that what they do cannot be seen in it, nor matter to the weights.
LARGEST_SHARE = 0.95
_DIAGNOSE = 'tools/diagnose.py looks into it'
_WHY = {
  fields.LOCALIZATION_LOSS: (
    'are the boxes of the records normalized to [0, 1], is localization_weight meant to be so '
    'large, is the learning rate too high?'
  ),
  fields.CLASSIFICATION_LOSS: (
    'does the prior of the class heads fit (class_prediction_bias_init of -4.6 with a focal loss), '
    'is classification_weight meant to be so large, is hard_example_miner missing with softmax, is '
    'the learning rate too high?'
  ),
  fields.REGULARIZATION_LOSS: (
    'regularization dominates the loss: lower l2_regularizer.weight (0.00004 is usual), or has the '
    'network overfit these few images?'
  ),
}


class LossWatch:
  """Looks at the sums of each interval of the log, and of the rest; says each thing once."""

  def __init__(self, interval: int):
    self._interval = interval
    self._said = set()
    self._begin()

  def add(
    self, step: int, losses: Mapping[str, float], counts: Mapping[str, float] | None = None
  ) -> None:
    """Takes the steps since the last call in, and warns where an interval ends.

    Args:
      losses: sums of the terms over these steps, by the names of `fields.LOSSES`.
      counts: sums over these steps of IMAGES, BOXES and POSITIVES; None: they are not known.
    """
    self._losses.update(losses)
    self._counts.update(counts or {})
    if step % self._interval == 0:
      self.flush(step)

  def flush(self, step: int) -> None:
    """Looks at what came since the last interval ended, if anything; called after the last step."""
    self._look_at_terms(step)
    if self._counts[IMAGES]:
      self._look_at_matches(step)
    self._begin()

  def _begin(self):
    self._losses, self._counts = collections.Counter(), collections.Counter()

  def _look_at_terms(self, step):
    total = self._losses[fields.TOTAL_LOSS]
    for name, why in _WHY.items():
      share = self._losses[name] / total if total > 0 else 0.0
      if share > LARGEST_SHARE:
        self._say(
          name,
          f'{name} is {share:.1%} of {fields.TOTAL_LOSS} over the steps up to {step}: {why} '
          f'{_DIAGNOSE}.',
        )

  def _look_at_matches(self, step):
    images, boxes = int(self._counts[IMAGES]), int(self._counts[BOXES])
    if not boxes:
      self._say(
        BOXES,
        f'None of the {images} images of the steps up to {step} had a box: do the records hold '
        'objects, are their classes in label_map_path and not above num_classes, does an '
        f'augmentation drop them? {_DIAGNOSE}.',
      )
    elif not self._counts[POSITIVES]:
      self._say(
        POSITIVES,
        f'No anchor matched any of the {boxes} boxes in {images} images of the steps up to {step}, '
        'so nothing is learned of them: are the anchors of their size and shape '
        '(tools/cluster_anchors.py), is matched_threshold too high, is force_match_for_each_row '
        f'false, are all boxes crowds or their weights 0? {_DIAGNOSE}.',
      )

  def _say(self, what, message):
    if what not in self._said:
      self._said.add(what)
      logging.warning('%s', message)
