import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tf import fields
from ssd_tf.data import record_writer, tf_example
from ssd_tf.data.sources import coco, lvis
from ssd_tf.errors import InputError

NAMES = ('cat', 'dog', 'fish', 'cow', 'owl')
URL = 'http://images.cocodataset.org/'


def entry(image_id, name, neg=(), not_exhaustive=(), **more):
  return {
    'id': image_id,
    'coco_url': name and URL + name,
    'height': 40,
    'width': 60,
    'neg_category_ids': list(neg),
    'not_exhaustive_category_ids': list(not_exhaustive),
    **more,
  }


def data_set(root):
  """Images of 60 x 40: boxes and lists, an absent category only, nothing known, v0.5's name."""
  content = {
    'images': [
      entry(7, 'train2017/000000000007.jpg', neg=[3], not_exhaustive=[2]),
      entry(3, 'val2017/000000000003.jpg', neg=[4, 4]),
      entry(5, 'train2017/000000000005.jpg'),
      entry(9, None, file_name='COCO_val2014_000000000009.jpg', not_exhaustive=[1]),
    ],
    'annotations': [
      {'id': 1, 'image_id': 7, 'category_id': 1, 'bbox': [6, 4, 24, 16], 'area': 100.5},
      {'id': 2, 'image_id': 7, 'category_id': 2, 'bbox': [45, 30, 15, 10], 'area': 75},
      {'id': 3, 'image_id': 7, 'category_id': 1, 'bbox': [30, 20, 0.6, 0.4], 'area': 0.1},
      {'id': 4, 'image_id': 9, 'category_id': 5, 'bbox': [0, 0, 60, 40], 'area': 2400},
    ],
    'categories': [
      {'id': i, 'name': name, 'frequency': 'r', 'synonyms': [name, f'{name}s']}
      for i, name in enumerate(NAMES, start=1)
    ],
  }
  content['annotations'][0]['segmentation'] = [[6, 4, 30, 4, 30, 20]]
  # Below the split's folder, in the image folder itself, and by the name of 2017.
  for name in ('train2017/000000000007', '000000000003', 'train2017/000000000005', '000000000009'):
    path = root / 'images' / f'{name}.jpg'
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (60, 40), (90, 60, 30)).save(path)
  return content


def convert(root, content, **options):
  (root / 'lvis.json').write_text(json.dumps(content))
  annotations = lvis.load_annotations(str(root / 'lvis.json'))
  output = str(root / 'out.record')
  report = record_writer.write_records(
    coco.open_source(annotations, str(root / 'images')), output, **options
  )
  return report, [record.numpy() for record in tf.data.TFRecordDataset(output)]


def decode(records, how, num_classes=5):
  def call(record):
    return tf_example.decode_example(record, num_classes)

  if how == 'eager':
    return [call(tf.constant(record)) for record in records]
  return list(tf.data.Dataset.from_tensor_slices(records).map(call))


@pytest.mark.parametrize('how', ['eager', 'map'])
def test_boxes_and_labeled_classes_come_back(tmp_path, how):
  report, records = convert(tmp_path, data_set(tmp_path))
  assert not report.skipped and not report.remarks and not report.clipped
  examples = decode(records, how)
  # [x, y, w, h] to [y, x, y + h, x + w], over [40, 60, 40, 60].
  expected = [
    [[0.1, 0.1, 0.5, 0.5], [0.75, 0.75, 1, 1], [0.5, 0.5, 0.51, 0.51]],
    np.zeros([0, 4]),
    np.zeros([0, 4]),
    [[0, 0, 1, 1]],
  ]
  labeled = [
    [1, 0, 1, 0, 0],  # Present 1, 2; absent 3; without 2, of which some have no box.
    [0, 0, 0, 1, 0],  # Absent 4.
    [0, 0, 0, 0, 0],
    [0, 0, 0, 0, 1],  # Present 5; 1 has no box and is not exhaustive.
  ]
  for example, boxes, mask in zip(examples, expected, labeled, strict=True):
    np.testing.assert_allclose(example[fields.GROUNDTRUTH_BOXES], boxes, rtol=1e-6)
    np.testing.assert_array_equal(example[fields.LABELED_CLASSES], np.array(mask, bool))
  classes = [example[fields.GROUNDTRUTH_CLASSES].numpy().tolist() for example in examples]
  assert classes == [[1, 2, 1], [], [], [5]]
  np.testing.assert_array_equal(examples[0][fields.GROUNDTRUTH_AREA], np.float32([100.5, 75, 0.1]))


def test_what_the_records_say(tmp_path):
  report, records = convert(tmp_path, data_set(tmp_path))
  assert (report.num_images, report.num_boxes, report.num_images_without_objects) == (4, 4, 2)
  found = [tf_example.parse_example(record) for record in records]
  assert [(a.source_id, a.filename) for a in found] == [
    (str(i), f'00000000000{i}.jpg') for i in (7, 3, 5, 9)
  ]
  assert found[0].class_names == ['cat', 'dog', 'cat']
  assert [a.verified_present for a in found] == [[1, 2], [], [], [5]]
  assert [a.verified_absent for a in found] == [[3], [4], [], []]
  assert [a.not_exhaustive for a in found] == [[2], [], [], [1]]
  assert all(a.labeled_classes is None for a in found)


def test_without_a_bbox_the_polygon_counts_and_without_both_one_annotation_less(tmp_path):
  content = data_set(tmp_path)
  del content['annotations'][0]['bbox']
  content['annotations'][1]['bbox'] = None
  report, records = convert(tmp_path, content)
  first = tf_example.parse_example(records[0])
  # [6, 4] to [30, 20], over [40, 60, 40, 60].
  np.testing.assert_allclose(first.boxes, [[0.1, 0.1, 0.5, 0.5], [0.5, 0.5, 0.51, 0.51]], rtol=1e-6)
  assert first.class_names == ['cat', 'cat'] and not report.skipped
  (_, taken), (_, left_out) = report.remarks
  assert taken.startswith('1 annotations') and taken.endswith(': annotation 1')
  assert left_out.startswith('1 annotations') and left_out.endswith(': annotation 2')


def test_masks_are_not_kept_in_memory(tmp_path):
  (tmp_path / 'lvis.json').write_text(json.dumps(data_set(tmp_path)))
  images = lvis.load_annotations(str(tmp_path / 'lvis.json')).images
  assert all('segmentation' not in instance for image in images for instance in image.instances)


@pytest.mark.parametrize('how', ['eager', 'map'])
def test_odd_ids_are_reported_by_image_and_left_out(tmp_path, how):
  content = data_set(tmp_path)
  content['images'][1].update(neg_category_ids=[99, 4, 0], not_exhaustive_category_ids=[1204])
  content['images'][3].update(neg_category_ids=[5, 2])
  report, records = convert(tmp_path, content)
  assert report.remarks == [
    (
      '000000000003.jpg',
      "image 3: neg_category_ids [0, 99] are not in 'categories': left out",
    ),
    (
      '000000000003.jpg',
      "image 3: not_exhaustive_category_ids [1204] are not in 'categories': left out",
    ),
    (
      '000000000009.jpg',
      'image 9: neg_category_ids says that owl (5) is not in the image: it has 1 annotations',
    ),
  ]
  masks = [example[fields.LABELED_CLASSES].numpy().tolist() for example in decode(records, how)]
  assert masks[1] == [False, False, False, True, False]
  assert masks[3] == [False, True, False, False, True]


def test_missing_images_are_skipped_and_strict_stops(tmp_path):
  content = data_set(tmp_path)
  (tmp_path / 'images/train2017/000000000007.jpg').unlink()
  content['annotations'][3]['bbox'] = [0, 0, 60]
  with pytest.raises(InputError, match='no box to write: .* 2 files'):
    convert(tmp_path, content)
  box = {'id': 5, 'image_id': 3, 'category_id': 1, 'bbox': [6, 4, 24, 16], 'area': 100}
  content['annotations'].append(box)
  report, records = convert(tmp_path, content)
  assert [tf_example.parse_example(record).source_id for record in records] == ['3', '5']
  (item, missing), (_, broken) = report.skipped
  assert item == 'train2017/000000000007.jpg'
  folder = f'{tmp_path}/images/'
  assert missing == (
    f'image 7: no such file: {folder}000000000007.jpg, {folder}train2017/000000000007.jpg'
  )
  assert broken == (
    f'{folder}000000000009.jpg: annotation 4 has bbox [0, 0, 60]; expected [x, y, width, height] '
    'in pixels'
  )
  with pytest.raises(InputError, match='image 7: no such file'):
    convert(tmp_path, content, strict=True)


@pytest.mark.parametrize(
  ('changes', 'words'),
  [
    ({'neg_category_ids': 4}, 'image 3 has neg_category_ids 4; expected a list of category ids'),
    ({'neg_category_ids': [True]}, r'image 3 has neg_category_ids \[True\]; expected a list'),
    ({'neg_category_ids': ['4']}, r"image 3 has neg_category_ids \['4'\]; expected a list"),
    ({'not_exhaustive_category_ids': None}, 'image 3 has no not_exhaustive_category_ids; expected'),
    ({'coco_url': None}, r"images\[1\] lacks 'file_name'"),
  ],
)
def test_faulty_files_are_refused(tmp_path, changes, words):
  content = data_set(tmp_path)
  content['images'][1].update(changes)
  with pytest.raises(InputError, match=f'lvis.json: {words}'):
    convert(tmp_path, content)


@pytest.mark.parametrize(
  'names', [{'file_name': '../a.jpg', 'coco_url': None}, {'coco_url': 'http://host/../a.jpg'}]
)
def test_names_that_leave_the_folder_are_refused(tmp_path, names):
  content = data_set(tmp_path)
  content['images'][1].update(names)
  Image.new('RGB', (60, 40)).save(tmp_path / 'a.jpg')
  report, records = convert(tmp_path, content)
  ((_, reason),) = report.skipped
  assert reason.startswith("image 3: '../a.jpg' lies outside") and len(records) == 3


def test_sets_whose_categories_differ_are_refused(tmp_path):
  paths = [str(tmp_path / name) for name in ('v05.json', 'v1.json')]
  for i, path in enumerate(paths):
    content = data_set(tmp_path)
    content['categories'][4]['name'] += 's' * i
    with open(path, 'w') as file:
      json.dump(content, file)
  with pytest.raises(InputError, match="v1.json: its categories are not those of .*'owls'"):
    coco.load_sets(paths, lvis.load_annotations)
  assert len(coco.load_sets(paths[:1] * 2, lvis.load_annotations)) == 2
