"""Draws boxes with their names and scores on images."""

import colorsys
import functools
import os
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from ssd_tf import fields

# Latin, Greek, Cyrillic, Arabic and more; comes with matplotlib, so the same on every machine.
_FONT = os.path.join(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf')
# Chinese, Japanese and Korean, by the file names usual on Linux, Windows and macOS.
_SYSTEM_FONTS = (
  'NotoSansCJK-Regular.ttc',
  'DroidSansFallbackFull.ttf',
  'wqy-zenhei.ttc',
  'msyh.ttc',
  'Arial Unicode.ttf',
)
# Successive multiples of the golden ratio lie farthest apart on the circle of hues.
_GOLDEN_RATIO = 0.618034
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_GAP = (221, 221, 221)
_BACKGROUND = (255, 255, 255)
_CAPTION = (51, 51, 51)


def class_color(class_id: int) -> tuple[int, int, int]:
  """Gives a class its color: RGB in 0..255, the same in every image, far from its neighbors'.

  All have a middling luma, so that they stand out from white and from black, under white letters.
  """
  rgb = 255 * np.array(colorsys.hsv_to_rgb((class_id * _GOLDEN_RATIO - 0.05) % 1.0, 0.9, 1.0))
  # Every few classes the hues come close to earlier ones: there the tone changes.
  target = (120, 80, 145)[class_id // 8 % 3]
  luma = rgb @ _LUMA
  if luma > target:
    rgb *= target / luma
  else:
    rgb += (255 - rgb) * (target - luma) / (255 - luma)
  return tuple(int(channel) for channel in rgb.round())


def draw_detections(
  image: np.ndarray,
  boxes: np.ndarray,
  classes: np.ndarray,
  scores: np.ndarray | None,
  names: Mapping[int, str],
  *,
  show_scores: bool = True,
  show_names: bool = True,
) -> np.ndarray:
  """Draws boxes with their class names, and scores if there are any, on a copy of the image.

  Line width and letters grow with the image. Labels keep clear of each other where they can: they
  lose their score first, and overlap only if that is not enough. Narrow boxes show no score.

  Args:
    image: u8[h,w,3], RGB.
    boxes: f32[n,4], normalized; no padding. Parts outside of the image are not seen.
    classes: i32[n], 1..K.
    scores: f32[n] in [0, 1], written as percent; None for groundtruth.
    names: name by class id, in any script; a class without a name, or whose name no font of this
      machine can write, shows its id.
    show_scores: whether to write the scores; they give the order in any case.

  Returns:
    u8[h,w,3].

  Raises:
    ValueError: a shape or type does not fit.
  """
  image, boxes = np.asarray(image), np.asarray(boxes, np.float64)
  classes = np.asarray(classes)
  if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
    raise ValueError(f'image: expected uint8 [h, w, 3], received {image.dtype} {image.shape}')
  if boxes.shape != (len(classes), 4):
    raise ValueError(f'boxes: expected shape [{len(classes)}, 4], received {boxes.shape}')
  height, width = image.shape[:2]
  canvas = Image.fromarray(image)
  draw = ImageDraw.Draw(canvas)
  line_width = max(1, round(min(height, width) / 240))
  # The best detections are drawn last, on top, and their labels placed first.
  order = np.arange(len(boxes)) if scores is None else np.argsort(-np.asarray(scores))
  corners = [_pixel_corners(box, height, width) for box in boxes]
  for i in order[::-1]:
    draw.rectangle(corners[i], outline=class_color(int(classes[i])), width=line_width)
  taken = []
  for i in order:
    class_id = int(classes[i])
    score = None if scores is None or not show_scores else float(scores[i])
    if show_names:
      _label(draw, corners[i], class_id, names.get(class_id, ''), score, taken)
    elif score is not None:
      _label(draw, corners[i], class_id, f'{score:.0%}', None, taken)
  return np.asarray(canvas)


def side_by_side(
  image: np.ndarray,
  detections: Mapping[str, Any],
  groundtruth: Mapping[str, Any],
  names: Mapping[int, str],
  score_threshold: float = 0.5,
  *,
  show_scores: bool = True,
  show_names: bool = True,
  groundtruth_color: str = '',
) -> np.ndarray:
  """Draws detections on the left and groundtruth on the right, each under a caption with its count.

  Args:
    image: u8[h,w,3], RGB; small images are enlarged until their longer side passes 400 pixels.
    detections: one image's detection_boxes f32[D,4], detection_scores f32[D], detection_classes
      i32[D], num_detections i32[].
    groundtruth: one image's groundtruth_boxes f32[N,4], groundtruth_classes i32[N], and, if
      padded, groundtruth_mask bool[N].
    groundtruth_color: of groundtruth boxes drawn beneath the detections on the left too, a name of
      CSS or #rrggbb; '' draws none there.

  Returns:
    u8[h',w',3].

  Source: the Object Detection API's visualization_utils.py draws such pairs for TensorBoard; the
  captions, the enlarging and the drawing are this project's.
  """
  image = np.asarray(image)
  factor = -(-400 // max(image.shape[:2]))
  image = image.repeat(factor, axis=0).repeat(factor, axis=1)

  count = int(detections[fields.NUM_DETECTIONS])
  scores = np.asarray(detections[fields.DETECTION_SCORES])[:count]
  kept = scores >= score_threshold
  boxes = np.asarray(groundtruth[fields.GROUNDTRUTH_BOXES])
  real = np.asarray(groundtruth.get(fields.GROUNDTRUTH_MASK, np.ones(len(boxes), bool)))
  left = draw_detections(
    _outlined(image, boxes[real], groundtruth_color) if groundtruth_color else image,
    np.asarray(detections[fields.DETECTION_BOXES])[:count][kept],
    np.asarray(detections[fields.DETECTION_CLASSES])[:count][kept],
    scores[kept],
    names,
    show_scores=show_scores,
    show_names=show_names,
  )
  classes = np.asarray(groundtruth[fields.GROUNDTRUTH_CLASSES])[real]
  right = draw_detections(image, boxes[real], classes, None, names, show_names=show_names)
  return _join(
    [
      (left, f'Detections: {kept.sum()} (score {score_threshold:.2f} or more)'),
      (right, f'Groundtruth: {real.sum()}'),
    ]
  )


def _outlined(image, boxes, color):
  height, width = image.shape[:2]
  canvas = Image.fromarray(image)
  draw = ImageDraw.Draw(canvas)
  for box in np.asarray(boxes, np.float64):
    corners = _pixel_corners(box, height, width)
    # Twice as wide as those of the detections, to be seen around them.
    draw.rectangle(corners, outline=color, width=2 * max(1, round(min(height, width) / 240)))
  return np.asarray(canvas)


def _join(captioned):
  """Puts images of one size in a row, each under its caption."""
  height, width = captioned[0][0].shape[:2]
  font = ImageFont.truetype(_FONT, _font_size(height, width))
  strip = round(font.size * 1.8)
  gap = max(4, round(width / 80))
  canvas = Image.new('RGB', (len(captioned) * (width + gap) - gap, strip + height), color=_GAP)
  draw = ImageDraw.Draw(canvas)
  draw.rectangle([0, 0, canvas.width, strip - 1], fill=_BACKGROUND)
  for i, (image, caption) in enumerate(captioned):
    left = i * (width + gap)
    canvas.paste(Image.fromarray(image), (left, strip))
    draw.text((left + 2, strip / 2), caption, fill=_CAPTION, font=font, anchor='lm')
  return np.asarray(canvas)


def _pixel_corners(box, height, width):
  """Gives (x0, y0, x1, y1) in whole pixels, both corners drawn and in order for a tiny box."""
  ymin, xmin, ymax, xmax = np.round(box * [height, width, height, width]).astype(int)
  return int(xmin), int(ymin), max(int(xmin), int(xmax) - 1), max(int(ymin), int(ymax) - 1)


def _label(draw, corners, class_id, name, score, taken):
  """Writes a label where no other in `taken` is, and adds its place to `taken`."""
  width, height = draw.im.size
  size = _font_size(height, width)
  name = name if name and _font_path(name) else str(class_id)
  font = ImageFont.truetype(_font_path(name), size)
  line_height = size + 4
  x0, y0, x1, y1 = corners
  texts = [name]
  if score is not None:
    with_score = f'{name} {score:.0%}'
    # In a row of narrow boxes, such as digits, there is room for the names alone.
    if font.getlength(with_score) <= 3 * (x1 - x0 + 1):
      texts = [with_score, name]
  places = []
  for text in texts:
    text_width = round(font.getlength(text)) + 6
    for left in (x0, x1 + 1 - text_width):
      left = min(max(left, 0), max(width - text_width, 0))
      for top in (y0 - line_height, y1 + 1, y0):
        top = min(max(top, 0), max(height - line_height, 0))
        places.append((text, (left, top, left + text_width - 1, top + line_height - 1)))
  free = (p for p in places if not any(_overlap(p[1], other) for other in taken))
  text, place = next(free, places[-1])
  taken.append(place)
  draw.rectangle(place, fill=class_color(class_id))
  middle = (place[1] + place[3] + 1) / 2
  draw.text((place[0] + 3, middle), text, fill='white', font=font, anchor='lm')


def _overlap(a, b):
  return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def _font_size(height, width):
  return max(10, round(min(height, width) / 36))


@functools.cache
def _font_path(text):
  """Finds a font that has every character of the text; None if this machine has none."""
  for name in (_FONT, *_SYSTEM_FONTS):
    try:
      path = ImageFont.truetype(name).path
    except OSError:  # Not on this machine: Pillow has searched its font folders.
      continue
    if {ord(character) for character in text} <= _characters(path):
      return path
  return None


@functools.cache
def _characters(path):
  return set(FT2Font(path).get_charmap())
