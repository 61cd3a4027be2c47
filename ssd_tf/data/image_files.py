"""Image files on their way into records: checked to decode, stored as they are if possible."""

import dataclasses
import io
import struct

from PIL import Image

from ssd_tf.errors import InputError

# What Pillow calls a format, and what a record does. MPO is a JPEG with more pictures behind it.
_STORED_AS_IS = {'JPEG': 'jpeg', 'MPO': 'jpeg', 'PNG': 'png', 'GIF': 'gif', 'BMP': 'bmp'}

# Of files that count as images where a folder is looked through.
EXTENSIONS = ('.jpg', '.jpeg', '.png', '.bmp', '.gif', '.webp', '.tif', '.tiff')

# What Pillow's decoders raise at damaged files, each in its own way.
DECODE_ERRORS = (
  OSError,
  SyntaxError,
  ValueError,
  EOFError,
  struct.error,
  Image.DecompressionBombError,
)


@dataclasses.dataclass(frozen=True)
class EncodedImage:
  """An image file that was seen to decode.

  Attributes:
    encoded: bytes of a JPEG, PNG, GIF or BMP.
    format: 'jpeg', 'png', 'gif' or 'bmp'.
    height: in pixels, as stored (an EXIF orientation is not applied: nor does TensorFlow).
    width: in pixels.
  """

  encoded: bytes
  format: str
  height: int
  width: int


def read_image(path: str) -> EncodedImage:
  """Reads an image file and decodes all of it, as a check.

  Args:
    path: an image in any format of Pillow's; one that TensorFlow cannot decode (WebP, TIFF, BMP
      other than 24 bit) is stored as a PNG of the same pixels.

  Returns:
    The image, still encoded.

  Raises:
    InputError: it is missing, empty, truncated or no image.
  """
  try:
    with open(path, 'rb') as file:
      encoded = file.read()
  except OSError as error:
    raise InputError(f'{path}: cannot read the image: {error.strerror}') from error
  if not encoded:
    raise InputError(f'{path}: the image file is empty (0 bytes)')
  try:
    with Image.open(io.BytesIO(encoded)) as image:
      image.load()
      stored_as = _STORED_AS_IS.get(image.format)
      if stored_as is None or (stored_as == 'bmp' and image.mode != 'RGB'):
        stream = io.BytesIO()
        image.convert('RGB').save(stream, 'PNG')
        encoded, stored_as = stream.getvalue(), 'png'
      return EncodedImage(encoded, stored_as, image.height, image.width)
  except DECODE_ERRORS as error:
    reason = str(error) or type(error).__name__
    if isinstance(error, Image.UnidentifiedImageError):
      reason = 'no known image format'
    raise InputError(f'{path}: the image does not decode: {reason}') from error
