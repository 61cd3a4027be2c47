"""The augmentation of Caffe's SSD, as ssd_keras has it: colors, expansion, patches, resizing.

A training takes them in this order: ssd_photometric_distortion, ssd_expand, ssd_patch_crop,
random_horizontal_flip, resize_random_interpolation.
"""

import functools
import itertools
from collections.abc import Sequence

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data.augmentation.color import adjust_brightness, adjust_hue, adjust_saturation
from ssd_tf.data.augmentation.crops import crop
from ssd_tf.data.augmentation.padding import pad
from ssd_tf.data.augmentation.pixels import as_type, map_pixels
from ssd_tf.data.augmentation.sequence import Example, apply_if, one_of, random_integers
from ssd_tf.ops import boxes as box_ops

INTERPOLATIONS = ('nearest', 'bilinear', 'bicubic', 'area', 'lanczos3')

_CHANNEL_ORDERS = tuple(itertools.permutations(range(3)))[1:]  # Without that of the image itself.
# Of `ssd_patch_crop`. With the defaults, one training example in 5 million would need more.
_MAX_ROUNDS = 100


def ssd_photometric_distortion(
  example: Example,
  seed: tf.Tensor,
  *,
  brightness_delta: float = 32.0,
  min_contrast: float = 0.5,
  max_contrast: float = 1.5,
  min_saturation: float = 0.5,
  max_saturation: float = 1.5,
  hue_delta: float = 18.0,
  probability: float = 0.5,
  channel_swap_probability: float = 0.0,
) -> Example:
  """Changes brightness, contrast, saturation and hue, then the order of the channels.

  x -> x + delta; x -> 127.5 + factor (x - 127.5); the saturation of HSV s -> min(1, factor s); its
  hue h -> h + delta, modulo 180. Contrast comes second or, as often, last; every value is limited
  to 0 to 255 after each change. A uint8 image is rounded once, at the end.

  Args:
    channel_swap_probability: of one of the five other orders of the channels.

  Source: SSD (arXiv:1512.02325), section 2.2; ssd_keras' SSDPhotometricDistortions, which rounds
  the hue to 2 degrees and saturation to 8 bits in between: 3 levels at most in an even picture, 11
  in noise.
  """
  amount_seed, drawn_seed, contrast_seed, order_seed = tf.unstack(tf.random.split(seed, 4))
  brightness, contrast, saturation, hue = tf.unstack(
    tf.random.stateless_uniform(
      [4],
      amount_seed,
      [-brightness_delta, min_contrast, min_saturation, -hue_delta],
      [brightness_delta, max_contrast, max_saturation, hue_delta],
    )
  )
  shares = tf.random.stateless_uniform([5], drawn_seed)
  drawn = tf.unstack(shares < [*[probability] * 4, channel_swap_probability])
  contrast_is_second = tf.random.stateless_uniform([], contrast_seed) < 0.5
  order = tf.random.stateless_uniform([], order_seed, 0, len(_CHANNEL_ORDERS), tf.int32)
  adjust_contrast = functools.partial(_adjust_contrast, factor=contrast)
  changes = (
    (drawn[0], functools.partial(adjust_brightness, delta=brightness / 255.0)),
    (drawn[1] & contrast_is_second, adjust_contrast),
    (drawn[2], functools.partial(adjust_saturation, factor=saturation)),
    (drawn[3], functools.partial(adjust_hue, delta=hue / 180.0)),
    (drawn[1] & ~contrast_is_second, adjust_contrast),
    (drawn[4], lambda pixels: tf.gather(pixels, tf.gather(_CHANNEL_ORDERS, order), axis=-1)),
  )

  def distort(pixels):
    for condition, change in changes:
      pixels = _changed_if(condition, change, pixels)
    return pixels

  return map_pixels(example, distort)


def ssd_expand(
  example: Example,
  seed: tf.Tensor,
  *,
  probability: float = 0.5,
  min_scale: float = 1.0,
  max_scale: float = 4.0,
  color: Sequence[float] = (123.0, 117.0, 104.0),
) -> Example:
  """Sets the image at a random place on a larger canvas of one color, so that objects get smaller.

  Scales, of 1 or more, are times the image's height and width; the sides are rounded down.

  Source: SSD (arXiv:1512.02325), section 3.6; ssd_keras' SSDExpand.
  """
  drawn_seed, scale_seed, begin_seed = tf.unstack(tf.random.split(seed, 3))

  def expand(example):
    size = tf.shape(example[fields.IMAGE])[:2]
    scale = tf.random.stateless_uniform([], scale_seed, min_scale, max_scale)
    canvas = tf.maximum(tf.cast(tf.cast(size, tf.float32) * scale, tf.int32), size)
    begin = random_integers(begin_seed, tf.zeros_like(size), canvas - size + 1)
    return pad(example, begin, canvas, pad_color=color)

  drawn = tf.random.stateless_uniform([], drawn_seed) < probability
  return apply_if(example, drawn, expand, (fields.IMAGE, fields.GROUNDTRUTH_BOXES))


def ssd_patch_crop(
  example: Example,
  seed: tf.Tensor,
  *,
  min_iou: Sequence[float] = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9),
  keep_probability: float = 0.143,
  min_scale: float = 0.3,
  max_scale: float = 1.0,
  min_aspect_ratio: float = 0.5,
  max_aspect_ratio: float = 2.0,
  max_trials: int = 50,
) -> Example:
  """Crops to a random patch that has, with at least one box, an IoU above a random bound.

  In rounds, until one succeeds: with keep_probability the example stays whole; else a bound is
  drawn, and the patch is the first of max_trials that fits it. Boxes whose center lies in the patch
  stay, cut at its border: none may be left. An example without boxes stays whole, and so does one
  for which 100 rounds found nothing.

  Args:
    min_iou: the bounds; each is equally likely. Any patch fits 0.
    min_scale: least height and width of a patch, each drawn alone, times the image's.
    min_aspect_ratio: a patch below, as one above max_aspect_ratio, counts as a trial.

  Source: SSD (arXiv:1512.02325), section 2.2; ssd_keras' SSDRandomCrop.
  """
  whole = tf.shape(example[fields.IMAGE])[:2]
  boxes = example[fields.GROUNDTRUTH_BOXES]

  def draw_round(index, begin, size, found):
    del begin, size, found
    choice_seed, patch_seed = tf.unstack(tf.random.split(tf.random.fold_in(seed, index), 2))
    kept, bound = tf.unstack(tf.random.stateless_uniform([2], choice_seed))
    kept = kept < keep_probability
    bound = tf.gather(min_iou, tf.cast(bound * len(min_iou), tf.int32))
    # All trials at once: the first that fits is what one after the other would find.
    begins, sizes = _draw_patches(patch_seed, whole, max_trials, min_scale, max_scale)
    ratios = sizes[:, 1] / sizes[:, 0]
    iou = box_ops.pairwise_iou(_windows(begins, sizes, whole), boxes)
    fits = tf.reduce_any(iou >= bound, axis=1)
    fits &= (ratios >= min_aspect_ratio) & (ratios <= max_aspect_ratio)
    first = tf.argmax(fits)
    begin = tf.where(kept, tf.zeros_like(whole), begins[first])
    return index + 1, begin, tf.where(kept, whole, sizes[first]), kept | tf.reduce_any(fits)

  _, begin, size, found = tf.while_loop(
    lambda index, begin, size, found: ~found & (index < _MAX_ROUNDS),
    draw_round,
    (tf.constant(0), tf.zeros_like(whole), whole, tf.shape(boxes)[0] == 0),
  )
  is_patch = found & tf.reduce_any(size != whole)
  return apply_if(example, is_patch, lambda example: _crop_to_patch(example, begin, size))


def resize_random_interpolation(
  example: Example, seed: tf.Tensor, *, height: int = 300, width: int = 300
) -> Example:
  """Resizes the image by one of `INTERPOLATIONS`, each equally likely.

  To the size of the network's input, for which the image is then not resized again.

  Source: ssd_keras' ResizeRandomInterp. Nearest, bilinear and area are OpenCV's to 1 level; bicubic
  has a = -1/2, not -3/4, and Lanczos 6 taps in a row, not 8: for a photograph's size 5 and 3 levels
  at most. The original also rounds boxes to whole pixels and drops those without area; here they
  stay exact.
  """
  changes = [
    functools.partial(_interpolated, size=[height, width], method=method)
    for method in INTERPOLATIONS
  ]
  return one_of(example, seed, changes, keys=[fields.IMAGE])


def _adjust_contrast(pixels, factor):
  return tf.clip_by_value(127.5 + factor * (pixels - 127.5), 0.0, 255.0)


def _changed_if(condition, change, pixels):
  return tf.cond(condition, lambda: change(pixels), lambda: tf.identity(pixels))


def _draw_patches(seed, whole, count, min_scale, max_scale):
  """First pixels (y, x) i32[count,2] and sizes (height, width) i32[count,2]."""
  size_seed, begin_seed = tf.unstack(tf.random.split(seed, 2))
  scales = tf.random.stateless_uniform([count, 2], size_seed, min_scale, max_scale)
  sizes = tf.clip_by_value(tf.cast(scales * tf.cast(whole, tf.float32), tf.int32), 1, whole)
  return random_integers(begin_seed, tf.zeros_like(sizes), whole - sizes + 1), sizes


def _windows(begin, size, whole):
  """Patches f32[...,4], normalized to the image."""
  corners = tf.concat([begin, begin + size], axis=-1)
  return tf.cast(corners / tf.tile(whole, [2]), tf.float32)


def _crop_to_patch(example, begin, size):
  window = _windows(begin, size, tf.shape(example[fields.IMAGE])[:2])
  boxes = example[fields.GROUNDTRUTH_BOXES]
  centers = (boxes[:, :2] + boxes[:, 2:]) / 2.0
  inside = tf.reduce_all((centers >= window[:2]) & (centers < window[2:]), axis=1)
  rows = tf.where(inside)[:, 0]
  example = {**example, **{key: tf.gather(example[key], rows) for key in fields.PER_BOX}}
  return crop(example, begin, size)


def _interpolated(example, size, method):
  image = example[fields.IMAGE]
  # OpenCV takes the centers of pixels for their places, but for the nearest one their corners.
  resize = tf.compat.v1.image.resize if method == 'nearest' else tf.image.resize
  return {**example, fields.IMAGE: as_type(resize(image, size, method=method), image.dtype)}
