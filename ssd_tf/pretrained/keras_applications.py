"""Loads Keras applications' ImageNet backbones: VGG-16, MobileNet v1 and v2."""

import keras
import numpy as np

from ssd_tf.errors import InputError
from ssd_tf.pretrained.layer_table import LayerTable, vgg_16_layers

IMAGENET = 'imagenet'  # In place of a path: what Keras downloads for the model's backbone.
_MAKERS = {
  'vgg_16': lambda **options: keras.applications.VGG16(**options),
  'mobilenet_v1': lambda **options: keras.applications.MobileNet(**options),
  'mobilenet_v2': lambda **options: keras.applications.MobileNetV2(**options),
}


def _v1_layers():
  yield 'mobilenet_v1_conv_0', 'conv1', 'conv1_bn'
  for i in range(1, 14):
    for ours, theirs in (('depthwise', 'dw'), ('pointwise', 'pw')):
      yield f'mobilenet_v1_block_{i}_{ours}', f'conv_{theirs}_{i}', f'conv_{theirs}_{i}_bn'


def _v2_layers():
  yield 'mobilenet_v2_conv_0', 'Conv1', 'bn_Conv1'
  for i in range(17):
    scope = f'block_{i}' if i else 'expanded_conv'
    for part in ('expand', 'depthwise', 'project'):
      yield f'mobilenet_v2_block_{i}_{part}', f'{scope}_{part}', f'{scope}_{part}_BN'
  yield 'mobilenet_v2_conv_1', 'Conv_1', 'Conv_1_bn'


def _layers():
  yield from vgg_16_layers('block{stage}_conv{i}').items()
  for ours, convolution, norm in (*_v1_layers(), *_v2_layers()):
    yield ours, convolution
    yield f'{ours}_batch_norm', norm


# The backbones. With the same weights, what follows a convolution of stride 2 differs by its
# padding: Keras's MobileNet v1 pads below and to the right alone, ours as SAME does. For maps of
# even size that is the same; at 75 rows (of 300) theirs go on with 37, ours with 38, shifted by one
# pixel. The pooling of Keras's VGG-16 leaves out the last row of an odd size: conv4_3 has 37 rows
# there for 300 pixels, 38 here. MobileNet v2 pads alike. Where the sizes are even, such as with
# images of 320 pixels, the backbones' outputs are equal (measured: to 1e-5).
LAYERS = LayerTable(dict(_layers()))
# Where conv6 and conv7 come from the fully connected layers of VGG-16 with its classifier.
LAYERS_OF_CLASSIFIER = LayerTable({**LAYERS.layers, 'vgg_16_conv6': 'fc1', 'vgg_16_conv7': 'fc2'})


class ImageNetWeights:
  """The weights that Keras downloads (to ~/.keras/models, once), read as a checkpoint's file.

  `shapes` is '<layer>/<kernel, bias, gamma, ...>' -> shape.
  """

  path = IMAGENET

  def __init__(
    self, backbone: str | None, depth_multiplier: float | None, *, include_top: bool = False
  ):
    """Downloads, with the classifier too if asked for; of VGG-16 that is 530 MB in place of 60.

    Raises:
      InputError: Keras has no weights for it, or cannot download them.
    """
    if backbone not in _MAKERS:
      raise InputError(
        f'imagenet: there are no weights from Keras for {backbone or "this backbone"}; expected '
        f'feature_extractor.type of {", ".join(_MAKERS)} (of MobileNet v3, SSDs have half the '
        'filters in the coarsest blocks)'
      )
    options = {} if backbone == 'vgg_16' else {'alpha': depth_multiplier}
    try:
      model = _MAKERS[backbone](weights=IMAGENET, include_top=include_top, **options)
    except ValueError as error:
      raise InputError(f'imagenet: feature_extractor.depth_multiplier: {error}') from error
    except Exception as error:  # Of no narrower class in Keras.
      if 'URL fetch failure' not in str(error):
        raise
      raise InputError(
        f'imagenet: {error}; or download the file elsewhere and give its path'
      ) from error
    self._variables = {
      f'{layer.name}/{variable.name}': variable
      for layer in model.layers
      for variable in layer.weights
    }
    self.shapes = {name: tuple(v.shape) for name, v in self._variables.items()}

  def read(self, name: str) -> np.ndarray:
    """The value of a weight."""
    return self._variables[name].numpy()
