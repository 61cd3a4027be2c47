"""The records of a user's data set: written once, and used again while nothing has changed."""

import collections
import concurrent.futures
import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tqdm

from ssd_tf.config import label_map as label_maps
from ssd_tf.data import box_validation, record_output, record_writer
from ssd_tf.data.source import Source
from ssd_tf.errors import InputError
from ssd_tf.files import json_file
from ssd_tf.project import data_set, folder_scan, split

_VERSION = 1  # Of what the records are made from; another one writes them anew.
_IMAGES_PER_FILE = 5000


@dataclasses.dataclass(frozen=True)
class PreparedData:
  """Records of a data set on disk.

  Attributes:
    format: of the data set, such as 'Pascal VOC'.
    place: the folder or file that it is.
    label_map_path: the classes.
    paths: of the records of each part: train, val, and perhaps test.
    num_images: of each part.
    num_boxes: of each part.
    is_split: whether val was split off here, and not by the data set.
    remarks: what the user should know, a sentence each.
    is_reused: whether the records were there already.
  """

  format: str
  place: str
  label_map_path: str
  paths: Mapping[str, str]
  num_images: Mapping[str, int]
  num_boxes: Mapping[str, int]
  is_split: bool
  remarks: Sequence[str] = ()
  is_reused: bool = False

  def pattern(self, part: str) -> str:
    """The path of a part's records, or the pattern of its files, as a config has it."""
    count = _num_shards(self.num_images[part])
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
      which says what they were made from.
    label_map_path: see `data_set.find`.
    validation_share: of the images, where the data set has no part of its own for it.
    seed: of that choice.

  Returns:
    What was written.

  Raises:
    InputError: the data set is at fault; names the file.
  """
  settings = {
    'version': _VERSION,
    'data': os.path.abspath(path),
    'label_map_path': label_map_path and os.path.abspath(label_map_path),
    'validation_share': validation_share,
    'seed': seed,
    'files': _digest_of_files(path, label_map_path),
  }
  manifest_path = os.path.join(folder, folder_scan.MANIFEST)
  known = _load_manifest(manifest_path)
  if known.get('made_from') == settings:
    prepared = PreparedData(**known['prepared'], is_reused=True)
    if all(map(os.path.isfile, [prepared.label_map_path, *_record_files(prepared)])):
      return prepared
  found = data_set.find(path, label_map_path)
  prepared = _write(found, folder, validation_share, seed)
  content = dataclasses.asdict(prepared)
  del content['is_reused']
  json_file.write(manifest_path, {'made_from': settings, 'prepared': content})
  return prepared


def _load_manifest(path):
  try:
    return json_file.load(path)
  except (OSError, InputError):
    return {}


def _digest_of_files(path, label_map_path):
  """Of the names, sizes and times of change of all files that the records may be made from."""
  scan = folder_scan.scan(path if os.path.isdir(path) else os.path.dirname(path) or '.')
  kinds = (getattr(scan, field.name) for field in dataclasses.fields(scan) if field.name != 'root')
  files = {file for kind in kinds for file in kind}
  if label_map_path:
    files.add(label_map_path)
  digest = hashlib.sha256()
  for file in sorted(files):
    stat = os.stat(file)
    digest.update(f'{file}\n{stat.st_size} {stat.st_mtime_ns}\n'.encode())
  return digest.hexdigest()


def _record_files(prepared):
  return [
    file
    for part, path in prepared.paths.items()
    for file in record_output.sharded(path, _num_shards(prepared.num_images[part])).paths
  ]


def _num_shards(num_images):
  return -(-num_images // _IMAGES_PER_FILE)


def _write(found, folder, validation_share, seed):
  parts, remarks = dict(found.parts), list(found.remarks)
  is_split = 'val' not in parts
  if 'val' not in parts and 'test' in parts:
    parts['val'], is_split = parts.pop('test'), False
    remarks.append('It has no part for validation, so its test part validates.')
  if is_split:
    parts = _split(next(iter(parts.values())), validation_share, seed)
  label_map_path = os.path.join(folder, 'label_map.pbtxt')
  reports, paths = {}, {}
  for part in sorted(parts, key=('train', 'val', 'test').index):
    paths[part] = os.path.join(folder, f'{part}.record')
    reports[part] = record_writer.write_records(
      parts[part], paths[part], num_shards=_num_shards(len(parts[part].items))
    )
  label_maps.save(label_maps.of_names(found.names), label_map_path)
  return PreparedData(
    format=found.format,
    place=found.place,
    label_map_path=label_map_path,
    paths=paths,
    num_images={part: report.num_images for part, report in reports.items()},
    num_boxes={part: report.num_boxes for part, report in reports.items()},
    is_split=is_split,
    remarks=remarks,
  )


def _split(source: Source, share, seed) -> dict[str, Source]:
  """Two parts of a data set that has none; what cannot be read trains, and the writer tells."""
  rows, images = [], []
  with concurrent.futures.ThreadPoolExecutor() as executor:
    looks = executor.map(lambda item: _look_at(source, item), source.items)
    bar = tqdm.tqdm(looks, 'split', len(source.items), unit='image', disable=None)
    for row, image in enumerate(bar):
      if image is not None:
        rows.append(row)
        images.append(image)
  if len({group for group, _ in images}) < 2:
    raise InputError(
      f'{len(images)} different images can be read; expected at least 2, one of them to validate'
    )
  validates = np.zeros(len(source.items), bool)
  validates[rows] = split.split(images, share, seed)

  def chosen(mask):
    return [item for item, is_chosen in zip(source.items, mask, strict=True) if is_chosen]

  return {
    'train': dataclasses.replace(source, items=chosen(~validates)),
    'val': dataclasses.replace(source, items=chosen(validates), remarks=()),
  }


def _look_at(source, item):
  """The digest of an image's bytes, by which equal ones are known, and its boxes of each class."""
  try:
    annotation, _ = box_validation.validate_boxes(source.read(item))
  except InputError:
    return None
  digest = hashlib.sha256(annotation.encoded).digest()
  return digest, collections.Counter(annotation.class_ids.tolist())
