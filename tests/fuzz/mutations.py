"""Mutators of bytes and of text.

A mutator is a function (content, rng) -> content. It draws from `rng` alone, so that the number of
an input is enough to make it again. Where the content is not what the mutator is for, as after a
mutation of bytes, it returns the content unchanged.
"""

import random
import re
from collections.abc import Callable

Mutator = Callable[[bytes, random.Random], bytes]

NUMBERS = (
  *('nan', 'inf', '-inf', '1e999', '-1e999', '1e308', '3.5e38', '1e-320', '-0.0', '0.5', '1.0'),
  *('-1', '0', '1', '2', '255', '65536', '2147483647', '2147483648', '-2147483649', '4294967296'),
  *('9223372036854775807', '9223372036854775808', '18446744073709551616', '9' * 400, '9' * 5000),
  *('0x10', '010', '1_000', '1e5', '1,5', '٣', '', '""', '"3"', "'"),
  *('true', 'null', '[]', '{}', '[1]', '*', '~', '-'),
)
WORDS = (
  *('../cat.png', '/etc/hostname', '.', '..', '\\cat.png', 'cat.png ', 'no_such.png', '*', '%s'),
  *('cat', 'CAT', 'cat\n', 'a\nb', 'a\tb', '\0', '\x1b[2J', '\ufeff', '\u202e', '\U0001f600', 'é'),
  *('???', 'background', '', ' ', 'x' * 300, 'x' * 5000, 'a/b', 'a:b', '"', "'", '<', '&', '#'),
)
_FRAGMENTS = (
  *('\n', '\r', '\r\n', '\0', '\t', ' ', ',', ':', '"', "'", '{', '}', '[', ']', '<', '>', '#'),
  *('\\', '<!--', ']]>', '&amp;', '&lt', '&#0;', '---\n', '- ', '? ', '!!python/object:a ', '%'),
  *('\ufeff', '\u2028', '\x85', '\udcff', '\udc80', 'é', '\U0001f600'),
)
_TOKEN = re.compile(r'-?\d[\w.+-]*|\w+|\s+|[^\w\s]')
_NUMBER = re.compile(r'(?<![\w.])-?\d[\d.]*(?:[eE][+-]?\d+)?(?!\w)')


def flip_bits(content: bytes, rng: random.Random) -> bytes:
  """Flips one bit, or a few."""
  flipped = bytearray(content)
  for _ in range(rng.choice((1, 1, 2, 8))):
    if flipped:
      flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
  return bytes(flipped)


def truncate(content: bytes, rng: random.Random) -> bytes:
  """Cuts the end off, or all of it."""
  return content[: rng.randrange(len(content) + 1)]


def delete_chunk(content: bytes, rng: random.Random) -> bytes:
  """Takes bytes out of the middle."""
  start, end = _span(content, rng)
  return content[:start] + content[end:]


def repeat_chunk(content: bytes, rng: random.Random) -> bytes:
  """Repeats bytes of the middle, or all of it."""
  start, end = _span(content, rng)
  return content[:end] + content[start:end] * rng.choice((1, 1, 2, 20)) + content[end:]


def overwrite_chunk(content: bytes, rng: random.Random) -> bytes:
  """Sets bytes to 0, to 255 or to noise."""
  start, end = _span(content, rng)
  fill = rng.choice((b'\0', b'\xff', None))
  noise = rng.randbytes(end - start)
  return content[:start] + (noise if fill is None else fill * (end - start)) + content[end:]


def insert_bytes(content: bytes, rng: random.Random) -> bytes:
  """Inserts one byte, or a few."""
  place = rng.randrange(len(content) + 1)
  return content[:place] + rng.randbytes(rng.choice((1, 1, 4))) + content[place:]


def replace_number(text: str, rng: random.Random) -> str:
  """Puts one of NUMBERS in a number's place."""
  return _replace(text, _NUMBER, rng, rng.choice(NUMBERS))


def replace_word(text: str, rng: random.Random) -> str:
  """Puts one of WORDS or NUMBERS in a word's place."""
  return _replace(text, re.compile(r'[A-Za-z]\w*'), rng, rng.choice((*WORDS, *NUMBERS)))


def swap_tokens(text: str, rng: random.Random) -> str:
  """Exchanges two tokens."""
  tokens = _TOKEN.findall(text)
  if tokens:
    i, j = rng.randrange(len(tokens)), rng.randrange(len(tokens))
    tokens[i], tokens[j] = tokens[j], tokens[i]
  return ''.join(tokens)


def delete_token(text: str, rng: random.Random) -> str:
  """Takes a token out."""
  return _replace(text, _TOKEN, rng, '')


def insert_fragment(text: str, rng: random.Random) -> str:
  """Inserts what some format takes for a sign."""
  place = rng.randrange(len(text) + 1)
  return text[:place] + rng.choice(_FRAGMENTS) + text[place:]


def change_lines(text: str, rng: random.Random) -> str:
  """Deletes, repeats or exchanges lines."""
  lines = text.splitlines(keepends=True)
  if not lines:
    return text
  i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
  kind = rng.choice(('delete', 'repeat', 'swap', 'many'))
  if kind == 'delete':
    del lines[i]
  elif kind == 'swap':
    lines[i], lines[j] = lines[j], lines[i]
  else:
    lines.insert(j, lines[i] * (1 if kind == 'repeat' else 50))
  return ''.join(lines)


def nest(text: str, rng: random.Random) -> str:
  """Inserts many opening brackets, closed or not."""
  opening, closing = rng.choice((('[', ']'), ('{', '}'), ('(', ')'), ('<a>', '</a>'), ('{a:', '}')))
  depth = rng.choice((20, 1_000, 20_000))
  place = rng.randrange(len(text) + 1)
  brackets = opening * depth + rng.choice(('', closing * depth))
  return text[:place] + brackets + text[place:]


def encode_otherwise(text: str, rng: random.Random) -> bytes:
  """Writes the text in another encoding, with a byte order mark, or with other line ends."""
  how = rng.choice(('utf-16', 'utf-32', 'latin-1', 'utf-8-sig', '\r\n', '\r', 'twice'))
  if how in ('\r\n', '\r'):
    return _encoded(text.replace('\n', how))
  if how == 'latin-1':
    place = rng.randrange(len(text) + 1)
    return f'{text[:place]}é{text[place:]}'.encode('latin-1', 'replace')
  if how == 'twice':
    return b'\xef\xbb\xbf' * 2 + _encoded(text)
  return text.encode(how, 'replace')


def of_text(mutator: Callable[[str, random.Random], str | bytes]) -> Mutator:
  """Makes a mutator of text one of bytes; bytes that are not UTF-8 survive it."""

  def mutated(content, rng):
    result = mutator(content.decode('utf-8', 'surrogateescape'), rng)
    return result if isinstance(result, bytes) else _encoded(result)

  return mutated


BYTES = (flip_bits, truncate, delete_chunk, repeat_chunk, overwrite_chunk, insert_bytes)
_OF_TEXT = (
  *(replace_number, replace_number, replace_word, swap_tokens, delete_token, insert_fragment),
  *(change_lines, nest, encode_otherwise),
)
TEXT = tuple(map(of_text, _OF_TEXT))


def _span(content, rng):
  start = rng.randrange(len(content) + 1)
  length = rng.choice((1, 2, 4, 8, 64, len(content)))
  return start, min(start + length, len(content))


def _replace(text, pattern, rng, replacement):
  found = list(pattern.finditer(text))
  if not found:
    return text
  start, end = rng.choice(found).span()
  return text[:start] + replacement + text[end:]


def _encoded(text):
  return text.encode('utf-8', 'surrogateescape')
