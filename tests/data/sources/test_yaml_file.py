import pytest

from ssd_tf.data.sources import yaml_file
from ssd_tf.errors import InputError

BOMB = 'a: &a [x,x,x,x,x,x,x,x,x,x]\n' + ''.join(
  f'{b}: &{b} [{",".join([f"*{a}"] * 10)}]\n' for a, b in zip('abcdefg', 'bcdefgh', strict=True)
)


def read(content, tmp_path):
  (tmp_path / 'data.yaml').write_bytes(content if isinstance(content, bytes) else content.encode())
  entries = yaml_file.read_mapping(tmp_path / 'data.yaml')
  return {key: (entry.line, entry.value) for key, entry in entries.items()}


def test_values_are_as_they_are_written(tmp_path):
  text = (
    '\ufeff# a set\r\nnames: [yes, on, 007, 1e3, 2024-01-01, null, "null", café]\r\n'
    'nc:  8\r\nval:\r\nboth: {0: a, 1: [b, {c: ~}]}\r\nnote: |\r\n  two\r\n  lines\r\n'
  )
  assert read(text, tmp_path) == {
    'names': (2, ['yes', 'on', '007', '1e3', '2024-01-01', '', 'null', 'café']),
    'nc': (3, '8'),
    'val': (4, ''),
    'both': (5, {'0': 'a', '1': ['b', {'c': ''}]}),
    'note': (6, 'two\nlines\n'),
  }
  assert read('# nothing\n', tmp_path) == {}


def test_tags_run_nothing(tmp_path):
  text = 'a: !!python/object/apply:os.system [ls]\nb: !!int x\nc: !!binary "&"\nd: !x {e: f}\n'
  assert [value for _, value in read(text, tmp_path).values()] == [['ls'], 'x', '&', {'e': 'f'}]


@pytest.mark.parametrize(
  ('content', 'line', 'words'),
  [
    (BOMB + 'names: *h\n', 2, 'aliases'),
    ('a: &a [*a]\n', 1, 'aliases'),
    ('a: &a {b: c}\nd:\n  <<: *a\n', 3, 'aliases'),
    ('a: b\nc: ' + '[' * 100_000, 2, '20 levels'),
    ('a: b\nc:\n' + ''.join(f'{" " * i}k:\n' for i in range(1, 500)), 21, '20 levels'),
    ('a: b\nb: c\na: d\n', 3, "'a' occurs twice"),
    ('names:\n  0: cat\n  0: dog\n', 3, "'0' occurs twice"),
    ('a: b\n? [c, d]\n: e\n', 2, 'sequence'),
    ('a: {[c]: d}\n', 1, 'sequence'),
    ('a: b\n~: c\n', 2, 'found none'),
    ('a: {null: c}\n', 1, 'found none'),
    ('a: [b\n', 2, 'not YAML'),
    ('a: b\n\tc: d\n', 2, 'not YAML'),
    ('a: b\nc: "d\n', 3, 'not YAML'),
    ('a: b\n---\nc: d\n', 2, 'not YAML'),
    ('a: b\nc: d\0\n', 2, 'U+0000'),
    ('- a\n- b\n', 1, 'sequence'),
    ('\ntrain\n', 2, 'scalar'),
    (b'a: b\nnames: [caf\xe9]\n', 2, '0xe9'),
    ('a: b'.encode('utf-16'), 1, '0xff'),
  ],
)
def test_what_is_no_plain_mapping_is_named_by_line(content, line, words, tmp_path):
  with pytest.raises(InputError) as raised:
    read(content, tmp_path)
  assert f'data.yaml:{line}: ' in str(raised.value) and words in str(raised.value)


def test_the_size_is_bounded(tmp_path, monkeypatch):
  with pytest.raises(InputError, match=r'data\.yaml: .* found 1,000,003'):
    read('a: ' + 'b' * 1_000_000, tmp_path)
  monkeypatch.setattr(yaml_file, '_MAX_VALUES', 5)  # The mapping, its key, a list of two.
  assert read('a: [b, c]', tmp_path) == {'a': (1, ['b', 'c'])}
  with pytest.raises(InputError, match=r'data\.yaml:2: .* at most 5 values'):
    read('a: [b,\nc, d]', tmp_path)
