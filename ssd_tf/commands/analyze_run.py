"""Analyzes a run: evaluates a checkpoint, draws plots, and writes one HTML page that holds them.

  python tools/analyze_run.py --model_dir=runs/digits --output_dir=runs/digits/analysis

The page: metrics; AP of each class against number, size, area ratio and aspect ratio of its boxes
in the training records, with correlation coefficients; precision over recall; losses, AP and AR
over the steps; kinds of false positives, confusion matrix, scores; the images with the worst errors
beside their groundtruth. It needs neither a server nor other files; plots and pictures also lie
beside it, as SVG and JPEG.
"""

from absl import flags

from ssd_tf.commands import shared_flags
from ssd_tf.errors import InputError

FLAGS = flags.FLAGS
shared_flags.pipeline_config('The pipeline.config; else that of the model_dir.')
flags.DEFINE_string(
  'model_dir', '', 'Folder of the training, with checkpoints, and curves in train/ and eval/.'
)
flags.DEFINE_string(
  'checkpoint', '', 'Prefix of a checkpoint, or a folder; default: the newest of model_dir.'
)
flags.DEFINE_string('output_dir', None, 'Folder to write index.html, plots and pictures to.')
flags.DEFINE_float(
  'score_threshold',
  0.5,
  'Minimum score of the detections in errors and worst images.',
  lower_bound=0,
  upper_bound=1,
)
flags.DEFINE_integer(
  'num_worst_images', 12, 'Number of pictures of the worst images.', lower_bound=0
)
flags.DEFINE_integer(
  'max_images', 0, 'Evaluate on at most this many images; 0: all.', lower_bound=0
)
flags.DEFINE_bool('eval_on_train_data', False, 'Evaluate on the training records.')
flags.mark_flags_as_required(['output_dir'])


def main() -> None:
  """Evaluates, draws and writes; prints where the page is."""
  if not (FLAGS.model_dir or FLAGS.checkpoint):
    raise InputError('give --model_dir, or --checkpoint and --pipeline_config_path')
  if not (FLAGS.pipeline_config_path or FLAGS.model_dir):
    raise InputError('--checkpoint without --model_dir: give --pipeline_config_path too')
  from ssd_tf.report import run_analysis

  pipeline = run_analysis.read_pipeline(
    FLAGS.pipeline_config_path, FLAGS.model_dir, FLAGS.config_override
  )
  print(
    run_analysis.analyze_run(
      pipeline,
      FLAGS.output_dir,
      on_train_data=FLAGS.eval_on_train_data,
      max_pictures=FLAGS.num_worst_images,
      **shared_flags.values_of('model_dir', 'checkpoint', 'max_images', 'score_threshold'),
    )
  )
