"""What every test needs before TensorFlow is imported, and projects that it may train in."""

import os
import pathlib

import pytest
import tool_processes

# The originals were measured without oneDNN, whose sums differ in the sixth digit.
os.environ['TF_ENABLE_ONEDNN_OPTS'] = '0'
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def tiny(tmp_path):
  """A folder with tiny.config, label_map.pbtxt, train.record (10 images), eval.record (5)."""
  import tiny_project  # TensorFlow: not for tests that need none.

  tiny_project.make(tmp_path)
  return tmp_path


@pytest.fixture(scope='session')
def run_tool():
  """Returns a function: (folder, tool, *flags) -> (exit code, all it printed)."""

  def run(folder, tool, *flags):
    done = tool_processes.run(folder, tool, *flags)
    return done.returncode, done.stdout + done.stderr

  return run


TRAIN = ('--pipeline_config_path=tiny.config', '--log_every_n=2', '--checkpoint_every_n=2')


@pytest.fixture
def train_tiny(run_tool):
  """Returns a function: (folder, model_dir, *flags) -> what a training that succeeds printed."""

  def train(folder, model_dir, *flags):
    code, output = run_tool(folder, 'model_main_tf2.py', *TRAIN, f'--model_dir={model_dir}', *flags)
    assert code == 0, output
    return output

  return train
