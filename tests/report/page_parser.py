"""Reads a page as a browser would: every tag closed, every id once, every picture whole."""

import base64
import collections
import html.parser

_VOID = ('meta', 'img', 'br', 'link', 'input', 'hr')


class Page(html.parser.HTMLParser):
  """What a page holds; raises AssertionError where tags do not nest."""

  def __init__(self, text):
    super().__init__(convert_charrefs=True)
    self.tags = collections.Counter()
    self.ids, self.links, self.pictures, self.alts = [], [], [], []
    self.texts = collections.defaultdict(list)
    self._open = []
    self.feed(text)
    self.close()
    assert self._open == [], self._open

  def handle_starttag(self, tag, attrs):
    self.tags[tag] += 1
    attrs = dict(attrs)
    assert not any(name.startswith('on') for name in attrs), attrs
    if 'id' in attrs:
      self.ids.append(attrs['id'])
    if tag == 'a':
      self.links.append(attrs['href'])
    if tag == 'img':
      head, _, data = attrs['src'].partition(';base64,')
      self.pictures.append((head.removeprefix('data:'), base64.b64decode(data, validate=True)))
      self.alts.append(attrs['alt'])
    if tag not in _VOID:
      self._open.append(tag)

  def handle_endtag(self, tag):
    assert self._open and self._open[-1] == tag, (tag, self._open)
    self._open.pop()

  def handle_data(self, data):
    if self._open and data.strip():
      self.texts[self._open[-1]].append(data.strip())
