"""Checks for leakage: files and images that training and evaluation share."""

import collections
from collections.abc import Iterator

from ssd_tf.data import record_check
from ssd_tf.diagnosis.finding import Finding, Severity
from ssd_tf.diagnosis.project import Project

# Of the evaluation's images; a smaller share hardly changes a figure.
_MAX_SHARED = 0.01


def check_files(project: Project) -> Iterator[Finding]:
  """Whether the evaluation reads files of the training."""
  trained = {path for field in project.training_fields for path in project.paths(field)}
  for field in project.evaluation_fields:
    paths = project.paths(field)
    shared = [path for path in paths if path in trained]
    if shared:
      yield Finding.error(
        'evaluation data',
        f'{field} reads {len(shared)} of its {len(paths)} files from the training records, such as '
        f'{shared[0]}: its figures measure overfitting, not what is detected in other images.',
        f'Keep images apart for evaluation, and name their records in '
        f'{field}.tf_record_input_reader.input_path.',
        {'shared': len(shared), 'files': len(paths)},
      )


def check_duplicates(project: Project) -> Iterator[Finding]:
  """Whether an image is in the training and in the evaluation, or twice in one of them.

  The same image has the same bytes, or the same source_id with the same boxes, if no training image
  of another source_id has those: where all have one box around the whole, say, boxes tell nothing.
  """
  trained = [(field, project.table(field)) for field in project.training_fields]
  trained_paths = {path for field in project.training_fields for path in project.paths(field)}
  usual = _usual_boxes(table for _, table in trained)
  known = {}
  for field, table in trained:
    for row in range(table.num_images):
      for key in _keys(table, row, usual):
        known.setdefault(key, (field, row))
  for field in project.evaluation_fields:
    table = project.table(field)
    # Of whole files that are in both, `check_files` tells.
    rows = [i for i in range(table.num_images) if table.paths[i] not in trained_paths]
    found = {i: _first_known(table, i, usual, known) for i in rows}
    shared = [(i, known[key]) for i, key in found.items() if key is not None]
    if shared:
      yield _shared(project, field, shared, len(rows))
    yield from _same_ids_only(project, field, rows, {i for i, _ in shared})
  for field in project.fields:
    yield from _repeated(field, project.table(field))


def _usual_boxes(tables):
  """The boxes, as bytes, that images of several source_ids have."""
  names = collections.defaultdict(set)
  for table in tables:
    for row in range(table.num_images):
      names[_boxes(table, row)].add(table.source_ids[row])
  return {boxes for boxes, of in names.items() if len(of) > 1}


def _boxes(table, row):
  return table.boxes[table.image_starts[row] : table.image_starts[row + 1]].tobytes()


def _keys(table, row, usual):
  """What tells an image: its bytes; and its source_id with its boxes, where both tell something."""
  yield int(table.image_hashes[row])
  boxes = _boxes(table, row)
  if boxes and table.source_ids[row] and boxes not in usual:
    yield table.source_ids[row], boxes


def _first_known(table, row, usual, known):
  return next((key for key in _keys(table, row, usual) if key in known), None)


def _shared(project, field, shared, num_images):
  table = project.table(field)
  share = len(shared) / num_images
  row, (other, other_row) = shared[0]
  part = '' if table.is_complete else ' of those looked at'
  return Finding(
    'duplicates',
    Severity.ERROR if share > _MAX_SHARED else Severity.WARNING,
    f'{field}: {len(shared)} of {num_images} images{part} ({share:.1%}) are in the training too, '
    f'such as {_place(table, row)}, which is {_place(project.table(other), other_row)}: its '
    'figures are too good.',
    'Split the images, not their copies: leave these out of the training records, or out of the '
    "evaluation's, and convert again.",
    {'shared': len(shared), 'images': num_images, 'share': share},
  )


def _same_ids_only(project, field, rows, told):
  trained = {name for other in project.training_fields for name in project.table(other).source_ids}
  table = project.table(field)
  same = [i for i in rows if i not in told and table.source_ids[i] in trained - {''}]
  if same:
    yield Finding.note(
      'duplicates',
      f'{field}: {len(same)} of {len(rows)} images have a source_id of a training image, such as '
      f'{table.source_ids[same[0]]!r}, but other bytes, and boxes that are others or usual ones: '
      'right if both were numbered from the same number.',
      numbers={'same_source_id': len(same), 'images': len(rows)},
    )


def _repeated(field, table):
  counts = collections.Counter(table.image_hashes.tolist())
  extra = sum(counts.values()) - len(counts)
  if not extra:
    return
  digest = counts.most_common(1)[0][0]
  rows = [i for i, other in enumerate(table.image_hashes.tolist()) if other == digest]
  yield Finding.note(
    'duplicates',
    f'{field}: {extra} of {table.num_images} images are copies of others in it, such as '
    f'{_place(table, rows[1])}, which is {_place(table, rows[0])}.',
    numbers={'copies': extra, 'images': table.num_images},
  )


def _place(table, row):
  return record_check.describe_places([table.place(row)])
