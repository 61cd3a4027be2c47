"""All that is wrong with a config, told at once, before records are read or a network is built."""

import functools
from collections.abc import Callable, Iterable, Iterator

from ssd_tf.builders.anchors import count_anchors_per_location
from ssd_tf.builders.augmentation import build_augmentation
from ssd_tf.builders.box_predictor import build_box_predictor
from ssd_tf.builders.detector import build_post_processor
from ssd_tf.builders.feature_extractor import build_feature_extractor
from ssd_tf.builders.multi_scale import check_multi_scale
from ssd_tf.builders.objective import build_objective
from ssd_tf.builders.resizers import build_preprocess_image
from ssd_tf.builders.support import explained, require_supported, require_supported_model
from ssd_tf.builders.target_assigner import build_box_coder, build_target_assigner
from ssd_tf.builders.training import build_optimizer, build_stage_schedules
from ssd_tf.builders.training_options import check_training_options
from ssd_tf.config.checks import single_fields
from ssd_tf.config.checks.validation import used_part, validate
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError


def check_config(
  pipeline: Pipeline, num_replicas: int = 1, checking: str = 'all', *, training: bool = True
) -> None:
  """Checks a config against itself, against the files it names, and against what is supported.

  Args:
    pipeline: the config.
    num_replicas: how many devices share a batch.
    checking: of readers, 'train', 'eval' or 'all'; see `validate`.
    training: whether it will be trained by, not only evaluated.

  Raises:
    InputError: all that is wrong, one `path: field: fault` per line.
  """
  path = pipeline.path
  told = single_fields.out_of_range(used_part(pipeline.config, checking, training))
  faults = [f'{field}: {fault}' for field, fault in told.items()]
  # All the rest looks at a config that can be built, as far as its numbers go.
  config = single_fields.within_range(pipeline.config)
  if config is not pipeline.config:
    pipeline = pipeline.with_config(config)
  checks = [
    ('config', lambda: validate(pipeline, num_replicas, checking)),
    ('config', lambda: (require_supported if training else require_supported_model)(config)),
    *(_model_checks(config.model.ssd, training) if config.model.HasField('ssd') else ()),
    *(_training_checks(config, num_replicas) if training else ()),
  ]
  faults += [
    line
    for line in (line.removeprefix(f'{path}: ') for line in _faults(checks))
    if not any(single_fields.is_about(line, field) for field in told)
  ]
  if faults:
    raise InputError('\n'.join(f'{path}: {line}' for line in dict.fromkeys(faults)))


def _faults(checks: Iterable[tuple[str, Callable]]) -> Iterator[str]:
  """The faults that checks find; each is named by the part of the config that it looks at."""
  for path, check in checks:
    try:
      with explained(path):
        check()
    except InputError as error:
      yield from str(error).split('\n')


def _model_checks(ssd, training):
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


def _training_checks(config, num_replicas):
  train = config.train_config
  checks = {
    'optimizer': lambda: build_optimizer(train.optimizer),
    'stage': lambda: build_stage_schedules(train.stage),
    'data_augmentation_options': lambda: build_augmentation(train, config.model.ssd.num_classes),
    'multi_scale': lambda: check_multi_scale(config),
    'precision': lambda: check_training_options(config, num_replicas),
  }
  return [(f'train_config.{part}', check) for part, check in checks.items()]
