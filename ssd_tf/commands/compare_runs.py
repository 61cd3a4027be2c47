"""Compares variants of a training, each repeated with several seeds: AP, recovered share, curves.

  python tools/compare_runs.py --model_dirs='runs/digits_*_seed*' --naive=digits_naive \
    --complete=digits_complete --output_path=runs/comparison.md --plot_path=runs/comparison.svg

Each folder is the model_dir of a training, named <variant>_seed<N>: eval/metrics.jsonl holds its
evaluations on the validation set, and test/eval/metrics.jsonl, if it is there, those of some of its
checkpoints on a test set, as `tools/model_main_tf2.py --checkpoint_dir` with the model_dir
<variant>_seed<N>/test leaves them.
"""

import os

from absl import flags

from ssd_tf.files.failed_writes import open_for_writing

FLAGS = flags.FLAGS
flags.DEFINE_string('model_dirs', None, 'Folders or globs, separated by commas.')
flags.DEFINE_string('naive', '', 'The variant at the lower end of the gap.')
flags.DEFINE_string('complete', '', 'The variant at the upper end of the gap.')
flags.DEFINE_string('output_path', '', 'Markdown file to write; empty: stdout.')
flags.DEFINE_string('plot_path', '', 'The .svg file of the curves; empty: none.')
flags.mark_flags_as_required(['model_dirs'])


def main() -> None:
  """Writes the tables, and the curves if asked to."""
  from ssd_tf.experiments import run_comparison

  text = run_comparison.compare_runs(
    FLAGS.model_dirs,
    naive=FLAGS.naive,
    complete=FLAGS.complete,
    plot_path=FLAGS.plot_path,
  )
  if not FLAGS.output_path:
    print(text, end='')
    return
  os.makedirs(os.path.dirname(FLAGS.output_path) or '.', exist_ok=True)
  with open_for_writing(FLAGS.output_path) as file:
    file.write(text)
  print(f'wrote {FLAGS.output_path}')
