"""The weights and images that the originals were measured with.

Each value is drawn from a seed that its variable's name gives, and scaled by what the variable is,
so that a checkpoint of tens of megabytes is a list of names and shapes.
"""

import zlib

import numpy as np

# What TF1 calls a variable, and SSD-Tensorflow: what Keras calls it.
_KERAS_NAMES = {
  'weights': 'kernel',
  'depthwise_weights': 'depthwise_kernel',
  'biases': 'bias',
}


def _generator(name):
  return np.random.RandomState(zlib.crc32(name.encode()))


def _leaf(name):
  leaf = name.split('/.ATTRIBUTES')[0].rsplit('/', 1)[-1]
  return _KERAS_NAMES.get(leaf, leaf)


def odapi_value(name, shape, dtype='float32', gain=1.0):
  """The value of a variable in a checkpoint of the Object Detection API, of TF1 or TF2.

  Args:
    name: the checkpoint's key of it.
    shape: of it.
    dtype: of it; integers are steps and counters.
    gain: about which a gamma lies.
  """
  shape = tuple(shape)
  if np.issubdtype(dtype, np.integer):
    return np.full(shape, 1 if name.startswith('save_counter') else 120, dtype)
  random, leaf = _generator(name), _leaf(name)
  if '.OPTIMIZER_SLOT' in name:
    value = 1e-3 * random.standard_normal(shape)
  elif leaf in ('kernel', 'depthwise_kernel', 'pointwise_kernel'):
    fan_in = np.prod(shape[:2] if leaf == 'depthwise_kernel' else shape[:-1])
    value = random.standard_normal(shape) / np.sqrt(fan_in)
  elif leaf == 'gamma':
    value = gain + 0.1 * random.standard_normal(shape)
  elif leaf == 'moving_variance':
    value = 0.9 + 0.2 * random.uniform(size=shape)
  elif leaf in ('beta', 'moving_mean'):
    value = 0.05 * random.standard_normal(shape)
  elif leaf == 'bias':
    value = 0.01 * random.standard_normal(shape)
  elif shape == ():
    value = 0.9 if leaf == 'momentum' else 0.0
  else:
    raise ValueError(f'no rule for {name}, {shape}')
  return np.asarray(value, dtype)


def odapi_images(height, width):
  """Two images of blocks of 20x20 pixels, each of a random color; f32[2,height,width,3]."""
  blocks = [
    np.random.RandomState(1000 + image).randint(0, 256, (height // 20, width // 20, 3))
    for image in range(2)
  ]
  return np.stack(blocks).repeat(20, axis=1).repeat(20, axis=2).astype(np.float32)


def vgg_value(name, shape):
  """The value of a variable of SSD-Tensorflow or ssd_keras, by its name there."""
  random, leaf = _generator(name), _leaf(name)
  if leaf == 'kernel':
    value = random.normal(0.0, np.sqrt(2.0 / np.prod(shape[:-1])), shape)
    if '/'.join(name.split('/')[-2:]) in ('conv1_1/weights', 'conv1_1/kernel'):
      value /= 64.0  # Pixels are up to 255.
  elif leaf == 'bias':
    value = random.normal(0.0, 0.05, shape)
  elif leaf == 'gamma':
    value = 20.0 + random.normal(0.0, 1.0, shape)
  else:
    raise ValueError(f'no rule for {name}')
  return value.astype(np.float32)


def vgg_image(side, index=0):
  """A u8[side,side,3] of waves and noise."""
  y, x, c = np.ogrid[:side, :side, :3]
  waves = np.sin(2 * np.pi * ((3 + index) * y / side + c / 3.0))
  waves = waves * np.cos(2 * np.pi * (5 - index) * x / side)
  noise = np.random.RandomState(7 + index).normal(0.0, 1.0, (side, side, 3))
  return np.clip(np.rint(128.0 + 90.0 * waves + 20.0 * noise), 0, 255).astype(np.uint8)
