import json

import pytest

from ssd_tf.data.sources import merge_plan
from ssd_tf.errors import InputError

COCO = {'name': 'a', 'type': 'coco', 'annotations_file': 'a.json', 'image_dir': 'images'}
VOC = {'name': 'b', 'type': 'pascal_voc', 'data_dir': 'b'}
RECORD = {'name': 'c', 'type': 'tfrecord', 'input_path': ['c.record'], 'label_map_path': 'c.pbtxt'}


def load(tmp_path, content):
  path = tmp_path / 'plan.json'
  text = content if isinstance(content, (str, bytes)) else json.dumps(content)
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  return merge_plan.load_plan(str(path))


def test_every_key_and_every_default(tmp_path):
  choice = {'labeled_class': ['cat'], 'rename': {'chat': 'cat'}, 'drop': ['dog']}
  first, second, third = load(tmp_path, [{**COCO, **choice}, VOC, {**RECORD, 'labeled_class': []}])
  assert first.options == {'annotations_file': 'a.json', 'image_dir': 'images'}
  assert (first.labeled_class, first.rename, first.drop) == (['cat'], {'chat': 'cat'}, ['dog'])
  assert [first.becomes(name) for name in ('chat', 'dog', 'cat')] == ['cat', None, 'cat']
  assert second.options == {
    'data_dir': 'b', 'set': 'train', 'year': 'VOC2007', 'annotations_dir': 'Annotations',
    'label_map_path': '',
  }  # fmt: skip
  assert (second.labeled_class, second.rename, second.drop) == (None, {}, [])
  assert third.options == {'input_path': ['c.record'], 'label_map_path': 'c.pbtxt'}
  assert third.labeled_class == []
  assert third.place == f"{tmp_path / 'plan.json'}: source 3 ('c')"


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    ('[{', 'broken JSON: '),
    ({}, 'expected a list of sources, '),
    ([], 'expected a list of sources, '),
    (['a'], 'source 1: expected an object, {"name": ..., ...}, received "a"'),
    ([{'type': 'coco'}], "source 1: the key 'name' is missing"),
    ([{**COCO, 'name': 3}], 'source 1: name: expected a text, received 3'),
    ([{**COCO, 'name': 'a/b'}], "source 1: name: 'a/b' has a '/'"),
    ([{'name': 'a'}], "source 1 ('a'): the key 'type' is missing"),
    ([{**COCO, 'type': 'voc'}],
     "source 1 ('a'): type: 'voc'; expected one of: coco, lvis, pascal_voc, csv, "
     "yolo, open_images, tfrecord"),
    ([{**COCO, 'labelled_class': []}],
     "source 1 ('a'): a coco source has no key 'labelled_class'; did you mean \"labeled_class\"?"),
    ([{**VOC, 'input_path': 'x'}], "source 1 ('b'): a pascal_voc source has no key 'input_path'"),
    ([COCO, {'name': 'b', 'type': 'pascal_voc'}], "source 2 ('b'): the key 'data_dir' is missing"),
    ([{**VOC, 'set': None}], "source 1 ('b'): set: expected a text, received null"),
    ([{**COCO, 'image_dir': ['x']}],
     "source 1 ('a'): image_dir: expected a text, received [\"x\"]"),
    ([{**RECORD, 'input_path': []}], "source 1 ('c'): input_path: expected a text, received []"),
    ([{**RECORD, 'input_path': [1]}], "source 1 ('c'): input_path: expected texts, received 1"),
    ([{**COCO, 'labeled_class': 'cat'}],
     "source 1 ('a'): labeled_class: expected a list of texts, received \"cat\""),
    ([{**COCO, 'drop': [1]}], "source 1 ('a'): drop: expected texts, received 1 among them"),
    ([{**COCO, 'rename': ['a']}], "source 1 ('a'): rename: expected {\"old\": \"new\"}"),
    ([{**COCO, 'rename': {'a': ''}}], "source 1 ('a'): rename: expected texts, received \"\""),
    ([{**COCO, 'rename': {'x': 'y'}, 'drop': ['x']}],
     "source 1 ('a'): 'x' is in rename and in drop"),
    ([COCO, VOC, {**RECORD, 'name': 'a'}], "source 3 ('a'): name: "),
    # Whatever JSON can hold, at whatever place.
    ([{**COCO, 'image_dir': 'a\0b'}], "source 1 ('a'): image_dir: expected text on one line"),
    ([{**COCO, 'name': 'a\nb'}], 'source 1: name: expected text on one line'),
    ([{**COCO, 'rename': {'x': 'y\nitem {'}}], "source 1 ('a'): rename: expected text on one line"),
    ([{**COCO, 'drop': ['\ud800']}], "source 1 ('a'): drop: expected text on one line"),
    ([{**COCO, 'drop': '\ud800'}], "source 1 ('a'): drop: expected a list of texts"),
    *(([{**COCO, key: odd}], f"source 1 ('a'): {key}: expected ")
      for key in ('annotations_file', 'labeled_class', 'rename', 'drop')
      for odd in (7, True, 1e999, 10**400, [['x']])),
    *(([{**COCO, key: odd}], f"source 1 ('a'): {key}: expected ")
      for key in ('image_dir', 'drop', 'rename') for odd in (None, '')),
    ('[' * 5000, 'its lists or objects are nested too deeply'),
    ('[{"name": "a", "rename": {"x": "y", "x": "z"}}]', "the key 'x' occurs twice in one object"),
    (b'[{"name":\n"Tier \xe9"}]', ''),
    ('[]'.encode('utf-16'), ''),
  ],
)  # fmt: skip
def test_errors_name_file_source_and_key(tmp_path, content, message):
  with pytest.raises(InputError) as error:
    load(tmp_path, content)
  path = tmp_path / 'plan.json'
  # Of bytes that are no UTF-8, the place is a line.
  start = f'{path}: {message}' if message else f'{path}:{content.count(10) + 1}: expected UTF-8'
  assert str(error.value).startswith(start), error.value
