"""Reads Open Images: CSV files of boxes and of verified image-level labels, a folder of images.

Of each image, people verified some classes to be present or absent; of those present, instances
have boxes. Nothing is known of the other classes.
"""

import collections
import difflib
import functools
import os
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ssd_tf.data import image_files
from ssd_tf.data.annotation import Annotation
from ssd_tf.data.source import Source
from ssd_tf.data.sources.open_images_csv import (
  Reading,
  read_boxes,
  read_class_descriptions,
  read_verified_labels,
)
from ssd_tf.errors import InputError

NO_VERIFIED_LABELS = (
  'no verified image-level labels: every class of the label map counts as labeled in every image, '
  'which is not so in Open Images; give --input_image_label_annotations_csv'
)


class OpenImage(NamedTuple):
  """One image and its rows.

  Attributes:
    image_id: its file name without .jpg.
    boxes: class ids i32[n], boxes f32[n,4], flags bool[n,2]; see `read_boxes`.
    labels: class ids i32[m], whether present bool[m]; None: there is no file of verified labels.
    fault: why its rows cannot be used; ''.
  """

  image_id: str
  boxes: tuple[np.ndarray, ...]
  labels: tuple[np.ndarray, ...] | None
  fault: str = ''

  def __str__(self):
    return self.image_id


class _Images(Sequence):
  """The images that have a box, a verified label or a fault, by id; their rows stay columns."""

  def __init__(self, stems: Sequence[str], boxes: Reading, labels: Reading | None):
    counts = boxes.rows.counts + (labels.rows.counts if labels else 0)
    self._stems, self._boxes, self._labels = stems, boxes.rows, labels and labels.rows
    self._faults = {**(labels.broken if labels else {}), **boxes.broken}
    self._numbers = [i for i, stem in enumerate(stems) if counts[i] or stem in self._faults]

  def __len__(self):
    return len(self._numbers)

  def __getitem__(self, index):
    number = self._numbers[index]
    labels = None if self._labels is None else self._labels.of(number)
    stem = self._stems[number]
    return OpenImage(stem, self._boxes.of(number), labels, self._faults.get(stem, ''))


def find_labels(
  name_to_id: Mapping[str, int], class_descriptions_csv: str | None = None
) -> dict[str, int]:
  """Finds what the CSV files call the classes of a label map.

  Args:
    name_to_id: the label map; a name is a MID, such as /m/01g317, or a name of the descriptions.
    class_descriptions_csv: see `read_class_descriptions`; None: all names are MIDs.

  Returns:
    MID -> class id.

  Raises:
    InputError: a name is neither, or several classes have it, or two of the map are one class.
  """
  if class_descriptions_csv is None:
    return dict(name_to_id)
  by_name = collections.defaultdict(list)
  for mid, name in read_class_descriptions(class_descriptions_csv):
    by_name[name].append(mid)
  found = {}
  for name, class_id in name_to_id.items():
    mids = [name] if name.startswith('/') else by_name.get(name, [])
    if not mids:
      close = difflib.get_close_matches(name, by_name, n=1)
      hint = f': did you mean {close[0]!r}?' if close else ''
      raise InputError(f'{class_descriptions_csv}: no class is named {name!r}{hint}')
    if len(mids) > 1:
      raise InputError(
        f'{class_descriptions_csv}: {name!r} is the name of {", ".join(mids)}; put one of these '
        'into the label map instead'
      )
    if mids[0] in found:
      raise InputError(f'the label map has {mids[0]} twice, as {name!r} the second time')
    found[mids[0]] = class_id
  return found


def open_source(
  image_dir: str,
  boxes_csv: str,
  labels_csv: str | None,
  name_to_id: Mapping[str, int],
  class_descriptions_csv: str | None = None,
) -> Source:
  """Opens the images of a folder that have a box or a verified label of the label map's classes.

  Raises:
    InputError: no image in the folder; a CSV file is broken; none of its classes is known.
  """
  class_ids = find_labels(name_to_id, class_descriptions_csv)
  with os.scandir(image_dir) as entries:
    stems = sorted(entry.name[:-4] for entry in entries if entry.name.endswith('.jpg'))
  if not stems:
    raise InputError(f'{image_dir}: no .jpg file; expected the images, {{image id}}.jpg')
  numbers = {stem: i for i, stem in enumerate(stems)}
  boxes = read_boxes(boxes_csv, numbers, class_ids)
  labels = None if labels_csv is None else read_verified_labels(labels_csv, numbers, class_ids)
  _check_classes(class_ids, boxes, labels)
  remarks = _absences(boxes, image_dir, name_to_id, 'a box')
  if boxes.num_unknown:
    remarks.append(
      (boxes_csv, f'{boxes.num_unknown} boxes of unknown IsGroupOf: taken as no groups')
    )
  if labels is None:
    remarks.append((boxes_csv, NO_VERIFIED_LABELS))
  else:
    remarks += _label_remarks(labels, boxes, image_dir, name_to_id)
  images = _Images(stems, boxes, labels)
  if num_silent := len(stems) - len(images):
    what = 'box' if labels is None else 'box or verified label'
    remarks.append((image_dir, f'{num_silent} images have no {what} of these classes: left out'))
  names = {class_id: name for name, class_id in name_to_id.items()}
  read = functools.partial(read_annotation, image_dir=image_dir, names=names)
  files = [path for path in (boxes_csv, labels_csv, class_descriptions_csv) if path]
  return Source(names, images, read, remarks, files)


def read_annotation(image: OpenImage, image_dir: str, names: Mapping[int, str]) -> Annotation:
  """Reads an image, its boxes, not yet clipped, and what is verified of its classes.

  A class that is verified present but has no box counts as not exhaustively annotated: Open Images
  has boxes of the most specific class only (a woman is Woman, and verified to be Person, too). So
  does a class of which the files say both present and absent.

  Raises:
    InputError: the image is missing or broken, or one of its rows is; names the file.

  Source: Kuznetsova et al., Open Images V4, section 3; the Object Detection API's
  create_oid_tf_record, which does not tell verified present from verified absent.
  """
  if image.fault:
    raise InputError(image.fault)
  filename = f'{image.image_id}.jpg'
  encoded = image_files.read_image(os.path.join(image_dir, filename))
  class_ids, boxes, flags = image.boxes
  verified, remarks = {}, []
  if image.labels is not None:
    verified, doubtful = _verified(*image.labels, {*class_ids.tolist()})
    remarks = [
      f'{names[class_id]} is verified absent, but has a box or is verified present, too: not '
      'labeled'
      for class_id in doubtful
    ]
  return Annotation(
    **vars(encoded),
    filename=filename,
    source_id=image.image_id,
    boxes=boxes,
    class_ids=class_ids.astype(np.int64),
    class_names=[names[class_id] for class_id in class_ids.tolist()],
    group_of=flags[:, 0],
    truncated=flags[:, 1],
    remarks=remarks,
    **verified,
  )


def _verified(class_ids, is_present, boxed: Collection[int]):
  """The lists of an Annotation, and the classes of which the files say two things."""
  present, absent = {*class_ids[is_present].tolist()}, {*class_ids[~is_present].tolist()}
  doubtful = absent & (present | boxed)
  lists = {
    'verified_present': sorted(present),
    'verified_absent': sorted(absent - doubtful),
    'not_exhaustive': sorted((present - boxed) | doubtful),
  }
  return lists, sorted(doubtful)


def _check_classes(class_ids, boxes: Reading, labels: Reading | None):
  num_of_classes = boxes.num_of_classes + (labels.num_of_classes if labels else 0)
  if boxes.num_rows and not num_of_classes:
    raise InputError(
      f'{boxes.path}: no row is of a class of the label map; LabelName of the first is '
      f'{boxes.first_label!r}, the label map has {_some(class_ids)}: name its classes by '
      'their MIDs, or give --class_descriptions_csv'
    )


def _label_remarks(labels, boxes, image_dir, name_to_id):
  remarks = _absences(labels, image_dir, name_to_id, 'a verified label')
  if labels.num_unknown:
    what = 'rows of a machine, or of another Confidence than 0 and 1: not verified, left out'
    remarks.append((labels.path, f'{labels.num_unknown} {what}'))
  class_ids, present = labels.rows.columns
  # One number for each pair of image and class.
  stride = max(name_to_id.values()) + 1
  pairs = labels.rows.images[present].astype(np.int64) * stride + class_ids[present]
  boxed = boxes.rows.images.astype(np.int64) * stride + boxes.rows.columns[0]
  if without := len(np.setdiff1d(pairs, boxed)):
    what = 'times a class is verified present in an image without a box of it: not labeled there'
    remarks.append((labels.path, f'{without} {what}'))
  return remarks


def _absences(reading, image_dir, name_to_id, what):
  remarks = []
  if reading.missing:
    listed = f'{len(reading.missing)} images with {what} of these classes are'
    text = f'{listed} not in {image_dir}: {_some(sorted(reading.missing))}'
    remarks.append((reading.path, text))
  seen = {*np.unique(reading.rows.columns[0]).tolist()}
  if never := [name for name, class_id in name_to_id.items() if class_id not in seen]:
    text = f'classes without {what} in the images found: {", ".join(never)}'
    remarks.append((reading.path, text))
  return remarks


def _some(names: Collection[str]) -> str:
  shown = ', '.join(list(names)[:5])
  return f'{shown}, ...' if len(names) > 5 else shown
