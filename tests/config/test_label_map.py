import pytest

from ssd_tf.config import label_map
from ssd_tf.errors import InputError

PLAIN = label_map.LabelMap(
  ids=(1, 2, 3), names=('RBC', 'WBC', 'Platelets'), display_names=('RBC', 'WBC', 'Platelets')
)

AS_WRITTEN = {
  'plain': """
item {
  id: 1
  name: 'RBC'
}
item {
  id: 2
  name: 'WBC'
}
item {
  id: 3
  name: 'Platelets'
}
""",
  'tight': "item{id:1 name:'RBC'}item{id:2 name:'WBC'}item{id:3 name:'Platelets'}",
  'colon': 'item: {id: 1 name: "RBC"} item: {id: 2 name: "WBC"} item: {id: 3 name: "Platelets"}',
  'commas': "item {\n  id: 1,\n  name: 'RBC',\n},\nitem {id: 2; name: 'WBC'}; item {id: 3, "
  "name: 'Platelets'}",
  'name before id': "item {name: 'RBC' id: 1} item {name: 'WBC' id: 2} item {name: 'Platelets' "
  'id: 3}',
  'out of order': "item {id: 3 name: 'Platelets'} item {id: 1 name: 'RBC'} item {id: 2 "
  "name: 'WBC'}",
  'comments': "# blood\nitem { # id: 9 }\n  id: 1 # one's\n  name: 'RBC'\n}\n#item {\nitem {id: 2 "
  "name: 'WBC'} item {id: 3 name: 'Platelets'}",
  'list': "item [{id: 1 name: 'RBC'}, {id: 2 name: 'WBC'}, {id: 3 name: 'Platelets'}]",
  'angles': "item <id: 1 name: 'RBC'> item <id: 2 name: 'WBC'> item <id: 3 name: 'Platelets'>",
  'background': "item {id: 0 name: 'background'} item {id: 1 name: 'RBC'} item {id: 2 name: 'WBC'}"
  " item {id: 3 name: 'Platelets'}",
  'other fields': "item {id: 1 name: 'RBC' keypoints {id: 7 label: 'rim'} keypoints {id: 8 "
  "label: 'mid'}} item {id: 2 name: 'WBC' ancestor_ids: 1 descendant_ids: [3]} item {id: 3 "
  "name: 'Platelets' frequency: RARE instance_count: 4}",
  'display_name for want of a name': "item {id: 1 display_name: 'RBC'} item {id: 2 name: 'WBC'} "
  "item {id: 3 name: 'Platelets'}",
}


@pytest.mark.parametrize('text', AS_WRITTEN.values(), ids=AS_WRITTEN)
@pytest.mark.parametrize('newline', ['\n', '\r\n'], ids=['lf', 'crlf'])
@pytest.mark.parametrize('mark', [b'', b'\xef\xbb\xbf'], ids=['', 'bom'])
def test_reads_what_people_write(tmp_path, text, newline, mark):
  path = tmp_path / 'map.pbtxt'
  path.write_bytes(mark + text.replace('\n', newline).encode())
  assert label_map.load(path) == PLAIN


def test_names_with_escapes_braces_and_other_letters():
  text = r"""
    item { id: 1 name: 'caf\303\251' display_name: "it's {here} # no comment" }
    item { id: 5 name: '\'n\x41' }
    item { id: 7 name: '数字' }
  """
  labels = label_map.parse(text, 'map.pbtxt')
  assert labels.ids == (1, 5, 7)
  assert labels.names == ('café', "'nA", '数字')
  assert labels.display_names == ("it's {here} # no comment", "'nA", '数字')


def test_num_classes_is_the_greatest_id_and_lookups_go_both_ways():
  labels = label_map.parse(
    "item {id: 90 name: 'toothbrush' display_name: 'Toothbrush'} item {id: 1 name: 'person'}", 'm'
  )
  assert labels.num_classes == 90
  assert labels.name_by_id[90] == 'toothbrush'
  assert labels.display_name_by_id[90] == 'Toothbrush'
  assert labels.display_name_by_id[1] == 'person'
  assert labels.id_of('person') == 1
  with pytest.raises(InputError, match='no class named "persn": did you mean "person"'):
    labels.id_of('persn')


def test_what_is_saved_is_loaded(tmp_path):
  labels = label_map.LabelMap((1, 4), ('a "b"\\n', '/m/01é'), ('a "b"\\n', 'shown'))
  label_map.save(labels, tmp_path / 'map.pbtxt')
  assert label_map.load(tmp_path / 'map.pbtxt') == labels
  text = (tmp_path / 'map.pbtxt').read_text(encoding='utf-8')
  assert text.count('display_name') == 1 and 'é' in text
  assert [p.name for p in tmp_path.iterdir()] == ['map.pbtxt']


FAULTS = {
  'id twice': (
    "item {id: 1 name: 'a'}\nitem {\n  name: 'b'\n  id: 1\n}",
    ["m.pbtxt:4: id 1 is already that of 'a' on line 1"],
  ),
  'name twice': (
    "item {\n id: 1 name: 'a'}\n\nitem {id: 2\n  name: 'a'}",
    ["m.pbtxt:5: name 'a' is already that of the item on line 1"],
  ),
  'id 0': (
    "item {\n  id: 0\n  name: 'a'\n}",
    ['m.pbtxt:2: id 0: ids start at 1, since 0 is the background'],
  ),
  'all at once': (
    "item {id: 1 name: 'a'}\nitem {id: -3 name: 'b'}\nitem {name: 'c'}\nitem {id: 4}\nitem {}",
    [
      'm.pbtxt:2: id -3: ids start at 1, since 0 is the background',
      "m.pbtxt:3: the item has no id: add one, 1 or above (name 'c')",
      'm.pbtxt:4: the item has no name: add one, as it is written in the records',
      'm.pbtxt:5: the item has no id: add one, 1 or above',
      'm.pbtxt:5: the item has no name: add one, as it is written in the records',
    ],
  ),
  'merged by a missing } {': (
    "item {\n  id: 1\n  name: 'a'\n  id: 2\n  name: 'b'\n}",
    [
      'm.pbtxt:4:7: Message type "StringIntLabelMapItem" should not have multiple "id" fields.'
      ' Two classes in one item: is a "}" missing above?'
    ],
  ),
  'merged by a missing }': (
    "item {\n  id: 1\n  name: 'a'\n\nitem {\n  id: 2\n  name: 'b'\n}",
    ['m.pbtxt:5:1: an item within an item: is a "}" missing above?'],
  ),
  'misspelled field': (
    "item {\n  id: 1\n  nmae: 'a'\n}",
    ['m.pbtxt:3:3: unknown field "nmae" in StringIntLabelMapItem: did you mean "name"?'],
  ),
  'misspelled item': (
    "items { id: 1 name: 'a' }",
    ['m.pbtxt:1:1: unknown field "items" in StringIntLabelMap: did you mean "item"?'],
  ),
  'empty': (
    '# none\n',
    ["m.pbtxt:1: no item: expected at least one, as item { id: 1 name: 'cat' }"],
  ),
}


@pytest.mark.parametrize(('text', 'lines'), FAULTS.values(), ids=FAULTS)
def test_faults_are_named_with_their_line(text, lines):
  with pytest.raises(InputError) as caught:
    label_map.parse(text, 'm.pbtxt')
  assert str(caught.value).split('\n') == lines


@pytest.mark.parametrize(
  ('fields', 'fault'),
  [
    (r"name: 'a\nINFO:tensorflow:Step 9 forged'", 'U+000A'),
    (r"name: 'b\342\200\250c'", 'U+2028'),
    (r"name: 'a' display_name: 'a\000'", 'U+0000'),
    ("name: ' '", 'empty'),
  ],
)
def test_a_name_is_one_line_of_text(fields, fault):
  with pytest.raises(InputError) as caught:
    label_map.parse(f"item {{ id: 1 name: 'x' }}\nitem {{\n  {fields}\n  id: 2 }}", 'm.pbtxt')
  (line,) = str(caught.value).split('\n')
  assert line.startswith('m.pbtxt:3: ') and fault in line


def test_a_file_that_is_no_text_is_named(tmp_path):
  path = tmp_path / 'picture.png'
  path.write_bytes(b'item {\n id: 1\n\x89PNG')
  with pytest.raises(InputError, match=r'picture.png:3: expected UTF-8 text, found byte 0x89'):
    label_map.load(path)


def test_a_list_of_names_is_one_line_each(tmp_path):
  path = tmp_path / 'labels.txt'
  path.write_bytes(b'\xef\xbb\xbf???\r\ncat\r\n\r\nred fox\t\r\n')
  assert label_map.load_or_list(path).names == ('cat', 'red fox')
  path.write_bytes(b'cat\nred\x1bfox\n')
  with pytest.raises(InputError, match=r'labels\.txt:2: .* U\+001B'):
    label_map.load_or_list(path)
  path.write_bytes(b'cat\ncaf\xe9\n')
  with pytest.raises(InputError, match=r'labels\.txt:2: expected UTF-8 text, found byte 0xe9'):
    label_map.load_or_list(path)
