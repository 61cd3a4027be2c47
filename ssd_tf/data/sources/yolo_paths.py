"""Finds YOLO's images and their text files."""

import os
from collections.abc import Sequence

from ssd_tf.data import image_files
from ssd_tf.errors import InputError
from ssd_tf.files import plain_text, text_file


def find(written: str, folders: Sequence[str]) -> str | None:
  """Returns the path of a file or folder that a user's file names, normalized; None: there is none.

  Args:
    written: a path; if there is none, it is tried with / for each backslash, then without a `../`
      in front, which Roboflow writes although the data lie beside the file.
    folders: that it may be relative to; the first that has it counts.
  """
  slashes = written.replace('\\', '/')
  for name in dict.fromkeys((written, slashes, slashes.removeprefix('../'))):
    for folder in folders:
      path = os.path.normpath(os.path.join(folder, name))
      if os.path.exists(path):
        return path
  return None


def list_images(place: str) -> tuple[list[str], list[tuple[str, str]]]:
  """Lists the images of a folder, or of an image list, and (file, remark) of irregularities.

  Args:
    place: a folder, which is looked through with all below it but hidden ones; or a text file with
      an image path on each line, relative to its folder or to the working folder.

  Raises:
    InputError: there is no such place, or no image; one that is listed is missing: names the line.
  """
  if os.path.isfile(place):
    return _read_list(place)
  if not os.path.isdir(place):
    raise InputError(f'{place}: no such folder of images')
  paths = [
    os.path.join(folder, plain_text.check(name, f'{place}: name of an image'))
    for folder, names in _walk(place)
    for name in names
    if name.lower().endswith(image_files.EXTENSIONS)
  ]
  if not paths:
    raise InputError(f'{place}: no images in this folder')
  return paths, []


def has_images(folder: str) -> bool:
  """Whether a folder, or one below it that is not hidden, holds an image."""
  return any(
    name.lower().endswith(image_files.EXTENSIONS) for _, names in _walk(folder) for name in names
  )


def _walk(place):
  """Yields (folder, names of its files, sorted) of all folders but hidden ones, each once."""
  seen = {os.path.realpath(place)}

  def stop(error):
    raise error

  for folder, folders, names in os.walk(place, onerror=stop, followlinks=True):
    yield folder, sorted(names)
    real = {name: os.path.realpath(os.path.join(folder, name)) for name in sorted(folders)}
    folders[:] = [n for n, path in real.items() if not n.startswith('.') and path not in seen]
    seen.update(real.values())


def _read_list(list_path):
  paths, lines, remarks, missing = [], {}, [], []
  for number, line in text_file.read_lines(list_path):
    plain_text.check(line, f'{list_path}:{number}')
    path = find(line, [os.path.dirname(list_path), ''])
    if path is None or os.path.isdir(path):
      missing.append((number, line))
    elif (first := lines.setdefault(os.path.abspath(path), number)) < number:
      text = f'{path} is there already, on line {first}; it is written once'
      remarks.append((f'{list_path}:{number}', text))
    else:
      paths.append(path)
  if missing:
    number, line = missing[0]
    others = f'; {len(missing)} of the list are missing' if len(missing) > 1 else ''
    raise InputError(
      f'{list_path}:{number}: no such image: {line!r}, neither from the folder of the list nor '
      f'from the working folder{others}'
    )
  if not paths:
    raise InputError(f'{list_path}: the list has no images')
  return paths, remarks


def beside(image_path: str) -> str:
  """The text file beside an image."""
  return f'{os.path.splitext(image_path)[0]}.txt'


def in_labels(image_path: str) -> str:
  """The text file where YOLO looks: the last 'images' of .../images/....jpg becomes 'labels'."""
  # A relative path may begin with the folder: the slash in front is taken off again.
  path = os.sep + beside(image_path)
  head, separator, tail = path.rpartition(f'{os.sep}images{os.sep}')
  labels = f'{os.sep}labels{os.sep}' if separator else ''
  return f'{head}{labels}{tail}'[1:]


def labels_without_image(label_paths: Sequence[str]) -> list[str]:
  """Lists text files beside those of a set, but of none of its images, except classes.txt."""
  folders = {os.path.dirname(path) or os.curdir for path in label_paths}
  there = {
    os.path.normpath(os.path.join(folder, name))
    for folder in folders
    if os.path.isdir(folder)
    for name in os.listdir(folder)
    if name.endswith('.txt') and name != 'classes.txt'
  }
  return sorted(there.difference(map(os.path.normpath, label_paths)))
