"""metrics.jsonl after kills and on a full disk: no line is lost but the one that was cut off."""

import json
import math
import os
import resource
import signal
import subprocess
import sys

import pytest

from ssd_tf.errors import InputError
from ssd_tf.run.evaluation_log import EvaluationLog

DETAILS = {'split': 'val {"ä" \\ }', 'conditions': {'sample_1_of_n_examples': 1, 'text': 'a: "b"'}}


def append(folder, step, value=0.5):
  metrics = {'Precision/mAP': value, 'Loss/total_loss': 3}
  EvaluationLog(str(folder)).append(step, metrics, DETAILS)


def steps(folder):
  return [line['step'] for line in EvaluationLog(str(folder)).read()]


@pytest.fixture
def whole_line(tmp_path):
  append(tmp_path / 'other', 4)
  return (tmp_path / 'other/metrics.jsonl').read_bytes()


def test_it_keeps_what_was_written(tmp_path):
  log = EvaluationLog(str(tmp_path / 'eval'))
  assert log.read() == [] and not (tmp_path / 'eval').exists()
  nan = {'PascalBoxes_Precision/mAP@0.5IOU': 0.5, 'PascalBoxes_PerformanceByCategory/x': math.nan}
  log.append(2, {'a': 0.25}, {'split': 'val', 'images': 3})
  log.append(6, {'a': 0.5}, {'split': 'test'})
  log.append(4, nan, {'split': 'val'})
  log.append(2, {'a': 0.75}, {'split': 'val'})
  for known in (log, EvaluationLog(log.eval_dir)):  # In memory, and read anew.
    assert known.read()[0] == {'step': 2, 'metrics': {'a': 0.25}, 'split': 'val', 'images': 3}
    assert [line['step'] for line in known.read()] == [2, 6, 4, 2]
    assert math.isnan(known.read()[2]['metrics']['PascalBoxes_PerformanceByCategory/x'])
    found = known.comparable({'split': 'val'})
    assert list(found) == [2, 4] and found[2]['metrics'] == {'a': 0.75}  # The last of a step.
  assert 'NaN' not in (tmp_path / 'eval/metrics.jsonl').read_text()  # Which JSON does not know.


def test_a_line_cut_off_anywhere_is_passed_over_and_never_joined_with_the_next(
  tmp_path, whole_line, caplog
):
  path = tmp_path / 'metrics.jsonl'
  for length in range(1, len(whole_line) - 1):  # Also within the two bytes of an umlaut.
    path.unlink(missing_ok=True)
    append(tmp_path, 2)
    first = path.read_bytes()
    with open(path, 'ab') as file:
      file.write(whole_line[:length])
    caplog.clear()
    assert steps(tmp_path) == [2]
    assert len(caplog.messages) == 1 and 'metrics.jsonl:2' in caplog.text
    append(tmp_path, 6)
    assert path.read_bytes() == first + whole_line.replace(b'"step": 4', b'"step": 6')
    assert steps(tmp_path) == [2, 6]


def test_a_whole_line_that_lacks_its_end_stays(tmp_path, whole_line, caplog):
  path = tmp_path / 'metrics.jsonl'
  path.write_bytes(whole_line[:-1])
  assert steps(tmp_path) == [4]
  append(tmp_path, 6)
  assert steps(tmp_path) == [4, 6] and not caplog.messages


def test_half_lines_of_older_versions_are_passed_over(tmp_path, whole_line, caplog):
  path = tmp_path / 'metrics.jsonl'
  half = whole_line[: len(whole_line) // 2]
  path.write_bytes(half + b'\n' + half + whole_line + whole_line)
  assert steps(tmp_path) == [4, 4]  # Of the one joined with a half line too.
  assert ['metrics.jsonl:1' in caplog.messages[0], 'metrics.jsonl:2' in caplog.messages[1]] == [
    True,
    True,
  ]


@pytest.mark.parametrize(
  'damage',
  [
    b'not JSON at all',
    b'{"step": 4}',
    b'{"step": 4, "metrics": {"a": 0.5}}}',
    b'{"step": 4, "metrics": [1]}',
    b'{"step": 4, "metrics": {"a": "x"}}',
    b'{"metrics": {"a": 0.5',
    b'\xff\xfe',
    b'[' * 100_000,
  ],
)
def test_other_damage_is_an_error_that_names_the_line_and_stays_one(tmp_path, damage):
  append(tmp_path, 2)
  with open(tmp_path / 'metrics.jsonl', 'ab') as file:
    file.write(damage)
  for _ in range(2):
    with pytest.raises(InputError, match=r'metrics\.jsonl:2: expected'):
      EvaluationLog(str(tmp_path)).comparable({'split': DETAILS['split']})
    append(tmp_path, 6)  # What was measured is kept all the same, on a line of its own.
  lines = (tmp_path / 'metrics.jsonl').read_bytes().splitlines()
  assert lines[1] == damage and [json.loads(line)['step'] for line in lines[2:]] == [6, 6]


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path):
  append(tmp_path, 2)
  before = (tmp_path / 'metrics.jsonl').read_bytes()
  # A limit of the size of files acts as a full disk does: a part of the line is written.
  code = (
    'from ssd_tf.run.evaluation_log import EvaluationLog; import sys;'
    'EvaluationLog(sys.argv[1]).append(4, {"a" * 100: 0.5}, {})'
  )

  def limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, len(before) + 20))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

  arguments = [sys.executable, '-c', code, str(tmp_path)]
  done = subprocess.run(
    arguments, preexec_fn=limit, capture_output=True, text=True, check=False,
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
  )  # fmt: skip
  assert done.returncode == 1 and 'OSError' in done.stderr, done.stderr
  assert (tmp_path / 'metrics.jsonl').read_bytes() == before
