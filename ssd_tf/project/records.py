"""Writes the records of a user's data set once, and reuses them while nothing has changed."""

import collections
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence

from ssd_tf.config import label_map as label_maps
from ssd_tf.data import record_output, record_writer, tf_example
from ssd_tf.errors import InputError
from ssd_tf.files import json_file
from ssd_tf.project import data_set, file_states, folder_scan, source_split

_VERSION = 1  # Of what the records are made from; another one writes them anew.
_IMAGES_PER_FILE = 5000
_LABEL_MAP = 'label_map.pbtxt'


@dataclasses.dataclass(frozen=True)
class PreparedData:
  """Records of a data set on disk.

  Attributes:
    format: of the data set, such as 'Pascal VOC'.
    place: the folder or file that it is.
    folder: of the records, and of the label map.
    num_images: of each part: train, val, and perhaps test.
    num_boxes: of each part.
    num_files: of the records of each part.
    is_split: whether val was split off here, and not by the data set.
    remarks: what the user should know, a sentence each.
    is_reused: whether the records were there already.
  """

  format: str
  place: str
  folder: str
  num_images: Mapping[str, int]
  num_boxes: Mapping[str, int]
  num_files: Mapping[str, int]
  is_split: bool
  remarks: Sequence[str] = ()
  is_reused: bool = False

  @property
  def label_map_path(self) -> str:
    """The classes."""
    return os.path.join(self.folder, _LABEL_MAP)

  @property
  def paths(self) -> dict[str, str]:
    """Of the records of each part, without the numbers of several files."""
    return {part: _path(self.folder, part) for part in self.num_files}

  def pattern(self, part: str) -> str:
    """The path of a part's records, or the pattern of its files, as a config has it."""
    count = self.num_files[part]
    return self.paths[part] + (f'-?????-of-{count:05d}' if count > 1 else '')


def prepare(
  path: str,
  folder: str,
  *,
  label_map_path: str | None = None,
  validation_share: float = 0.2,
  seed: int = 0,
) -> PreparedData:
  """Writes the records and the label map of a data set, unless they are there and up to date.

  Args:
    path: of the data set, see `data_set.find`.
    folder: gets train.record, val.record, perhaps test.record, label_map.pbtxt, and data_set.json,
      which says what they were made from. Folders with such a file are no part of a data set.
    label_map_path: see `data_set.find`.
    validation_share: of the images, between 0 and 1, where the data set has no part of its own for
      it.
    seed: of that choice.

  Returns:
    What was written.

  Raises:
    InputError: the data set is at fault, or lies in the folder of the records; names the file.
  """
  if not 0 < validation_share < 1:
    raise InputError(f'validation_share is {validation_share}; expected above 0 and below 1')
  settings = {
    'version': _VERSION,
    'data': os.path.abspath(path),
    'label_map_path': label_map_path and os.path.abspath(label_map_path),
    'validation_share': validation_share,
    'seed': seed,
  }
  given = [label_map_path] if label_map_path else []
  manifest_path = os.path.join(folder, folder_scan.MANIFEST)
  known = _load_manifest(manifest_path)
  if known.get('settings') == settings and _is_up_to_date(known, path, folder, given):
    return PreparedData(place=path, folder=folder, **known['prepared'], is_reused=True)
  _require_apart(path, folder, given)
  found = data_set.find(path, label_map_path)
  made_from = file_states.digest(path, given, found.folders)
  # From here on the folder is ours, also if this is killed, and its records are not whole.
  json_file.write(manifest_path, {})
  prepared = _write(found, folder, validation_share, seed)
  content = dataclasses.asdict(prepared)
  for name in ('place', 'folder', 'is_reused'):
    del content[name]
  manifest = {
    'settings': settings,
    'folders': found.folders,
    'made_from': made_from,
    'made': file_states.sizes(folder, _files(prepared)),
    'prepared': content,
  }
  json_file.write(manifest_path, manifest)
  return prepared


def _load_manifest(path):
  try:
    content = json_file.load(path)
  except (OSError, InputError):
    return {}
  return content if isinstance(content, dict) else {}


def _is_up_to_date(known, path, folder, given):
  is_whole = file_states.sizes(folder, known['made']) == known['made']
  return is_whole and known['made_from'] == file_states.digest(path, given, known['folders'])


def _require_apart(path, folder, given):
  """Refuses to write where the data set is: it would be replaced, or skipped from then on."""
  place = os.path.join(os.path.realpath(folder), '')
  for file in [*file_states.scan(path).files, *given]:
    if os.path.realpath(file).startswith(place):
      raise InputError(
        f'{folder}: the records are to be written there, but {file} is a file of the data set; '
        'give another --output, or move it'
      )


def _files(prepared):
  paths = [
    file
    for part, count in prepared.num_files.items()
    for file in record_output.sharded(prepared.paths[part], count).paths
  ]
  return [_LABEL_MAP, *map(os.path.basename, paths)]


def _path(folder, part):
  return os.path.join(folder, f'{part}.record')


def _write(found, folder, validation_share, seed):
  parts, remarks = dict(found.parts), list(found.remarks)
  is_split = 'val' not in parts and 'test' not in parts
  if is_split:
    parts = source_split.split(found.place, next(iter(parts.values())), validation_share, seed)
  elif 'val' not in parts:
    parts['val'] = parts.pop('test')
    remarks.append('It has no part for validation, so its test part validates.')
  label_maps.save(found.label_map, os.path.join(folder, _LABEL_MAP))
  reports, num_files = {}, {}
  for part in sorted(parts, key=('train', 'val', 'test').index):
    num_files[part] = -(-len(parts[part].items) // _IMAGES_PER_FILE)
    reports[part], num_boxes = _write_part(parts[part], _path(folder, part), num_files[part])
    remarks += _remarks(part, reports[part], num_boxes, found.label_map)
  return PreparedData(
    format=found.format,
    place=found.place,
    folder=folder,
    num_images={part: report.num_images for part, report in reports.items()},
    num_boxes={part: report.num_boxes for part, report in reports.items()},
    num_files=num_files,
    is_split=is_split,
    remarks=remarks,
  )


def _write_part(source, path, num_shards):
  """Returns the report, and the number of boxes of each class id."""
  class_ids = []

  def encode(annotation):
    class_ids.extend(annotation.class_ids.tolist())
    return tf_example.encode_example(annotation)

  # What the report has to tell is among the remarks.
  report = record_writer.write_records(
    source, path, num_shards=num_shards, encode=encode, show=lambda _: None
  )
  return report, collections.Counter(class_ids)


def _remarks(part, report, num_boxes, label_map) -> Iterator[str]:
  if report.skipped:
    yield (
      f'{len(report.skipped)} images of {part} cannot be used, and are left out; the first: '
      f'{report.skipped[0][1]}'
    )
  for entries, what in (
    (report.dropped, 'boxes of {} have no area inside their image, and are left out'),
    (report.clipped, 'boxes of {} reached outside their image, and are clipped'),
  ):
    if entries:
      first = ': '.join(entries[0])
      yield f'{len(entries)} {what.format(part)}; the first: {first}'
  if report.not_turned:
    yield (
      f'{len(report.not_turned)} images of {part} have an EXIF orientation that is not applied, '
      f'such as {report.not_turned[0]}: their boxes are taken as pixels of the images as stored.'
    )
  lacking = [name for class_id, name in label_map.name_by_id.items() if not num_boxes[class_id]]
  what = {'train': 'is not learned', 'val': 'is not evaluated'}.get(part)
  if lacking and what:
    listed = ', '.join(lacking[:10]) + (', ...' if len(lacking) > 10 else '')
    yield f'No box in {part}, so {what}: {listed}.'
