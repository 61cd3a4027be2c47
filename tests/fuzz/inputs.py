"""The inputs, each the files of its kind with one of them mutated; the number says how."""

import os
import random

from fuzz import kinds, mutations, protobufs, structures

_TEXT = ('.config', '.csv', '.json', '.pbtxt', '.txt', '.xml', '.yaml')
_STRUCTURED = {
  '.json': (structures.change_json,),
  '.yaml': (*[structures.change_yaml] * 3, structures.add_yaml_aliases),
  '.xml': (*[structures.change_xml] * 3, structures.add_xml_entities),
  '.config': (protobufs.change_config,),
  '.pbtxt': (protobufs.change_label_map,),
  '.example': (protobufs.change_example, protobufs.change_example, protobufs.change_record),
}


def write(kind: kinds.Kind, name: str, number: int, folder: str) -> None:
  """Writes an input: the files of a variant, one of the targets among them mutated.

  Args:
    kind: of the input.
    name: of the kind, which goes into the seed.
    number: of the input, from 0; the first ones are the variants as they are.
    folder: where to; an empty one.
  """
  rng = random.Random(f'{name} {number}')
  is_mutated = number >= len(kind.variants)
  files = rng.choice(kind.variants) if is_mutated else kind.variants[number]
  target = rng.choice([path for path in kind.targets if path in files])
  for path, seed in files.items():
    content = kinds.seed(seed)
    if is_mutated and path == target:
      content = mutate(content, path, rng)
    os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
    with open(os.path.join(folder, path), 'wb') as file:
      file.write(content)


def mutate(content: bytes, name: str, rng: random.Random) -> bytes:
  """Mutates a file once to three times.

  Args:
    content: of the file.
    name: of the file; its extension says which mutators apply.
    rng: where all choices come from.

  Returns:
    The new content; by chance it may be the old one.
  """
  extension = os.path.splitext(name)[1]
  groups = [mutations.BYTES]
  if extension in _TEXT:
    groups += [mutations.TEXT] * 2
  if extension in _STRUCTURED:
    groups += [_STRUCTURED[extension]] * 3
  for _ in range(rng.choice((1, 1, 1, 2, 3))):
    content = rng.choice(rng.choice(groups))(content, rng)
  return content
