"""Open Images' average precision: VOC's, with rules of its own for groups of objects."""

from collections.abc import Sequence
from typing import Any

from ssd_tf.evaluation.voc_metrics import VocEvaluator


def open_images_evaluator(
  categories: Sequence[tuple[int, str]], *, challenge: bool = False, **settings: Any
) -> VocEvaluator:
  """Starts an empty evaluation by the rules of Open Images.

  Version 2: a detection inside of a group is left out, and groups need not be found. Challenge: a
  group is one more box to be found, by the best detection inside of it, the others being left out;
  and detections of classes that are not labeled in their image are left out.

  The hierarchy of the classes has to be expanded in the records; difficult boxes are like others.

  Source: storage.googleapis.com/openimages/web/evaluation.html; the Object Detection API's
  utils/object_detection_evaluation.py.
  """
  return VocEvaluator(
    categories,
    prefix='OpenImagesDetectionChallenge' if challenge else 'OpenImagesV2',
    count_difficult=True,
    group_of_weight=1.0 if challenge else 0.0,
    labeled_only=challenge,
    **settings,
  )
