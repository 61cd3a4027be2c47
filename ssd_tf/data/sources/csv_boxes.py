"""Boxes in a CSV file, a row for each, as the tutorials of the Object Detection API make them."""

import collections
import csv
import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ssd_tf.data import image_files, record_writer
from ssd_tf.data.sources import class_names
from ssd_tf.data.tf_example import Annotation
from ssd_tf.errors import InputError

COLUMNS = ('filename', 'width', 'height', 'class', 'xmin', 'ymin', 'xmax', 'ymax')
_SIDES = ('ymin', 'xmin', 'ymax', 'xmax')
_NEEDED = ('filename', 'class', *_SIDES)


class CsvBox(NamedTuple):
  """One row: the box in pixels, max exclusive."""

  name: str
  box: tuple[float, float, float, float]  # ymin, xmin, ymax, xmax


class CsvImage(NamedTuple):
  """One image and its rows.

  Attributes:
    path: of the image.
    boxes: its boxes.
    stated_size: (height, width) as the rows say, or None.
  """

  path: str
  boxes: Sequence[CsvBox]
  stated_size: tuple[int, int] | None

  def __str__(self):
    return self.path


def read_csv(csv_path: str, image_dir: str) -> list[CsvImage]:
  """Reads a CSV file of boxes.

  A row whose class and coordinates are all empty says that its image has no objects.

  Args:
    csv_path: has a header with at least filename, class, xmin, ymin, xmax, ymax, in any order.
    image_dir: what the file names are relative to.

  Returns:
    The images, in the order in which they first occur.

  Raises:
    InputError: a column is missing, or the first faulty row with its line number.
  """
  boxes = collections.defaultdict(list)
  sizes = {}
  with open(csv_path, encoding='utf-8-sig', newline='') as file:
    reader = csv.DictReader(file, skipinitialspace=True)
    header = [name.strip() for name in reader.fieldnames or ()]
    missing = [name for name in _NEEDED if name not in header]
    if missing:
      raise InputError(
        f'{csv_path}: the header has no {", ".join(missing)}; expected {",".join(COLUMNS)}, '
        f'received {",".join(header) or "an empty file"}'
      )
    reader.fieldnames = header
    for row in reader:
      where = f'{csv_path}: line {reader.line_num}'
      filename, box = _read_row(row, where)
      boxes[filename].extend(box)
      sizes.setdefault(filename, _stated_size(row))
  return [
    CsvImage(os.path.join(image_dir, name), entries, sizes[name]) for name, entries in boxes.items()
  ]


def write_csv(csv_path: str, rows: Iterable[Sequence[Any]]) -> None:
  """Writes rows of COLUMNS below their header."""
  with open(csv_path, 'w', encoding='utf-8', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    writer.writerows(rows)


def unlisted_images(images: Iterable[CsvImage], image_dir: str) -> list[CsvImage]:
  """The images of a folder that no row names, as images without objects, by name."""
  listed = {os.path.normpath(image.path) for image in images}
  paths = [
    os.path.join(image_dir, name)
    for name in sorted(os.listdir(image_dir))
    if name.lower().endswith(image_files.EXTENSIONS)
  ]
  return [CsvImage(path, (), None) for path in paths if os.path.normpath(path) not in listed]


def read_annotation(image: CsvImage, name_to_id: Mapping[str, int]) -> Annotation:
  """Reads an image and puts its rows beside it.

  Args:
    image: of `read_csv`.
    name_to_id: the label map; it has every name that occurs.

  Returns:
    The annotation; boxes as annotated, not yet clipped, divided by the image's own size.

  Raises:
    InputError: the image is missing or broken.
  """
  encoded = image_files.read_image(image.path, image.stated_size)
  size = (encoded.height, encoded.width)
  remarks = []
  if image.stated_size not in (None, size):
    remarks.append(
      f'its rows say {image.stated_size[1]} x {image.stated_size[0]} pixels, the image has '
      f'{size[1]} x {size[0]}: the boxes are taken as pixels of the image'
    )
  boxes = np.array([entry.box for entry in image.boxes], np.float64).reshape(-1, 4)
  name = os.path.basename(image.path)
  return Annotation(
    **vars(encoded),
    filename=name,
    source_id=name,
    boxes=(boxes / (size * 2)).astype(np.float32),
    class_ids=np.array([name_to_id[entry.name] for entry in image.boxes], np.int64),
    class_names=[entry.name for entry in image.boxes],
    remarks=remarks,
  )


def write_data_set(
  csv_path: str,
  image_dir: str,
  name_to_id: Mapping[str, int],
  output_path: str,
  *,
  include_unlisted_images: bool = False,
  **options: Any,
) -> record_writer.ConversionReport:
  """Converts a CSV file and its images to TFRecords.

  Args:
    csv_path: see `read_csv`.
    image_dir: see there.
    name_to_id: the label map.
    output_path: the record file.
    include_unlisted_images: write the images of image_dir that no row names, as images without
      objects. Left out, their number is remarked.
    **options: num_shards, num_workers, strict of `record_writer.write_records`.

  Returns:
    The report.

  Raises:
    InputError: as `read_csv` and `record_writer.write_records`; class names that the label map
      lacks.
  """
  images = read_csv(csv_path, image_dir)
  counts = collections.Counter(box.name for image in images for box in image.boxes)
  found = {name: f'{count} rows' for name, count in counts.most_common()}
  class_names.require_known(found, name_to_id, f'the rows of {csv_path}')
  unlisted = unlisted_images(images, image_dir)
  remarks = []
  if unlisted and include_unlisted_images:
    images = [*images, *unlisted]
  elif unlisted:
    remarks = [
      (
        image_dir,
        f'{len(unlisted)} images are in no row of {csv_path} and were left out; '
        '--include_unlisted_images writes them as images without objects',
      )
    ]
  convert = functools.partial(read_annotation, name_to_id=name_to_id)
  return record_writer.write_records(images, convert, output_path, remarks=remarks, **options)


def _read_row(row, where):
  """The row's file name, and its box in a list, which is empty where the row has none."""
  cells = {name: (row.get(name) or '').strip() for name in _NEEDED}
  filename = cells.pop('filename')
  if not filename:
    raise InputError(f'{where}: filename is empty')
  if not any(cells.values()):
    return filename, []
  if not cells['class']:
    raise InputError(f'{where}: {filename}: class is empty')
  box = []
  for side in _SIDES:
    try:
      box.append(float(cells[side]))
    except ValueError:
      raise InputError(
        f'{where}: {filename}: {side} is {cells[side]!r}; expected a number of pixels'
      ) from None
  return filename, [CsvBox(cells['class'], tuple(box))]


def _stated_size(row):
  try:
    size = tuple(round(float(row[name])) for name in ('height', 'width'))
  except (KeyError, TypeError, ValueError):
    return None
  return size if all(size) else None
