"""Planted faults of the start: which check, how bad, which number; and a sound project."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tiny_project
from google.protobuf import text_format

from ssd_tf import fields
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.diagnosis import learning_rate_checks, schedule_checks, start_checks
from ssd_tf.diagnosis.finding import Severity
from ssd_tf.diagnosis.project import Project
from ssd_tf.errors import InputError
from ssd_tf.ops.masked_loss import SigmoidLoss, SoftmaxLoss
from ssd_tf.pretrained import checkpoint_kind
from ssd_tf.pretrained.load_report import LoadReport

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
RATE = 'train_config.optimizer.momentum_optimizer.learning_rate.cosine_decay_learning_rate'
# 8 steps are too few for batch norms, whoever looks.
LONG = ['train_config.num_steps=200', f'{RATE}.total_steps=200', f'{RATE}.warmup_steps=20']


FREEZES = ('BACKBONE', 'ALL_BUT_HEADS')
FROZEN = ['model.ssd.freeze_batchnorm=true']


def told(findings):
  return [(finding.check, finding.severity) for finding in findings]


def report(loaded=(), skipped=(), missing=(), share=1.0, kind=checkpoint_kind.TF2):
  return LoadReport(
    path='ckpt-0',
    kind=kind,
    loaded={path: path for path in loaded},
    mapped=[],
    skipped=dict.fromkeys(skipped, '[1] in the checkpoint, [2] here'),
    missing={path: path for path in missing},
    left=['box_encoding_head_0/kernel'],
    unused=[],
    backbone_share=share,
  )


def test_a_whole_backbone_is_a_note_with_counts():
  (finding,) = start_checks.check_loaded(
    report(['conv_1/kernel', 'conv_2/kernel', 'feature_map_1/kernel'], ['class_head_0/kernel'])
  )
  assert (finding.check, finding.severity) == ('checkpoint', NOTE)
  assert finding.numbers['backbone'] == {'loaded': 2, 'skipped': 0, 'missing': 0, 'left': 0}
  assert finding.numbers['class heads']['skipped'] == 1
  assert finding.what == (
    f'ckpt-0 ({checkpoint_kind.TF2}) gives 3 variables: backbone 2 of 2; feature maps 1 of 1; '
    'box heads and towers 0 of 1; class heads 0 of 1.'
  )


def test_a_backbone_that_loaded_in_part_or_not():
  findings = list(
    start_checks.check_loaded(report(['conv_1/kernel'], ['conv_2/kernel'], ['conv_3/bias'], 0.96))
  )
  assert told(findings) == [('checkpoint', NOTE), ('backbone', ERROR)]
  assert findings[1].numbers['variables'] == 2 and findings[1].numbers['share'] == 0.96
  assert 'conv_2/kernel: [1] in the checkpoint, [2] here' in findings[1].what
  findings = list(start_checks.check_loaded(report(['feature_map_1/kernel'], share=0.0)))
  assert told(findings)[1] == ('backbone', ERROR)
  # A classification model has other layers in the place of these, and does well without.
  usual = report(['conv_1/kernel'], [], ['vgg_16_conv6/kernel'], 0.8, checkpoint_kind.SLIM_VGG)
  assert told(start_checks.check_loaded(usual))[1] == ('backbone', NOTE)


SIZES = {'conv_1/kernel': 900, 'class_head_0/kernel': 60, 'box_encoding_head_0/kernel': 40}


def test_what_trains():
  everything, heads = set(SIZES), {'class_head_0/kernel', 'box_encoding_head_0/kernel'}
  assert not list(start_checks.check_trainable(SIZES, everything, (), everything))
  assert not list(start_checks.check_trainable(SIZES, heads, {'conv_1/kernel'}, heads))
  (finding,) = start_checks.check_trainable(SIZES, heads, (), heads)
  assert (finding.check, finding.severity) == ('frozen weights', ERROR)
  assert finding.numbers == {'variables': 1, 'parameters': 900}
  # A stage releases it, but until then it is random.
  (finding,) = start_checks.check_trainable(SIZES, heads, (), everything)
  assert (finding.check, finding.severity) == ('frozen weights', WARNING)


def test_almost_nothing_trains():
  sizes = {**SIZES, 'class_head_0/bias': 6}
  (finding,) = start_checks.check_trainable(sizes, {'class_head_0/bias'}, sizes, sizes)
  assert (finding.check, finding.severity) == ('trainable', WARNING)
  assert finding.numbers['share'] == pytest.approx(6 / 1006)
  assert told(start_checks.check_trainable(sizes, (), sizes, ())) == [('trainable', ERROR)]
  boxes = {'box_encoding_head_0/kernel'}
  (finding,) = start_checks.check_trainable(sizes, boxes, sizes, boxes)
  assert finding.what == (
    'No class head trains (40 of 1,006 parameters do): the scores hardly change.'
  )


FOCAL = SigmoidLoss(gamma=2.0, alpha=0.25, background_as_zeros=True)


@pytest.mark.parametrize(
  ('loss', 'logit', 'has_miner', 'severity', 'ratio'),
  [
    # 0.25 * ln 2 against 0.01^2 * -ln 0.99.
    (FOCAL, 0.0, False, ERROR, 0.25 * math.log(2) / (1e-4 * -math.log(0.99))),
    (SigmoidLoss(background_as_zeros=True), 0.0, False, WARNING, math.log(2) / -math.log(0.99)),
    (FOCAL, -4.6, False, None, None),
    (SigmoidLoss(background_as_zeros=True), 0.0, True, None, None),
    (SoftmaxLoss(), 0.0, False, None, None),
    (FOCAL, -20.0, False, WARNING, None),
  ],
)
def test_the_heads_prior(loss, logit, has_miner, severity, ratio):
  findings = list(start_checks.check_prior(loss, logit, has_miner=has_miner))
  assert told(findings) == ([('heads at the start', severity)] if severity else [])
  if ratio:
    assert findings[0].numbers['ratio'] == pytest.approx(ratio)
    assert findings[0].numbers['score'] == 0.5


@pytest.mark.parametrize(
  ('loss', 'negatives', 'has_miner', 'severity'),
  [
    (SoftmaxLoss(), 8700, False, ERROR),  # 870 to a positive
    (SoftmaxLoss(), 1000, False, WARNING),
    (SoftmaxLoss(), 100, False, None),
    (SoftmaxLoss(), 8700, True, None),
    (SoftmaxLoss(gamma=2.0), 8700, False, None),
    (FOCAL, 8700, False, None),
  ],
)
def test_softmax_without_mining_drowns(loss, negatives, has_miner, severity):
  findings = list(start_checks.check_background(loss, 10, negatives, has_miner=has_miner))
  assert told(findings) == ([('background', severity)] if severity else [])
  if severity is ERROR:
    assert findings[0].what == (
      'All 8700 negative anchors of the first batch count in the softmax, 870 to each of its 10 '
      'positives: their sum outweighs that of the positives.'
    )
    assert findings[0].remedy.startswith('Set model.ssd.loss.hard_example_miner, with ')
  assert not list(start_checks.check_background(SoftmaxLoss(), 0, 50, has_miner=False))


@pytest.mark.parametrize('override', [*(f'train_config.freeze={f}' for f in FREEZES), *FROZEN])
def test_loaded_statistics_that_stay_are_not_told(override, from_checkpoint, make):
  start = make(from_checkpoint, override).start
  assert start.has_backbone
  assert not any('images' in risk.numbers for risk in start.risks(num_images=10))


def test_input_of_another_scale():
  mean, variance = np.zeros(3), np.array([1.0, 4.0, 1e-9])
  # 127.5 times as wide; a channel that never varied says nothing.
  (finding,) = start_checks.check_input_scale(mean, variance, 127.5**2 * np.array([1, 4, 1.0]))
  assert (finding.check, finding.severity) == ('input scale', WARNING)
  assert finding.numbers['ratio'] == pytest.approx(127.5**2)
  assert not list(start_checks.check_input_scale(mean, variance, np.array([2.0, 6.0, 1.0])))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp('tiny')
  tiny_project.make(path)
  config = Pipeline.load(path / 'tiny.config').config
  config.train_config.ClearField('data_augmentation_options')  # Seconds of tracing.
  (path / 'tiny.config').write_text(text_format.MessageToString(config))
  return path


def project(folder, *overrides):
  path = folder / 'tiny.config'
  return Project(Pipeline.load(path, [*LONG, *overrides]))


@pytest.fixture(scope='module')
def sound(folder):
  return project(folder)


@pytest.fixture(scope='module')
def make(folder, sound):
  """Returns a function: overrides -> project; its first batch is that of the sound one."""

  def make_project(*overrides):
    made = project(folder, *overrides)
    vars(made.start)['batch'] = sound.start.batch
    return made

  return make_project


@pytest.fixture(scope='module')
def from_checkpoint(folder):
  tiny_project.write_checkpoint(folder)
  return f'train_config.fine_tune_checkpoint="{folder}/model"'


def check_all(project):
  checks = (start_checks.check, learning_rate_checks.check, schedule_checks.check)
  return [finding for check in checks for finding in check(project)]


def test_a_sound_project_has_one_note(sound):
  findings = check_all(sound)
  assert told(findings) == [('checkpoint', NOTE)]
  assert findings[0].numbers == {'parameters': 319_016}  # As a training logs it.
  # What heads that know nothing cost, by the formula: each of the columns of a negative
  # 0.25 * p^2 * -ln(1 - p), p = sigmoid(-4.6); of a positive its own 0.75 * (1 - p)^2 * -ln p.
  start, p = sound.start, 1 / (1 + math.exp(4.6))
  classes = start.targets.class_targets.numpy()
  positive, columns = int((classes > 0).sum()), 4 * classes.size
  no = 0.25 * p**2 * -math.log(1 - p)
  yes = 0.75 * (1 - p) ** 2 * -math.log(p)
  expected = ((columns - positive) * no + positive * yes) / positive
  assert start.expected_losses['classification_loss'] == pytest.approx(expected, rel=1e-4)
  assert start.losses['classification_loss'] == pytest.approx(expected, rel=0.3)


MISSING_STATISTICS = ['model.ssd.freeze_batchnorm=true']
HIGH_PRIOR = ['model.ssd.box_predictor.convolutional_box_predictor.class_prediction_bias_init=0.0']
SOFTMAX = [
  'model.ssd.encode_background_as_zeros=false',
  'model.ssd.loss.classification_loss={weighted_softmax {}}',
  'model.ssd.post_processing.score_converter=SOFTMAX',
]


@pytest.mark.parametrize(
  ('overrides', 'check', 'severity'),
  [
    (['train_config.freeze=BACKBONE'], 'frozen weights', ERROR),
    (MISSING_STATISTICS, 'frozen batch norm', ERROR),
    (HIGH_PRIOR, 'heads at the start', ERROR),
    (SOFTMAX, 'background', WARNING),
    (['train_config.gradient_clipping_by_norm=0.0001'], 'gradient clipping', WARNING),
    ([f'{RATE}.learning_rate_base=0.8'], 'learning rate', ERROR),
  ],
)
def test_a_fault_planted_in_a_project(make, overrides, check, severity):
  faulty = make(*overrides)
  findings = check_all(faulty)
  assert told(findings) == [('checkpoint', NOTE), (check, severity)]


def test_accumulation_gives_batch_norms_their_time(make):
  # Of 20 steps the moving statistics (decay 0.97) keep 0.97^20 = 54%; of their 160 batches 0.8%.
  few = ['train_config.num_steps=20', f'{RATE}.total_steps=20', f'{RATE}.warmup_steps=2']
  (finding,) = [f for f in schedule_checks.check(make(*few)) if f.check == 'batch norm decay']
  assert finding.severity is ERROR
  accumulated = make(*few, 'train_config.gradient_accumulation_steps=8')
  assert not [f for f in schedule_checks.check(accumulated) if f.check == 'batch norm decay']


def test_a_checkpoint_that_does_not_fit(folder, make):
  tf.train.Checkpoint(v=tf.Variable(1.0)).write(str(folder / 'other'))
  wrong = make(f'train_config.fine_tune_checkpoint="{folder}/other"')
  (finding,) = start_checks.check(wrong)
  assert (finding.check, finding.severity) == ('checkpoint', ERROR)
  assert 'other' in finding.what
  assert not [f for f in schedule_checks.check(wrong) if f.severity == ERROR]
  # One that is not there is told by the checks of the config.
  with pytest.raises(InputError, match='no such file or folder: nowhere or'):
    list(start_checks.check(make('train_config.fine_tune_checkpoint="nowhere"')))


def test_a_checkpoint_is_seen_through(from_checkpoint, make):
  loaded = make(from_checkpoint)
  start = loaded.start
  assert start.has_backbone and start.has_class_heads
  findings = list(start_checks.check(loaded))
  assert findings[0].numbers['backbone']['missing'] == 0
  assert findings[0].numbers['backbone']['loaded'] > 100
  # So few would replace the statistics of the backbone's batch norms.
  images = loaded.table('train_input_reader').num_images
  assert [f.numbers for f in findings if f.check == 'batch norm statistics'] == [{'images': images}]
  mean, variance, distance = start.first_normalized
  # The same, by the layers themselves.
  images = start.batch[fields.IMAGE]
  kernel = next(v for v in start.model.variables if 'kernel' in v.path)
  outputs = tf.nn.conv2d(images, kernel.value, 2, 'SAME').numpy()
  np.testing.assert_allclose(distance, ((outputs - mean) ** 2).mean((0, 1, 2)), rtol=0.1)
  assert variance.min() > 0.9
