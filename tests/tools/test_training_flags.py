"""Flags of model_main_tf2.py that stand for fields of train_config."""

import subprocess
import sys

import pytest
import tiny_project

FLAGS = (
  '--freeze=all_but_heads',
  r'--freeze_variables=Conv2d_\d+',
  '--freeze_variables=a "b", c',
  '--op_determinism',
  '--seed=7',
  '--num_train_steps=30',
  '--config_override=train_config.stage=[{first_step: 20 freeze: NONE}]',
  '--config_override=train_config.freeze=BACKBONE',  # The flag counts.
)
TRAIN_CONFIG = """
import sys
from absl import flags
from ssd_tf.commands import model_main_tf2
def show(pipeline):
  t = pipeline.config.train_config
  print(t.freeze, list(t.freeze_variables), t.op_determinism, t.seed, t.num_steps)
  print([(stage.first_step, stage.freeze) for stage in t.stage], t.precision, t.use_bfloat16)
  print([(size.height, size.width) for size in t.multi_scale.size], t.multi_scale.steps_per_size)
model_main_tf2._train = show
flags.FLAGS([
  'tool', '--pipeline_config_path=tests/testdata/tiny.config', '--model_dir=m', *sys.argv[1:]
])
model_main_tf2.main()
"""


@pytest.mark.parametrize(
  ('given', 'expected'),
  [
    (FLAGS, "2 ['Conv2d_\\\\d+', 'a \"b\", c'] True 7 30\n[(20, 0)] 0 False\n[] 10\n"),
    (
      ('--noop_determinism', '--config_override=train_config.op_determinism=true'),
      '0 [] False 0 8\n[] 0 False\n[] 10\n',
    ),
    (
      (
        '--config_override=train_config.op_determinism=true',
        '--config_override=train_config.use_bfloat16=true',
        '--precision=mixed_float16',
        '--multi_scale=64,96x128',
        '--multi_scale_steps=3',
      ),
      '0 [] True 0 8\n[] 2 False\n[(64, 0), (96, 128)] 3\n',
    ),
  ],
)
def test_flags_override_fields(given, expected):
  done = subprocess.run(
    [sys.executable, '-c', TRAIN_CONFIG, *given],
    cwd=tiny_project.ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.stdout == expected, done.stderr


def test_an_unknown_preset(tmp_path, run_tool):
  flags = ('--pipeline_config_path=x', '--model_dir=m', '--freeze=heads')
  code, output = run_tool(tmp_path, 'model_main_tf2.py', *flags)
  assert code != 0 and 'Traceback' not in output
  assert '--freeze=heads: value should be one of <none|backbone|all_but_heads>' in output
