"""Finds the images that annotations name: in their folder, never outside of it."""

import os

from ssd_tf.errors import InputError
from ssd_tf.files import plain_text


def locate(image_dir: str, name: object, place: str) -> str:
  """Returns the path of an image, whether it exists or not; of one file it is always the same.

  Args:
    name: as the annotations give it: below the folder, such as 'train/a.jpg', or an absolute path
      that lies in the folder.

  Raises:
    InputError: the name is no text of one line, or leaves the folder.
  """
  path = os.path.normpath(plain_text.check(name, place))
  if os.path.isabs(path):
    path = os.path.relpath(path, os.path.abspath(image_dir))
  if path.split(os.sep)[0] == os.pardir:
    raise InputError(
      f'{place}: {name!r} lies outside the folder of the images, {image_dir}; expected a name '
      'inside it'
    )
  return os.path.join(image_dir, path)
