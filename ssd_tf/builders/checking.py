"""All that is wrong with a config, told at once, before records are read or a network is built."""

import functools
from collections.abc import Callable, Iterable, Iterator

from ssd_tf import config as config_lib
from ssd_tf.builders.anchors import count_anchors_per_location
from ssd_tf.builders.augmentation import build_augmentation
from ssd_tf.builders.box_predictor import build_box_predictor
from ssd_tf.builders.detector import build_suppress
from ssd_tf.builders.feature_extractor import build_feature_extractor
from ssd_tf.builders.losses import build_losses
from ssd_tf.builders.multi_scale import check_multi_scale
from ssd_tf.builders.resizers import build_preprocess_image
from ssd_tf.builders.support import require_supported, require_supported_model
from ssd_tf.builders.targets import build_assign_targets, build_box_coder
from ssd_tf.builders.training import build_optimizer, build_stage_schedules
from ssd_tf.builders.training_options import check_training_options
from ssd_tf.errors import InputError


def check_config(
  config: config_lib.PipelineConfig,
  path: str,
  num_replicas: int = 1,
  checking: str = 'all',
  *,
  training: bool = True,
) -> None:
  """Checks a config against itself, against the files it names, and against what is supported.

  Args:
    config: as `config.load` returns it.
    path: where it is from.
    num_replicas: how many devices share a batch.
    checking: of readers, 'train', 'eval' or 'all'; see `config.validate`.
    training: whether it will be trained by, not only evaluated.

  Raises:
    InputError: all that is wrong, one `path: field: fault` per line.
  """
  faults = dict.fromkeys(
    line if line.startswith(f'{path}: ') else f'{path}: {line}'
    for line in _faults(
      [
        lambda: config_lib.validate(config, path, num_replicas, checking),
        lambda: (require_supported if training else require_supported_model)(config),
        *(_model_checks(config.model.ssd, training) if config.model.HasField('ssd') else ()),
        *(_training_checks(config, num_replicas) if training else ()),
      ]
    )
  )
  if faults:
    raise InputError('\n'.join(faults))


def _faults(checks: Iterable[Callable]) -> Iterator[str]:
  for check in checks:
    try:
      check()
    except InputError as error:
      yield from str(error).split('\n')


def _model_checks(ssd, training):
  """Each part by itself, so that a fault of one does not hide those of others."""
  predictor = functools.partial(build_box_predictor, ssd, batch_norm_trainable=training)
  return (
    lambda: build_preprocess_image(ssd),
    lambda: build_feature_extractor(ssd.feature_extractor, training),
    lambda: predictor(anchors_per_location=[1]),
    lambda: predictor(anchors_per_location=count_anchors_per_location(ssd)),
    lambda: build_box_coder(ssd),
    lambda: build_assign_targets(ssd, None),
    lambda: build_losses(ssd, None),
    lambda: build_suppress(ssd, None),
  )


def _training_checks(config, num_replicas):
  train = config.train_config
  return (
    lambda: build_optimizer(train.optimizer),
    lambda: build_stage_schedules(train.stage),
    lambda: build_augmentation(train, config.model.ssd.num_classes),
    lambda: check_multi_scale(config),
    lambda: check_training_options(config, num_replicas),
  )
