"""The log of one training, of a folder made by hand: README, curves, scores."""

import contextlib
import io
import re
import xml.etree.ElementTree as ElementTree

import experiment_folder as folder
import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.evaluation.coco_figures import METRIC_NAMES, summary_lines
from ssd_tf.experiments import config_words, experiment_log
from ssd_tf.experiments.recorded_run import RecordedRun
from ssd_tf.run.evaluation_log import EvaluationLog

# The figures of the Object Detection API's evaluation of a digit detector, as its log has them.
DIGITS = (
  *(0.653154, 0.803069, 0.777710, 0.653155, -1.0, -1.0),
  *(0.472403, 0.694858, 0.695076, 0.695076, -1.0, -1.0),
)
DIGIT_LOSSES = {
  'Loss/localization_loss': 0.025106,
  'Loss/classification_loss': 0.119337,
  'Loss/regularization_loss': 0.050604,
  'Loss/total_loss': 0.195047,
}
SCORE_BLOCK = """\
 Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.653
 Average Precision  (AP) @[ IoU=0.50      | area=   all | maxDets=100 ] = 0.803
 Average Precision  (AP) @[ IoU=0.75      | area=   all | maxDets=100 ] = 0.778
 Average Precision  (AP) @[ IoU=0.50:0.95 | area= small | maxDets=100 ] = 0.653
 Average Precision  (AP) @[ IoU=0.50:0.95 | area=medium | maxDets=100 ] = -1.000
 Average Precision  (AP) @[ IoU=0.50:0.95 | area= large | maxDets=100 ] = -1.000
 Average Recall     (AR) @[ IoU=0.50:0.95 | area=   all | maxDets=  1 ] = 0.472
 Average Recall     (AR) @[ IoU=0.50:0.95 | area=   all | maxDets= 10 ] = 0.695
 Average Recall     (AR) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.695
 Average Recall     (AR) @[ IoU=0.50:0.95 | area= small | maxDets=100 ] = 0.695
 Average Recall     (AR) @[ IoU=0.50:0.95 | area=medium | maxDets=100 ] = -1.000
 Average Recall     (AR) @[ IoU=0.50:0.95 | area= large | maxDets=100 ] = -1.000
INFO:tensorflow:Eval metrics at step 30000
INFO:tensorflow:	+ DetectionBoxes_Precision/mAP: 0.653154
INFO:tensorflow:	+ DetectionBoxes_Precision/mAP@.50IOU: 0.803069
INFO:tensorflow:	+ DetectionBoxes_Precision/mAP@.75IOU: 0.777710
INFO:tensorflow:	+ DetectionBoxes_Precision/mAP (small): 0.653155
INFO:tensorflow:	+ DetectionBoxes_Precision/mAP (medium): -1.000000
INFO:tensorflow:	+ DetectionBoxes_Precision/mAP (large): -1.000000
INFO:tensorflow:	+ DetectionBoxes_Recall/AR@1: 0.472403
INFO:tensorflow:	+ DetectionBoxes_Recall/AR@10: 0.694858
INFO:tensorflow:	+ DetectionBoxes_Recall/AR@100: 0.695076
INFO:tensorflow:	+ DetectionBoxes_Recall/AR@100 (small): 0.695076
INFO:tensorflow:	+ DetectionBoxes_Recall/AR@100 (medium): -1.000000
INFO:tensorflow:	+ DetectionBoxes_Recall/AR@100 (large): -1.000000
INFO:tensorflow:	+ Loss/localization_loss: 0.025106
INFO:tensorflow:	+ Loss/classification_loss: 0.119337
INFO:tensorflow:	+ Loss/regularization_loss: 0.050604
INFO:tensorflow:	+ Loss/total_loss: 0.195047
INFO:tensorflow:-1.000 (no groundtruth of this size): mAP (medium), mAP (large), AR@100 (medium), \
AR@100 (large)"""
SVG = '{http://www.w3.org/2000/svg}'


@pytest.fixture
def run_dir(tiny, monkeypatch):
  """A training of 20 steps: three logged losses, three evaluations, the second the best."""
  monkeypatch.chdir(tiny)
  path = tiny / 'run'
  folder.write_config(path, overrides=['train_config.seed=1'])
  folder.write_losses(path, {5: 4.0, 10: 2.0, 20: 1.0})
  scores = {5: 0.1, 10: 0.5, 20: 0.25}
  folder.write_evaluations(path, {step: (figure, {}) for step, figure in scores.items()})
  tags = ('DetectionBoxes_Precision/mAP', 'DetectionBoxes_Recall/AR@100')
  folder.write_events(path / 'eval', dict.fromkeys(tags, scores))
  return path


def _num_points(path, curve):
  """Of a line in an SVG: its vertices, or its markers."""
  (group,) = (g for g in ElementTree.parse(path).getroot().iter(f'{SVG}g') if g.get('id') == curve)
  markers = list(group.iter(f'{SVG}use'))
  return len(markers) or len(re.findall('[ML]', group.find(f'{SVG}path').get('d')))


def test_a_log_has_the_files_of_the_form(run_dir, tmp_path):
  experiment_log.write_log(RecordedRun('run'), 'out')
  assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == [
    'AR.svg',
    *(f'Loss_{name}.svg' for name in sorted(folder.LOSSES)),
    'README.md',
    'mAP.svg',
    'pipeline.config',
  ]
  saved = (tmp_path / 'out/pipeline.config').read_bytes()
  assert saved == (run_dir / 'pipeline.config').read_bytes()
  for name in folder.LOSSES:
    assert _num_points(f'out/Loss_{name}.svg', f'Loss/{name}') == 3
  assert _num_points('out/mAP.svg', 'DetectionBoxes_Precision/mAP') == 3
  assert _num_points('out/AR.svg', 'DetectionBoxes_Recall/AR@100') == 3


def test_readme_says_what_was_trained_and_where(run_dir):
  folder.write_record(run_dir, (90, 8, 'interrupted'), (60, 20, 'finished'))
  folder.write_about(run_dir, name='Tiny', purpose='To see', analysis='Seen', notes='Odd')
  text = experiment_log.describe_run(RecordedRun('run'), ['Loss_total_loss.svg'])
  # The best of the three comes after the last, which is another one.
  assert [line for line in text.splitlines() if re.match('#|Step', line)] == [
    '# Tiny',
    '## Results',
    '## Scores',
    'Step 20, the last of 3 evaluations by `DetectionBoxes_Precision/mAP`, on `eval.record` (5 '
    'images, 4 boxes, at most 100 detections of an image). Figures are fractions of 1.',
    'Step 10, the best of 3 evaluations by `DetectionBoxes_Precision/mAP`, on `eval.record` (5 '
    'images, 4 boxes, at most 100 detections of an image). Figures are fractions of 1.',
    '## Analysis',
    '## Notes',
    '## Run',
  ]
  for line in (
    '**Purpose.** To see',
    '- Model: SSD MobileNet v1, 0.25 of the filters, 64x96',
    '  - 8 steps of batch 4, from scratch',
    '  - Classification loss: weighted sigmoid focal (gamma 2, alpha 0.75)',
    '  - Augmentation: random horizontal flip',
    '  - Optimizer: momentum optimizer; momentum optimizer value 0.9; cosine decay learning rate '
    '(learning rate base 0.05, total steps 8, warmup learning rate 0.005, warmup steps 2)',
    "<img src='./Loss_total_loss.svg' width=300/>",
    '*Total loss*',
    '- Seed: 1',
    '- Steps: 20 (8.0 epochs of 10 images)',
    '- Speed: 2.50 steps/s (median of the log)',
    '- Time: 2.5 min, in 2 runs, start-up and evaluation included; begun 2026-03-01T10:00:00Z; '
    'finished',
    '- Hardware: 2 cores of Some CPU, 23.5 GiB, no GPU',
    '- Versions: python 3.11.2, tensorflow 2.20.0',
    '- Commit: c0ffee; then c0ffee and uncommitted changes',
    'python tools/model_main_tf2.py --model_dir=x',
  ):
    assert line in text.splitlines(), line
  # Ten images with 0, 1, 2, 0, ... boxes: 9; five: 4.
  train, evaluation = (line for line in text.splitlines() if '_input_reader' in line)
  start = '  - train_input_reader: `train.record`: 10 images (80x48, width x height), 9 boxes of 3'
  assert train.startswith(f'{start} classes: a ')
  assert sum(map(int, re.findall(r'[abc] (\d+)', train))) == 9
  assert '`eval.record`: 5 images (80x48, width x height), 4 boxes of 3 classes' in evaluation


def test_a_training_from_before_there_was_a_record_or_whose_data_are_gone(run_dir, tiny):
  (tiny / 'train.record').unlink()
  text = experiment_log.describe_run(RecordedRun('run'))
  assert text.startswith('# Experiment run\n')
  assert '`train.record`: cannot be described now: no file matches train.record' in text
  assert '- Steps: 20\n' in text
  assert '- Time, hardware, versions, commit: not recorded (trained before there was a run.' in text


def test_score_block_is_that_of_the_original_and_explains_minus_one(tiny, monkeypatch):
  monkeypatch.chdir(tiny)
  folder.write_config(tiny / 'run')
  metrics = {**dict(zip(METRIC_NAMES, DIGITS, strict=True)), **DIGIT_LOSSES}
  EvaluationLog('run/eval').append(30000, metrics, {'split': 'eval.record'})
  run = RecordedRun('run')
  assert experiment_log.score_block(run, 30000) == SCORE_BLOCK
  assert f'```\n{SCORE_BLOCK}\n```\n' in experiment_log.describe_run(run)


def test_summary_lines_are_those_that_pycocotools_prints():
  evaluation = COCOeval(iouType='bbox')
  # Of one class and ten thresholds of IoU: AP is .25, -1 for medium; AR .5, 1 with 100 detections.
  precision, recall = np.full((10, 101, 1, 4, 3), 0.25), np.full((10, 1, 4, 3), 0.5)
  precision[:, :, :, 2], recall[..., 2] = -1, 1
  evaluation.eval = {'precision': precision, 'recall': recall}
  with contextlib.redirect_stdout(io.StringIO()) as printed:
    evaluation.summarize()
  assert summary_lines(evaluation.stats) == printed.getvalue().splitlines()


def test_without_logged_losses_the_fault_is_named(run_dir):
  for path in (run_dir / 'train').iterdir():
    path.unlink()
  folder.write_events(run_dir / 'train', {'Loss/total_loss': {1: 1.0}})
  fault = (
    r"^run/train: expected the scalars \['Loss/localization_loss', .*received \['Loss/total_loss"
  )
  with pytest.raises(InputError, match=fault):
    experiment_log.write_log(RecordedRun('run'), 'out')


@pytest.mark.parametrize(
  ('override', 'item'),
  [
    ('train_config.freeze=ALL_BUT_HEADS', '`freeze`: ALL_BUT_HEADS'),
    ('train_config.freeze=NONE', None),
    ('train_config.freeze_variables=["a", "b"]', '`freeze_variables`: ["a", "b"]'),
    ('train_config.gradient_clipping_by_norm=10', '`gradient_clipping_by_norm`: 10'),
    (
      'train_config.multi_scale={size {height: 64}}',
      '`multi_scale`: {size { height: 64 }}',
    ),
    ('model.ssd.freeze_batchnorm=true', '`freeze_batchnorm`: true'),
    ('train_config.data_augmentation_options=[]', 'Augmentation: none'),
    ('train_config.fine_tune_checkpoint=a/ckpt-3', '8 steps of batch 4, from `a/ckpt-3`'),
    (
      'train_config.optimizer={adam_optimizer {learning_rate {constant_learning_rate '
      '{learning_rate: 1e-4}}}}',
      'Optimizer: adam optimizer; constant learning rate (learning rate 0.0001); moving average of '
      'the weights, decay 0.9999',
    ),
  ],
)
def test_what_differs_from_plain_is_said(override, item, tiny):
  plain = config_words.describe_config(Pipeline.load(tiny / 'tiny.config').config)
  changed = config_words.describe_config(Pipeline.load(tiny / 'tiny.config', [override]).config)
  assert [i for i in changed if i not in plain] == ([item] if item else [])
