"""Folders as users have them: images of a few pixels, no two alike, and their annotations."""

import json
import zlib

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 20, 10
BOX = (2, 1, 12, 6)  # xmin, ymin, xmax, ymax


def save_image(path, seed=None):
  """Noise that the path decides, or a number."""
  path.parent.mkdir(parents=True, exist_ok=True)
  rng = np.random.default_rng(zlib.crc32(str(path).encode()) if seed is None else seed)
  Image.fromarray(rng.integers(0, 256, [HEIGHT, WIDTH, 3], np.uint8)).save(path)


def write_text(path, text):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)


def write_xml(path, *names, filename=''):
  xmin, ymin, xmax, ymax = BOX
  box = f'<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>'
  objects = ''.join(f'<object><name>{name}</name><bndbox>{box}</bndbox></object>' for name in names)
  write_text(path, f'<annotation><filename>{filename}</filename>{objects}</annotation>')


def save_voc(image_path, *names, xml=None):
  """An image, and its XML file beside it or at `xml`."""
  save_image(image_path)
  write_xml(xml or image_path.with_suffix('.xml'), *names, filename=image_path.name)


def write_coco(path, categories, images):
  """Categories {id: name} or entries; images {file name: category ids, a box of each}."""
  if isinstance(categories, dict):
    categories = [{'id': i, 'name': name} for i, name in categories.items()]
  xmin, ymin, xmax, ymax = BOX
  bbox = [xmin, ymin, xmax - xmin, ymax - ymin]
  annotations = [
    {'image_id': i, 'category_id': class_id, 'bbox': bbox}
    for i, class_ids in enumerate(images.values())
    for class_id in class_ids
  ]
  content = {
    'images': [{'id': i, 'file_name': name} for i, name in enumerate(images)],
    'annotations': [{'id': i, **entry} for i, entry in enumerate(annotations)],
    'categories': categories,
  }
  write_text(path, json.dumps(content))


def write_csv(path, rows, delimiter=','):
  """Rows (file name, class), each with a box."""
  xmin, ymin, xmax, ymax = BOX
  lines = [('filename', 'width', 'height', 'class', 'xmin', 'ymin', 'xmax', 'ymax')]
  lines += [(name, WIDTH, HEIGHT, label, xmin, ymin, xmax, ymax) for name, label in rows]
  write_text(path, ''.join(delimiter.join(map(str, line)) + '\n' for line in lines))


def save_yolo(image_path, *numbers, label_path=None):
  """An image, and its text file where YOLO looks for it, or at `label_path`."""
  save_image(image_path)
  if label_path is None:
    head, _, tail = str(image_path.with_suffix('.txt')).rpartition('/images/')
    label_path = image_path.parent.__class__(f'{head}/labels/{tail}')
  # BOX over 20 x 10 pixels: center 0.35, 0.35, size 0.5, 0.5.
  write_text(label_path, ''.join(f'{number} 0.35 0.35 0.5 0.5\n' for number in numbers))


def contents(root, found):
  """{part: {path of the image below root: its classes}}, images told by their bytes.

  Asserts that each box is BOX.
  """
  paths = {
    path.read_bytes(): str(path.relative_to(root))
    for path in root.rglob('*')
    if path.suffix.lower() in ('.jpg', '.png') and path.is_file()
  }
  result = {}
  for part, source in found.parts.items():
    rows = [source.read(item) for item in source.items]
    for row in rows:
      # ymin 1 / 10, xmin 2 / 20, ymax 6 / 10, xmax 12 / 20.
      expected = np.tile([0.1, 0.1, 0.6, 0.6], [len(row.class_names), 1])
      np.testing.assert_allclose(row.boxes, expected, atol=1e-6)
      assert [found.label_map.name_by_id[i] for i in row.class_ids] == list(row.class_names)
    result[part] = {paths[row.encoded]: list(row.class_names) for row in rows}
    assert len(result[part]) == len(rows)
  return result
