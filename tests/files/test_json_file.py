import pytest

from ssd_tf.errors import InputError
from ssd_tf.files import json_file


def test_a_byte_order_mark_is_no_content(tmp_path):
  path = tmp_path / 'a.json'
  path.write_bytes(b'\xef\xbb\xbf{"name": "Tier \xc3\xa9"}')
  assert json_file.load(path) == {'name': 'Tier é'}
  assert json_file.load(path, lambda entry: entry['name']) == 'Tier é'


@pytest.mark.parametrize(
  ('content', 'words'),
  [
    (b'{"images": [', 'broken JSON: .*line 1 column 13'),
    (b'', 'broken JSON: .*line 1 column 1'),
    (b'[' * 100_000, 'nested too deeply'),
    (b'{"a":' * 100_000, 'nested too deeply'),
    (b'9' * 5000, 'broken JSON: '),
    (b'[{"a": 1, "b": 2, "a": 3}]', "the key 'a' occurs twice"),
    (b'{\n"name": "\xe9"}', '2: expected UTF-8 text, found byte 0xe9'),
    ('{}'.encode('utf-16'), '1: expected UTF-8 text, found byte 0xff'),
  ],
)
def test_what_is_broken_is_named(tmp_path, content, words):
  path = tmp_path / 'a.json'
  path.write_bytes(content)
  with pytest.raises(InputError, match=f'a.json:.*{words}'):
    json_file.load(path)
