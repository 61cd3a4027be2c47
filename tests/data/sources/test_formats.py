"""One data set in every format: the same images and boxes, whoever opens it."""

import json
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from ssd_tf.data import record_files, tf_example
from ssd_tf.data.sources import (
  csv_boxes,
  formats,
  merge_plan,
  merging,
  partial_data_sets,
  pascal_voc,
  seven_segment,
  voc_files,
)
from ssd_tf.data.sources.label_dropping import DroppingRules

NAMES = dict(enumerate(seven_segment.CLASS_NAMES, start=1))
WIDTH, HEIGHT = 288, 64


@pytest.fixture(scope='module')
def plans(tmp_path_factory):
  """Format -> options, of the same two images; those of Open Images are JPEGs."""
  root = str(tmp_path_factory.mktemp('digits'))
  style = seven_segment.DigitStyle(height=HEIGHT, width=WIDTH, max_digits=8)
  seven_segment.write_data_set(
    root, num_train=2, num_eval=1, style=style, write_voc=True, write_coco=True
  )
  voc, images = f'{root}/voc', f'{root}/coco/train'
  given = {
    'tfrecord': {'input_path': [f'{root}/digits_train.record']},
    'pascal_voc': {'data_dir': voc, 'set': 'train'},
    'coco': {'annotations_file': f'{root}/coco/instances_train.json', 'image_dir': images},
    'lvis': {'annotations_file': f'{root}/lvis.json', 'image_dir': images},
    'csv': {'csv_input': f'{root}/boxes.csv', 'image_dir': images},
    'yolo': {'data_yaml': f'{root}/yolo/data.yaml'},
    'open_images': {'image_dir': f'{root}/oid', 'boxes_csv': f'{root}/oid.csv'},
  }
  with open(given['coco']['annotations_file']) as file:
    content = json.load(file)
  for entry in content['images']:
    entry.update(neg_category_ids=[], not_exhaustive_category_ids=[])
  with open(f'{root}/lvis.json', 'w') as file:
    json.dump(content, file)
  rows = pascal_voc.list_rows(voc_files.list_files(voc, 'train'))
  csv_boxes.write_csv(f'{root}/boxes.csv', rows)
  for folder in ('yolo/images', 'yolo/labels', 'oid'):
    os.makedirs(f'{root}/{folder}')
  with open(f'{root}/oid.csv', 'w') as file:
    file.write('ImageID,LabelName,XMin,XMax,YMin,YMax\n')
    for name, width, height, digit, *box in rows:
      x0, y0, x1, y1 = np.divide(box, [width, height] * 2)
      file.write(f'{name[:-4]},{digit},{x0},{x1},{y0},{y1}\n')
      with open(f'{root}/yolo/labels/{name[:-4]}.txt', 'a') as labels:
        labels.write(f'{digit} {(x0 + x1) / 2} {(y0 + y1) / 2} {x1 - x0} {y1 - y0}\n')
  for name in {row[0] for row in rows}:
    os.symlink(f'{images}/{name}', f'{root}/yolo/images/{name}')
    Image.open(f'{images}/{name}').save(f'{root}/oid/{name[:-4]}.jpg')
  digits = ', '.join(f"'{digit}'" for digit in seven_segment.CLASS_NAMES)
  with open(f'{root}/yolo/data.yaml', 'w') as file:
    file.write(f'train: images\nnames: [{digits}]\n')
  return {kind: {**merge_plan.OPTIONS[kind], **options} for kind, options in given.items()}


def read_all(source):
  annotations = map(source.read, source.items)
  return sorted(annotations, key=lambda annotation: annotation.filename)


@pytest.mark.parametrize('kind', merge_plan.OPTIONS)
def test_every_format_gives_the_same_boxes_also_in_another_process(kind, plans):
  expected = read_all(formats.open_source('tfrecord', plans['tfrecord'], NAMES))
  source = formats.open_source(kind, plans[kind], NAMES)
  assert source.names == NAMES
  # What a worker elsewhere is sent: the way to read, and items.
  read, items = pickle.loads(pickle.dumps((source.read, list(source.items))))
  found = sorted(map(read, items), key=lambda annotation: annotation.filename)
  assert len(found) == len(expected) == 2
  for image, other in zip(found, expected, strict=True):
    assert (image.height, image.width) == (HEIGHT, WIDTH)
    np.testing.assert_allclose(image.boxes, other.boxes, atol=1e-5)
    assert [NAMES[i] for i in image.class_ids.tolist()] == list(image.class_names)
    assert list(image.class_names) == list(other.class_names)
    assert image.format == ('jpeg' if kind == 'open_images' else 'png')
  assert len(pickle.dumps(items)) < 10_000  # Small: no pixels.
  assert pickle.loads(pickle.dumps(source)).names == NAMES


@pytest.mark.parametrize('kind', merge_plan.OPTIONS)
def test_every_format_can_be_merged_and_lose_labels(kind, plans, tmp_path):
  plan = merge_plan.SourcePlan('a', kind, plans[kind], place='plan.json: a', drop=['1'])
  part = merging.open_part(plan, NAMES)
  merged = merging.merge([part], str(tmp_path / 'merged.record'))
  names = [name for image in read_all(part.source) for name in image.class_names]
  assert merged.boxes == sum(name != '1' for name in names)

  path = str(tmp_path / 'partial.record')
  rules = DroppingRules(groups=[['3', '4', '5']])
  partial_data_sets.write_partial_records(part.source, path, rules)
  kept = [
    name
    for _, _, record in record_files.read_records([path])
    for name in tf_example.parse_example(record).class_names
  ]
  assert sorted(kept) == sorted(name for name in names if name in '345')
