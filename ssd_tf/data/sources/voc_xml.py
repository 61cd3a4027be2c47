"""Reads Pascal VOC annotation files: XML with an <object> for each box; refuses other dialects."""

import dataclasses
import math
import re
from collections.abc import Sequence
from xml.etree import ElementTree

from ssd_tf.errors import InputError
from ssd_tf.files import plain_text

# Where one of these lies outside an <object> of <annotation>, there are boxes that are not read.
_BOX_TAGS = {'object', 'objects', 'bndbox', 'bbox', 'box', 'boxes', 'polygon', 'rectangle'}


@dataclasses.dataclass(frozen=True)
class VocObject:
  """One <object> of an annotation file; the box in pixels, as written."""

  name: str
  box: tuple[float, float, float, float]  # ymin, xmin, ymax, xmax
  difficult: bool
  truncated: bool
  pose: str


@dataclasses.dataclass(frozen=True)
class VocAnnotation:
  """What an annotation file says; the file name of the image is '' where it is not named.

  Attributes:
    size: (height, width) of the image; None where it is not told, or 0 as some tools write then.
  """

  objects: Sequence[VocObject]
  filename: str
  size: tuple[int, int] | None


def read_xml(path: str) -> VocAnnotation:
  """Reads an annotation file; an error names the file where it is broken or no Pascal VOC."""
  try:
    root = ElementTree.parse(path).getroot()
  except (ElementTree.ParseError, ValueError, LookupError) as error:
    # The last two: an encoding that Python's parser does not know.
    raise InputError(f'{path}: broken XML: {error}') from error
  except OSError as error:
    raise InputError(f'{path}: cannot read the annotation: {error.strerror}') from error
  _require_voc(root, path)
  objects = [_object(element, path) for element in root.findall('object')]
  filename = re.split(r'[/\\]', _text(root, 'filename'))[-1]
  return VocAnnotation(objects, filename, _size(root, path))


def _require_voc(root, path):
  expected = 'expected Pascal VOC: <annotation>, and directly in it an <object> for each box'
  if root.tag != 'annotation':
    raise InputError(f'{path}: the root element is <{root.tag}>; {expected}')
  for child in root:
    for element in child.iter() if child.tag != 'object' else ():
      # Without the namespace.
      if element.tag.rpartition('}')[2].lower() in _BOX_TAGS:
        inside = f' in <{child.tag}>' if element is not child else ''
        raise InputError(f'{path}: found <{element.tag}>{inside}; {expected}')


def _object(element, path):
  if not _text(element, 'name'):
    raise InputError(f'{path}: an <object> has no <name>')
  name = plain_text.check(_text(element, 'name'), f'{path}: <name>')
  box = [
    _number(_text(element, f'bndbox/{side}'), f'{path}: object {name!r}: <bndbox> <{side}>')
    for side in ('ymin', 'xmin', 'ymax', 'xmax')
  ]
  flags = [_text(element, flag).lower() in ('1', 'true') for flag in ('difficult', 'truncated')]
  return VocObject(name, tuple(box), *flags, _text(element, 'pose'))


def _size(root, path):
  texts = {side: _text(root, f'size/{side}') for side in ('height', 'width')}
  if not all(texts.values()):
    return None
  size = tuple(
    round(_number(text, f'{path}: <size> <{side}>', minimum=0)) for side, text in texts.items()
  )
  return size if all(size) else None


def _number(text, place, minimum=-math.inf):
  try:
    number = float(text)
  except ValueError:
    number = math.nan
  if not math.isfinite(number) or number < minimum:
    raise InputError(f'{place} is {text!r}; expected a number of pixels')
  return number


def _text(element, name):
  return (element.findtext(name) or '').strip()
