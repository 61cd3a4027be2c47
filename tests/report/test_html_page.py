import pytest
from page_parser import Page

from ssd_tf.report import html_page

EVIL = '<script>alert("x")</script> & \'y\''


def test_text_from_data_stays_text(tmp_path):
  (tmp_path / 'a.svg').write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
  body = (
    html_page.table((EVIL, 'n', EVIL), [(EVIL, 1, EVIL)], text_columns=[2])
    + html_page.terms([(EVIL, EVIL)])
    + html_page.paragraph(EVIL)
    + html_page.picture(str(tmp_path / 'a.svg'), EVIL, f'<b>{html_page.escape(EVIL)}</b>')
  )
  page = Page(html_page.page(EVIL, [('first', EVIL, body)]))
  assert 'script' not in page.tags
  assert page.alts == [EVIL]
  texts = [text for parts in page.texts.values() for text in parts]
  assert texts.count(EVIL) == 12
  assert page.ids == ['first'] and page.links == ['#first']
  assert page.pictures == [('image/svg+xml', b'<svg xmlns="http://www.w3.org/2000/svg"/>')]


def test_rows_have_as_many_cells_as_the_header():
  with pytest.raises(ValueError, match='zip'):
    html_page.table(('a', 'b'), [(1, 2, 3)])


def test_an_empty_caption_is_none(tmp_path):
  (tmp_path / 'a.png').write_bytes(b'12')
  assert 'figcaption' not in html_page.picture(str(tmp_path / 'a.png'), 'a', '')
