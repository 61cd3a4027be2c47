import dataclasses
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tf.data import record_files, record_writer, tf_example
from ssd_tf.data.source import Source
from ssd_tf.data.sources import partial_data_sets, tfrecord
from ssd_tf.data.sources.label_dropping import DroppingRules
from ssd_tf.errors import InputError

NAMES = {1: 'a', 2: 'b', 3: 'c', 7: 'd'}
# Plain, on the border, tiny.
BOXES = np.float32([[0.25, 0.5, 0.75, 1.0], [0, 0, 1, 1], [0.5, 0.5, 0.51, 0.52]])


def annotation(i, class_ids, **changes):
  stream = io.BytesIO()
  Image.new('RGB', (60, 40), (i, 0, 0)).save(stream, 'PNG')
  values = {
    'encoded': stream.getvalue(),
    'format': 'png',
    'height': 40,
    'width': 60,
    'filename': f'{i}.png',
    'source_id': f'image {i}',
    'boxes': BOXES[: len(class_ids)],
    'class_ids': np.array(class_ids, np.int64),
    'class_names': [NAMES.get(class_id, '?') for class_id in class_ids],
  }
  return tf_example.Annotation(**{**values, **changes})


IMAGES = (
  annotation(0, [1, 2, 3], area=np.float32([1, 2, 3]), difficult=np.array([True, False, True])),
  annotation(1, [1, 2, 3], group_of=np.array([False, False, True]), views=['x', 'y', 'z']),
  annotation(2, []),
  annotation(3, [3, 3, 1], verified_present=[1, 3], verified_absent=[2], not_exhaustive=[3]),
  annotation(4, [2], labeled_classes=[1, 2, 3], human_labeled_classes=[1, 3]),
)
GROUPS = [['a', 'b'], ['b', 'c']]


def write(path, annotations):
  record_writer.write_records(Source(NAMES, annotations, lambda item: item), str(path))
  return str(path)


def read(path):
  return [
    tf_example.parse_example(record) for _, _, record in record_files.read_records([str(path)])
  ]


def drop(folder, rules, annotations=IMAGES, name='out.record'):
  source = tfrecord.open_source([write(folder / 'in.record', annotations)], NAMES)
  manifest = partial_data_sets.write_partial_records(source, str(folder / name), rules)
  return manifest, read(folder / name)


def test_records_keep_images_and_the_boxes_of_their_group(tmp_path):
  manifest, found = drop(tmp_path, DroppingRules(groups=GROUPS))
  assert [a.class_ids.tolist() for a in found] == [[1, 2], [2, 3], [], [3, 3], [2]]
  # Image 1 holds a group of c in one box, and image 3 not every c: they were not labeled before.
  # Image 3 was labeled for 1, which group 1 is not, and 2; image 4 for 1, 2 and 3.
  assert [a.labeled_classes for a in found] == [[1, 2], [2], [1, 2], [2], [1, 2]]
  assert [a.human_labeled_classes for a in found] == [None, None, None, None, [1]]
  for before, after in zip(IMAGES, found, strict=True):
    for key in ('encoded', 'format', 'height', 'width', 'filename', 'source_id'):
      assert getattr(after, key) == getattr(before, key)
    assert after.verified_present is after.verified_absent is after.not_exhaustive is None
  np.testing.assert_array_equal(found[1].boxes, BOXES[1:])
  np.testing.assert_array_equal(found[0].area, np.float32([1, 2]))
  np.testing.assert_array_equal(found[0].difficult, [True, False])
  assert (found[1].class_names, found[1].views) == (['b', 'c'], ['y', 'z'])
  np.testing.assert_array_equal(found[1].group_of, [False, True])

  assert manifest['classes'] == {
    'a': {'id': 1, 'boxes_kept': 1, 'boxes_dropped': 2, 'images_labeled': 3},
    'b': {'id': 2, 'boxes_kept': 3, 'boxes_dropped': 0, 'images_labeled': 5},
    'c': {'id': 3, 'boxes_kept': 3, 'boxes_dropped': 1, 'images_labeled': 0},
    'd': {'id': 7, 'boxes_kept': 0, 'boxes_dropped': 0, 'images_labeled': 0},
  }
  assert manifest['groups'] == [
    {'classes': ['a', 'b'], 'num_images': 3, 'boxes_kept': 3, 'boxes_dropped': 1},
    {'classes': ['b', 'c'], 'num_images': 2, 'boxes_kept': 4, 'boxes_dropped': 2},
  ]
  assert [manifest[key] for key in ('num_images', 'boxes_kept', 'boxes_dropped')] == [5, 7, 3]
  assert manifest['share_dropped'] == 0.3
  assert manifest['warnings'] == [
    "class 'd' is in no group: all of its boxes are dropped",
    "class 'c' is labeled in no image: a detector gets no negatives for it",
  ]
  assert partial_data_sets.describe_manifest(manifest).splitlines()[1:3] == [
    'a                       1        2               3',
    'b                       3        0               5',
  ]


def test_a_single_group_of_all_classes_changes_nothing_but_the_list(tmp_path):
  complete = [annotation(i, [1, 2, 7][:i]) for i in range(4)]
  manifest, found = drop(tmp_path, DroppingRules(num_groups=1), complete)
  assert [a.labeled_classes for a in found] == [[1, 2, 3, 7]] * 4
  for before, after in zip(complete, found, strict=True):
    after = dataclasses.replace(after, labeled_classes=None)
    assert tf_example.encode_example(after) == tf_example.encode_example(before)
  assert [a.class_ids.tolist() for a in found] == [[], [1], [1, 2], [1, 2, 7]]
  assert manifest['share_dropped'] == 0 and manifest['warnings'] == []


def test_same_seed_same_bytes_whatever_the_threads(tmp_path):
  path = write(tmp_path / 'in.record', [annotation(i, [1, 2, 3]) for i in range(200)])
  source = tfrecord.open_source([path], NAMES)
  rules = DroppingRules(
    groups=[['a', 'b'], ['b', 'c', 'd']], shuffle=True, drop_rate=0.2, class_drop={'b': 0.25}
  )
  for name, seed, num_workers in (('x', 0, 1), ('y', 0, 8), ('z', 1, 8)):
    changed = dataclasses.replace(rules, seed=seed)
    output = str(tmp_path / name)
    manifest = partial_data_sets.write_partial_records(
      source, output, changed, num_workers=num_workers
    )
    # a: 100 images, of which 80 keep it; b: 200, of which .75 * .8 = .6.
    assert 68 <= manifest['classes']['a']['boxes_kept'] <= 92
    assert manifest['classes']['a']['images_labeled'] == manifest['classes']['a']['boxes_kept']
    assert 99 <= manifest['classes']['b']['boxes_kept'] <= 141
    assert manifest['classes']['d']['images_labeled'] == 100
  x, y, z = ((tmp_path / name).read_bytes() for name in 'xyz')
  assert x == y != z


def test_a_box_without_its_label_takes_the_class_with_it(tmp_path):
  images = [annotation(i, [1, 1, 2]) for i in range(300)]
  _, found = drop(tmp_path, DroppingRules(num_groups=1, drop_rate=0.3), images)
  for image in found:
    ids = image.class_ids.tolist()
    assert (1 in image.labeled_classes) == (ids.count(1) == 2)
    assert (2 in image.labeled_classes) == (ids.count(2) == 1)
    assert {3, 7} <= set(image.labeled_classes)
  # Of two boxes just one stays, but unlabeled: 2 * .3 * .7 = .42 of 300 are 126.
  assert 95 <= sum(image.class_ids.tolist().count(1) == 1 for image in found) <= 157


def test_boxes_of_no_use_are_remarked_and_not_counted(tmp_path, capsys):
  boxes = np.float32([[0, 0, 0.5, 1.5], [0.5, 0.5, 0.5, 0.9]])
  path = tmp_path / 'raw.record'  # A converter of others, which checks nothing.
  with tf.io.TFRecordWriter(str(path)) as writer:
    writer.write(tf_example.encode_example(annotation(0, [1, 2], boxes=boxes)))
  manifest = partial_data_sets.write_partial_records(
    tfrecord.open_source([str(path)], NAMES), str(tmp_path / 'out'), DroppingRules(groups=[['b']])
  )
  assert (manifest['boxes_kept'], manifest['boxes_dropped']) == (0, 1)
  remarks = capsys.readouterr().out
  assert 'clipped to the image: a xmin 0, ymin 0, xmax 90, ymax 20' in remarks
  assert 'left out, no area or outside: b xmin 30, ymin 20, xmax 54, ymax 20' in remarks


def test_faulty_records(tmp_path):
  rules = DroppingRules(groups=GROUPS)
  with pytest.raises(InputError, match=r'in.record, record 1 .*class ids \[5\] .*not in the label'):
    drop(tmp_path, rules, [annotation(0, [1]), annotation(1, [5])])
  with pytest.raises(InputError, match=r'record 0 .*class ids \[9\] .*not in the label map'):
    drop(tmp_path, rules, [annotation(0, [1], labeled_classes=[1, 9])])
  assert not (tmp_path / 'out.record').exists()
  before = (tmp_path / 'in.record').read_bytes()
  with pytest.raises(InputError, match=r'in\.record: is read, and would be replaced'):
    drop(tmp_path, rules, IMAGES, name='in.record')
  with pytest.raises(InputError, match="no class is named 'e'"):
    drop(tmp_path, DroppingRules(groups=[['e']]))
  assert (tmp_path / 'in.record').read_bytes() != before  # `drop` wrote its own input again.


CONTENT = {
  'info': {'year': 2017},
  'images': [
    {'id': 30, 'file_name': 'x.jpg', 'width': 60, 'height': 40},
    {'id': 10, 'file_name': 'y.jpg', 'labeled_category_ids': [2, 3]},
    {'id': 20, 'file_name': 'z.jpg', 'neg_category_ids': [7], 'not_exhaustive_category_ids': [2]},
  ],
  'annotations': [
    {'id': 1, 'image_id': 10, 'category_id': 2, 'bbox': [1, 2, 3, 4], 'score': 0.5},
    {'id': 2, 'image_id': 30, 'category_id': 3, 'bbox': [0, 0, 60, 40]},
    {'id': 3, 'image_id': 30, 'category_id': 1, 'bbox': [0, 0, 1, 1]},
    {'id': 4, 'image_id': 20, 'category_id': 2, 'bbox': [5, 5, 5, 5]},
    {'id': 5, 'image_id': 20, 'category_id': 2},
  ],
  'categories': [{'id': class_id, 'name': name} for class_id, name in NAMES.items()],
}


def test_coco(tmp_path):
  source = tmp_path / 'in.json'
  source.write_text(json.dumps(CONTENT))
  rules = DroppingRules(groups=[['a', 'b'], ['b', 'd']])
  manifest = partial_data_sets.write_partial_coco(
    str(source), str(tmp_path / 'new/out.json'), rules
  )
  found = json.loads((tmp_path / 'new/out.json').read_text())
  assert found['info'] == CONTENT['info'] and found['categories'] == CONTENT['categories']
  assert found['images'] == [
    {'id': 30, 'file_name': 'x.jpg', 'width': 60, 'height': 40, 'labeled_category_ids': [1, 2]},
    {'id': 10, 'file_name': 'y.jpg', 'labeled_category_ids': [2]},
    # Group 0; before: 7, known to be absent, and 2 but for its instances without a box.
    {'id': 20, 'file_name': 'z.jpg', 'labeled_category_ids': []},
  ]
  assert found['annotations'] == [CONTENT['annotations'][i] for i in (2, 0, 3)]
  assert (manifest['boxes_kept'], manifest['boxes_dropped']) == (3, 1)
  assert manifest['warnings'] == [
    "class 'c' is in no group: all of its boxes are dropped",
    "class 'd' is labeled in no image: a detector gets no negatives for it",
    f'{source}: 1 annotations have neither bbox nor segmentation (polygon or RLE), and are left '
    'out: annotation 5',
  ]
  with pytest.raises(InputError, match='is the input, too'):
    partial_data_sets.write_partial_coco(str(source), str(source), rules)


def test_coco_with_ids_as_text_has_numbers_then(tmp_path):
  content = json.loads(json.dumps(CONTENT))
  content['categories'][0]['id'] = '1'
  content['images'][2]['not_exhaustive_category_ids'] = None
  for instance in content['annotations']:
    instance.update(image_id=str(instance['image_id']), category_id=str(instance['category_id']))
  source, output = tmp_path / 'in.json', tmp_path / 'out.json'
  source.write_text(json.dumps(content).replace('"info"', r'"half\ud800": 1, "info"'))
  partial_data_sets.write_partial_coco(str(source), str(output), DroppingRules(groups=[['a', 'b']]))
  found = json.loads(output.read_text())
  assert found['categories'] == CONTENT['categories'] and found['half\ud800'] == 1
  assert [(i['image_id'], i['category_id']) for i in found['annotations']] == [
    (i['image_id'], i['category_id']) for i in (CONTENT['annotations'][k] for k in (2, 0, 3))
  ]


@pytest.mark.parametrize(
  ('key', 'odd'),
  [('neg_category_ids', [{}]), ('not_exhaustive_category_ids', 7), ('neg_category_ids', [True])],
)
def test_lists_of_lvis_that_are_none_are_refused(tmp_path, key, odd):
  content = json.loads(json.dumps(CONTENT))
  content['images'][2][key] = odd
  source = tmp_path / 'in.json'
  source.write_text(json.dumps(content))
  with pytest.raises(InputError, match=f'in.json: image 20 has {key} '):
    partial_data_sets.write_partial_coco(str(source), str(tmp_path / 'o'), DroppingRules())


def test_more_groups_than_images_are_refused(tmp_path):
  source = tmp_path / 'in.json'
  source.write_text(json.dumps(CONTENT))
  rules = DroppingRules(num_groups=2_000_000_000, overlap=1)
  with pytest.raises(InputError, match='2000000000 groups of 3 images'):
    partial_data_sets.write_partial_coco(str(source), str(tmp_path / 'o'), rules)


def test_coco_without_images(tmp_path):
  source = tmp_path / 'in.json'
  source.write_text(json.dumps({**CONTENT, 'images': [], 'annotations': []}))
  with pytest.raises(InputError, match="'images' is empty"):
    partial_data_sets.write_partial_coco(str(source), str(tmp_path / 'o'), DroppingRules())
