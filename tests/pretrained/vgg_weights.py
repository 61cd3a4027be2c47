"""Small VGG SSDs, and what was measured of whole ones."""

import json
import pathlib

import numpy as np

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = ROOT / 'ssd_tf/configs'
TESTDATA = ROOT / 'tests/testdata'


def read_json(name):
  """A file below tests/testdata, such as balancap/variables_vgg_16.json."""
  return json.loads((TESTDATA / name).read_text())


def vgg_config(side=300, num_classes=20, small=False):
  """A VGG SSD as the repository's config has it; small: of a sixteenth of the filters."""
  loaded = Pipeline.load(CONFIGS / f'ssd{side}_vgg_voc0712.config').config
  loaded.model.ssd.num_classes = num_classes
  if small:
    loaded.model.ssd.feature_extractor.depth_multiplier = 1 / 16
    loaded.model.ssd.feature_extractor.min_depth = 4
  return loaded


def vgg_model(side=300, num_classes=20, small=False, seed=None):
  """Its network; with a seed, every value is a random one of its own."""
  model = builders.build_model(vgg_config(side, num_classes, small).model, is_training=True)
  if seed is not None:
    randomize(model, seed)
  return model


def randomize(model, seed):
  rng = np.random.default_rng(seed)
  for variable in model.weights:
    variable.assign(rng.normal(0, 0.1, variable.shape))


def values_of(model):
  return {v.path: v.numpy() for v in model.weights}
