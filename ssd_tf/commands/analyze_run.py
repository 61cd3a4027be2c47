"""Analyses a run: evaluates a checkpoint, draws plots, and writes one HTML page that holds them.

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

_CONFIG_PATH = flags.DEFINE_string(
  'pipeline_config_path', None, 'The pipeline.config; else that of the model_dir.'
)
_MODEL_DIR = flags.DEFINE_string(
  'model_dir', '', 'Of the training: checkpoints, and curves in train/ and eval/.'
)
_CHECKPOINT = flags.DEFINE_string(
  'checkpoint', '', 'The prefix of a checkpoint, or a folder; else the newest of the model_dir.'
)
_OUTPUT_DIR = flags.DEFINE_string('output_dir', None, 'Gets index.html, plots and pictures.')
_SCORE_THRESHOLD = flags.DEFINE_float(
  'score_threshold', 0.5, 'Of the errors and worst images.', lower_bound=0, upper_bound=1
)
_NUM_WORST = flags.DEFINE_integer('num_worst_images', 12, 'Pictures.', lower_bound=0)
_MAX_IMAGES = flags.DEFINE_integer('max_images', 0, 'Evaluate on so many; 0: all.', lower_bound=0)
_ON_TRAIN_DATA = flags.DEFINE_bool('eval_on_train_data', False, 'Evaluate on the training records.')
_OVERRIDE = shared_flags.config_override()
flags.mark_flags_as_required(['output_dir'])


def main() -> None:
  """Evaluates, draws and writes; prints where the page is."""
  if not (_MODEL_DIR.value or _CHECKPOINT.value):
    raise InputError('give --model_dir, or --checkpoint and --pipeline_config_path')
  if not (_CONFIG_PATH.value or _MODEL_DIR.value):
    raise InputError('--checkpoint without --model_dir: give --pipeline_config_path too')
  from ssd_tf.report import run_analysis

  pipeline = run_analysis.read_pipeline(_CONFIG_PATH.value, _MODEL_DIR.value, _OVERRIDE.value)
  print(
    run_analysis.analyze_run(
      pipeline,
      _OUTPUT_DIR.value,
      model_dir=_MODEL_DIR.value,
      checkpoint=_CHECKPOINT.value,
      on_train_data=_ON_TRAIN_DATA.value,
      max_images=_MAX_IMAGES.value,
      score_threshold=_SCORE_THRESHOLD.value,
      max_pictures=_NUM_WORST.value,
    )
  )
