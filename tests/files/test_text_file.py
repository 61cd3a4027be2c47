import pytest

from ssd_tf.errors import InputError
from ssd_tf.files import text_file


def test_lines_with_their_numbers_whatever_ends_them(tmp_path):
  path = tmp_path / 'list.txt'
  for end in (b'\n', b'\r\n', b'\r'):
    path.write_bytes(b'\xef\xbb\xbf' + end.join([b'a', b'', b' \t\x0c', b' caf\xc3\xa9 b\t', b'']))
    assert text_file.read_lines(path) == [(1, 'a'), (4, 'café b')]


@pytest.mark.parametrize(
  ('content', 'line', 'byte'),
  [
    (b'caf\xe9', 1, '0xe9'),
    (b'a\r\n\r\nb\x80', 3, '0x80'),
    ('a\nb'.encode('utf-16'), 1, '0xff'),
    (b'a\n\xed\xa0\x80', 2, '0xed'),  # Half of a surrogate pair.
  ],
)
def test_the_first_byte_that_is_not_utf_8_is_named(content, line, byte, tmp_path):
  (tmp_path / 'list.txt').write_bytes(content)
  with pytest.raises(InputError, match=rf'list\.txt:{line}: .* {byte}'):
    text_file.read_lines(tmp_path / 'list.txt')
