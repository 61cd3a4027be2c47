"""Draws strings of seven-segment digits on a canvas, with a box for every digit, without a font."""

import dataclasses
import functools
import io
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from ssd_tf.data import annotation_files, record_writer
from ssd_tf.data.annotation import Annotation
from ssd_tf.data.source import Source
from ssd_tf.errors import InputError

CLASS_NAMES = tuple('0123456789')

# Lit segments of each digit: a is the top, then clockwise to f; g is the middle.
_LIT = ('abcdef', 'bc', 'abged', 'abgcd', 'fgbc', 'afgcd', 'afgedc', 'abc', 'abcdefg', 'abcdfg')

# Fractions of a glyph's height: its width, the space to the next glyph, the gap between segments.
_WIDTH = 0.55
_SPACING = 0.2
_GAP = 0.02

# Segments are drawn this much larger and averaged down, which smooths their edges.
_OVERSAMPLING = 4


@dataclasses.dataclass(frozen=True)
class DigitStyle:
  """How the images look; lengths in pixels unless said otherwise.

  Attributes:
    min_glyph_height: a string's digits share one height, drawn uniformly.
    slant: shift to the right over the glyph's height, as a fraction of that height.
    stroke: width of a segment, as a fraction of the glyph's height.
    noise: standard deviation of the Gaussian noise added to every channel, in gray levels.
  """

  height: int = 512
  width: int = 512
  min_digits: int = 5
  max_digits: int = 14
  min_glyph_height: int = 25
  max_glyph_height: int = 33
  slant: float = 0.0
  stroke: float = 0.14
  foreground: Sequence[int] = (20, 20, 20)
  background: Sequence[int] = (255, 255, 255)
  noise: float = 0.0

  def __post_init__(self):
    digits = f'min_digits {self.min_digits}, max_digits {self.max_digits}'
    heights = f'min_glyph_height {self.min_glyph_height}, max_glyph_height {self.max_glyph_height}'
    checks = (
      (1 <= self.min_digits <= self.max_digits, f'{digits}: expected 1 <= min <= max'),
      (8 <= self.min_glyph_height <= self.max_glyph_height, f'{heights}: expected 8 <= min <= max'),
      (
        0.04 <= self.stroke <= 0.25,
        f'stroke {self.stroke}: expected 0.04 to 0.25 of the glyph height',
      ),
      (-0.5 <= self.slant <= 0.5, f'slant {self.slant}: expected -0.5 to 0.5'),
      (self.noise >= 0, f'noise {self.noise}: expected at least 0'),
    )
    problems = [problem for is_right, problem in checks if not is_right]
    for name in ('foreground', 'background'):
      color = getattr(self, name)
      if len(color) != 3 or not all(0 <= level <= 255 for level in color):
        problems.append(f'{name} {color}: expected three levels of 0 to 255')
    if not problems:
      longest = _string_width(self.max_digits, self.max_glyph_height, self.slant)
      if longest > self.width or self.max_glyph_height > self.height:
        problems.append(
          f'canvas {self.width} x {self.height}: {self.max_digits} digits of height '
          f'{self.max_glyph_height} need {longest} x {self.max_glyph_height}; '
          'widen it, or take fewer or smaller digits'
        )
    if problems:
      raise InputError('seven-segment digits: ' + '; '.join(problems))


def draw_string(rng: np.random.Generator, style: DigitStyle) -> tuple[np.ndarray, str, np.ndarray]:
  """Draws one random string of digits at a random place of a canvas.

  Returns:
    image u8[h,w,3]; the n digits, left to right; boxes i64[n,4], pixels, [ymin, xmin, ymax, xmax],
    max exclusive: the least box that holds all of a digit's lit pixels. A 1 is as narrow as its two
    segments. Boxes do not overlap unless a slant leans one glyph's box over the next; the glyphs
    themselves never do.
  """
  digits = ''.join(rng.choice(CLASS_NAMES, rng.integers(style.min_digits, style.max_digits + 1)))
  glyph_height = int(rng.integers(style.min_glyph_height, style.max_glyph_height + 1))
  total_width = _string_width(len(digits), glyph_height, style.slant)
  top = int(rng.integers(0, style.height - glyph_height + 1))
  left = int(rng.integers(0, style.width - total_width + 1))
  coverage = Image.new('L', (style.width, style.height))
  boxes = []
  for i, digit in enumerate(digits):
    glyph = _glyph(int(digit), glyph_height, style.slant, style.stroke)
    x = left + round(i * glyph_height * (_WIDTH + _SPACING))
    # Through its own coverage: a slanted glyph's empty corner may lie over its neighbor.
    coverage.paste(255, (x, top), glyph)
    ink_left, ink_top, ink_right, ink_bottom = glyph.getbbox()
    boxes.append((top + ink_top, x + ink_left, top + ink_bottom, x + ink_right))
  alpha = np.asarray(coverage, np.float32)[..., np.newaxis] / 255
  image = np.float32(style.background) * (1 - alpha) + np.float32(style.foreground) * alpha
  if style.noise:
    image += rng.normal(0, style.noise, image.shape)
  return np.clip(np.rint(image), 0, 255).astype(np.uint8), digits, np.array(boxes)


def generate_annotation(
  index: int, split: str, seed: int, style: DigitStyle | None = None
) -> Annotation:
  """Makes one annotated image, a PNG; the same arguments give the same bytes, in whatever order.

  The splits 'train' and 'eval' share no image; digit d has class id d + 1.
  """
  style = style or DigitStyle()
  rng = np.random.default_rng([seed, ('train', 'eval').index(split), index])
  image, digits, boxes = draw_string(rng, style)
  stream = io.BytesIO()
  Image.fromarray(image).save(stream, 'PNG')
  size = np.array([style.height, style.width] * 2, np.float32)
  return Annotation(
    encoded=stream.getvalue(),
    format='png',
    height=style.height,
    width=style.width,
    filename=f'{split}_{index:05d}.png',
    source_id=f'{split}_{index:05d}',
    boxes=(boxes / size).astype(np.float32),
    class_ids=np.array([int(digit) + 1 for digit in digits]),
    class_names=list(digits),
  )


def open_source(num_images: int, split: str, seed: int, style: DigitStyle | None = None) -> Source:
  """A data set of drawn images, see `generate_annotation`; an item is the number of an image."""
  read = functools.partial(generate_annotation, split=split, seed=seed, style=style)
  return Source(dict(enumerate(CLASS_NAMES, start=1)), range(num_images), read)


def write_data_set(
  output_dir: str,
  *,
  num_train: int = 800,
  num_eval: int = 200,
  seed: int = 0,
  style: DigitStyle | None = None,
  num_shards: int = 1,
  num_workers: int | None = None,
  write_voc: bool = False,
  write_coco: bool = False,
) -> dict[str, record_writer.ConversionReport]:
  """Writes digits_train.record and digits_eval.record, and on request the same as image files.

  Those are output_dir/voc, as Pascal VOC lays it out, with the sets train and eval; and
  output_dir/coco: instances_train.json, instances_eval.json and the folders train and eval.
  """
  reports = {}
  for split, count in (('train', num_train), ('eval', num_eval)):
    source = open_source(count, split, seed, style)
    reports[split] = record_writer.write_records(
      source,
      os.path.join(output_dir, f'digits_{split}.record'),
      num_shards=num_shards,
      num_workers=num_workers,
    )
    # Drawn anew rather than kept: the bytes are the same, and memory stays small.
    if write_voc:
      root = os.path.join(output_dir, 'voc')
      annotation_files.write_pascal_voc(map(source.read, source.items), root, split)
    if write_coco:
      root = os.path.join(output_dir, 'coco')
      images = map(source.read, source.items)
      annotation_files.write_coco(images, source.name_to_id, root, split)
  return reports


def _string_width(num_digits, glyph_height, slant):
  """An upper bound, in whole pixels, of what a string covers."""
  pitches = round((num_digits - 1) * glyph_height * (_WIDTH + _SPACING))
  return pitches + _glyph_width(glyph_height, slant)


def _glyph_width(glyph_height, slant):
  return int(np.ceil(glyph_height * (_WIDTH + abs(slant))))


@functools.lru_cache(maxsize=1024)
def _glyph(digit, glyph_height, slant, stroke):
  """A digit's coverage, 'L', on a tile of the glyph's full width; threads share it, read only."""
  width = _glyph_width(glyph_height, slant)
  tile = Image.new('L', (width * _OVERSAMPLING, glyph_height * _OVERSAMPLING))
  draw = ImageDraw.Draw(tile)
  scale = glyph_height * _OVERSAMPLING
  for segment in _LIT[digit]:
    # Upright coordinates in glyph heights, y down; the slant moves what is high to the right.
    corners = [
      (x + (slant * (1 - y) if slant > 0 else -slant * y), y)
      for x, y in _segment_corners(segment, stroke)
    ]
    # Pillow draws a polygon's border pixels too: half a pixel back centers them.
    draw.polygon([(x * scale - 0.5, y * scale - 0.5) for x, y in corners], fill=255)
  return tile.reduce(_OVERSAMPLING)


def _segment_corners(segment, stroke):
  """The hexagon of a segment: a bar pointed at both ends, so that neighbors meet at 45 degrees."""
  half = stroke / 2
  left, right = half, _WIDTH - half
  top, middle, bottom = half, 0.5, 1 - half
  if segment in 'agd':
    y = {'a': top, 'g': middle, 'd': bottom}[segment]
    x0, x1 = left + _GAP, right - _GAP
    return [
      (x0, y), (x0 + half, y - half), (x1 - half, y - half),
      (x1, y), (x1 - half, y + half), (x0 + half, y + half),
    ]  # fmt: skip
  x = right if segment in 'bc' else left
  y0, y1 = (top, middle) if segment in 'bf' else (middle, bottom)
  y0, y1 = y0 + _GAP, y1 - _GAP
  return [
    (x, y0), (x + half, y0 + half), (x + half, y1 - half),
    (x, y1), (x - half, y1 - half), (x - half, y0 + half),
  ]  # fmt: skip
