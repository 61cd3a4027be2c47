"""Mutators of what is in a file: JSON and YAML values, XML elements.

See `mutations` for what a mutator is.
"""

import copy
import json
import math
import random
from typing import Any
from xml.etree import ElementTree

import yaml

_FLOATS = (math.nan, math.inf, -math.inf, -1.0, 0.0, -0.0, 1e-45, 0.5, 1.0, 2.0, 1e9, 3e38)
_INTS = (-(2**63), -(2**31), -1, 0, 1, 2, 3, 255, 1000, 2**31 - 1, 2**31, 2**32, 2**63 - 1)
_TEXTS = (
  *('', ' ', 'cat', 'dog', 'a\nb', 'a\0b', '\ud800', '\ufeffcat', '\u202e', 'x' * 5000, '0', '1'),
  *('0.5', 'nan', 'true', '../cat.png', '/etc/hostname', 'C:\\cat.png', 'cat.png\0', '???', '['),
)
_VALUES = (
  *(*_FLOATS, *_INTS, *_TEXTS, 2**63, 10**400, -(10**400), 1e308, None, True, False),
  *([], {}, [1], [None], [[]], {'a': 1}, [1, 2, 3, 4], [math.nan] * 4, ['1', '2', '3', '4']),
  *([1e308] * 4, [0.1, 0.2, 0.3, 0.4], [-5, -5, 3, 3], [1, 1, 0, 0], [2**63] * 4, [1] * 10_000),
)


def change_json(content: bytes, rng: random.Random) -> bytes:
  """Changes one value or key of a JSON file."""
  try:
    return json.dumps(_changed(json.loads(content), rng)).encode()
  except (ValueError, RecursionError):
    return content


def change_yaml(content: bytes, rng: random.Random) -> bytes:
  """Changes one value or key of a YAML file."""
  if b'*' in content:  # Aliases, of which there may be more than anyone can walk through.
    return content
  try:
    value = _changed(yaml.safe_load(content), rng)
    return yaml.safe_dump(value, allow_unicode=True).encode('utf-8', 'replace')
  except (yaml.YAMLError, ValueError, RecursionError):
    return content


def add_yaml_aliases(content: bytes, rng: random.Random) -> bytes:
  """Adds aliases that stand for many values, for one another, or for nothing."""
  levels = ''.join(f'k{i}: &k{i} [{", ".join([f"*k{i - 1}"] * 9)}]\n' for i in range(1, 10))
  bomb = f'k0: &k0 [x, x]\n{levels}'.encode()
  kind = rng.choice(('bomb', 'bomb of names', 'cycle', 'unknown', 'merge'))
  if kind == 'bomb':
    return bomb + content
  if kind == 'bomb of names':
    return bomb + content.replace(b'names:', b'names: *k9\nold:')
  return (
    content
    + {
      'cycle': b'\nnames: &a [*a, *a]\n',
      'unknown': b'\nnames: *nothing\n',
      'merge': b'\n<<: {names: [a, b]}\n',
    }[kind]
  )


def change_xml(content: bytes, rng: random.Random) -> bytes:
  """Changes, renames, deletes, repeats or moves one element of an XML file."""
  try:
    root = ElementTree.fromstring(content)
  except (ElementTree.ParseError, ValueError, LookupError):
    return content
  elements = list(root.iter())
  element, other = rng.choice(elements), rng.choice(elements)
  parents = [each for each in elements if element in list(each)]
  kind = rng.choice(('text', 'text', 'text', 'tag', 'delete', 'repeat', 'move', 'attribute'))
  if kind == 'text':
    element.text = rng.choice((*_TEXTS, *map(str, (*_FLOATS, *_INTS)), '9' * 5000, '1e999', '１２'))
  elif kind == 'tag':
    element.tag = rng.choice(('object', 'name', 'bndbox', 'xmin', 'size', 'annotation', 'x'))
  elif kind == 'attribute':
    element.set('verified', 'yes')
  elif parents and kind == 'delete':
    parents[0].remove(element)
  elif kind == 'move' and other not in list(element.iter()):
    other.append(element)
  elif parents:
    parents[0].append(copy.deepcopy(element))
  try:
    return ElementTree.tostring(root, 'utf-8')
  except UnicodeEncodeError:  # A lone surrogate, which XML cannot hold.
    return content


def add_xml_entities(content: bytes, rng: random.Random) -> bytes:
  """Adds a document type: entities that stand for many, for a file, or for nothing."""
  levels = ''.join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
  declared = rng.choice((f'<!ENTITY e0 "xxxxxxxxxx">{levels}', '<!ENTITY e9 SYSTEM "classes.txt">'))
  head, _, rest = content.partition(b'<annotation>')
  rest = rest.replace(b'cat', b'&e9;', rng.choice((0, 1, -1)))
  return head + f'<!DOCTYPE annotation [{declared}]>'.encode() + b'<annotation>' + rest


def _changed(value: Any, rng: random.Random) -> Any:
  """A JSON value of which one entry of a list or dict is replaced, deleted, repeated or renamed."""
  places = list(_places(value))
  if not places:
    return rng.choice(_VALUES)
  container, key = rng.choice(places)
  kind = rng.choice(('value', 'value', 'value', 'value', 'delete', 'repeat', 'key', 'text', 'move'))
  if kind == 'value':
    container[key] = rng.choice(_VALUES)
  elif kind == 'text':
    container[key] = str(container[key])
  elif kind == 'move':
    other, other_key = rng.choice(places)
    container[key] = copy.deepcopy(other[other_key])
  elif kind == 'delete':
    del container[key]
  elif isinstance(container, list):
    container.append(copy.deepcopy(container[key]))
  else:
    container[rng.choice((*_TEXTS, f'{key} '))] = container.pop(key)
  return value


def _places(value):
  if not isinstance(value, (list, dict)):
    return
  for key in range(len(value)) if isinstance(value, list) else list(value):
    yield value, key
    yield from _places(value[key])
