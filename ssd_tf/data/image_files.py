"""Reads image files for records and networks, with one decoder for both."""

import dataclasses
import io
import re
import struct

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from ssd_tf.errors import InputError

# Of files that count as images where a folder is looked through.
EXTENSIONS = ('.jpg', '.jpeg', '.png', '.bmp', '.gif', '.webp', '.tif', '.tiff')

# What Pillow calls a format, and what a record does. MPO is a JPEG with more pictures behind it.
_KEPT = {'JPEG': 'jpeg', 'MPO': 'jpeg', 'PNG': 'png', 'GIF': 'gif', 'BMP': 'bmp'}
_ORIENTATION = 0x0112  # The EXIF and TIFF tag.
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # TIFF tags.
# Modes of Pillow's whose values have no defined range, so that none is white.
_NO_RANGE = {'I': '32-bit integers', 'F': 'floating-point numbers'}

# What Pillow raises at damaged files, each plugin in its own way.
_PILLOW_ERRORS = (
  *(OSError, SyntaxError, ValueError, TypeError, EOFError, KeyError, IndexError, OverflowError),
  *(struct.error, AttributeError, MemoryError, RuntimeError, Image.DecompressionBombError),
)


@dataclasses.dataclass(frozen=True)
class EncodedImage:
  """An image file that `decode_image` was seen to decode: a JPEG, PNG, GIF or BMP.

  Attributes:
    exif_orientation: 2..8: viewers turn the image so; the decoder does not. 1: they do not.
  """

  encoded: bytes
  format: str
  height: int
  width: int
  exif_orientation: int = 1

  def size_remarks(self, stated_size: tuple[int | None, ...] | None, says: str) -> list[str]:
    """A remark where annotations state another (height, width); `says` begins it."""
    if stated_size is None or None in stated_size or stated_size == (self.height, self.width):
      return []
    return [
      f'{says} {stated_size[1]} x {stated_size[0]} pixels, the image has {self.width} x '
      f'{self.height}: the boxes are taken as pixels of the image'
    ]


def decode_image(encoded: bytes | tf.Tensor) -> tf.Tensor:
  """Decodes an image to u8[h,w,3]: in conversion, training, evaluation, detection and export.

  16-bit PNGs are scaled to 8 bits (value // 256), alpha is left out, a palette and CMYK become RGB,
  and of an animation the first frame counts. An EXIF orientation is not applied.

  Raises:
    tf.errors.InvalidArgumentError: it does not decode, or has more than 2^29 pixels.
  """
  image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
  return tf.ensure_shape(image, [None, None, 3])


def decoded_size(encoded: bytes) -> tuple[int, int] | None:
  """Decodes an image for its (height, width); None where it does not decode."""
  try:
    return tuple(decode_image(encoded).shape[:2])
  except tf.errors.OpError:
    return None


def header_size(encoded: bytes) -> tuple[int, int] | None:
  """Reads (height, width), as decoded, from an image's header; None where that does not tell."""
  try:
    with Image.open(io.BytesIO(encoded), formats=('JPEG', 'PNG', 'GIF', 'BMP')) as image:
      return image.height, image.width
  except _PILLOW_ERRORS:
    return None


def read_image(
  path: str, stated_size: tuple[int, int] | None = None, *, upright: bool = False
) -> EncodedImage:
  """Reads an image file and decodes all of it, as a check.

  The bytes of a JPEG, PNG, GIF or BMP are kept. Other formats, and a BMP that `decode_image` would
  read otherwise than Pillow, become a PNG of the same pixels, and an image that is turned by its
  EXIF orientation a JPEG of quality 95 without chroma subsampling, or a PNG. The orientation of a
  TIFF is part of that format, and always applied.

  Args:
    stated_size: (height, width) by the annotations: an EXIF orientation that swaps the sides is
      applied if this is the size it leads to; with `upright` it is in any case.

  Raises:
    InputError: it is missing, empty, truncated or no image; or its values have no defined range.
  """
  return _read(path, stated_size, upright)[0]


def read_pixels(path: str) -> np.ndarray:
  """Reads an image file, as `read_image` does, as u8[h,w,3], upright by its EXIF orientation."""
  return _read(path, None, upright=True)[1].numpy()


def pixels_of_picture(picture: Image.Image) -> np.ndarray:
  """Turns a picture of Pillow's into what a network is to see, by the same rules as `read_pixels`.

  Returns:
    u8[h,w,3], upright by its EXIF orientation.

  Raises:
    InputError: its values have no defined range.
  """
  picture = _in_known_range('the picture', ImageOps.exif_transpose(picture))
  if picture.mode == 'RGB':
    return np.asarray(picture)
  return decode_image(_encode(picture, 'png')).numpy()  # 16 bits.


def _read(path, stated_size, upright):
  """Returns the EncodedImage and its pixels."""
  try:
    with open(path, 'rb') as file:
      encoded = file.read()
  except (OSError, ValueError) as error:
    reason = getattr(error, 'strerror', None) or error
    raise InputError(f'{path}: cannot read the image: {reason}') from error
  if not encoded:
    raise InputError(f'{path}: the image file is empty (0 bytes)')
  encoded, stored_as, orientation = _decodable(path, encoded)
  pixels = _checked_pixels(path, encoded)
  if _is_applied(orientation, pixels.shape[:2], stated_size, upright):
    turned = turn_upright(pixels.numpy(), orientation)
    stored_as, orientation = 'jpeg' if stored_as == 'jpeg' else 'png', 1
    encoded = _encode(Image.fromarray(turned), stored_as)
    pixels = decode_image(encoded)
  height, width = pixels.shape[:2]
  return EncodedImage(encoded, stored_as, height, width, orientation), pixels


def _decodable(path, encoded):
  """Returns bytes that `decode_image` reads rightly, their format, and the EXIF orientation."""
  try:
    # This reads the header; pixels of a JPEG, PNG or GIF are left to the one decoder. An image of a
    # size that would fill the memory is refused here.
    with Image.open(io.BytesIO(encoded)) as image:
      stored_as = _KEPT.get(image.format)
      if stored_as is None or (stored_as == 'bmp' and not _is_read_alike(encoded, image)):
        encoded, stored_as = _encode(_in_known_range(path, image), 'png'), 'png'
      return encoded, stored_as, _exif_orientation(image, encoded)
  except InputError:
    raise
  except Image.UnidentifiedImageError:
    raise _undecodable(path, 'no known image format') from None
  except _PILLOW_ERRORS as error:
    raise _undecodable(path, str(error) or type(error).__name__) from error


def _checked_pixels(path, encoded):
  try:
    return decode_image(encoded)
  except tf.errors.OpError as error:
    raise _undecodable(path, _pillow_reason(encoded) or _tensorflow_reason(error)) from error


def _pillow_reason(encoded):
  """What Pillow finds wrong with an image: often in plainer words than TensorFlow's; or None."""
  try:
    with Image.open(io.BytesIO(encoded)) as image:
      image.load()
  except _PILLOW_ERRORS as error:
    return str(error)
  return None


def _tensorflow_reason(error):
  # Without the names of TensorFlow's own functions and ops.
  return ' '.join(re.sub(r'\{\{.*?\}\}|\[Op:.*', '', error.message).split())


def _undecodable(path, reason):
  return InputError(f'{path}: the image does not decode: {reason}')


def _is_read_alike(encoded, image):
  """Whether both decoders see the same pixels: BMPs are of many kinds, TensorFlow knows some."""
  try:
    return np.array_equal(decode_image(encoded), image.convert('RGB'))
  except tf.errors.InvalidArgumentError:
    return False


def _in_known_range(path, image):
  image.load()
  if image.mode in _NO_RANGE:
    raise InputError(
      f'{path}: its pixels are {_NO_RANGE[image.mode]}, of which it is not known which is white; '
      'save it with 8 or 16 bits'
    )
  if not image.mode.startswith('I;16'):
    return image.convert('RGB')
  values = np.asarray(image).astype(np.uint16)
  tags = getattr(image, 'tag_v2', {})
  bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
  values = values << (16 - bits)
  is_white_zero = tags.get(_PHOTOMETRIC) == 0
  return Image.fromarray(~values if is_white_zero else values)


def _exif_orientation(image, encoded):
  # Pillow looks for a PNG's EXIF behind its pixels, too, which means to decode them.
  if image.format == 'PNG' and b'eXIf' not in encoded:
    return 1
  try:
    orientation = image.getexif().get(_ORIENTATION)
  except _PILLOW_ERRORS:
    return 1  # Viewers show an image with damaged EXIF as it is stored.
  return orientation if orientation in range(2, 9) else 1


def _is_applied(orientation, size, stated_size, upright):
  if orientation == 1:
    return False
  swapped = orientation > 4 and size[0] != size[1] and stated_size == (size[1], size[0])
  return upright or swapped


def turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
  """Turns and mirrors an image [h,w,...] as its EXIF orientation says.

  Source: EXIF 2.3, tag Orientation, which says where row 0 and column 0 are: 1 top left, 2 top
  right, 3 bottom right, 4 bottom left, 5 left top, 6 right top, 7 right bottom, 8 left bottom.
  """
  if orientation > 4:
    pixels = pixels.swapaxes(0, 1)
  rows = -1 if orientation in (3, 4, 7, 8) else 1
  columns = -1 if orientation in (2, 3, 6, 7) else 1
  return np.ascontiguousarray(pixels[::rows, ::columns])


def _encode(image, stored_as):
  stream = io.BytesIO()
  options = {'quality': 95, 'subsampling': 0} if stored_as == 'jpeg' else {}
  image.save(stream, stored_as, **options)
  return stream.getvalue()
