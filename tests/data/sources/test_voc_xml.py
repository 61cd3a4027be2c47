"""Annotation files: what is Pascal VOC is read, in any encoding; what is not is refused by name."""

import pytest

from ssd_tf.data.sources import voc_xml
from ssd_tf.errors import InputError

SIZE = '<size><width>60</width><height>40</height></size>'


def voc_object(name='cat', xmin=6, ymin=4, xmax=30, ymax=20):
  return (
    f'<object><name>{name}</name><bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax>'
    f'<ymax>{ymax}</ymax></bndbox></object>'
  )


def read(tmp_path, text, encoding='utf-8'):
  path = tmp_path / 'a.xml'
  path.write_bytes(text.encode(encoding))
  return voc_xml.read_xml(str(path))


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'latin-1'])
def test_every_declared_encoding(encoding, tmp_path):
  declared = encoding.removesuffix('-sig')
  text = f'<?xml version="1.0" encoding="{declared}"?><annotation><filename>C:\\x\\é.jpg</filename>'
  found = read(tmp_path, f'{text}{SIZE}{voc_object("épée")}</annotation>', encoding)
  assert (found.filename, found.size) == ('é.jpg', (40, 60))
  [entry] = found.objects
  assert (entry.name, entry.box, entry.difficult, entry.pose) == ('épée', (4, 6, 20, 30), False, '')


@pytest.mark.parametrize(
  ('size', 'found'),
  [
    ('', None),
    ('<size><width>0</width><height>0</height></size>', None),
    ('<size><width/><height/></size>', None),
    ('<size><width>59.6</width><height>40.0</height></size>', (40, 60)),
  ],
)
def test_a_size_may_be_unknown(size, found, tmp_path):
  assert read(tmp_path, f'<annotation>{size}</annotation>').size == found


def test_what_the_devkit_has_besides_is_no_other_dialect(tmp_path):
  source = (
    '<source><database>VOC</database><annotation>PASCAL</annotation><image>f</image></source>'
  )
  part = voc_object().replace('object>', 'part>')
  entry = voc_object().replace('</object>', f'{part}</object>')
  found = read(tmp_path, f'<annotation>{source}<segmented>0</segmented>{entry}</annotation>')
  assert [entry.box for entry in found.objects] == [(4, 6, 20, 30)]


BOX = voc_object()
CASES = {
  '<annotations><image name="a"><box label="cat" xtl="1"/></image></annotations>': '<annotations>',
  f'<Annotation>{BOX}</Annotation>': '<Annotation>',
  '<html><body>not found</body></html>': '<html>',
  f'<annotation xmlns="urn:x">{BOX}</annotation>': 'urn:x',
  f'<annotation>{BOX}{BOX.replace("object>", "Object>")}</annotation>': '<Object>',
  f'<annotation><objects>{BOX}</objects></annotation>': '<objects>',
  f'<annotation><outputs>{BOX}</outputs></annotation>': '<object> in <outputs>',
  '<annotation><item><bndbox><xmin>1</xmin></bndbox></item></annotation>': '<bndbox> in <item>',
  f'<annotation>{voc_object(xmin="nan")}</annotation>': "'cat': <bndbox> <xmin> is 'nan'",
  f'<annotation>{voc_object(ymax="1e999")}</annotation>': "<ymax> is '1e999'",
  f'<annotation>{voc_object(xmax="-inf")}</annotation>': "<xmax> is '-inf'",
  f'<annotation>{voc_object(xmin="")}</annotation>': "<xmin> is ''",
  f'<annotation>{voc_object("a&#10;b")}</annotation>': '<name>: expected text on one line',
  f'<annotation>{voc_object(" ")}</annotation>': 'an <object> has no <name>',
  f'<annotation><object>{BOX}</object></annotation>': 'an <object> has no <name>',
  f'<annotation>{SIZE.replace("60", "1e999")}</annotation>': "<size> <width> is '1e999'",
  f'<annotation>{SIZE.replace("40", "nan")}</annotation>': "<size> <height> is 'nan'",
  f'<annotation>{SIZE.replace("40", "-40")}</annotation>': "<size> <height> is '-40'",
  f'<annotation>{SIZE.replace("40", "tall")}</annotation>': "<size> <height> is 'tall'",
  '<annotation><object>': 'broken XML',
  '<?xml version="1.0" encoding="klingon"?><annotation/>': 'broken XML',
  '': 'broken XML',
}


@pytest.mark.parametrize('text', CASES)
def test_what_is_no_voc_annotation_is_refused_by_name(text, tmp_path):
  with pytest.raises(InputError) as error:
    read(tmp_path, text)
  assert str(error.value).startswith(f'{tmp_path}/a.xml: ')
  assert CASES[text] in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
  for name in ('gone.xml', 'nul\0.xml'):
    with pytest.raises(InputError, match='gone|nul'):
      voc_xml.read_xml(str(tmp_path / name))
