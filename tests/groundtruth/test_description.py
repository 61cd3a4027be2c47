"""A description of records held to counts made by hand; its SVG; the tool from outside."""

import io
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import tensorflow as tf
import tool_processes
from PIL import Image

from ssd_tf.data import tf_example
from ssd_tf.data.source import Source
from ssd_tf.errors import InputError
from ssd_tf.groundtruth import description, plot

NAMES = {1: 'cat', 2: 'dog', 5: 'cow', 6: '$x$'}


def pixels(height, width, *boxes):
  """Boxes [ymin, xmin, ymax, xmax] in pixels as fractions."""
  return np.float32(np.array(boxes).reshape(-1, 4) / ([height, width] * 2))


def annotation(name, height, width, class_ids, boxes, **changes):
  values = {
    'encoded': b'',
    'format': 'png',
    'height': height,
    'width': width,
    'filename': f'{name}.png',
    'source_id': name,
    'boxes': pixels(height, width, *boxes),
    'class_ids': np.array(class_ids, np.int64),
    'class_names': [NAMES.get(class_id, '?') for class_id in class_ids],
  }
  return tf_example.Annotation(**{**values, **changes})


def write(path, annotations):
  with tf.io.TFRecordWriter(str(path)) as writer:
    for item in annotations:
      writer.write(tf_example.encode_example(item))
  return str(path)


# 100 high, 200 wide: the whole image, so on its border (2:1, area 20000: large); 32 x 32 (1:1,
# 1024: medium, sqrt(1024 / 20000) = .226); 1 x 1 (small, .007). Twice the same class.
FIRST = annotation(
  'first', 100, 200, [1, 1, 2], [[0, 0, 100, 200], [10, 10, 42, 42], [99, 199, 100, 200]]
)
# No groundtruth.
EMPTY = annotation('empty', 100, 200, [], [], labeled_classes=[2, 5])
# 400 high, 100 wide: 96 x 95 (9120: medium; h / w = 96 / 95; sqrt(9120 / 40000) = .477), by its
# mask 9216 (large); 64 high and 2 wide, 1:32 (128: small, .057).
TALL = annotation(
  'tall', 400, 100, [2, 5], [[0, 0, 96, 95], [0, 0, 64, 2]],
  labeled_classes=[2], area=np.float32([9216, 128]), sources=['human', 'pseudo'],
)  # fmt: skip


def test_counts(tmp_path):
  path = write(tmp_path / 'a.record', [FIRST, EMPTY, TALL])
  found = description.describe_records([path], NAMES)
  assert (found.num_images, found.num_boxes) == (3, 5)
  assert found.boxes == {1: 2, 2: 2, 5: 1}
  assert found.images == {1: 1, 2: 2, 5: 1}
  assert found.label_sets == {
    frozenset(NAMES): 1, frozenset([2, 5]): 1, frozenset([2]): 1
  }  # fmt: skip
  np.testing.assert_array_equal(
    found.co_labeled(), [[1, 1, 1, 1], [1, 3, 2, 1], [1, 2, 2, 1], [1, 1, 1, 1]]
  )
  # Bins of .05: .007 0, .057 1, .226 4, .477 9, 1 the last.
  expected = np.zeros(20, int)
  expected[[0, 1, 4, 9, 19]] = 1
  np.testing.assert_array_equal(found.size_counts, expected)
  assert found.coco_sizes == {'large': 2, 'medium': 1, 'small': 2}
  # Edges 1:8 1:5.7 1:4 1:2.8 1:2 1:1.4 1:1 1.4:1 2:1 2.8:1 4:1 ...: 1:32 in the first, 95:96 in
  # the sixth, 1:1 twice in the seventh, 2:1 in the ninth.
  np.testing.assert_array_equal(found.aspect_counts, [1, 0, 0, 0, 0, 1, 2, 0, 1, 0, 0, 0])
  assert found.boxes_per_image == {3: 1, 0: 1, 2: 1}
  assert found.image_sizes == {(200, 100): 2, (100, 400): 1}
  assert found.box_sources == {'human': 1, 'pseudo': 1}
  assert found.warnings() == [
    'classes without a box: $x$',
    '1 boxes are of a class that their image is not labeled for; first places: '
    f"{path}, record 2, source_id tall: class 5 'cow'",
  ]


def test_text(tmp_path):
  path = write(tmp_path / 'a.record', [FIRST, EMPTY, TALL])
  lines = str(description.describe_records([path], NAMES)).splitlines()
  assert lines[:8] == [
    '3 images, 5 boxes',
    'boxes by source: human 1, pseudo 1',
    '',
    '  id class     boxes    images  labeled images',
    '   1 cat           2         1               1',
    '   2 dog           2         2               3',
    '   5 cow           1         1               2',
    '   6 $x$           0         0               1',
  ]
  for line in (
    'sets of labeled classes: 3',
    '  1 images: cat, dog, cow, $x$',
    '         cat    dog    cow    $x$',
    '  dog      1      3      2      1',
    '  0.05 - 0.10         1 ########################################',
    '  0.10 - 0.15         0',
    'boxes by COCO size: small 2, medium 1, large 2',
    '  1:8 - 1:5.7         1 ####################',
    'boxes of an image: 0 to 3, mean 1.67, median 2; images without boxes: 1',
    '  200 x 100: 2 images',
  ):
    assert line in lines


def test_any_source_is_described_as_its_records_are(tmp_path):
  images = [FIRST, EMPTY, TALL]
  path = write(tmp_path / 'a.record', images)
  # Two parts, as those that train and validate.
  parts = [Source(NAMES, images[:1], lambda item: item), Source(NAMES, images[1:], lambda i: i)]
  found = description.describe_sources(parts).as_dict()
  expected = description.describe_records([path], NAMES).as_dict()
  assert found.pop('warnings')[0] == expected.pop('warnings')[0]  # The next one names a file.
  assert found == expected
  assert found['classes']['dog'] == {'id': 2, 'boxes': 2, 'images': 2, 'labeled_images': 3}
  with pytest.raises(InputError, match='the data set has no image'):
    description.describe_sources([Source(NAMES, [], None)])


def test_default_labels_and_other_sources_of_labels(tmp_path):
  verified = annotation('v', 10, 20, [1], [[0, 0, 5, 5]], verified_absent=[5])
  path = write(tmp_path / 'a.record', [FIRST, verified, EMPTY])
  found = description.describe_records([path], NAMES, [2])
  assert found.label_sets == {frozenset([2]): 1, frozenset([1, 5]): 1, frozenset([2, 5]): 1}
  assert found.warnings() == [
    'classes labeled in no image: $x$; a detector gets no negatives for it',
    'classes without a box: cow, $x$',
    '2 boxes are of a class that their image is not labeled for; first places: '
    f"{path}, record 0, source_id first: class 1 'cat'",
  ]


def test_nothing_labeled_and_ids_outside_the_label_map(tmp_path):
  images = [
    annotation(str(i), 10, 20, [9], [[0, 0, 5, 5]], labeled_classes=[7, 9][: i % 3])
    for i in range(6)
  ]
  path = write(tmp_path / 'a.record', images)
  found = description.describe_records([path], NAMES)
  assert found.label_sets == {frozenset(): 6}

  def places(*numbers):
    return '; '.join(f'{path}, record {i}, source_id {i}' for i in numbers)

  assert found.warnings() == [
    'classes labeled in no image: cat, dog, cow, $x$; a detector gets no negatives for it',
    'classes without a box: cat, dog, cow, $x$',
    '6 boxes have class id 9, which is not in the label map; first places: ' + places(0, 1, 2),
    '4 images are labeled for class id 7, which is not in the label map; first places: '
    + places(1, 2, 4),
    '2 images are labeled for class id 9, which is not in the label map; first places: '
    + places(2, 5),
  ]
  assert '  6 images: none' in str(found).splitlines()


def test_boxes_and_images_of_no_use_are_named_and_not_measured(tmp_path):
  stream = io.BytesIO()
  Image.new('RGB', (20, 10)).save(stream, 'PNG')
  boxes = np.float32([[0, 0, 0.5, 0.5], [0.5, 0.5, 0.5, 0.9], [0, 0, np.nan, 1]])
  images = [
    annotation('header', 0, 0, [], [], encoded=stream.getvalue()),
    annotation('unknown', 0, 0, [], [], encoded=b'no image'),
    annotation('flat', 10, 20, [1, 1, 1], boxes * [10, 20, 10, 20]),
  ]
  path = write(tmp_path / 'a.record', images)
  found = description.describe_records([path], NAMES)
  assert found.image_sizes == {(20, 10): 2, (0, 0): 1}
  assert found.num_boxes == 3 and found.size_counts.sum() == found.aspect_counts.sum() == 1
  assert found.coco_sizes == {'small': 1, 'medium': 0, 'large': 0}
  assert found.warnings()[1:] == [
    '1 images have no known size; their boxes are not measured; first places: '
    f'{path}, record 1, source_id unknown',
    '2 boxes have no area, or are inverted or not finite; they are not measured; first places: '
    f'{path}, record 2, source_id flat',
  ]


def test_class_texts_serve_where_ids_lack(tmp_path):
  example = tf.train.Example.FromString(tf_example.encode_example(FIRST))
  del example.features.feature['image/object/class/label']
  path = tmp_path / 'a.record'
  with tf.io.TFRecordWriter(str(path)) as writer:
    writer.write(example.SerializeToString())
  assert description.describe_records([str(path)], NAMES).boxes == {1: 2, 2: 1}
  del example.features.feature['image/object/class/text']
  with tf.io.TFRecordWriter(str(path)) as writer:
    writer.write(example.SerializeToString())
  with pytest.raises(InputError, match=r'a.record, record 0 .*0 class ids for 3 boxes'):
    description.describe_records([str(path)], NAMES)


def test_files_without_images(tmp_path):
  path = tmp_path / 'a.record'
  path.write_bytes(b'')
  with pytest.raises(InputError, match='no record in there'):
    description.describe_records([str(path)], NAMES)
  with tf.io.TFRecordWriter(str(path)) as writer:
    writer.write(b'\xff\xff')
  with pytest.raises(InputError, match=r'a.record, record 0 \(counted from 0\): is no tf'):
    description.describe_records([str(path)], NAMES)


def texts(path):
  root = ElementTree.parse(path).getroot()
  assert root.tag == '{http://www.w3.org/2000/svg}svg'
  return [element.text for element in root.iter('{http://www.w3.org/2000/svg}text')]


@pytest.mark.parametrize(
  ('images', 'names'),
  [
    ([FIRST, EMPTY, TALL], NAMES),
    ([EMPTY], {2: 'dog', 5: 'cow'}),  # No box at all.
    ([FIRST, EMPTY], {i: f'class {i}' for i in range(1, 51)}),
  ],
)
def test_svg(tmp_path, images, names):
  path = write(tmp_path / 'a.record', images)
  found = description.describe_records([path], names)
  for name in ('one', 'two'):
    plot.draw(found, str(tmp_path / name / 'x.svg'))
  one, two = (tmp_path / name / 'x.svg' for name in ('one', 'two'))
  assert one.read_bytes() == two.read_bytes()
  written = texts(one)
  titles = ('boxes', 'images', 'images labeled for both classes', 'box sizes', 'box shapes')
  assert {*titles, 'boxes of an image', 'box sizes by COCO'} <= set(written)
  if len(names) == 50:
    assert f'{found.num_boxes} boxes; 40 of 50 classes' in written
  else:
    assert {*names.values()} <= set(written)
  with pytest.raises(InputError, match='expected a file name that ends in .svg'):
    plot.draw(found, str(tmp_path / 'x.png'))


def run(folder, *flags):
  return tool_processes.run(folder, 'describe_dataset.py', *flags)


MAP = '--label_map_path=map.pbtxt'


def test_tool(tmp_path):
  write(tmp_path / 'a.record', [FIRST, EMPTY])
  write(tmp_path / 'b.record', [TALL])
  text = ''.join(f"item {{ id: {i} name: '{name}' }}" for i, name in NAMES.items())
  (tmp_path / 'map.pbtxt').write_text(text)
  flags = ('--labeled_class=cat', '--labeled_class=dog')
  outputs = ('--output_path=new/x.svg', '--json_path=json/x.json')
  done = run(tmp_path, '--input_path=a.record,b.*', MAP, *flags, *outputs)
  assert done.returncode == 0, done.stderr
  assert '   2 dog           2         2               3' in done.stdout.splitlines()
  assert 'warning: classes labeled in no image: $x$; ' in done.stderr
  assert 'images' in texts(tmp_path / 'new/x.svg')
  content = json.loads((tmp_path / 'json/x.json').read_text())
  assert content['classes']['cow'] == {'id': 5, 'boxes': 1, 'images': 1, 'labeled_images': 1}
  assert content['co_labeled'] == {
    'classes': ['cat', 'dog', 'cow', '$x$'],
    'num_images': [[1, 1, 0, 0], [1, 3, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]],
  }
  assert content['boxes_per_image'] == {'0': 1, '2': 1, '3': 1}
  assert content['image_sizes'][0] == {'width': 200, 'height': 100, 'num_images': 2}
  assert content['label_sets'][0] == {'classes': ['cat', 'dog'], 'num_images': 1}


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    ((MAP,), 'error: give --input_path, TFRecords, or --data, a folder of annotated images'),
    (('--input_path=a.record',), 'error: --input_path: give --label_map_path with it'),
    (('--data=.', '--labeled_class=cat'), 'error: --labeled_class: goes with --input_path'),
    (('--input_path=b.record', MAP), 'error: no file matches b.record'),
    (
      ('--input_path=a.record', MAP, '--labeled_class=cats'),
      'error: the label map has no class named "cats": did you mean "cat"?',
    ),
    (('--input_path=a.record', MAP, '--output_path=x.png'), "error: output_path 'x.png': expected"),
  ],
)
def test_bad_flags_end_in_one_line(tmp_path, flags, message):
  (tmp_path / 'map.pbtxt').write_text("item { id: 1 name: 'cat' }")
  (tmp_path / 'a.record').write_bytes(b'')
  done = run(tmp_path, *flags)
  assert done.returncode != 0 and 'Traceback' not in done.stderr
  assert message in done.stderr
