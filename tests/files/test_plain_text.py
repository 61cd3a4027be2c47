import pytest

from ssd_tf.errors import InputError
from ssd_tf.files import plain_text


@pytest.mark.parametrize('name', ['cat', 'traffic light', '犬', "l'œuf", ' x', '/m/01g317', '7'])
def test_names_of_one_line_are_returned_as_they_are(name):
  assert plain_text.check(name, 'a.json') == name


@pytest.mark.parametrize(
  ('value', 'words'),
  [
    ('two\nlines', 'U+000A'),
    ('tab\tbed', 'U+0009'),
    ('nul\0', 'U+0000'),
    ('next\x85line', 'U+0085'),
    ('para\u2029graph', 'U+2029'),
    ('half\ud83d', 'U+D83D'),
    ('', 'empty'),
    (' \n', 'empty'),
    (7, 'found 7, of type int'),
    (True, 'found True'),
    (None, 'found None'),
    (['cat'], "found ['cat']"),
  ],
)
def test_all_else_is_refused_by_place_and_value(value, words):
  with pytest.raises(InputError) as raised:
    plain_text.check(value, 'a.json: category 3: name')
  assert str(raised.value).startswith('a.json: category 3: name: ') and words in str(raised.value)
