"""Writes the log of an experiment from a training's folder, or a table of several trainings.

  python tools/experiment_log.py --model_dir=runs/digits --output_dir=logs/digits \
    --name='Digits from scratch' --purpose='What 1,500 steps reach'
  python tools/experiment_log.py --model_dir='runs/sweep/0?_seed*' --output_dir=logs/sweep

Of one training: README.md with model, data, scores, time, machine and command, an SVG of each loss
and of mAP and AR, and pipeline.config. Of several: experiments.md and experiments.csv, a row for
each experiment, and AP of the classes over the steps where they were measured.
"""

from absl import flags

from ssd_tf.errors import InputError

FLAGS = flags.FLAGS
flags.DEFINE_multi_string(
  'model_dir', None, 'The folder of a training, or a glob of several. May be repeated.'
)
flags.DEFINE_string('output_dir', None, 'Folder to write the files to.')
_ABOUT = {
  'name': flags.DEFINE_string('name', '', 'Title of the experiment.'),
  'purpose': flags.DEFINE_string('purpose', '', 'Purpose of the experiment.'),
  'analysis': flags.DEFINE_string('analysis', '', 'What the experiment has shown.'),
  'notes': flags.DEFINE_string('notes', '', 'Further notes.'),
}
flags.mark_flags_as_required(['model_dir', 'output_dir'])


def main() -> None:
  """Reads the trainings and writes their log or table."""
  from ssd_tf.experiments import experiment_log, experiment_tables
  from ssd_tf.experiments.recorded_run import RecordedRun, find_runs

  runs = find_runs(FLAGS.model_dir)
  about = {name: flag.value for name, flag in _ABOUT.items() if flag.value}
  if len(runs) > 1 and about:
    raise InputError(
      f'--{next(iter(about))}: is of one training, but --model_dir names {len(runs)}; write '
      'experiment.json into each, or give one --model_dir'
    )
  if len(runs) > 1:
    paths = experiment_tables.write_tables(runs, FLAGS.output_dir)
  else:
    run = RecordedRun(runs[0].model_dir, about)
    paths = experiment_log.write_log(run, FLAGS.output_dir)
  print('\n'.join(f'wrote {path}' for path in paths))
