"""Losses of a data set: those of all its images together, however they are batched."""

import json
import math

import evaluate_tiny
import numpy as np
import pytest
import tensorflow as tf
import tiny_project
import tool_processes

from ssd_tf import builders, fields
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.run import evaluation_conditions

TINY = tiny_project.ROOT / 'tests/testdata/tiny.config'
LOSS = 'model.ssd.loss'
SOFTMAX = (
  f'{LOSS}.classification_loss={{weighted_softmax {{}}}}',
  'model.ssd.encode_background_as_zeros=false',
)
BY_MATCHES = 'model.ssd.normalize_loss_by_num_matches'
BY_IMAGES = 'model.ssd.normalize_loss_by_batch_size'


def mined(fields):
  return f'{LOSS}.hard_example_miner={{{fields} max_negatives_per_positive: 3}}'


# Overrides, and what the sums are divided by: the matches or the images.
SETTINGS = {
  'focal': ((), 'matches'),
  'unnormalized': ((f'{BY_MATCHES}=false',), 'images'),
  'by images': ((f'{BY_MATCHES}=false', f'{BY_IMAGES}=true'), 'images'),
  'each image mined': ((*SOFTMAX, mined('min_negatives_per_image: 2')), 'matches'),
  'batch mined': ((*SOFTMAX, mined('scope: BATCH min_negatives_per_image: 2')), 'matches'),
  'SSD_TENSORFLOW': (
    (*SOFTMAX, mined('scope: SSD_TENSORFLOW'), f'{BY_MATCHES}=false', f'{BY_IMAGES}=true'),
    'images',
  ),
  'SSD_TENSORFLOW_LAYER': (
    (*SOFTMAX, mined('scope: SSD_TENSORFLOW_LAYER'), f'{BY_MATCHES}=false'),
    'images',
  ),
}


def images(num_anchors):
  """Outputs and groundtruth of five images with 0, 1, 2, 0 and 1 boxes; one is partly labeled."""
  rng = np.random.default_rng(1)
  corners = rng.uniform(0, 0.5, [5, 2, 2])
  boxes = np.concatenate([corners, corners + rng.uniform(0.2, 0.5, [5, 2, 2])], axis=2)
  real = np.array([[0, 0], [1, 0], [1, 1], [0, 0], [1, 0]], bool)
  labeled = np.ones([5, 3], bool)
  labeled[2, 1] = labeled[3, 0] = False
  outputs = {
    fields.CLASS_LOGITS: rng.normal(0, 2, [5, num_anchors, 4]).astype(np.float32),
    fields.BOX_ENCODINGS: rng.normal(0, 1, [5, num_anchors, 4]).astype(np.float32),
  }
  return outputs, {
    fields.GROUNDTRUTH_BOXES: (boxes * real[..., None]).astype(np.float32),
    fields.GROUNDTRUTH_CLASSES: (rng.integers(1, 4, [5, 2]) * real).astype(np.int32),
    fields.GROUNDTRUTH_WEIGHTS: real.astype(np.float32),
    fields.GROUNDTRUTH_MASK: real,
    fields.EXAMPLE_MASK: np.ones(5, bool),
    fields.LABELED_CLASSES: labeled,
  }


def of_batches(detector, size):
  """The sums of batches of a size, the last of which is filled with examples to be ignored."""
  outputs, batch = images(detector.anchors.shape[0])
  sums = {}
  for start in range(0, 5, size):
    rows = np.minimum(np.arange(start, start + size), 4)
    part = {key: value[rows] for key, value in batch.items()}
    part[fields.EXAMPLE_MASK] = np.arange(start, start + size) < 5
    outputs_of_part = {key: tf.constant(value[rows]) for key, value in outputs.items()}
    found = detector.sum_losses(outputs_of_part, {key: tf.constant(v) for key, v in part.items()})
    sums = {name: sums.get(name, 0.0) + float(value) for name, value in found.items()}
  return sums


@pytest.mark.parametrize('name', SETTINGS)
def test_batches_change_no_sum(name):
  overrides, divided_by = SETTINGS[name]
  loaded = Pipeline.load(TINY, overrides).config
  detector = builders.build_detector(loaded.model, is_training=False)
  one, two, five = (of_batches(detector, size) for size in (1, 2, 5))
  assert one['normalizer'] == (5 if divided_by == 'images' else matches(detector))
  assert min(one.values()) > 0
  assert two == pytest.approx(one, rel=1e-6) and five == pytest.approx(one, rel=1e-6)
  # One image is a batch like any other.
  outputs, batch = images(detector.anchors.shape[0])
  alone = [
    detector.compute_losses(
      {key: tf.constant(value[i : i + 1]) for key, value in outputs.items()},
      detector.assign_targets({key: tf.constant(v[i : i + 1]) for key, v in batch.items()}),
      {key: tf.constant(value[i : i + 1]) for key, value in batch.items()},
      tf.constant(1.0),
    )
    for i in range(5)
  ]
  for loss in ('localization_loss', 'classification_loss'):
    assert one[loss] == pytest.approx(sum(float(each[loss]) for each in alone), rel=1e-6)


def matches(detector):
  _, batch = images(detector.anchors.shape[0])
  targets = detector.assign_targets({key: tf.constant(value) for key, value in batch.items()})
  count = int(targets.positive_mask.numpy().sum())
  assert count >= 4
  return count


def test_a_whole_evaluation_by_hand(tiny, monkeypatch):
  """All weights 0, so all logits and encodings.

  Classification: 5 images x 104 anchors x 4 columns x ln 2, over the 4 anchors that match. The mean
  over three batches would be another one.
  """
  monkeypatch.chdir(tiny)

  def zero(model):
    for variable in model.variables:
      if 'variance' not in variable.path:
        variable.assign(np.zeros(variable.shape))

  sigmoid = f'{LOSS}.classification_loss={{weighted_sigmoid {{}}}}'
  [found] = evaluate_tiny.losses(tf.distribute.get_strategy(), [2], [sigmoid], zero)
  assert found['Loss/classification_loss'] == pytest.approx(520 * math.log(2), rel=1e-6)
  assert found['Loss/regularization_loss'] == 0
  assert found['Loss/total_loss'] == sum(found[name] for name in fields.LOSSES[:3])


def test_batch_size_and_replicas_change_no_loss(tiny, monkeypatch):
  monkeypatch.chdir(tiny)
  one, two, five = evaluate_tiny.losses(tf.distribute.get_strategy(), [1, 2, 5])
  assert min(one.values()) > 0
  assert two == pytest.approx(one, rel=1e-6) and five == pytest.approx(one, rel=1e-6)
  done = tool_processes.run(tiny, '../tests/run/evaluate_tiny.py', '2', '4')
  assert done.returncode == 0, done.stderr
  assert json.loads(done.stdout.splitlines()[-1]) == [pytest.approx(one, rel=1e-6)]


def test_losses_of_earlier_versions_are_not_compared_but_other_metrics_are():
  now = evaluation_conditions.conditions_of(Pipeline.load(TINY).config)
  before = {name: value for name, value in now.items() if name != evaluation_conditions.LOSSES}
  details, earlier = {'split': 'a', 'conditions': now}, {'split': 'a', 'conditions': before}
  assert evaluation_conditions.differences(details, earlier) == evaluation_conditions.LOSSES
  assert not evaluation_conditions.differences(details, details)
  assert not evaluation_conditions.differences(details, earlier, losses=False)
  assert evaluation_conditions.differences(details, {'split': 'b'}, losses=False)
