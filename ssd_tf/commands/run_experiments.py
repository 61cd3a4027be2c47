"""Runs the experiments of a sweep file one after another, and writes a table of their results.

  python tools/run_experiments.py --sweep=logs/raccoon_freezing/sweep.json --output_dir=runs/raccoon

The file names one config and, for each experiment, its changes to it, its seeds, and perhaps the
experiment whose best checkpoint it starts from; see ssd_tf/experiments/sweep.py. Each training is
`tools/model_main_tf2.py` in a process of its own; its output goes to train.log in its folder. Given
again, the command skips what is done and resumes what was interrupted.
"""

import os
import sys

from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_string('sweep', None, 'The sweep file (JSON).')
flags.DEFINE_string(
  'output_dir', None, 'Folder for the trainings, experiments.md and experiments.csv.'
)
flags.mark_flags_as_required(['sweep', 'output_dir'])


def main() -> None:
  """Runs what is not done yet; ends with code 1 if a training failed."""
  from ssd_tf.experiments import sweep

  experiments = sweep.load(FLAGS.sweep)
  # TensorFlow: only once the file is sound.
  from ssd_tf.experiments import sweep_run

  train = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), 'model_main_tf2.py')
  faults = sweep_run.run_sweep(
    experiments, FLAGS.output_dir, [sys.executable, train], lambda line: print(line, flush=True)
  )
  for fault in faults:
    print(f'failed: {fault}', file=sys.stderr)
  if faults:
    sys.exit(1)
