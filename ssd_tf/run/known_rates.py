"""Learning rates that are known to work, for trainings that do not start from a detector."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Reference:
  """A rate that is known to work: the highest of a config, momentum 0.9, with its batch size.

  The family is that of its feature extractor, the optimizer a field of train_config.optimizer.
  """

  name: str
  family: str
  optimizer: str
  batch_size: int
  rate: float

  def in_proportion(self, batch_size: int, momentum: float = 0.9) -> float:
    """The rate for another batch size and momentum.

    Source: Goyal et al., Accurate, Large Minibatch SGD, section 2.1 (the linear rule).
    """
    return self.rate * batch_size / self.batch_size * (1 - momentum) / 0.1


_MOMENTUM, _RMS_PROP = 'momentum_optimizer', 'rms_prop_optimizer'
# Of the Object Detection API, but for VGG, whose are from Liu et al.
REFERENCES = (
  Reference('ssd_mobilenet_v2_320x320_coco17_tpu-8', 'mobilenet', _MOMENTUM, 512, 0.8),
  Reference('ssd_mobilenet_v1_300x300_coco14_sync', 'mobilenet', _MOMENTUM, 1024, 0.9),
  Reference('ssd_mobilenet_v1_0.75_depth_300x300_coco14_sync', 'mobilenet', _MOMENTUM, 2048, 0.9),
  Reference('ssd_mobilenet_v1_quantized_300x300_coco14_sync', 'mobilenet', _MOMENTUM, 128, 0.2),
  Reference('ssd_mobilenet_v1_fpn_640x640_coco17_tpu-8', 'fpn', _MOMENTUM, 64, 0.04),
  Reference('ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8', 'fpn', _MOMENTUM, 128, 0.08),
  Reference('ssd300_vgg_voc0712', 'vgg', _MOMENTUM, 32, 0.001),
  Reference('ssd_mobilenet_v1_coco', 'mobilenet', _RMS_PROP, 24, 0.004),
)


def nearest(extractor: str, optimizer: str, batch_size: int) -> Reference | None:
  """The reference of the same family and optimizer whose batch size is the nearest; None: none is.

  Args:
    extractor: model.ssd.feature_extractor.type.
    optimizer: field of train_config.optimizer.
  """
  kind = (family_of(extractor), optimizer)
  references = [r for r in REFERENCES if (r.family, r.optimizer) == kind]
  return min(references, key=lambda r: abs(math.log(r.batch_size / batch_size)), default=None)


def family_of(extractor: str) -> str:
  """'fpn', 'vgg' or 'mobilenet' for a feature_extractor.type; '' for others."""
  return next((name for name in ('fpn', 'vgg', 'mobilenet') if name in extractor), '')
