"""What the benchmarks print, each on a problem of seconds."""

import re

import pytest
import tiny_project


def test_input_pipeline_prints_milliseconds_of_a_batch(tiny, run_tool):
  code, output = run_tool(
    tiny, 'benchmarks/input_pipeline.py', '--input_path=train.record', '--num_batches=2',
    '--batch_size=3', '--image_size=32', '--num_classes=3',
  )  # fmt: skip
  assert code == 0, output
  assert re.search(r'^\d+\.\d\d ms a batch of 3 \(\d+\.\d\d ms of CPU\)$', output, re.MULTILINE)


@pytest.mark.slow
def test_evaluation_prints_the_whole_loop_and_its_parts(tiny, run_tool):
  code, output = run_tool(
    tiny, 'benchmarks/evaluation.py', '--pipeline_config_path=tiny.config', '--batch_size=2',
    '--num_rounds=1',
  )  # fmt: skip
  assert code == 0, output
  parts = re.findall(r'^(\w.*?) +\d+\.\d\d +\d+\.\d\d$', output, re.MULTILINE)
  assert parts == [
    *('whole loop', 'read, decode, resize', 'network', 'post-processing', 'losses'),
    'metrics and their result',
  ]


@pytest.mark.slow
def test_train_step_prints_the_ratio_to_a_bare_network(tmp_path, run_tool):
  config = tiny_project.ROOT / 'ssd_tf/configs/ssd_mobilenet_v2_320x320_bccd.config'
  code, output = run_tool(
    tmp_path, 'benchmarks/train_step.py', f'--pipeline_config_path={config}', '--batch_size=1',
    '--num_steps=1', '--num_rounds=1',
  )  # fmt: skip
  assert code == 0, output
  line = r'^(.+): ssd_tf \d+\.\d{4} s, bare tf_keras \d+\.\d{4} s, ratio \d+\.\d{3}$'
  assert re.findall(line, output, re.MULTILINE) == ['forward pass', 'training step']
