"""Lists the configs that come with the package, and the accuracy known of each."""

import pathlib
import re
from typing import NamedTuple

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError, closest

FOLDER = pathlib.Path(__file__).parents[1] / 'configs'
_COMMENT = re.compile(r'#\s?(.*)')


class StockConfig(NamedTuple):
  """One of them: its name, the (height, width) of its input, and its first sentence."""

  name: str
  size: tuple[int, int]
  summary: str


def names() -> list[str]:
  """Lists the names, sorted."""
  return sorted(path.stem for path in FOLDER.glob('*.config'))


def models() -> list[str]:
  """Lists those that a training on other data begins with: the ones of COCO's classes."""
  return [name for name in names() if name.endswith('_coco')]


def load(name: str) -> Pipeline:
  """Reads one.

  Raises:
    InputError: there is none of this name; says the closest.
  """
  if name not in names():
    raise InputError(f'no config of the package is named {name!r}; {closest(name, names())}')
  return Pipeline.load(FOLDER / f'{name}.config')


def describe(name: str) -> StockConfig:
  """Describes one by its input size and the first sentence of its comment."""
  pipeline = load(name)
  resizer = pipeline.config.model.ssd.image_resizer
  one = getattr(resizer, resizer.WhichOneof('image_resizer_oneof'))
  lines = pathlib.Path(pipeline.path).read_text(encoding='utf-8').splitlines()
  words = ' '.join(_COMMENT.fullmatch(line)[1] for line in lines if line.startswith('#'))
  return StockConfig(name, (one.height, one.width), re.split(r'(?<=\.) ', words)[0])
