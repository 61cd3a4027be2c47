"""Reads the plan of a merge: its data sets, and their labeled, renamed and dropped classes."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ssd_tf.errors import InputError, closest
from ssd_tf.files import json_file, plain_text

# What each type of source needs besides, and what holds where it is left out (None: required).
OPTIONS = {
  'coco': {'annotations_file': None, 'image_dir': None},
  'lvis': {'annotations_file': None, 'image_dir': None},
  'pascal_voc': {
    'data_dir': None,
    'set': 'train',
    'year': 'VOC2007',
    'annotations_dir': 'Annotations',
    'label_map_path': '',
  },
  'csv': {'csv_input': None, 'image_dir': None, 'label_map_path': ''},
  'yolo': {'data_yaml': None, 'set': 'train', 'label_map_path': ''},
  'open_images': {
    'image_dir': None,
    'boxes_csv': None,
    'labels_csv': '',
    'label_map_path': None,
    'class_descriptions_csv': '',
  },
  'tfrecord': {'input_path': None, 'label_map_path': None},
}
# Those that are no paths.
NO_PATHS = ('set', 'year', 'annotations_dir')
_COMMON = ('name', 'type', 'labeled_class', 'rename', 'drop')


@dataclasses.dataclass(frozen=True)
class SourcePlan:
  """One data set of a merge.

  Attributes:
    name: unique; the images' source_id begins with it.
    options: a value for every key that OPTIONS has for the type.
    labeled_class: the source's own names of the classes labeled in an image whose record does not
      say; None: all of the source.
    rename: the source's own name to the merged set's.
    place: the plan file and the source in it, for the errors.
  """

  name: str
  type: str
  options: Mapping[str, Any]
  labeled_class: Sequence[str] | None = None
  rename: Mapping[str, str] = dataclasses.field(default_factory=dict)
  drop: Sequence[str] = ()
  place: str = ''

  def becomes(self, name: str) -> str | None:
    """The merged set's name of one of the source's classes; None if it is dropped."""
    return None if name in self.drop else self.rename.get(name, name)

  def check_class_names(self, known: Sequence[str]) -> None:
    """Refuses names of labeled_class, rename or drop that are no class of the source."""
    for key in ('labeled_class', 'rename', 'drop'):
      for name in getattr(self, key) or ():
        if name not in known:
          hint = closest(name, known)
          raise InputError(f'{self.place}: {key}: the source has no class {name!r}; {hint}')


def load_plan(path: str) -> list[SourcePlan]:
  """Reads and checks a plan; paths stay as they are written there.

  Args:
    path: a JSON file: a list of objects, one for each source, with name, type, the keys that
      OPTIONS has for the type, and at will labeled_class, rename and drop.

  Raises:
    InputError: names the source, the key, what was expected and what came.
  """
  content = json_file.load(path)
  if not isinstance(content, list) or not content:
    raise InputError(
      f'{path}: expected a list of sources, [{{"name": ..., "type": ...}}, ...], received '
      f'{_shown(content)}'
    )
  plans = [_parse(f'{path}: source {i}', entry) for i, entry in enumerate(content, start=1)]
  places = {}
  for plan in plans:
    if plan.name in places:
      raise InputError(f'{plan.place}: name: {places[plan.name]} has the same; give each its own')
    places[plan.name] = plan.place
  return plans


def _parse(place, entry):
  if not isinstance(entry, dict):
    raise InputError(f'{place}: expected an object, {{"name": ..., ...}}, received {_shown(entry)}')
  name = _text(place, 'name', entry)
  if '/' in name:
    raise InputError(f"{place}: name: {name!r} has a '/', which parts it from the image's own id")
  place = f'{place} ({name!r})'
  kind = _text(place, 'type', entry)
  if kind not in OPTIONS:
    raise InputError(f'{place}: type: {kind!r}; expected one of: {", ".join(OPTIONS)}')
  known = [*_COMMON, *OPTIONS[kind]]
  for key in entry:
    if key not in known:
      raise InputError(f'{place}: a {kind} source has no key {key!r}; {closest(key, known)}')
  options = {
    key: default if key not in entry and default is not None else _option(place, key, entry)
    for key, default in OPTIONS[kind].items()
  }
  labeled_class = entry.get('labeled_class')
  if labeled_class is not None:
    _check_names(place, 'labeled_class', labeled_class)
  rename, drop = entry.get('rename', {}), entry.get('drop', [])
  _check_names(place, 'drop', drop)
  if not isinstance(rename, dict):
    raise InputError(f'{place}: rename: expected {{"old": "new"}}, received {_shown(rename)}')
  _check_names(place, 'rename', [*rename.values()])
  if both := sorted(rename.keys() & set(drop)):
    raise InputError(f'{place}: {both[0]!r} is in rename and in drop; remove it from one')
  return SourcePlan(name, kind, options, labeled_class, rename, drop, place)


def _option(place, key, entry):
  # Only records come in several files.
  if key == 'input_path' and isinstance(entry.get(key), list) and entry[key]:
    _check_names(place, key, entry[key])
    return entry[key]
  return _text(place, key, entry)


def _text(place, key, entry):
  if key not in entry:
    raise InputError(f'{place}: the key {key!r} is missing')
  value = entry[key]
  if not isinstance(value, str) or not value:
    raise InputError(f'{place}: {key}: expected a text, received {_shown(value)}')
  return plain_text.check(value, f'{place}: {key}')


def _check_names(place, key, names):
  if not isinstance(names, list):
    raise InputError(f'{place}: {key}: expected a list of texts, received {_shown(names)}')
  for name in names:
    if not isinstance(name, str) or not name:
      raise InputError(f'{place}: {key}: expected texts, received {_shown(name)} among them')
    plain_text.check(name, f'{place}: {key}')


def _shown(value):
  # Half of a surrogate pair, which JSON can have, cannot be printed.
  text = json.dumps(value, ensure_ascii=False).encode('utf-8', 'backslashreplace').decode()
  return text if len(text) <= 60 else f'{text[:60]}...'
