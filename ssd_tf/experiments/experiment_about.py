"""Reads experiment.json of a training's folder, which says in words what the training is for."""

import os
from collections.abc import Mapping

from ssd_tf.errors import InputError
from ssd_tf.files import json_file
from ssd_tf.files.atomic_file import write_json

ABOUT_FIELDS = ('id', 'name', 'purpose', 'analysis', 'notes')


def read_about(model_dir: str) -> dict[str, str]:
  """What a training's experiment.json says, '' for what it does not say.

  Raises:
    InputError: it is no JSON of texts by the names ABOUT_FIELDS.
  """
  path = os.path.join(model_dir, 'experiment.json')
  about = {}
  if os.path.exists(path):
    about = json_file.load(path)
    if not isinstance(about, dict) or not all(
      name in ABOUT_FIELDS and isinstance(value, str) for name, value in about.items()
    ):
      raise InputError(
        f'{path}: expected {{"name": "..."}}, with texts by the names {", ".join(ABOUT_FIELDS)}'
      )
  return {name: about.get(name, '') for name in ABOUT_FIELDS}


def write_about(model_dir: str, about: Mapping[str, str]) -> None:
  """Writes experiment.json; what is '' in `about` stays as it is in the file."""
  merged = {**read_about(model_dir), **{name: text for name, text in about.items() if text}}
  os.makedirs(model_dir, exist_ok=True)
  write_json(os.path.join(model_dir, 'experiment.json'), merged)
