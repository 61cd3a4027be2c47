"""Checks records: what training cannot use, images that do not decode, empty images."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tqdm

from ssd_tf import builders
from ssd_tf.data import image_files, record_check, record_files
from ssd_tf.diagnosis.collected_warnings import CollectedWarnings
from ssd_tf.diagnosis.finding import Finding, Severity
from ssd_tf.diagnosis.project import Project
from ssd_tf.errors import InputError

_MAX_EMPTY, _TOLD_EMPTY = 0.5, 0.05


def check_records(project: Project) -> Iterator[Finding]:
  """What a look through the records finds: files, images, boxes, class ids, labeled classes."""
  for is_training in (True, False):
    fields = project.training_fields if is_training else project.evaluation_fields
    if not fields:
      continue  # The config is refused for it.
    summaries = project.summaries(is_training)
    for field, summary in summaries.items():
      yield from _part_only(project, field, summary)
      yield from _problems(field, summary)
      yield from _oddities(field, summary)
    yield from _unlabeled(project, summaries, is_training)


def check_images(project: Project) -> Iterator[Finding]:
  """Whether images decode, as a training decodes them, and have the size that records say."""
  for field in project.fields:
    table = project.table(field)
    broken, resized = [], []
    chosen = _chosen_images(table.num_images, project.max_images)
    rows = {(table.paths[i], table.record_numbers[i]): i for i in chosen}
    records = _records(table, project.paths(field))
    for path, number, record in tqdm.tqdm(records, 'images', len(chosen), disable=None):
      if (row := rows.get((path, number))) is None:
        continue
      features = tf.train.Example.FromString(record).features.feature
      encoded = next(iter(features['image/encoded'].bytes_list.value), b'')
      size = image_files.decoded_size(encoded)
      if size is None:
        broken.append(row)
      elif table.sizes[row].all() and size != tuple(table.sizes[row]):
        resized.append((row, size))
    yield from _broken_images(field, table, broken, len(rows))
    yield from _resized_images(field, table, resized, len(rows))


def check_empty_images(project: Project) -> Iterator[Finding]:
  """Which share of the images holds no object."""
  for field in project.fields:
    table = project.table(field)
    with_boxes = np.bincount(table.image_index[table.usable], minlength=table.num_images)
    empty = int((with_boxes == 0).sum())
    share = empty / max(1, table.num_images)
    # Without any box at all, other checks find more to say.
    if share < _TOLD_EMPTY or share == 1:
      continue
    is_bad = share > _MAX_EMPTY
    yield Finding(
      'images without objects',
      Severity.WARNING if is_bad else Severity.NOTE,
      f'{field}: {empty} of {table.num_images} images{table.part} ({share:.0%}) hold no object.',
      'Look whether boxes were lost when the records were made; if the images are meant as '
      'background, take fewer of them.'
      if is_bad
      else '',
      {'empty': empty, 'images': table.num_images, 'share': share},
    )


def _part_only(project, field, summary):
  table = project.table(field)
  if summary.is_complete and table.is_complete:
    return
  yield Finding.note(
    'records',
    f'{field}: {summary.num_records} of {table.num_records} records were looked at for what '
    f'training cannot use, as many first ones of each file, and {table.num_images}, evenly spread, '
    'for all else.',
    'Raise --max_records to look at all of them.',
    {
      'checked': summary.num_records,
      'images': table.num_images,
      'records': table.num_records,
    },
  )


def _problems(field, summary):
  for problem, places in summary.problems.items():
    yield Finding.error(
      problem.kind,
      f'{field}: {len(places)} {problem.what} ({record_check.describe_places(places)}).',
      f'{problem.remedy[:1].upper()}{problem.remedy[1:]}.',
      {'count': len(places), 'records': summary.num_records},
    )


def _oddities(field, summary):
  # Ids that are out of place are not labeled either.
  has_wrong_ids = any(problem.kind == 'class ids' for problem in summary.problems)
  for warning in () if has_wrong_ids else summary.warnings:
    yield Finding.warning(
      'labeled classes',
      f'{field}: {warning}.',
      'Correct labeled_class of the reader, or image/class/labeled_classes of the records.',
    )
  if summary.num_boxes_without_area:
    yield Finding.warning(
      'boxes',
      f'{field}: {summary.num_boxes_without_area} of {summary.num_boxes} boxes have no area; they '
      'train an anchor each, and no detection can find them.',
      'Drop them, and convert again.',
      {'count': summary.num_boxes_without_area, 'boxes': summary.num_boxes},
    )
  if summary.num_images_cut:
    yield Finding.warning(
      'boxes',
      f'{field}: {summary.num_images_cut} of {summary.num_records} images have more boxes than '
      f'max_number_of_boxes, up to {summary.max_boxes}; the rest is dropped.',
      f'Set {field}.max_number_of_boxes to {summary.max_boxes}.',
      {'images': summary.num_images_cut, 'max_boxes': summary.max_boxes},
    )


def _unlabeled(project, summaries, is_training):
  """What `builders.check_labeled` says: classes that no image is labeled for."""
  with CollectedWarnings() as warnings:
    try:
      builders.check_labeled(project.pipeline, summaries, is_training=is_training)
    except InputError as error:
      yield Finding.error('labeled classes', f'{error}.', 'Label the images for their classes.')
  for warning in warnings.lines:
    labels = [labeled for field in summaries for labeled in project.table(field).labeled]
    names = [
      project.pipeline.class_names[i]
      for i in project.pipeline.class_names.keys() - set().union(*labels)
    ]
    is_complete = all(summary.is_complete for summary in summaries.values())
    yield Finding(
      'labeled classes',
      Severity.WARNING if is_complete else Severity.NOTE,
      warning,
      'Label some images for them, or remove them from the label map.',
      {'classes': sorted(names)},
    )


def _chosen_images(count, limit):
  """Rows of so many images, evenly spread; 0: of all."""
  if not limit or count <= limit:
    return range(count)
  return sorted(set(np.linspace(0, count - 1, limit).astype(int).tolist()))


def _records(table, paths):
  """Those of the table, read once more; in the end of a damaged file nothing is left to look at."""
  last = int(table.record_numbers.max(initial=-1))
  try:
    yield from record_files.read_records(paths, last + 1)
  except InputError:
    return  # `check_records` tells of it.


def _broken_images(field, table, broken, num_decoded):
  if broken:
    yield Finding.error(
      'unreadable images',
      f'{field}: {len(broken)} of {num_decoded} images decoded are unreadable '
      f'({_places(table, broken)}).',
      'Fix or remove them at their source, and convert again; --max_images=0 decodes all.',
      {'unreadable': len(broken), 'decoded': num_decoded},
    )


def _resized_images(field, table, resized, num_decoded):
  if not resized:
    return
  row, size = resized[0]
  yield Finding.warning(
    'image sizes',
    f'{field}: {len(resized)} of {num_decoded} images decoded are not of the size that their '
    f'records say: {size[0]} x {size[1]} against {table.sizes[row][0]} x {table.sizes[row][1]} '
    f'(height x width; {_places(table, [row for row, _ in resized])}). Boxes that were divided by '
    'the wrong size lie beside their objects.',
    'Look at some (tools/detect_images.py draws the groundtruth), and convert again with the size '
    'of the decoded image; EXIF orientation may turn one.',
    {'count': len(resized), 'decoded': num_decoded},
  )


def _places(table, rows):
  return record_check.describe_places([table.place(row) for row in rows])
