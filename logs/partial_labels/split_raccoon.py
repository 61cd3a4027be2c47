"""Writes ImageSets/Main/train.txt and val.txt: every fifth image, by name, to validate on.

Images that are there twice (the same bytes) are taken once.  python split_raccoon.py FOLDER
"""

import hashlib
import pathlib
import sys

root = pathlib.Path(sys.argv[1])
images = {}
for path in sorted((root / 'images').iterdir()):
  images.setdefault(hashlib.sha256(path.read_bytes()).digest(), path.stem)
names = sorted(images.values())
folder = root / 'ImageSets/Main'
folder.mkdir(parents=True, exist_ok=True)
for set_name, stems in (
  ('train', [name for i, name in enumerate(names) if i % 5]),
  ('val', names[::5]),
):
  (folder / f'{set_name}.txt').write_text(''.join(f'{stem}\n' for stem in stems))
