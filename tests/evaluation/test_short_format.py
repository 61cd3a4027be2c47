"""The lines of a training for people, and where each shape's lines go."""

import logging
import math
import subprocess
import sys
from pathlib import Path

import pytest

from ssd_tf.evaluation import log_format, short_format

MEASURED = {
  'Loss/localization_loss': 0.5,
  'Loss/classification_loss': 1.25,
  'Loss/regularization_loss': 0.0625,
  'Loss/total_loss': 1.8125,
  'learning_rate': 0.00125,
  'steps_per_sec': 2.5,
}
MAP = 'DetectionBoxes_Precision/mAP'


def test_a_line_of_progress():
  # (12,000 - 1,500) / 2.5 steps/s = 4,200 s.
  line = short_format.progress_line(1500, 12_000, MEASURED, 'AP 0.512')
  assert line == (
    'step 1,500 of 12,000 | '
    'loss 1.812 (classification 1.250, localization 0.500, regularization 0.062) | '
    'rate 0.00125 | 2.50 steps/s | 1:10:00 left | last AP 0.512'
  )
  assert short_format.progress_line(10, 100, MEASURED).endswith(' | 2.50 steps/s | 0:36 left')
  endless = short_format.progress_line(10, None, MEASURED)
  assert endless.startswith('step 10 | ') and endless.endswith('steps/s')


def test_a_block_of_an_evaluation():
  metrics = {
    MAP: 0.5,
    f'{MAP} (small)': -1.0,
    'DetectionBoxes_Recall/AR@1': 0.25,
    'DetectionBoxes_PerformanceByCategory/mAP/cat': 0.75,
    'Loss/total_loss': 2.0,
  }
  lines = [
    '  AP at IoU .50 to .95  0.500  the best so far',
    '  AP of small boxes         -  no groundtruth of this size',
    '  loss                  2.000',
  ]
  assert short_format.evaluation_block(200, 1234, metrics, MAP, 200).splitlines() == [
    'Evaluation at step 200, on 1,234 images:', *lines
  ]  # fmt: skip
  heading, first, *_ = short_format.evaluation_block(200, 1234, metrics, MAP, 100).splitlines()
  assert heading.endswith('(the best so far is that of step 100):')
  assert first == '  AP at IoU .50 to .95  0.500'


def test_a_metric_of_another_set_comes_first_under_its_own_name():
  metrics = {'PascalBoxes_Precision/mAP@0.5IOU': math.nan, 'Loss/total_loss': 2.0}
  _, *rows = short_format.evaluation_block(1, 2, metrics, 'Loss/total_loss', None).splitlines()
  assert [row.split() for row in rows] == [
    ['loss', '2.000'],
    ['PascalBoxes_Precision/mAP@0.5IOU', '-', 'no', 'groundtruth', 'at', 'all'],
  ]


PROGRAM = """
import sys
from absl import app, logging
from ssd_tf.evaluation import log_format
def main(argv):
  log_format.setup_logging(argv[1])
  with log_format.writing_to(argv[2]):
    log_format.emit(['Step 1'])
    log_format.emit_once('left')
    log_format.tell('From %s.', 'here')
    logging.info('a detail')
    logging.warning('careful')
    log_format.show_short('step 1 of 2')
    log_format.show('AP = 0.5\\n')
app.run(main)
"""


@pytest.mark.parametrize(
  ('shape', 'stdout', 'stderr'),
  [
    ('api', 'AP = 0.5', 'INFO:tensorflow:Step 1|] Step 1|] left|] From here.|] a detail|] careful'),
    ('short', '', 'From here.|Warning: careful|step 1 of 2'),
    (
      'both',
      'AP = 0.5',
      'INFO:tensorflow:Step 1|] Step 1|] left|] From here.|From here.|] a detail|] careful|'
      'step 1 of 2',
    ),
  ],
)
def test_each_shape_shows_its_own_and_the_file_gets_the_lines_once(shape, stdout, stderr, tmp_path):
  root = Path(__file__).parents[2]
  for _ in range(2):  # Going on, it is appended.
    done = subprocess.run(
      [sys.executable, '-c', PROGRAM, shape, str(tmp_path / 'train.log')],
      cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
  assert done.stdout.strip() == stdout
  shown = done.stderr.splitlines()
  assert [line[line.index(']') :] if ']' in line else line for line in shown] == stderr.split('|')
  # absl's prefix names the caller's file and line, not those of log_format.
  assert all('<string>' in line for line in shown if ']' in line)
  expected = ['INFO:tensorflow:Step 1', 'INFO:tensorflow:left', 'INFO:tensorflow:From here.']
  expected += ['INFO:tensorflow:a detail', 'WARNING:tensorflow:careful']
  assert (tmp_path / 'train.log').read_text().splitlines() == 2 * expected


def test_a_library_that_is_not_set_up_shows_nothing_but_writes_the_file(tmp_path, capfd):
  logger = logging.getLogger('tensorflow')
  before = logger.level
  logger.setLevel(logging.WARNING)
  try:
    with log_format.writing_to(str(tmp_path / 'train.log')):
      log_format.emit(['Step 1'])
      log_format.show_short('step 1 of 2')
  finally:
    logger.setLevel(before)
  assert capfd.readouterr() == ('', '')
  assert (tmp_path / 'train.log').read_text() == 'INFO:tensorflow:Step 1\n'
