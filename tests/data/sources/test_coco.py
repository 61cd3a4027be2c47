import collections
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tf.data import record_writer, tf_example
from ssd_tf.data.sources import coco, seven_segment
from ssd_tf.errors import InputError


def read(path):
  return [tf_example.parse_example(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]


def data_set(root, **changes):
  """Two images, 60 x 40, the second without annotations; a plain box, a crowd, one too wide."""
  (root / 'images').mkdir(exist_ok=True)
  for name in ('a.jpg', 'b.png'):
    pixels = np.random.default_rng(0).integers(0, 256, [40, 60, 3], np.uint8)
    Image.fromarray(pixels).save(root / 'images' / name)
  instance = {'image_id': 7, 'category_id': 90, 'iscrowd': 0, 'area': 100.5}
  content = {
    'images': [
      {'id': 7, 'file_name': 'a.jpg', 'width': 60, 'height': 40},
      {'id': 3, 'file_name': 'b.png', 'width': 60, 'height': 40},
    ],
    'annotations': [
      {**instance, 'id': 1, 'bbox': [6, 4, 24, 16]},
      {**instance, 'id': 2, 'bbox': [0, 0, 60, 40], 'iscrowd': 1, 'category_id': 1},
      {**instance, 'id': 3, 'bbox': [30, 20, 45, 10], 'area': None},
      {**instance, 'id': 4, 'bbox': [30, 20, 0, 10]},
    ],
    'categories': [{'id': 1, 'name': 'person'}, {'id': 90, 'name': 'toothbrush'}],
    **changes,
  }
  path = root / 'instances.json'
  path.write_text(json.dumps(content))
  return path, content


def convert(root, path, **options):
  output = root / 'out.record'
  annotations = coco.load_annotations(str(path))
  source = coco.open_source(annotations, str(root / 'images'))
  report = record_writer.write_records(source, str(output), **options)
  return report, read(output)


def test_boxes_crowds_and_areas(tmp_path):
  path, _ = data_set(tmp_path)
  report, (first, second) = convert(tmp_path, path)
  # [x, y, w, h] to [y, x, y + h, x + w], over [40, 60, 40, 60]; the third clipped at 60.
  np.testing.assert_allclose(
    first.boxes, [[0.1, 0.1, 0.5, 0.5], [0, 0, 1, 1], [0.5, 0.5, 0.75, 1]], rtol=1e-6
  )
  np.testing.assert_array_equal(first.class_ids, [90, 1, 90])
  assert first.class_names == ['toothbrush', 'person', 'toothbrush']
  np.testing.assert_array_equal(first.is_crowd, [False, True, False])
  # As annotated; without one, the box's, 45 * 10.
  np.testing.assert_array_equal(first.area, np.float32([100.5, 100.5, 450]))
  assert (first.source_id, first.filename, first.format) == ('7', 'a.jpg', 'jpeg')
  assert (second.source_id, second.filename, len(second.boxes)) == ('3', 'b.png', 0)
  assert (report.num_images, report.num_boxes, report.num_images_without_objects) == (2, 3, 1)
  assert report.clipped == [('a.jpg', 'toothbrush xmin 30, ymin 20, xmax 75, ymax 30')]
  assert report.dropped == [('a.jpg', 'toothbrush xmin 30, ymin 20, xmax 30, ymax 30: no area')]


def test_labeled_category_ids_become_the_labeled_classes(tmp_path):
  path, content = data_set(tmp_path)
  content['images'].append({'id': 4, 'file_name': 'b.png', 'labeled_category_ids': []})
  content['images'][0]['labeled_category_ids'] = [90]
  path.write_text(json.dumps(content))
  _, (first, second, third) = convert(tmp_path, path)
  assert (first.labeled_classes, second.labeled_classes, third.labeled_classes) == ([90], None, [])
  assert first.class_names == ['toothbrush', 'person', 'toothbrush']


@pytest.mark.parametrize(
  'labeled,words',
  [
    ([1, 2, 90, 0], r"image b.png has labeled_category_ids \[2, 0\] that 'categories' lacks"),
    (1, 'image b.png has labeled_category_ids 1; expected a list of ids'),
  ],
)
def test_faulty_labeled_category_ids_are_refused(tmp_path, labeled, words):
  path, content = data_set(tmp_path)
  content['images'][1]['labeled_category_ids'] = labeled
  path.write_text(json.dumps(content))
  with pytest.raises(InputError, match=f'instances.json: {words}'):
    coco.load_annotations(str(path))


def test_broken_images_and_boxes_are_skipped_and_strict_stops(tmp_path):
  path, content = data_set(tmp_path)
  content['images'] += [
    {'id': 10, 'file_name': 'empty.jpg'},
    {'id': 11, 'file_name': 'short.jpg'},
    {'id': 12, 'file_name': 'nowhere.jpg'},
  ]
  content['annotations'].append({'id': 9, 'image_id': 3, 'category_id': 1, 'bbox': [1, 2, 3]})
  path.write_text(json.dumps(content))
  (tmp_path / 'images/empty.jpg').write_bytes(b'')
  whole = (tmp_path / 'images/a.jpg').read_bytes()
  (tmp_path / 'images/short.jpg').write_bytes(whole[: len(whole) // 2])
  report, annotations = convert(tmp_path, path)
  assert [a.filename for a in annotations] == ['a.jpg']
  reasons = [reason for _, reason in report.skipped]
  expected = [
    'b.png: annotation 9 has bbox [1, 2, 3]; expected [x, y, width, height]',
    'empty.jpg: the image file is empty',
    'short.jpg: the image does not decode',
    'nowhere.jpg: cannot read the image: No such file',
  ]
  assert len(reasons) == len(expected)
  for reason, words in zip(reasons, expected, strict=True):
    assert words in reason
  (tmp_path / 'out.record').write_bytes(b'of an earlier run')
  with pytest.raises(InputError, match='annotation 9'):
    convert(tmp_path, path, strict=True)
  assert (tmp_path / 'out.record').read_bytes() == b'of an earlier run'


def test_remarks(tmp_path):
  path, content = data_set(tmp_path)
  content['images'][1].update(width=40, height=60)
  content['images'].append({'id': 4, 'file_name': './a.jpg'})
  path.write_text(json.dumps(content))
  report, _ = convert(tmp_path, path)
  assert [text for _, text in report.remarks] == [
    '1 images are listed twice, by other ids: a.jpg',
    'the JSON says 40 x 60 pixels, the image has 60 x 40: the boxes are taken as pixels of the '
    'image',
  ]


def test_a_file_without_annotations_is_remarked(tmp_path):
  path, content = data_set(tmp_path)
  del content['annotations']
  path.write_text(json.dumps(content))
  report, records = convert(tmp_path, path)
  assert report.num_images_without_objects == len(records) == 2
  ((_, text),) = report.remarks
  assert "no 'annotations'" in text


@pytest.mark.parametrize(
  'changes,words',
  [
    ({'categories': [{'id': 1, 'name': 'person'}]}, r"'categories' lacks: 90 \(3 boxes\)"),
    ({'categories': [{'id': 0, 'name': 'person'}]}, "'person' has id 0; ids start at 1"),
    ({'categories': [{'id': 1, 'name': 'a'}, {'id': 2, 'name': 'a'}]}, "two categories are 'a'"),
    ({'images': [{'id': 1}]}, "lacks 'file_name'"),
    ({'annotations': [{'id': 1}]}, r"annotations\[0\] lacks 'image_id'"),
    ({'annotations': [{'id': 1, 'image_id': 7}]}, r"annotations\[0\] lacks 'category_id'"),
    ({'images': [{'file_name': 'a.jpg'}]}, r"images\[0\] lacks 'id'"),
    ({'categories': [{'id': 1}]}, r"categories\[0\] lacks 'name'"),
    ({'categories': []}, "'categories' is empty"),
    ({'images': [], 'annotations': None}, "'annotations' is None; expected a list"),
    ({'images': None}, "'images' is None"),
    ({'images': {'7': 'a.jpg'}}, "'images' is {'7': 'a.jpg'}; expected a list"),
    ({'images': ['a.jpg']}, r"images\[0\] is 'a.jpg'; expected an object"),
    ({'categories': 7}, "'categories' is 7"),
  ],
)
def test_faulty_files_are_refused(tmp_path, changes, words):
  path, _ = data_set(tmp_path, **changes)
  with pytest.raises(InputError, match=f'instances.json: .*{words}'):
    coco.load_annotations(str(path))


def test_broken_json_and_other_json(tmp_path):
  path = tmp_path / 'x.json'
  path.write_text('{"images": [')
  with pytest.raises(InputError, match='x.json: broken JSON: .*line 1 column 13'):
    coco.load_annotations(str(path))
  path.write_text('[]')
  with pytest.raises(InputError, match="expected an object with 'images'"):
    coco.load_annotations(str(path))


def test_sets_whose_categories_differ_are_refused(tmp_path):
  for name, class_id in (('one', 1), ('two', 2)):
    (tmp_path / name).mkdir()
    categories = [{'id': class_id, 'name': 'person'}]
    data_set(tmp_path / name, categories=categories, annotations=[])
  paths = [str(tmp_path / name / 'instances.json') for name in ('one', 'two')]
  with pytest.raises(InputError, match='its categories are not those of .*person'):
    coco.load_sets(paths)
  assert len(coco.load_sets(paths[:1] * 2)) == 2


def test_digits_written_as_coco_come_back(tmp_path):
  style = seven_segment.DigitStyle(height=64, width=384)
  seven_segment.write_data_set(str(tmp_path), num_train=1, num_eval=2, style=style, write_coco=True)
  annotations = coco.load_annotations(str(tmp_path / 'coco/instances_eval.json'))
  output = tmp_path / 'again.record'
  source = coco.open_source(annotations, str(tmp_path / 'coco/eval'))
  record_writer.write_records(source, str(output))
  originals = read(tmp_path / 'digits_eval.record')
  for annotation, original in zip(read(output), originals, strict=True):
    assert annotation.encoded == original.encoded
    np.testing.assert_array_equal(annotation.class_ids, original.class_ids)
    np.testing.assert_allclose(annotation.boxes, original.boxes, atol=1e-6)


def test_coco_train_images(tmp_path):
  path = pathlib.Path(__file__).parents[2] / 'testdata/coco/instances.json'
  annotations = coco.load_annotations(str(path))
  content = json.loads(path.read_text())
  for image in content['images']:
    black = Image.new('RGB', (image['width'], image['height']))
    black.save(tmp_path / image['file_name'])
  output = tmp_path / 'coco.record'
  source = coco.open_source(annotations, str(tmp_path))
  report = record_writer.write_records(source, str(output), num_workers=2)
  by_image = collections.defaultdict(list)
  for instance in content['annotations']:
    by_image[instance['image_id']].append(instance)
  records = read(output)
  assert report.num_images == 26 and not report.skipped and not report.remarks
  assert [int(a.source_id) for a in records] == [image['id'] for image in content['images']]
  assert report.num_images_without_objects == 26 - len(by_image) == 2
  assert report.num_boxes == len(content['annotations']) - len(report.dropped)
  for image, annotation in zip(content['images'], records, strict=True):
    instances = by_image[image['id']]
    assert (annotation.width, annotation.height) == (image['width'], image['height'])
    x, y, w, h = np.array([i['bbox'] for i in instances]).reshape(-1, 4).T
    keep = (w > 0) & (h > 0)
    boxes = np.stack([y, x, y + h, x + w], axis=-1)[keep]
    boxes /= [image['height'], image['width']] * 2
    np.testing.assert_allclose(annotation.boxes, np.clip(boxes, 0, 1), atol=1e-6)
    ids = np.array([i['category_id'] for i in instances], int)[keep]
    np.testing.assert_array_equal(annotation.class_ids, ids)
    areas = np.array([i['area'] for i in instances])[keep]
    np.testing.assert_allclose(annotation.area if len(ids) else [], areas, rtol=1e-6)
