"""The command line of tools/compare_runs.py."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


def _tool(folder, *flags, options=()):
  return subprocess.run(
    [sys.executable, *options, str(_ROOT / 'tools/compare_runs.py'), *flags],
    cwd=folder,
    env={**os.environ, 'PYTHONPATH': str(_ROOT)},
    capture_output=True,
    text=True,
    check=False,
  )


@pytest.fixture
def runs(tmp_path):
  metrics = {'DetectionBoxes_Precision/mAP': 0.25, 'DetectionBoxes_Precision/mAP@.50IOU': 0.5}
  for name in ('a_seed0', 'b_seed0'):
    path = tmp_path / name / 'eval/metrics.jsonl'
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({'step': 10, 'metrics': metrics, 'split': 'val.record'}) + '\n')
  return tmp_path


def test_table_goes_to_stdout_or_to_a_file(runs):
  shown = _tool(runs, '--model_dirs=*_seed*', options=('-X', 'importtime'))
  assert shown.returncode == 0, shown.stderr
  assert not re.search(r'\|\s+tensorflow\b', shown.stderr)  # Where nothing is drawn.
  assert '| b | best | 10 | validation | 1 | 0.250 | 0.500 |\n' in shown.stdout
  written = _tool(runs, '--model_dirs=a_seed0,b_seed0', '--output_path=new/x.md')
  assert written.stdout == 'wrote new/x.md\n'
  assert (runs / 'new/x.md').read_text() == shown.stdout


@pytest.mark.parametrize(
  ('flags', 'expected'),
  [
    (['--model_dirs=gone_*'], 'model_dirs: gone_*: no such folder'),
    (['--model_dirs=*', '--naive=a'], 'naive and complete: give both or neither'),
    (['--model_dirs=*', '--naive=a', '--complete=c'], "complete: no variant 'c'; there are a, b"),
    (['--model_dirs=*', 'x.md'], "unexpected argument 'x.md': flags are written --name=value"),
    (['--model_dirs=*', '--output_path=a_seed0'], 'a_seed0: Is a directory'),
  ],
)
def test_bad_input_ends_in_one_line(flags, expected, runs):
  done = _tool(runs, *flags)
  assert done.returncode == 2
  assert done.stderr.startswith(f'compare_runs.py: error: {expected}')
  assert done.stderr.count('\n') == 1 and not done.stdout
