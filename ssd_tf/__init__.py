"""SSD detectors in TensorFlow 2 and Keras 3.

  ssd_tf.train('mydata/pipeline.config', 'runs/mine')
  detector = ssd_tf.load('runs/mine')
  for detection in detector('photo.jpg').above(0.5):
    print(detection.name, detection.score, detection.box)

What is named here is imported when it is first used, so that `import ssd_tf` needs no TensorFlow.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
  from ssd_tf.api import evaluate, export, train
  from ssd_tf.errors import InputError
  from ssd_tf.inference.detections import Detection, Detections
  from ssd_tf.inference.detector import Detector
  from ssd_tf.inference.loading import load
  from ssd_tf.models.custom_objects import CUSTOM_OBJECTS

__version__ = '0.1.0'
__all__ = [
  'CUSTOM_OBJECTS',
  'Detection',
  'Detections',
  'Detector',
  'InputError',
  'evaluate',
  'export',
  'load',
  'train',
]
_MODULES = {
  'CUSTOM_OBJECTS': 'ssd_tf.models.custom_objects',
  'Detection': 'ssd_tf.inference.detections',
  'Detections': 'ssd_tf.inference.detections',
  'Detector': 'ssd_tf.inference.detector',
  'InputError': 'ssd_tf.errors',
  'evaluate': 'ssd_tf.api',
  'export': 'ssd_tf.api',
  'load': 'ssd_tf.inference.loading',
  'train': 'ssd_tf.api',
}


def __getattr__(name: str) -> typing.Any:
  if name not in _MODULES:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
  return sorted({*globals(), *_MODULES})
