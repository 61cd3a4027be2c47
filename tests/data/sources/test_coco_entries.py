"""What COCO JSON files say unlike instances_train2017.json: accepted by value, or refused."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tf.data import record_writer, tf_example
from ssd_tf.data.sources import coco, coco_entries, lvis, merge_plan, merging
from ssd_tf.errors import InputError

LISTS = {'neg_category_ids': [], 'not_exhaustive_category_ids': []}


def content(image=(), other_image=(), instance=(), category=()):
  """Two images of 96 x 80 with a box each; what differs from the usual in the first entries."""
  return {
    'images': [
      {'id': 1, 'file_name': 'im0.jpg', 'width': 96, 'height': 80, **LISTS, **dict(image)},
      {'id': 2, 'file_name': 'im1.jpg', 'width': 96, 'height': 80, **LISTS, **dict(other_image)},
    ],
    'annotations': [
      {'id': 5, 'image_id': 1, 'category_id': 1, 'bbox': [24, 20, 48, 40], 'area': 900,
       'iscrowd': 0, **dict(instance)},
      {'id': 6, 'image_id': 2, 'category_id': 2, 'bbox': [0, 8, 96, 4], 'area': 384, 'iscrowd': 1},
    ],
    'categories': [{'id': 1, 'name': 'cat', **dict(category)}, {'id': 2, 'name': 'dog'}],
  }  # fmt: skip


def write(root, value):
  (root / 'a.json').write_text(value if isinstance(value, str) else json.dumps(value))
  (root / 'images').mkdir(exist_ok=True)
  for name in ('im0.jpg', 'im1.jpg'):
    Image.new('RGB', (96, 80)).save(root / 'images' / name)
  return str(root / 'a.json')


def write_records(annotations, root, output):
  return record_writer.write_records(coco.open_source(annotations, str(root / 'images')), output)


def convert(root, value):
  annotations = coco.load_annotations(write(root, value))
  output = str(root / 'out.record')
  report = write_records(annotations, root, output)
  assert not report.skipped
  found = [tf_example.parse_example(record.numpy()) for record in tf.data.TFRecordDataset(output)]
  return report, found


def both(key, value):
  """The same id in all four places."""
  changed = content({'id': value(1)}, {'id': value(2)}) if key == 'image_id' else content()
  for entry in changed['annotations']:
    entry[key] = value(entry[key])
  if key == 'category_id':
    for entry in changed['categories']:
      entry['id'] = value(entry['id'])
  return changed


@pytest.mark.parametrize(
  ('value', 'source_id'),
  [
    (content(), '1'),
    # Text or float where a number is usual, on one side or on both.
    (content(instance={'image_id': '1'}), '1'),
    (content(instance={'image_id': 1.0}), '1'),
    (content({'id': '1'}), '1'),
    (content({'id': 1.0}), '1'),
    (both('image_id', str), '1'),
    (both('image_id', float), '1'),
    # By text if both sides have it, by value if not.
    (both('image_id', '{:04d}'.format), '0001'),
    (content({'id': '0001'}, {'id': '0002'}), '0001'),
    (content({'id': '1.0'}), '1.0'),
    (both('image_id', 'im{}'.format), 'im1'),
    # Both are another's by value, yet each is written alike.
    (content({'id': '01'}, {'id': 2}, {'image_id': '01'}), '01'),
    (content(instance={'category_id': '1'}), '1'),
    (content(category={'id': 1.0}), '1'),
    (both('category_id', str), '1'),
    (both('category_id', float), '1'),
    (content({'width': '96', 'height': 80.0}), '1'),
    (content({'width': None, 'height': None}), '1'),
    (content(instance={'iscrowd': '0'}), '1'),
    (content(instance={'iscrowd': 0.0}), '1'),
    (content(instance={'iscrowd': False}), '1'),
    (content(instance={'iscrowd': None}), '1'),
    (content(instance={'area': '900'}), '1'),
    (content(instance={'bbox': ['24', '20.0', 48, 40]}), '1'),
  ],
)
def test_ids_and_numbers_count_by_value(tmp_path, value, source_id):
  report, (first, second) = convert(tmp_path, value)
  # [24, 20, 48, 40] to [20, 24, 60, 72] over [80, 96, 80, 96]; [8, 0, 12, 96].
  np.testing.assert_array_equal(first.boxes, np.float32([[0.25, 0.25, 0.75, 0.75]]))
  np.testing.assert_array_equal(second.boxes, np.float32([[0.1, 0, 0.15, 1]]))
  assert [(a.class_names, a.class_ids.tolist()) for a in (first, second)] == [
    (['cat'], [1]),
    (['dog'], [2]),
  ]
  assert (first.is_crowd.tolist(), second.is_crowd.tolist()) == ([False], [True])
  assert (first.area.tolist(), second.area.tolist()) == ([900], [384])
  assert first.source_id == source_id and not report.remarks


def test_labeled_categories_count_by_value(tmp_path):
  _, (first, _) = convert(tmp_path, content({'labeled_category_ids': ['1', 2.0]}))
  assert first.labeled_classes == [1, 2]


@pytest.mark.parametrize(
  ('value', 'words'),
  [
    (content(other_image={'id': 1}), 'im0.jpg and im1.jpg have the same id, 1'),
    (content(other_image={'id': '1'}), "im0.jpg and im1.jpg have the same id, '1'"),
    (content({'id': '01'}, {'id': '001'}, {'image_id': 1}),
     "annotation 5 has image_id 1, which may be any of the images '01' and '001'"),
    (content(instance={'image_id': 7}), "1 annotations refer to 1 ids not in 'images': 7"),
    (content(instance={'image_id': 'im7'}), "not in 'images': 'im7'"),
    *((content({'id': odd}), f'images[0]: id is {odd!r}; expected a whole number or text')
      for odd in (True, None, [1], {'a': 1}, 1.5, float('nan'), float('inf'))),
    (content({'id': 'a\0'}), 'images[0]: id'),
    (content(instance={'image_id': True}), 'annotations[0]: image_id is True'),
    *((content(category={'id': odd}), f"category 'cat' has id {odd!r}; ids start at 1")
      for odd in (True, None, [1], 1.5, -1, 0, '0', 'one', float('inf'), 2**31)),
    (content(category={'id': 10**100}), "category 'cat' has id 1000"),
    (content(category={'id': '2'}), "two categories are 'dog' or have id 2"),
    *((content(category={'name': odd}), f'categories[0]: name: expected text, found {odd!r}')
      for odd in (7, None, '', ['cat'], True)),
    (content(category={'name': 'cat\nitem { id: 3'}), 'categories[0]: name: expected text on one'),
    *((content(instance={'category_id': odd}), f'annotation 5 has category_id {odd!r}; expected a')
      for odd in (True, None, [1], 1.5, 'cat')),
    (content(instance={'category_id': 3}), "annotations of categories that 'categories' lacks: 3 "),
    *((content(instance={'iscrowd': odd}), f'annotation 5 has iscrowd {odd!r}; expected 0 or 1')
      for odd in (2, '2', 'no', [0], 0.5, float('nan'))),
    *((content({'width': odd}), f'images[0] (image 1): width is {odd!r}; expected a whole number')
      for odd in (-96, 'wide', 96.5, [96], True, float('inf'))),
    *((content({'file_name': odd}), 'images[0] (image 1): file_name: expected text')
      for odd in (7, '', 'x\0.jpg', ['im0.jpg'])),
    (content({'file_name': None}), "images[0] lacks 'file_name'"),
    (json.dumps(content()).replace('[24, ', '[[' + '[' * 5000), 'nested too deeply'),
    (json.dumps(content()).replace('"images"', '"annotations": [], "images"', 1),
     "the key 'annotations' occurs twice"),
  ],
)  # fmt: skip
def test_all_else_is_refused_by_name_by_every_reader_of_coco(tmp_path, value, words):
  path = write(tmp_path, value)
  options = {'annotations_file': path, 'image_dir': str(tmp_path / 'images')}
  plan = merge_plan.SourcePlan('pets', 'coco', options, place='plan.json: pets')
  readers = {
    coco.load_annotations: path,
    lvis.load_annotations: path,
    merging.open_part: plan,
  }
  for read, argument in readers.items():
    with pytest.raises(InputError) as raised:
      read(argument)
    assert f'{path}: ' in str(raised.value) and words in str(raised.value)
    assert len(str(raised.value)) < 700


NONE = (None, None)


@pytest.mark.parametrize(
  ('instance', 'box', 'area', 'remark'),
  [
    # An area that is none is the box's, 48 * 40.
    *(({'area': odd}, (0.25, 0.25, 0.75, 0.75), 1920, f'annotation 5 ({odd!r})')
      for odd in (float('nan'), float('inf'), -900, 'big', [1, 2], {}, True, 1e300)),
    ({'area': 10**400}, (0.25, 0.25, 0.75, 0.75), 1920, 'annotation 5 (1000'),
    # [12, 8] to [60, 40].
    *(({'bbox': bbox, 'segmentation': [[12, 8, 60, 8, 60, 40]]}, (0.1, 0.125, 0.5, 0.625), 900,
       'taken from their segmentation: annotation 5')
      for bbox in (None, [], [0, 0, 0, 0], [24, 20, 0, 40])),
    # 80 rows: in column 24, rows 20 to 59.
    ({'bbox': None, 'segmentation': {'size': [80, 96], 'counts': [24 * 80 + 20, 40, 5700]}},
     (0.25, 0.25, 0.75, 25 / 96), 900, 'taken from their segmentation: annotation 5'),
    *(({'bbox': bbox, 'segmentation': polygon}, *NONE, 'are left out: annotation 5')
      for bbox in (None, []) for polygon in (None, [], [[1, 2]], 'x', [[1, 2, 3, 4, 5, 'x']])),
  ],
)  # fmt: skip
def test_what_is_replaced_or_left_out_is_remarked(tmp_path, instance, box, area, remark):
  report, (first, second) = convert(tmp_path, content(instance=instance))
  np.testing.assert_allclose(first.boxes, np.reshape(box or [], [-1, 4]), rtol=1e-6)
  assert first.area is None if area is None else first.area.tolist() == [area]
  assert second.class_names == ['dog']
  ((place, text),) = report.remarks
  assert place == str(tmp_path / 'a.json') and text.startswith('1 ') and remark in text


def test_a_file_in_which_no_annotation_has_a_box_is_refused(tmp_path):
  value = content(instance={'bbox': None})
  for entry in value['annotations']:
    entry['bbox'] = []
  with pytest.raises(InputError, match=r'a\.json: none of the \d annotations has a bbox'):
    convert(tmp_path, value)


@pytest.mark.parametrize(
  'bbox',
  [
    *([24, 20, 48], [24, 20, 48, 40, 1], '1234', 7, {}, True, [24, 20, 48, '4O'], [24, 20, 48, []]),
    *([float('nan'), 20, 48, 40], [24, 20, 1e999, 40], [24, 20, 48, 10**400], [24, 20, 48, 1e30]),
    *([True, 20, 48, 40], [24, None, 48, 40], ['nan', 20, 48, 40]),
  ],
)
def test_a_broken_bbox_is_named_and_its_image_left_out(tmp_path, bbox):
  annotations = coco.load_annotations(write(tmp_path, content(instance={'bbox': bbox})))
  output = str(tmp_path / 'out.record')
  report = write_records(annotations, tmp_path, output)
  ((item, reason),) = report.skipped
  assert str(item) == 'im0.jpg' and report.num_images == 1
  assert 'im0.jpg: annotation 5 has bbox ' in reason and len(reason) < 300


@pytest.mark.parametrize('name', ['../im0.jpg', '/im0.jpg', 'sub/../../im0.jpg'])
def test_an_image_outside_the_folder_is_left_out(tmp_path, name):
  annotations = coco.load_annotations(write(tmp_path, content({'file_name': name})))
  Image.new('RGB', (96, 80)).save(tmp_path / 'im0.jpg')
  report = write_records(annotations, tmp_path, str(tmp_path / 'out.record'))
  ((_, reason),) = report.skipped
  assert reason.startswith(f'image 1: {name!r} lies outside') and report.num_images == 1


def test_boxes_that_are_fractions_are_refused(tmp_path):
  changed = content(instance={'bbox': [0.25, 0.25, 0.5, 0.5]})
  changed['annotations'][1]['bbox'] = [0, 0.1, 1, 0.05]
  path = write(tmp_path, changed)
  annotations = coco.load_annotations(path)
  output = str(tmp_path / 'out.record')
  with pytest.raises(InputError, match='a.json: .*all 2 boxes lie within 0..1'):
    write_records(annotations, tmp_path, output)
  options = {'annotations_file': path, 'image_dir': str(tmp_path / 'images')}
  plan = merge_plan.SourcePlan('pets', 'coco', options, place='plan.json: pets')
  with pytest.raises(InputError, match='plan.json: pets: .*a.json: .*lie within 0..1'):
    merging.open_part(plan)
  # Of one image only: what the other's are, nobody knows.
  changed['annotations'][1]['bbox'] = [0, 8, 96, 4]
  annotations = coco.load_annotations(write(tmp_path, changed))
  report = write_records(annotations, tmp_path, output)
  ((_, reason),) = report.skipped
  assert 'im0.jpg: ' in reason and 'all 1 boxes lie within 0..1' in reason


def categories_of(*entries, used=()):
  keys = ('id', 'name', 'supercategory')
  return {
    'images': [],
    'annotations': [{'category_id': i} for i in used],
    'categories': [dict(zip(keys, entry, strict=False)) for entry in entries],
  }


def test_headings_are_left_out_where_they_are_not_used():
  heading = [(0, 'animals', 'none'), (2, 'dog', 'animals'), (1, 'cat', 'animals')]
  content = categories_of(*heading, used=[1])
  assert coco_entries.used_categories('x', content) == {'cat': 1, 'dog': 2}
  content = categories_of(*heading, used=[0])
  assert coco_entries.used_categories('x', content) == {'animals': 0, 'cat': 1, 'dog': 2}
  # As in COCO: a class that is named as its own supercategory is no heading.
  content = categories_of((1, 'person', 'person'), (2, 'car', 'vehicle'))
  assert coco_entries.used_categories('x', content) == {'person': 1, 'car': 2}


@pytest.mark.parametrize(
  'entries', [[(1, 'cat'), (1, 'dog')], [(1, 'cat'), (2, 'cat')], [('one', 'cat')], [(1,)]]
)
def test_categories_that_cannot_be_told_apart(entries):
  with pytest.raises(InputError, match='instances.json'):
    coco_entries.used_categories('instances.json', categories_of(*entries))


def test_renumbering_gives_the_ids_of_the_label_map():
  content = categories_of((0, 'cat'), (1, 'dog'), used=[1, '0', 1.0, 'x'])
  coco_entries.renumber('x', content, {'dog': 3, 'cat': 1, 'cow': 2})
  # What is no number is left to the checks.
  assert [entry['category_id'] for entry in content['annotations']] == [3, 1, 3, 'x']
  assert {entry['name']: entry['id'] for entry in content['categories']} == {
    **{'dog': 3, 'cat': 1, 'cow': 2}
  }
