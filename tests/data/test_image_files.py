"""Every kind of image file: a record has the pixels a network detects on, and they are right."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tf.data import image_files
from ssd_tf.errors import InputError

HEIGHT, WIDTH = 6, 9
RGB = np.random.RandomState(0).randint(0, 256, [HEIGHT, WIDTH, 3], np.uint8)
GRAY16 = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) * 1200).astype(np.uint16)
# By its high byte, as TensorFlow does with 16-bit PNGs: 1200 // 256 = 4, 2400 // 256 = 9.
GRAY8 = np.repeat((GRAY16 // 256).astype(np.uint8)[..., np.newaxis], 3, axis=2)


def image(mode):
  picture = Image.fromarray(RGB)
  if mode == 'P':
    return picture.quantize(16)
  if mode == 'LAB':
    return Image.merge('LAB', picture.split())
  if mode.startswith('I;16'):
    values = GRAY16.astype('>u2' if mode == 'I;16B' else '<u2')
    return Image.frombytes(mode, (WIDTH, HEIGHT), values.tobytes())
  if mode in ('RGBA', 'LA'):
    picture.putalpha(Image.fromarray(RGB[..., 0]))
  elif mode in 'FI':
    picture = picture.convert('L')
  return picture.convert(mode)


def pixels_both_ways(path):
  """Those of a record, and those a network detects on; they have to be the same."""
  stored = image_files.read_image(str(path))
  decoded = image_files.decode_image(stored.encoded).numpy()
  assert decoded.shape == (stored.height, stored.width, 3)
  np.testing.assert_array_equal(decoded, image_files.read_pixels(str(path)))
  return stored, decoded


PNG_MODES = ('1', 'L', 'LA', 'P', 'RGB', 'RGBA')


@pytest.mark.parametrize(
  ('suffix', 'mode', 'stored_as'),
  [
    *(('png', mode, 'png') for mode in PNG_MODES),
    ('gif', 'P', 'gif'),
    ('bmp', 'RGB', 'bmp'),
    ('bmp', 'L', 'bmp'),
    *(('bmp', mode, 'png') for mode in ('1', 'P')),
    *(('webp', mode, 'png') for mode in ('L', 'P', 'RGB', 'RGBA')),
    *(('tif', mode, 'png') for mode in (*PNG_MODES, 'CMYK', 'YCbCr', 'LAB')),
  ],
)
def test_pixels_are_right_in_every_lossless_format(suffix, mode, stored_as, tmp_path):
  source, path = image(mode), tmp_path / f'a.{suffix}'
  source.save(path, **({'lossless': True} if suffix == 'webp' else {}))
  stored, decoded = pixels_both_ways(path)
  assert (stored.format, stored.exif_orientation) == (stored_as, 1)
  np.testing.assert_array_equal(decoded, np.asarray(source.convert('RGB')))
  assert (stored.encoded == path.read_bytes()) == (stored_as == suffix)


@pytest.mark.parametrize(
  'transparency', [{'transparency': 3}, {'transparency': bytes(range(0, 160, 10))}]
)
def test_transparent_colors_of_a_palette_keep_their_color(transparency, tmp_path):
  image('P').save(tmp_path / 'a.png', **transparency)
  np.testing.assert_array_equal(pixels_both_ways(tmp_path / 'a.png')[1], image('P').convert('RGB'))


@pytest.mark.parametrize('mode', ['L', 'RGB', 'CMYK'])
def test_jpegs_are_kept_and_read_in_every_color_space(mode, tmp_path):
  smooth = np.add.outer(np.arange(48) * 2, np.arange(64) * 2)[..., np.newaxis] + [0, 20, 40]
  source = Image.fromarray(smooth.clip(0, 255).astype(np.uint8)).convert(mode)
  source.save(tmp_path / 'a.jpg', quality=95)
  stored, decoded = pixels_both_ways(tmp_path / 'a.jpg')
  assert (stored.format, stored.encoded) == ('jpeg', (tmp_path / 'a.jpg').read_bytes())
  assert np.abs(decoded.astype(int) - np.asarray(source.convert('RGB'))).max() <= 4


def test_cmyk_jpegs_of_every_making_have_their_colors(tmp_path):
  smooth = np.add.outer(np.arange(48) * 2, np.arange(64) * 2)[..., np.newaxis] + [0, 15, 30]
  cmyk = np.asarray(Image.fromarray(smooth.astype(np.uint8)).convert('CMYK'))

  def encode(values):
    stream = io.BytesIO()
    Image.fromarray(values, 'CMYK').save(stream, 'JPEG', quality=95)
    encoded = stream.getvalue()
    start = encoded.index(b'\xff\xee')  # Adobe's segment: 16 bytes, the last says YCCK or not.
    return encoded[:start], encoded[start : start + 15], encoded[start + 16 :]

  before, adobe, after = encode(cmyk)
  (tmp_path / 'ycck.jpg').write_bytes(before + adobe + b'\2' + after)
  # Adobe's are inverted, and Pillow writes them so; without the segment they are not.
  before, _, after = encode(255 - cmyk)
  (tmp_path / 'plain.jpg').write_bytes(before + after)
  ycck = np.asarray(Image.open(tmp_path / 'ycck.jpg').convert('RGB'))
  for name, expected in (('ycck.jpg', ycck), ('plain.jpg', smooth)):
    decoded = pixels_both_ways(tmp_path / name)[1]
    assert np.abs(decoded - expected.astype(int)).max() <= 8 and expected.std() > 10


@pytest.mark.parametrize(
  ('name', 'mode', 'options'),
  [
    ('a.png', 'I;16', {}),
    ('a.tif', 'I;16', {}),
    ('a.tif', 'I;16B', {}),
    ('inverted.tif', 'I;16', {'tiffinfo': {262: 0}}),  # WhiteIsZero
  ],
)
def test_16_bits_are_scaled_to_8_as_tensorflow_scales_them(name, mode, options, tmp_path):
  image(mode).save(tmp_path / name, **options)
  stored, decoded = pixels_both_ways(tmp_path / name)
  assert stored.format == 'png'
  np.testing.assert_array_equal(decoded, 255 - GRAY8 if name == 'inverted.tif' else GRAY8)


def test_16_bit_colors_are_scaled_to_8(tmp_path):
  values = (RGB.astype(np.uint16) * 256 + 17).astype('>u2')
  header = struct.pack('>IIBBBBB', WIDTH, HEIGHT, 16, 2, 0, 0, 0)
  lines = b''.join(b'\0' + row.tobytes() for row in values)
  (tmp_path / 'a.png').write_bytes(png((b'IHDR', header), (b'IDAT', zlib.compress(lines))))
  np.testing.assert_array_equal(pixels_both_ways(tmp_path / 'a.png')[1], RGB)


@pytest.mark.parametrize(('mode', 'words'), [('I', '32-bit'), ('F', 'floating-point')])
def test_values_without_a_range_are_refused(mode, words, tmp_path):
  image(mode).save(tmp_path / 'a.tif')
  for read in (image_files.read_image, image_files.read_pixels):
    with pytest.raises(InputError, match=rf'a\.tif: .*{words}.* 8 or 16 bits'):
      read(str(tmp_path / 'a.tif'))


@pytest.mark.parametrize('suffix', ['tif', 'gif', 'webp'])
def test_of_several_frames_the_first_counts(suffix, tmp_path):
  first, second = (
    Image.fromarray(np.full([HEIGHT, WIDTH], value, np.uint8)).convert('RGB') for value in (50, 200)
  )
  options = {'lossless': True} if suffix == 'webp' else {}
  first.save(tmp_path / f'a.{suffix}', save_all=True, append_images=[second], **options)
  np.testing.assert_array_equal(pixels_both_ways(tmp_path / f'a.{suffix}')[1], first)


# Where the four corners of [[1, 2], [3, 4]], as stored, are seen: EXIF 2.3, figure of Orientation.
TURNED = {
  1: [[1, 2], [3, 4]],
  2: [[2, 1], [4, 3]],
  3: [[4, 3], [2, 1]],
  4: [[3, 4], [1, 2]],
  5: [[1, 3], [2, 4]],
  6: [[3, 1], [4, 2]],
  7: [[4, 2], [3, 1]],
  8: [[2, 4], [1, 3]],
}


@pytest.mark.parametrize('orientation', TURNED)
def test_turned_upright(orientation):
  corners = np.array([[1, 2], [3, 4]], np.uint8)
  np.testing.assert_array_equal(image_files.turn_upright(corners, orientation), TURNED[orientation])


def save_with_orientation(path, pixels, orientation, **options):
  exif = Image.Exif()
  exif[0x0112] = orientation
  Image.fromarray(pixels).save(path, exif=exif, **options)


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('name', ['a.jpg', 'a.png', 'a.webp'])
def test_an_exif_orientation_is_applied_where_the_annotations_or_the_caller_say(
  name, orientation, tmp_path
):
  path = str(tmp_path / name)
  # Blocks of a JPEG, each of one color, so that it is exact to a few levels.
  pixels = RGB[:4, :5].repeat(8, axis=0).repeat(8, axis=1)
  options = {'quality': 95, 'subsampling': 0} if name == 'a.jpg' else {'lossless': True}
  save_with_orientation(path, pixels, orientation, **options)
  turned = image_files.turn_upright(pixels, orientation)
  tolerance = 3 if name == 'a.jpg' else 0

  def check(stored, expected, exif_orientation):
    decoded = image_files.decode_image(stored.encoded).numpy()
    assert decoded.shape == expected.shape == (stored.height, stored.width, 3)
    assert np.abs(decoded.astype(int) - expected).max() <= tolerance
    assert stored.exif_orientation == exif_orientation

  check(image_files.read_image(path, upright=True), turned, 1)
  np.testing.assert_allclose(image_files.read_pixels(path), turned, atol=tolerance)
  swaps = orientation >= 5
  check(image_files.read_image(path, (40, 32)), *((turned, 1) if swaps else (pixels, orientation)))
  for stated in (None, (32, 40), (40, 40), (80, 64)):
    check(image_files.read_image(path, stated), pixels, orientation)
  # No orientation is left that a later reader could apply once more.
  again = tmp_path / f'again.{image_files.read_image(path, upright=True).format}'
  again.write_bytes(image_files.read_image(path, upright=True).encoded)
  assert image_files.read_image(str(again)).exif_orientation == 1
  if orientation == 1 and name != 'a.webp':
    assert again.read_bytes() == (tmp_path / name).read_bytes()


def test_a_square_image_cannot_tell_so_its_orientation_is_not_applied(tmp_path):
  save_with_orientation(tmp_path / 'a.png', RGB[:, :HEIGHT], 6)
  stored = image_files.read_image(str(tmp_path / 'a.png'), (HEIGHT, HEIGHT))
  np.testing.assert_array_equal(image_files.decode_image(stored.encoded), RGB[:, :HEIGHT])
  assert stored.exif_orientation == 6


def test_the_orientation_of_a_tiff_is_part_of_its_format_and_applied(tmp_path):
  save_with_orientation(tmp_path / 'a.tif', RGB, 6)
  stored, decoded = pixels_both_ways(tmp_path / 'a.tif')
  np.testing.assert_array_equal(decoded, image_files.turn_upright(RGB, 6))
  assert stored.exif_orientation == 1


@pytest.mark.filterwarnings('ignore:Corrupt EXIF')
@pytest.mark.parametrize('exif', [b'', b'Exif\0\0MM', b'Exif\0\0II*\0\xff\xff\xff\xff', b'?' * 40])
def test_damaged_exif_is_none(exif, tmp_path):
  Image.fromarray(RGB).save(tmp_path / 'a.jpg', exif=exif)
  assert image_files.read_image(str(tmp_path / 'a.jpg'), (9, 6), upright=True).height == HEIGHT


def png(*chunks):
  def chunk(name, content):
    checksum = struct.pack('>I', zlib.crc32(name + content))
    return struct.pack('>I', len(content)) + name + content + checksum

  return b'\x89PNG\r\n\x1a\n' + b''.join(chunk(*one) for one in (*chunks, (b'IEND', b'')))


def test_a_size_that_would_fill_the_memory_is_refused_by_the_header(tmp_path, monkeypatch):
  header = struct.pack('>IIBBBBB', 60000, 60000, 8, 2, 0, 0, 0)
  encoded = png((b'IHDR', header), (b'IDAT', zlib.compress(bytes(1000))))
  (tmp_path / 'a.png').write_bytes(encoded)
  assert image_files.decoded_size(encoded) is None
  monkeypatch.setattr(image_files, 'decode_image', lambda _: pytest.fail('given to the decoder'))
  for read in (image_files.read_image, image_files.read_pixels):
    with pytest.raises(InputError, match=r'a\.png: .*3600000000 pixels'):
      read(str(tmp_path / 'a.png'))


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'gif', 'bmp', 'webp', 'tif'])
def test_a_truncated_or_missing_file_is_named(suffix, tmp_path):
  path = tmp_path / f'a.{suffix}'
  with pytest.raises(InputError, match=rf'a\.{suffix}: cannot read'):
    image_files.read_image(str(path))
  Image.fromarray(RGB.repeat(10, axis=0)).save(path)
  whole = path.read_bytes()
  for encoded, words in ((whole[: len(whole) // 2], 'does not decode'), (b'', 'empty')):
    path.write_bytes(encoded)
    with pytest.raises(InputError, match=rf'a\.{suffix}: .*{words}'):
      image_files.read_image(str(path))


def test_what_the_decoder_does_not_read_is_not_accepted(tmp_path):
  """Pillow alone would pass a PNG with a wrong checksum of a chunk or a JPEG with garbage."""
  header = struct.pack('>IIBBBBB', WIDTH, HEIGHT, 8, 2, 0, 0, 0)
  encoded = png((b'IHDR', header), (b'IDAT', zlib.compress(bytes(HEIGHT * (3 * WIDTH + 1) - 5))))
  with pytest.raises(tf.errors.InvalidArgumentError):
    image_files.decode_image(encoded)
  (tmp_path / 'a.png').write_bytes(encoded)
  with pytest.raises(InputError, match=r'a\.png: the image does not decode'):
    image_files.read_image(str(tmp_path / 'a.png'))


def test_decoding_is_the_same_inside_a_data_set(tmp_path):
  image('RGB').save(tmp_path / 'a.png')
  encoded = (tmp_path / 'a.png').read_bytes()
  [decoded] = tf.data.Dataset.from_tensors(encoded).map(image_files.decode_image)
  np.testing.assert_array_equal(decoded, RGB)


def test_whatever_a_decoder_raises_is_one_line_with_the_file(tmp_path, monkeypatch):
  image('RGB').save(tmp_path / 'a.webp', lossless=True)
  for error in (RuntimeError('odd'), KeyError('tag'), struct.error('short'), IndexError('code')):

    def fail(*_, error=error):
      raise error

    monkeypatch.setattr(Image.Image, 'convert', fail)
    with pytest.raises(InputError, match=r'a\.webp: the image does not decode: '):
      image_files.read_image(str(tmp_path / 'a.webp'))
