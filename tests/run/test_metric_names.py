"""The names of the figures of an evaluation, told without one, are those of a real one."""

import dataclasses
import json

import pytest
import tensorflow as tf
import tiny_project

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.run import preflight
from ssd_tf.run.best_checkpoint import BestCheckpoint
from ssd_tf.run.best_metric import Criterion, value_of
from ssd_tf.run.early_stopping import EarlyStopping
from ssd_tf.run.evaluation_log import EvaluationLog
from ssd_tf.run.evaluator import build_evaluator

LABELED = 'DetectionBoxes_Precision_Labeled/mAP'
OF_CLASSES = (
  'eval_config.include_metrics_per_category=true',
  'eval_config.all_metrics_per_category=true',
  'eval_config.super_categories=[{key: "pets" value: "a, b"}, {key: "others" value: "c"}]',
)


def load(folder, *overrides):
  return Pipeline.load(
    folder / 'tiny.config', ['eval_config.num_visualizations=0', *overrides]
  ).config


@pytest.fixture
def partly_labeled(tiny):
  """The tiny project, an image of whose evaluation is labeled for the class a alone."""
  images = tiny_project.annotations(3, seed=1)
  images[0] = dataclasses.replace(images[0], labeled_classes=[1])
  tiny_project.write_records(tiny / 'eval.record', images)
  return tiny


def evaluate(folder, *overrides):
  """All that a real evaluation of random weights gives."""
  loaded, path = load(folder, *overrides), str(folder / 'tiny.config')
  detector = builders.build_detector(loaded.model, is_training=False)
  evaluator = build_evaluator(Pipeline(loaded, path), detector, tf.distribute.get_strategy())
  return evaluator.evaluate(-1), evaluator.metrics


def assert_all_are_choices(folder, names, *overrides):
  for name in names:
    loaded = load(folder, *overrides, f'train_config.best_metric="{name}"')
    path = str(folder / 'tiny.config')
    assert preflight.choose_metric(Pipeline(loaded, path), evaluate=True) == name


def test_of_every_set_of_metrics_and_its_losses(partly_labeled):
  sets = f'eval_config.metrics_set={json.dumps(list(builders.metrics.METRICS))}'
  overrides = (sets, 'eval_config.recall_upper_bound=0.5', *OF_CLASSES)
  found, group = evaluate(partly_labeled, *overrides)
  path = str(partly_labeled / 'tiny.config')
  names = builders.metric_names(Pipeline(load(partly_labeled, *overrides), path))
  assert list(found) == names and len(set(names)) == len(names)
  # COCO's 2 x 12, 3 x 13 of classes, 2 of groups, 3 labeled; 5 x VOC's and Open Images' mean and
  # 3 classes, 2 x that of both years; 4 losses.
  assert len(names) == 24 + 39 + 2 + 3 + 5 * 4 + 2 * 4 + 4
  assert {LABELED, 'AP_VOC07/mAP', 'OpenImagesV2_Precision/mAP@0.5IOU'} <= set(names)
  assert len(group.evaluators) == 7
  for evaluator in group.evaluators:
    assert list(evaluator.result()) == evaluator.metric_names
  assert_all_are_choices(partly_labeled, names, *overrides)


def test_without_losses_there_is_the_total_one_alone(partly_labeled):
  dummy = 'eval_config.use_dummy_loss_in_eval=true'
  found, _ = evaluate(partly_labeled, dummy)
  names = builders.metric_names(
    Pipeline(load(partly_labeled, dummy), str(partly_labeled / 'tiny.config'))
  )
  assert list(found) == names and names[-1] == 'Loss/total_loss' and len(names) == 25


def test_where_all_is_labeled_the_labeled_pairs_are_all_pairs(tmp_path):
  metrics = {
    'DetectionBoxes_Precision/mAP': 0.25,
    'DetectionBoxes_PerformanceByCategory/mAP/a': 0.5,
    'PascalBoxes_Precision/mAP@0.5IOU': 0.75,
  }
  assert value_of(LABELED, metrics) == 0.25
  assert value_of(LABELED, {**metrics, LABELED: 0.3}) == 0.3
  of_class = 'DetectionBoxes_PerformanceByCategory_Labeled/mAP/a'
  assert value_of(of_class, metrics) == 0.5
  assert value_of('Loss/total_loss', metrics) is None
  step = tf.Variable(2, dtype=tf.int64)
  manager = tf.train.CheckpointManager(tf.train.Checkpoint(step=step), tmp_path, max_to_keep=1)
  log, criterion = EvaluationLog(str(tmp_path / 'eval')), Criterion(LABELED, {})
  best = BestCheckpoint(manager, step, log, criterion)
  stopping = EarlyStopping(log, criterion, patience=1)
  log.append(2, metrics, {})
  best()
  assert best.description() == f'step 2, {LABELED} 0.25, in {tmp_path}/best'
  step.assign(4)
  log.append(4, {**metrics, 'DetectionBoxes_Precision/mAP': 0.2}, {})
  best()
  assert best.step == 2 and stopping.reason(4)
