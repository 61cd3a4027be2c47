"""The log's shapes, against the original's own log and through real stderr."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ssd_tf.evaluation import log_format

_TESTDATA = Path(__file__).parent.parent / 'testdata'
_ABSL = r'I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ [\w.<>]+:\d+\] '

# Lines of training and of evaluation as the Object Detection API wrote them.
_ORIGINAL = (_TESTDATA / 'odapi_log_lines.txt').read_text()


def _masked(text):
  """Blanks what changes from run to run: time, thread id, file and line."""
  return re.sub(_ABSL, 'I* ', text)


def _original_losses():
  """Gives (step, seconds, losses) of each training step in the original's log."""
  pattern = r'^INFO:tensorflow:Step (\d+) per-step time ([\d.]+)s$.*?^INFO:tensorflow:{(.*?)}$'
  for step, seconds, block in re.findall(pattern, _ORIGINAL, re.M | re.S):
    pairs = re.findall(r"'(.*?)': (.*?)(?:,|$)", block)
    yield int(step), float(seconds), {name: float(value) for name, value in pairs}


def _original_metrics():
  return {
    name: float(value)
    for name, value in re.findall(r'^INFO:tensorflow:\t\+ (.*): (.*)$', _ORIGINAL, re.M)
  }


def _written(lines):
  """Runs `emit` in a program of its own and gives what came on stderr."""
  program = (
    'import sys; from absl import app; from ssd_tf.evaluation import log_format\n'
    'def main(argv):\n'
    '  log_format.setup_logging(); log_format.setup_logging()\n'
    f'  log_format.emit({lines!r})\n'
    'app.run(main)\n'
  )
  root = Path(__file__).parent.parent.parent
  run = subprocess.run([sys.executable, '-c', program], cwd=root, capture_output=True, text=True)
  assert run.returncode == 0, run.stderr
  assert run.stdout == ''
  return run.stderr


def test_both_prefixes_reach_stderr_byte_for_byte_as_in_the_original():
  lines = []
  for step, seconds, losses in _original_losses():
    learning_rate = losses.pop('learning_rate')
    lines += log_format.step_lines(step, seconds, losses, learning_rate)
  lines += log_format.eval_lines(120, _original_metrics())
  assert len(lines) == 2 * 2 + 1 + 16
  written = _written(lines)
  assert re.match(r'INFO:tensorflow:Step 20 per-step time \d\.\d{3}s\n' + _ABSL, written)
  assert _masked(written) == _masked(_ORIGINAL)


def test_step_lines_print_float32_shortest_digits_sorted():
  # float32(0.1) is 0.100000001490116..., whose shortest float32 digits are 0.1.
  losses = {'Loss/total_loss': 1e-6, 'Loss/localization_loss': 0.1, 'Loss/x': 12345.678}
  assert log_format.step_lines(100, 0.2934, losses, 0.0) == [
    'Step 100 per-step time 0.293s',
    "{'Loss/localization_loss': 0.1,\n 'Loss/total_loss': 1e-06,\n 'Loss/x': 12345.678,\n"
    " 'learning_rate': 0.0}",
  ]


@pytest.mark.parametrize(
  'metrics, expected',
  [
    ({'DetectionBoxes_Precision/mAP': 0.5}, []),
    (
      {'DetectionBoxes_Precision/mAP': 0.5, 'DetectionBoxes_Precision/mAP (large)': -1.0},
      ['-1.000 (no groundtruth of this size): mAP (large)'],
    ),
    (
      {'DetectionBoxes_Precision/mAP': -1.0, 'DetectionBoxes_Recall/AR@100 (small)': -1.0},
      ['-1.000 (no groundtruth at all): mAP, AR@100 (small)'],
    ),
    (
      {
        'DetectionBoxes_Precision/mAP': 0.5,
        'DetectionBoxes_Recall/AR@100 (large)': -1.0,
        'DetectionBoxes_Precision_Labeled/mAP': -1.0,
        'DetectionBoxes_Precision_Labeled/mAP (large)': -1.0,
      },
      [
        '-1.000 (no groundtruth of this size): AR@100 (large)',
        '-1.000 (no groundtruth at all in labeled (image, class) pairs): mAP, mAP (large)',
      ],
    ),
    (
      {'DetectionBoxes_PerformanceByCategory/mAP/cat/dog': -1.0, 'Loss/total_loss': 2.0},
      ['-1.000 (no groundtruth at all): cat/dog'],
    ),
  ],
)
def test_minus_one_is_explained_after_the_metrics(metrics, expected):
  lines = log_format.eval_lines(30000, metrics)
  assert lines[0] == 'Eval metrics at step 30000'
  assert lines[1 : 1 + len(metrics)] == [f'\t+ {k}: {v:.6f}' for k, v in metrics.items()]
  assert lines[1 + len(metrics) :] == expected


def test_experiment_log_lines_of_seed_004():
  # A value of the seven-segment experiment's log, and the regex its author's parser would use.
  line = log_format.eval_lines(30000, {'DetectionBoxes_Precision/mAP': 0.653154})[1]
  assert line == '\t+ DetectionBoxes_Precision/mAP: 0.653154'
  assert re.search(r'\+ (\S+): (-?\d+\.\d{6})$', line).groups() == (
    'DetectionBoxes_Precision/mAP',
    '0.653154',
  )
