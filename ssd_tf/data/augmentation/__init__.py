"""Random changes of a decoded training example, each a pure function of the example and a seed.

An operation is `operation(example, seed, **settings) -> example`; its docstring tells of its
settings only, and where it has no other Source, it is the original's preprocessor.py function of
the same name. The example has an image u8 or f32 [h,w,3], of 0 to 255, and the keys of
`fields.PER_BOX`; the seed is i32[2], and unused by an operation that draws nothing. Settings are
those of the config: sizes in pixels, an aspect_ratio is width / height, colors are red, green, blue
of 0 to 255, overlap_thresh is the least share of a box inside a window, and clip_boxes says whether
boxes are cut at its border. The image keeps its type, but for `pixels.normalize_image` and
`pixels.subtract_channel_mean`, and every key of `fields.PER_BOX` stays in step with the boxes,
which are in the frame of the result; those outside a crop are dropped. groundtruth_area stays that
of the original image, original_size the size of the image as stored.
"""

from ssd_tf.data.augmentation.crops import SSD_CROP_CASES, CropCase, crop, ssd_random_crop
from ssd_tf.data.augmentation.geometry import random_horizontal_flip
from ssd_tf.data.augmentation.sequence import Example, Operation, augment

__all__ = [
  'SSD_CROP_CASES',
  'CropCase',
  'Example',
  'Operation',
  'augment',
  'crop',
  'random_horizontal_flip',
  'ssd_random_crop',
]
