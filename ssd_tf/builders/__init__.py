"""Turns a pipeline.config into objects; the only place that knows both.

A field that is missing, not supported, or does not fit the others is an InputError with the field's
path in the config.
"""

from ssd_tf.builders.anchors import generate_anchors
from ssd_tf.builders.augmentation import build_augmentation
from ssd_tf.builders.checking import check_config
from ssd_tf.builders.data import (
  build_decoded_dataset,
  build_eval_dataset,
  build_train_dataset,
  check_labeled,
  check_records,
  evaluated_paths,
  explained_record_errors,
  survey_records,
)
from ssd_tf.builders.detector import build_detector, build_model
from ssd_tf.builders.metrics import (
  build_metrics,
  build_pictures,
  metric_names,
)
from ssd_tf.builders.multi_scale import MultiScale, build_multi_scale
from ssd_tf.builders.training import (
  build_optimizer,
  build_schedule,
  build_stages,
  build_whole_schedule,
  precision_of,
)
from ssd_tf.config.checks.by_schema import require_supported, require_supported_model

__all__ = [
  'MultiScale',
  'build_augmentation',
  'build_decoded_dataset',
  'build_detector',
  'build_eval_dataset',
  'build_metrics',
  'build_model',
  'build_multi_scale',
  'build_optimizer',
  'build_pictures',
  'build_schedule',
  'build_stages',
  'build_train_dataset',
  'build_whole_schedule',
  'check_config',
  'check_labeled',
  'check_records',
  'evaluated_paths',
  'explained_record_errors',
  'generate_anchors',
  'metric_names',
  'precision_of',
  'require_supported',
  'require_supported_model',
  'survey_records',
]
