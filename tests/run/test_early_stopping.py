"""When a training stops early, also one that goes on."""

import math
import types

import pytest
import tensorflow as tf

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.run import preflight
from ssd_tf.run.best_metric import Criterion
from ssd_tf.run.early_stopping import EarlyStopping, evaluations_without_better
from ssd_tf.run.evaluation_log import EvaluationLog
from ssd_tf.run.loop import Loop

MAP, LOSS = 'DetectionBoxes_Precision/mAP', 'Loss/total_loss'


@pytest.mark.parametrize(
  ('values', 'metric', 'min_delta', 'expected'),
  [
    ([], MAP, 0.0, (0, None)),
    ([0.1, 0.2, 0.3], MAP, 0.0, (0, (2, 0.3))),
    ([0.1, 0.3, 0.2, 0.3], MAP, 0.0, (2, (1, 0.3))),
    # From 0.1 to 0.15 is less than 0.1, to 0.2 it is not; from there 0.25 is less again.
    ([0.1, 0.15, 0.2, 0.25], MAP, 0.1, (1, (2, 0.2))),
    # Neither -1 nor nan is a figure.
    ([-1.0, math.nan, -1.0], MAP, 0.0, (3, None)),
    ([-1.0, 0.0, math.nan], MAP, 0.0, (1, (1, 0.0))),
    ([3.0, 2.0, 2.5, 2.0], LOSS, 0.0, (2, (1, 2.0))),
    ([3.0, 2.5, 1.5], LOSS, 1.0, (0, (2, 1.5))),
  ],
)
def test_evaluations_without_a_better_one_are_counted(values, metric, min_delta, expected):
  criterion = Criterion(metric, DETAILS)
  assert evaluations_without_better(enumerate(values), criterion, min_delta) == expected


DETAILS = {'split': 'a.record', 'conditions': {'sample_1_of_n_examples': 1}}


def reason(folder, step, metric=MAP, details=DETAILS, **settings):
  return EarlyStopping(EvaluationLog(str(folder)), Criterion(metric, details), **settings).reason(
    step
  )


def evaluated(folder, first, values, **settings):
  """After evaluations at first, first + 2, ...: why to stop at the last of them."""
  for i, value in enumerate(values):
    EvaluationLog(str(folder)).append(step := first + 2 * i, {MAP: value, LOSS: 1.0}, DETAILS)
  return reason(folder, step, **settings)


def test_it_stops_after_its_patience_and_says_why(tmp_path):
  assert evaluated(tmp_path, 2, [0.25, 0.2], patience=2) == ''
  assert evaluated(tmp_path, 6, [0.25], patience=2) == (
    f'at step 6: 2 evaluations without a {MAP} better than 0.25 at step 2; to continue, raise '
    'train_config.early_stopping.patience (2), or remove train_config.early_stopping'
  )


def test_the_count_goes_on_with_the_training(tmp_path):
  evaluated(tmp_path, 2, [0.5, math.nan], patience=3)
  assert not evaluated(tmp_path, 6, [0.4], patience=3)
  assert evaluated(tmp_path, 8, [0.4], patience=3)
  assert not reason(tmp_path, 8, patience=4)
  # One that goes back to step 4 forgets the later ones.
  assert not reason(tmp_path, 4, patience=2)
  assert reason(tmp_path, 4, patience=1)
  # Another metric has been in the log as long: the loss was 1 at all four.
  assert reason(tmp_path, 8, LOSS, patience=3) and not reason(tmp_path, 8, LOSS, patience=4)


def test_evaluations_under_other_conditions_do_not_count(tmp_path):
  assert evaluated(tmp_path, 2, [0.62, 0.5], patience=1)
  other = {**DETAILS, 'split': 'b.record'}
  assert not reason(tmp_path, 4, details=other, patience=1)
  log = EvaluationLog(str(tmp_path))
  assert Criterion(MAP, other).left_out(log) == '2 evaluations do not count, they differ in split'
  assert Criterion(MAP, DETAILS).left_out(log) == ''
  for step in (6, 8):
    log.append(step, {MAP: 0.1}, {'split': 'a.record'})  # It tells no conditions.
  assert not reason(tmp_path, 8, patience=2)


def test_an_evaluation_repeated_counts_once(tmp_path):
  evaluated(tmp_path, 2, [0.5, 0.4], patience=2)
  assert not evaluated(tmp_path, 4, [0.4], patience=2)
  # The later one holds.
  assert 'better than 0.6 at step 4' in evaluated(tmp_path, 4, [0.6, 0.1], patience=1)


def test_every_stage_is_counted_for_itself_and_only_the_last_one_ends(tmp_path):
  # Evaluations at 2, 4, ..., 10; what is evaluated at 4 is the stage before.
  flat = [0.5] * 5
  for count, is_over in ((3, False), (4, False), (5, True)):
    folder = tmp_path / str(count)
    # At 6 the figure is the first of its stage: at 8 one is no better, at 10 two.
    assert bool(evaluated(folder, 2, flat[:count], patience=2, borders=(4,))) == is_over
    # Two borders: the second stage begins at 10, and is ahead.
    assert not evaluated(folder, 2, flat[:count], patience=1, borders=(4, 10))
  assert evaluated(tmp_path, 2, flat, patience=2, borders=(4,)).startswith(
    f'at step 10: 2 evaluations without a {MAP} better than 0.5 at step 6; '
  )


def test_no_figure_at_all_is_no_progress(tmp_path):
  assert evaluated(tmp_path, 2, [-1.0, -1.0], patience=2).startswith(
    f'at step 4: 2 evaluations without a {MAP} with a figure; '
  )


def test_the_loop_says_once_why_there_is_nothing_to_do(tmp_path, caplog):
  caplog.set_level('INFO', logger='absl')
  log = EvaluationLog(str(tmp_path))
  for step, value in ((2, 0.25), (4, 0.2)):
    log.append(step, {MAP: value}, DETAILS)
  stopping = EarlyStopping(log, Criterion(MAP, DETAILS), patience=1, min_delta=0.5)
  assert SmallLoop(tmp_path, 10, step=4, stopping=stopping).is_over()
  assert caplog.messages == [
    'Nothing to do: the training was stopped early at step 4: 1 evaluation without a '
    f'{MAP} better than 0.25 at step 2 by 0.5; to continue, raise '
    'train_config.early_stopping.patience (1), or remove train_config.early_stopping.'
  ]
  assert not SmallLoop(tmp_path, 10, step=4).is_over()


class SmallLoop(Loop):
  """Counts what is done; its steps take no time."""

  def __init__(self, folder, num_steps, step=1, log=None, stopping=None):
    self.global_step = tf.Variable(step, dtype=tf.int64)
    self.calls, self._log = [], log
    checkpoint = tf.train.Checkpoint(step=self.global_step)
    super().__init__(
      types.SimpleNamespace(global_step=self.global_step),
      tf.train.CheckpointManager(checkpoint, str(folder), max_to_keep=9),
      num_steps,
      log_every_n=100,
      checkpoint_every_n=4,
      evaluator=object(),
      stopping=stopping,
    )

  def _train_to(self, goal):
    self.global_step.assign(goal)
    self.calls.append(f'train to {goal}')

  def evaluate(self):
    assert self._manager.latest_checkpoint.endswith(f'ckpt-{self.step}')  # Saved before.
    self.calls.append(f'evaluate {self.step}')
    if self._log is not None:
      self._log.append(self.step, {MAP: 0.5}, DETAILS)


def test_the_loop_evaluates_at_multiples_and_at_the_end(tmp_path):
  loop = SmallLoop(tmp_path, 10)
  loop.run()
  expected = ['train to 4', 'evaluate 4', 'train to 8', 'evaluate 8', 'train to 10', 'evaluate 10']
  assert loop.calls == expected


def test_the_loop_stops_early(tmp_path, caplog):
  caplog.set_level('INFO', logger='absl')
  log = EvaluationLog(str(tmp_path / 'eval'))
  stopping = EarlyStopping(log, Criterion(MAP, DETAILS), patience=1)
  loop = SmallLoop(tmp_path, 100, log=log, stopping=stopping)
  loop.run()
  assert loop.calls == ['train to 4', 'evaluate 4', 'train to 8', 'evaluate 8']
  assert [m for m in caplog.messages if m.startswith('Stopped')] == [
    f'Stopped early at step 8: 1 evaluation without a {MAP} better than 0.5 at step 4; to '
    'continue, raise train_config.early_stopping.patience (1), or remove '
    'train_config.early_stopping.'
  ]


@pytest.mark.parametrize(
  ('override', 'fault'),
  [
    ('early_stopping.patience=0', 'early_stopping.patience: is 0; expected 1 or more'),
    ('early_stopping.min_delta=-1', 'early_stopping.min_delta: is -1; expected 0 or more'),
    ('early_stopping.min_delta=nan', 'early_stopping.min_delta: is nan; expected 0 or more'),
    ('gradient_accumulation_steps=0', 'gradient_accumulation_steps: is 0; expected 1 to 1000000'),
    (
      'precision=MIXED_FLOAT16',
      'precision: is MIXED_FLOAT16, but train_config.use_bfloat16 is true, which is '
      'MIXED_BFLOAT16; remove use_bfloat16',
    ),
  ],
)
def test_values_that_make_no_sense_are_refused(override, fault, tiny):
  path = tiny / 'tiny.config'
  bfloat16 = ['train_config.use_bfloat16=true'] * override.startswith('precision')
  loaded = Pipeline.load(path, [*bfloat16, f'train_config.{override}']).config
  with pytest.raises(InputError) as error:
    builders.check_config(Pipeline(loaded, str(path)))
  assert f'{path}: train_config.{fault}' in str(error.value).split('\n')


def test_accumulation_with_synchronized_batch_norms_is_refused_on_replicas(tiny):
  path = str(tiny / 'tiny.config')
  norm = 'model.ssd.feature_extractor.conv_hyperparams.sync_batch_norm={decay: 0.9}'
  loaded = Pipeline.load(path, [norm, 'train_config.gradient_accumulation_steps=2']).config
  builders.check_config(Pipeline(loaded, path))
  with pytest.raises(InputError) as error:
    builders.check_config(Pipeline(loaded, path), num_replicas=2)
  assert str(error.value) == (
    f'{path}: train_config.gradient_accumulation_steps: is 2, with sync_batch_norm on 2 replicas, '
    'which is not supported; take batch_norm, or one replica, or a larger batch_size'
  )


def test_a_choice_without_evaluations_is_refused_before_training(tiny):
  path = str(tiny / 'tiny.config')
  loaded = Pipeline.load(tiny / 'tiny.config', ['train_config.early_stopping={}']).config
  with pytest.raises(InputError) as error:
    preflight.choose_metric(Pipeline(loaded, path), evaluate=False)
  assert str(error.value) == (
    'train_config.early_stopping: needs evaluations while training, but --noevaluate leaves them '
    'out; remove one of the two'
  )


def test_an_unknown_metric_is_refused_before_training(tiny, capsys):
  path = str(tiny / 'tiny.config')
  name = 'PascalBoxes_PerformanceByCategory/AP@0.5IOU/b'
  overrides = ['eval_config.metrics_set="pascal_voc_detection_metrics"']
  loaded = Pipeline.load(
    tiny / 'tiny.config', [*overrides, f'train_config.best_metric="{name}"']
  ).config
  assert preflight.choose_metric(Pipeline(loaded, path), evaluate=True) == name
  loaded.train_config.best_metric = ''
  first = 'PascalBoxes_Precision/mAP@0.5IOU'
  assert preflight.choose_metric(Pipeline(loaded, path), evaluate=True) == first
  loaded.train_config.best_metric = 'Loss/totalloss'
  with pytest.raises(InputError) as error:
    preflight.choose_metric(Pipeline(loaded, path), evaluate=True)
  assert str(error.value) == (
    "train_config.best_metric: 'Loss/totalloss' is none of the metrics that eval_config gives; did "
    'you mean Loss/total_loss or Loss/localization_loss or Loss/regularization_loss? There are '
    'PascalBoxes_Precision/mAP@0.5IOU, PascalBoxes_PerformanceByCategory/AP@0.5IOU/a, '
    'PascalBoxes_PerformanceByCategory/AP@0.5IOU/b, PascalBoxes_PerformanceByCategory/AP@0.5IOU/c, '
    'Loss/localization_loss, Loss/classification_loss, Loss/regularization_loss, Loss/total_loss'
  )
  assert capsys.readouterr().out == ''
