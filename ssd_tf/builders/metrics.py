"""Builds evaluators and the drawing of detections from `eval_config`."""

import difflib
import functools
from collections.abc import Callable, Mapping
from typing import Any

from PIL import ImageColor

from ssd_tf import fields
from ssd_tf.builders.data import evaluated_paths
from ssd_tf.config.checks.by_schema import require_supported
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.evaluation.coco_metrics import CocoEvaluator
from ssd_tf.evaluation.detection_evaluator import DetectionEvaluator, EvaluatorGroup
from ssd_tf.evaluation.pictures import Pictures
from ssd_tf.evaluation.voc_07_12_metrics import Voc0712Evaluator
from ssd_tf.evaluation.voc_metrics import VocEvaluator, open_images_evaluator

_DEFAULT = 'coco_detection_metrics'
_NOT_IN_SSD = ('mask', 'segmentation', 'keypoint', 'panoptic')


def _coco(categories, eval_config, **common):
  return CocoEvaluator(
    categories,
    include_metrics_per_category=eval_config.include_metrics_per_category,
    all_metrics_per_category=eval_config.all_metrics_per_category,
    super_categories=_super_categories(eval_config, [name for _, name in categories]),
    **common,
  )


def _precision_at_recall(categories, eval_config, **common):
  low, high = eval_config.recall_lower_bound, eval_config.recall_upper_bound
  if low >= high:
    raise InputError(
      f'eval_config: recall_lower_bound is {low:g} and recall_upper_bound {high:g}; expected '
      'the first below the second'
    )
  bounds = (low, high)
  return VocEvaluator(categories, prefix='PrecisionAtRecallBoxes', recall_bounds=bounds, **common)


_OPEN_IMAGES_CHALLENGE = functools.partial(open_images_evaluator, challenge=True)
_WEIGHTED_VOC = functools.partial(VocEvaluator, prefix='WeightedPascalBoxes', weighted=True)
METRICS: dict[str, Callable[..., DetectionEvaluator]] = {
  _DEFAULT: _coco,
  'pascal_voc_detection_metrics': VocEvaluator,
  'voc_07_12_detection_metrics': Voc0712Evaluator,  # Ours.
  'weighted_pascal_voc_detection_metrics': _WEIGHTED_VOC,
  'precision_at_recall_detection_metrics': _precision_at_recall,
  'open_images_V2_detection_metrics': open_images_evaluator,
  'oid_V2_detection_metrics': open_images_evaluator,
  'oid_challenge_detection_metrics': _OPEN_IMAGES_CHALLENGE,
}


def build_metrics(
  pipeline: Pipeline,
  on_train_data: bool = False,
  *,
  voc_options: Mapping[str, Any] | None = None,
) -> EvaluatorGroup:
  """Builds what measures detections: by every name in metrics_set; without any, by COCO's rules.

  Args:
    voc_options: iou_threshold and count_difficult of `Voc0712Evaluator`.
  """
  eval_config = pipeline.config.eval_config
  require_supported(eval_config, 'eval_config')
  names = list(dict.fromkeys(eval_config.metrics_set)) or [_DEFAULT]
  unknown = [name for name in names if name not in METRICS]
  if unknown:
    raise InputError('\n'.join(map(_unknown, unknown)))
  if eval_config.export_path and _DEFAULT not in names:
    raise InputError(
      f"eval_config.export_path: writes COCO's results; add metrics_set: {_DEFAULT!r}"
    )
  suppression = pipeline.config.model.ssd.post_processing.batch_non_max_suppression
  common = {
    'split': ', '.join(evaluated_paths(pipeline, on_train_data)),
    'score_threshold': suppression.score_threshold,
  }
  categories = sorted(pipeline.class_names.items())
  # What some of them take besides.
  further = dict.fromkeys((_coco, _precision_at_recall), {'eval_config': eval_config})
  further[Voc0712Evaluator] = voc_options or {}
  builders = dict.fromkeys(METRICS[name] for name in names)  # Two names may mean the same.
  return EvaluatorGroup(
    [build(categories, **common, **further.get(build, {})) for build in builders],
    skip_predictions_for_unlabeled_class=eval_config.skip_predictions_for_unlabeled_class,
  )


def metric_names(pipeline: Pipeline) -> list[str]:
  """The names of what an evaluation gives, metrics, then losses, in its order, told without one."""
  without_losses = pipeline.config.eval_config.use_dummy_loss_in_eval
  losses = [fields.TOTAL_LOSS] if without_losses else fields.LOSSES
  return [*build_metrics(pipeline).metric_names, *losses]


def build_pictures(pipeline: Pipeline) -> Pictures:
  """Builds what draws detections."""
  eval_config = pipeline.config.eval_config
  color = eval_config.groundtruth_box_visualization_color
  try:
    ImageColor.getrgb(color)
  except ValueError as error:
    raise InputError(
      f'eval_config.groundtruth_box_visualization_color: {color!r} is no color; expected a name '
      'of CSS, such as black, or #rrggbb'
    ) from error
  return Pictures(
    names=pipeline.class_names,
    # The original draws on the images that it retains.
    max_images=eval_config.num_visualizations if eval_config.retain_original_images else 0,
    min_score_threshold=eval_config.min_score_threshold,
    max_boxes=eval_config.max_num_boxes_to_visualize,
    show_scores=not eval_config.skip_scores,
    show_names=not eval_config.skip_labels,
    groundtruth_color=color if eval_config.visualize_groundtruth_boxes else '',
    export_dir=eval_config.visualization_export_dir,
    name_by_source_id=eval_config.keep_image_id_for_visualization_export,
  )


def _unknown(name):
  close = difflib.get_close_matches(name, METRICS, n=1, cutoff=0.0)
  needs = next((kind for kind in _NOT_IN_SSD if kind in name), None)
  reason = f': there is no {needs} in SSD' if needs else ''
  return (
    f'eval_config.metrics_set: {name!r} is not known{reason}; did you mean {close[0]}? There are '
    f'{", ".join(METRICS)}'
  )


def _super_categories(eval_config, names):
  groups = {}
  for group, members in sorted(eval_config.super_categories.items()):
    groups[group] = [member.strip() for member in members.split(',') if member.strip()]
    unknown = [member for member in groups[group] if member not in names]
    if unknown or not groups[group]:
      raise InputError(
        f'eval_config.super_categories: {group!r} is {members!r}; expected names of classes, '
        f'separated by commas, of {", ".join(names)}'
      )
  return groups
