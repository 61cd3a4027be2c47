"""AutoAugment for detection: one of a policy's sub-policies, drawn for each image.

The changes of pixels are those of `official.vision.ops.augment`. Its AutoAugment class is not used:
it draws from TensorFlow's global generator, where here all is a function of the seed; it fills what
a shift uncovers with a reflection that may contain objects without boxes; and of v0 to v3 it
implements only v0.
"""

import math

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data.augmentation.autoaugment_policies import POLICIES, Step
from ssd_tf.data.augmentation.pixels import as_type, paste
from ssd_tf.data.augmentation.sequence import Example

_GRAY = 128
_MAX_LEVEL = 10
# What the greatest level means: turns in degrees; shears; shifts and half sides of cutouts in
# pixels, of a whole image and of what is inside a box; cutouts in a box as a share of it.
_DEGREES, _SHEAR = 30.0, 0.3
_SHIFT, _SHIFT_IN_BOX = 250.0, 120.0
_CUTOUT, _CUTOUT_IN_BOX, _CUTOUT_OF_BOX = 100, 50, 0.75
# The steps that are functions of official.vision on pixels: name there, arguments by the level's
# share of the greatest one.
_PIXELS = {
  'AutoContrast': ('autocontrast', lambda share: ()),
  'Equalize': ('equalize', lambda share: ()),
  'Posterize': ('posterize', lambda share: (int(4 * share),)),
  'Solarize': ('solarize', lambda share: (int(256 * share),)),
  'SolarizeAdd': ('solarize_add', lambda share: (int(110 * share),)),
  'Color': ('color', lambda share: (1.8 * share + 0.1,)),
  'Contrast': ('contrast', lambda share: (1.8 * share + 0.1,)),
  'Brightness': ('brightness', lambda share: (1.8 * share + 0.1,)),
  'Sharpness': ('sharpness', lambda share: (1.8 * share + 0.1,)),
}


# No Python control flow depends on a tensor: AutoGraph would find nothing, in seconds of tracing.
@tf.autograph.experimental.do_not_convert
def autoaugment_image(example: Example, seed: tf.Tensor, *, policy_name: str = 'v0') -> Example:
  """Applies a sub-policy drawn from a learned policy: 'v0' to 'v3', or 'test'.

  Boxes are shifted, turned and sheared with the image and cut at its border; those that left it are
  dropped.

  Source: Zoph et al. (arXiv:1906.11172); the original's autoaugment_image. That one keeps a box
  that left the image as a strip along the border, rounds moved boxes to pixels, and changes the
  contrast by a blend with one gray, where official.vision's keeps each channel's mean.
  """
  policy = POLICIES[policy_name]
  index_seed, steps_seed = tf.unstack(tf.random.split(seed))
  image = as_type(example[fields.IMAGE], tf.uint8)
  boxes = example[fields.GROUNDTRUTH_BOXES]
  index = tf.random.stateless_uniform([], index_seed, 0, len(policy), tf.int32)
  image, boxes = tf.switch_case(
    index, [lambda steps=steps: _run_all(steps, image, boxes, steps_seed) for steps in policy]
  )
  kept = tf.where(tf.reduce_all(boxes[:, 2:] > boxes[:, :2], axis=1))[:, 0]
  changed = {**example, fields.GROUNDTRUTH_BOXES: boxes}
  return {
    **example,
    **{key: tf.gather(changed[key], kept) for key in fields.PER_BOX},
    fields.IMAGE: as_type(image, example[fields.IMAGE].dtype),
  }


def _run_all(steps, image, boxes, seed):
  """The image and boxes after the steps of a sub-policy."""
  shapes = image.shape, boxes.shape
  for i, step in enumerate(steps):
    if step[1]:
      image, boxes = _run(step, image, boxes, tf.random.fold_in(seed, i))
      image, boxes = tf.ensure_shape(image, shapes[0]), tf.ensure_shape(boxes, shapes[1])
  return tf.identity(image), tf.identity(boxes)


def _run(step: Step, image, boxes, seed):
  """The image and boxes after a step, or with 1 - its probability as they are."""
  name, probability, level = step
  use_seed, sign_seed, place_seed = tf.unstack(tf.random.split(seed, 3))
  share = level / _MAX_LEVEL
  sign = tf.where(tf.random.stateless_uniform([], sign_seed) < 0.5, 1.0, -1.0)
  kind, _, where = name.partition('_')
  if where == 'Only_BBoxes':
    # Of the boxes, each on its own, only a third of what the policy says.
    changed = _change_in_boxes(kind, share, sign, image, boxes, probability / 3, place_seed)
    return changed, boxes

  def change():
    if name == 'BBox_Cutout':
      return _cutout_of_box(image, boxes, share, place_seed), boxes
    if where == 'BBox':
      matrix = _matrix(kind, share * sign, _SHIFT, tf.shape(image))
      return _move(image, matrix), move_boxes(boxes, matrix, tf.shape(image)[:2])
    return _change(kind, share, image, place_seed, cutout=_CUTOUT), boxes

  return tf.cond(
    tf.random.stateless_uniform([], use_seed) < probability, change, lambda: (image, boxes)
  )


def _change_in_boxes(kind, share, sign, image, boxes, probability, seed):
  """Changes what is inside each box with a probability, in a random order of the boxes."""
  count = tf.shape(boxes)[0]
  order_seed, use_seed, place_seed = tf.unstack(tf.random.split(seed, 3))
  order = tf.random.experimental.stateless_shuffle(tf.range(count), order_seed)
  used = tf.random.stateless_uniform(tf.shape(order), use_seed) < probability

  def change_one(image, i):
    begin, end = _pixels_of(tf.gather(boxes, i), image)
    content = image[begin[0] : end[0], begin[1] : end[1]]
    if kind in _PIXELS or kind == 'Cutout':
      seed = tf.random.fold_in(place_seed, i)
      content = _change(kind, share, content, seed, cutout=_CUTOUT_IN_BOX)
    elif kind == 'Flip':
      content = tf.reverse(content, [1])
    else:
      content = _move(content, _matrix(kind, share * sign, _SHIFT_IN_BOX, tf.shape(content)))
    return tf.ensure_shape(paste(image, content, begin), image.shape)

  return tf.foldl(change_one, tf.boolean_mask(order, used), initializer=image)


def _change(kind, share, image, seed, cutout):
  """The image after a change that moves nothing."""
  if kind == 'Cutout':
    size = tf.shape(image)[:2]
    center = tf.random.stateless_uniform([2], seed) * tf.cast(size, tf.float32)
    return _blank(image, tf.cast(center, tf.int32), int(cutout * share))
  # Imported here: it loads tf_keras, which takes more than a second.
  from official.vision.ops import augment

  name, arguments = _PIXELS[kind]
  return getattr(augment, name)(image, *arguments(share))


def _cutout_of_box(image, boxes, share, seed):
  """Blanks a part of one random box, in the middle of which lies a random pixel of the box."""
  box_seed, center_seed = tf.unstack(tf.random.split(seed))

  def blank():
    number = tf.random.stateless_uniform([], box_seed) * tf.cast(tf.shape(boxes)[0], tf.float32)
    begin, end = _pixels_of(tf.gather(boxes, tf.cast(number, tf.int32)), image)
    size = tf.cast(end - begin, tf.float32)
    center = begin + tf.cast(tf.random.stateless_uniform([2], center_seed) * size, tf.int32)
    return _blank(image, center, tf.cast(_CUTOUT_OF_BOX * share * size / 2, tf.int32))

  return tf.cond(tf.shape(boxes)[0] > 0, blank, lambda: image)


def _blank(image, center, half):
  """Grays the rectangle from center - half to center + half, ends excluded."""
  begin = tf.maximum(center - half, 0)
  end = tf.minimum(center + half, tf.shape(image)[:2])
  gray = tf.fill(tf.concat([end - begin, [3]], 0), tf.constant(_GRAY, image.dtype))
  return paste(image, gray, begin)


def _pixels_of(box, image):
  """The first pixel (y, x) of a box and the one after its last; at least one pixel."""
  size = tf.shape(image)[:2]
  corners = tf.cast(tf.reshape(box, [2, 2]) * tf.cast(size, tf.float32), tf.int32)
  begin = tf.clip_by_value(corners[0], 0, size - 1)
  return begin, tf.clip_by_value(corners[1], begin, size - 1) + 1


def _matrix(kind, amount, shift, shape):
  """f32[2,3] that maps (x, y, 1) of a pixel after a move to where its value is from.

  amount f32[] is of -1 to 1; shift is the pixels of 1; shape i32[3] is the image's.
  """
  one, zero = tf.ones([]), tf.zeros([])
  if kind == 'Rotate':
    center = tf.cast(tf.stack([shape[1] - 1, shape[0] - 1]), tf.float32) / 2
    angle = amount * (_DEGREES * math.pi / 180)
    turn = tf.stack(
      [tf.stack([tf.cos(angle), -tf.sin(angle)]), tf.stack([tf.sin(angle), tf.cos(angle)])]
    )
    return tf.concat([turn, (center - tf.linalg.matvec(turn, center))[:, tf.newaxis]], axis=1)
  x, y = {
    'ShearX': ((one, amount * _SHEAR, zero), (zero, one, zero)),
    'ShearY': ((one, zero, zero), (amount * _SHEAR, one, zero)),
    'TranslateX': ((one, zero, amount * shift), (zero, one, zero)),
    'TranslateY': ((one, zero, zero), (zero, one, amount * shift)),
  }[kind]
  return tf.stack([tf.stack(x), tf.stack(y)])


def _move(image, matrix):
  """Moves pixels, without interpolation; gray where there was nothing."""
  return tf.raw_ops.ImageProjectiveTransformV3(
    images=image[tf.newaxis],
    transforms=tf.concat([tf.reshape(matrix, [1, 6]), tf.zeros([1, 2])], axis=1),
    output_shape=tf.shape(image)[:2],
    fill_value=float(_GRAY),
    interpolation='NEAREST',
    fill_mode='CONSTANT',
  )[0]


def move_boxes(boxes: tf.Tensor, matrix: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
  """Moves boxes as the pixels in them are moved.

  Args:
    boxes: f32[n,4].
    matrix: f32[2,3], maps (x, y, 1) of a pixel after the move to the one before.
    size: i32[2], (height, width) of the image, pixels.

  Returns:
    f32[n,4], cut at the image's border; without area where nothing is left inside.
  """
  height, width = tf.unstack(tf.cast(size, tf.float32))
  # Pixel i reaches from i - .5 to i + .5 of the matrix' scale, from i to i + 1 of the boxes'.
  ymin, xmin, ymax, xmax = (
    boxes[:, i] * side - 0.5 for i, side in enumerate((height, width, height, width))
  )
  corners = tf.stack([tf.stack([xmin, xmax, xmin, xmax]), tf.stack([ymin, ymin, ymax, ymax])])
  moved = tf.tensordot(
    tf.linalg.inv(matrix[:, :2]), corners - matrix[:, 2:, tf.newaxis], axes=1
  )  # [2: x or y, 4 corners, n]
  x, y = (moved[0] + 0.5) / width, (moved[1] + 0.5) / height
  edges = [tf.reduce_min(y, 0), tf.reduce_min(x, 0), tf.reduce_max(y, 0), tf.reduce_max(x, 0)]
  return tf.clip_by_value(tf.stack(edges, axis=1), 0.0, 1.0)
