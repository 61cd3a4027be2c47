"""Open Images' average precision, named as the Object Detection API reports it."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ssd_tf.evaluation.image_results import ImageResult
from ssd_tf.evaluation.voc_metrics import VocEvaluator


class OpenImagesEvaluator(VocEvaluator):
  """VOC's average precision, with the rules of Open Images for boxes around groups of objects.

  Version 2: a detection inside of a group is left out, and groups need not be found. Challenge: a
  group is one more box to be found, by the best detection inside of it, the others being left out;
  and detections of classes that are not labeled in their image are left out.

  The hierarchy of the classes has to be expanded in the records; difficult boxes are like others.

  Source: storage.googleapis.com/openimages/web/evaluation.html; the Object Detection API's
  utils/object_detection_evaluation.py.
  """

  def __init__(
    self,
    categories: Sequence[tuple[int, str]],
    *,
    challenge: bool = False,
    split: str = '',
    score_threshold: float | None = None,
  ):
    """Starts an empty evaluation.

    Args:
      categories: (id, name) of each class, ids from 1.
      challenge: whether the Challenge's rules hold, not those of version 2.
      split: the data set's name, for `details` only.
      score_threshold: below which the detector drops its detections, for `details` only.
    """
    super().__init__(
      categories,
      prefix='OpenImagesDetectionChallenge' if challenge else 'OpenImagesV2',
      split=split,
      score_threshold=score_threshold,
    )
    self._challenge = challenge

  def _group_of_weight(self) -> float:
    return 1.0 if self._challenge else 0.0

  def _prepared(self, image: ImageResult) -> ImageResult:
    image = dataclasses.replace(image, is_difficult=np.zeros_like(image.is_difficult))
    if not self._challenge:
      return image
    labeled = np.union1d(np.flatnonzero(image.labeled) + 1, image.groundtruth_classes)
    kept = np.isin(image.classes, labeled)
    return dataclasses.replace(
      image, boxes=image.boxes[kept], scores=image.scores[kept], classes=image.classes[kept]
    )
