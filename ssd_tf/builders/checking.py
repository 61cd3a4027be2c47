"""Reports all faults of a config at once, before records are read or a network is built."""

import functools

from ssd_tf.builders.anchors import count_anchors_per_location
from ssd_tf.builders.augmentation import build_augmentation
from ssd_tf.builders.box_predictor import build_box_predictor
from ssd_tf.builders.detector import build_post_processor
from ssd_tf.builders.feature_extractor import build_feature_extractor
from ssd_tf.builders.multi_scale import check_multi_scale
from ssd_tf.builders.objective import build_objective
from ssd_tf.builders.resizers import build_preprocess_image
from ssd_tf.builders.target_assigner import build_box_coder, build_target_assigner
from ssd_tf.builders.training import build_optimizer, build_stage_schedules, precision_of
from ssd_tf.config.checks.fault import refuse
from ssd_tf.config.checks.whole_config import find_faults
from ssd_tf.config.pipeline import Pipeline


def check_config(
  pipeline: Pipeline, num_replicas: int = 1, checking: str = 'all', *, training: bool = True
) -> None:
  """Checks a config against itself, against the files it names, and against what can be built.

  Args:
    checking: of readers, 'train', 'eval' or 'all'.

  Raises:
    InputError: all that is wrong, one `path: field: fault` per line.
  """

  def trials(config):
    if config.model.HasField('ssd'):
      yield from _model_trials(config.model.ssd, training)
    if training:
      yield from _training_trials(config)

  faults = find_faults(pipeline, num_replicas, checking, is_training=training, trials=trials)
  refuse(faults, pipeline.path)


def _model_trials(ssd, training):
  """Each part by itself, so that a fault of one does not hide those of others."""
  predictor = functools.partial(build_box_predictor, ssd, batch_norm_trainable=training)
  checks = {
    'image_resizer': lambda: build_preprocess_image(ssd),
    'feature_extractor': lambda: build_feature_extractor(ssd.feature_extractor, training),
    'box_predictor': lambda: predictor(anchors_per_location=[1]),
    'anchor_generator': lambda: predictor(anchors_per_location=count_anchors_per_location(ssd)),
    'box_coder': lambda: build_box_coder(ssd),
    'matcher': lambda: build_target_assigner(ssd, None),
    'loss': lambda: build_objective(ssd, None),
    'post_processing': lambda: build_post_processor(ssd, None),
  }
  return [(f'model.ssd.{part}', check) for part, check in checks.items()]


def _training_trials(config):
  train = config.train_config
  checks = {
    'optimizer': lambda: build_optimizer(train.optimizer),
    'stage': lambda: build_stage_schedules(train.stage),
    'data_augmentation_options': lambda: build_augmentation(train, config.model.ssd.num_classes),
    'multi_scale': lambda: check_multi_scale(config),
    'precision': lambda: precision_of(train),
  }
  return [(f'train_config.{part}', check) for part, check in checks.items()]
