"""Evaluates checkpoints of an SSD by VOC2007, VOC2012 and COCO, with SSD-Tensorflow's flags.

python tools/eval_ssd_network.py --checkpoint_path=DIR --eval_dir=EVAL_DIR \
  --dataset_dir=RECORDS --dataset_name=pascalvoc_2007 --dataset_split_name=test

The model comes from the pipeline.config that the training left beside its checkpoints, or, where
there is none, from --model_name and --num_classes. EVAL_DIR gets event files, metrics.jsonl,
average_precision.md and .csv (classes down, steps across) and precision_recall_<step>.svg.
"""

from absl import flags

from ssd_tf.errors import InputError

FLAGS = flags.FLAGS
flags.DEFINE_string(
  'checkpoint_path',
  '/tmp/tfmodel/',
  'A folder, whose newest checkpoint is evaluated, or the prefix of a checkpoint, or several '
  'prefixes, separated by commas.',
)
flags.DEFINE_string('eval_dir', '/tmp/tfmodel/', 'Folder to write the results to.')
# Not by absl's `required`, which would come before the hint at a missing space.
flags.DEFINE_string(
  'dataset_dir', None, 'The folder with the TFRecord files of the images; required.'
)
flags.DEFINE_string(
  'dataset_name',
  None,
  'Required: the files are <name>_<split>_*.tfrecord; of pascalvoc_2007 '
  'voc_2007_<split>_*.tfrecord.',
)
flags.DEFINE_string('dataset_split_name', 'test', 'Name of the split, such as train or test.')
flags.DEFINE_string('label_map_path', None, 'Label map with class names, if the folder has none.')
flags.DEFINE_string(
  'model_name',
  None,
  'ssd_300_vgg, ssd_512_vgg, ssd_300_mobilenet_v1 or ssd_300_mobilenet_v2; not needed if there '
  'is a pipeline.config.',
)
flags.DEFINE_integer(
  'num_classes',
  21,
  'Number of classes, including background; not needed if there is a pipeline.config.',
  lower_bound=2,
)
flags.DEFINE_float(
  'select_threshold', 0.01, 'Minimum score of detections.', lower_bound=0, upper_bound=1
)
flags.DEFINE_integer(
  'select_top_k', 400, 'Candidates per class for non-maximum suppression.', lower_bound=1
)
flags.DEFINE_integer(
  'keep_top_k', 200, 'Maximum number of detections per class after suppression.', lower_bound=1
)
flags.DEFINE_float(
  'nms_threshold',
  0.45,
  'IoU above which the box of higher score suppresses another.',
  lower_bound=0,
  upper_bound=1,
)
flags.DEFINE_float(
  'matching_threshold',
  0.5,
  'Minimum IoU for a detection to match a box (VOC).',
  lower_bound=0,
  upper_bound=1,
)
flags.DEFINE_integer('eval_resize', 4, 'Only 4 (WARP_RESIZE): the whole image.')
flags.DEFINE_bool('remove_difficult', True, 'Ignore difficult boxes (VOC).')
flags.DEFINE_integer('batch_size', 1, 'Images at a time.', lower_bound=1)
flags.DEFINE_integer('max_num_batches', None, 'Maximum number of batches.', lower_bound=1)
flags.DEFINE_bool(
  'wait_for_checkpoints',
  False,
  'Evaluate each new checkpoint in the folder as it comes, until the training is over.',
)
flags.DEFINE_bool(
  'eval_all_checkpoints',
  False,
  'Evaluate every checkpoint in the folder, except those that eval_dir already has.',
)
flags.DEFINE_string('preprocessing_name', None, 'Accepted if it is that of the model.')
# Without effect; a line says why.
flags.DEFINE_string('master', '', 'Accepted, without effect.')
flags.DEFINE_integer('eval_image_size', None, 'Accepted, without effect.')
flags.DEFINE_integer('num_preprocessing_threads', 4, 'Accepted, without effect.')
flags.DEFINE_float('gpu_memory_fraction', 0.1, 'Accepted, without effect.')
flags.DEFINE_float('moving_average_decay', None, 'Accepted: averages are always taken.')
# Of forks of SSD-Tensorflow, and misspelled ones, as they stand in notes of trainings.
flags.DEFINE_string('feature_extractor', None, 'Not supported.')
flags.DEFINE_string('model', None, 'Not supported.')
flags.DEFINE_float('anchor_offset', None, 'Not supported.')
flags.DEFINE_string('dataset_splict_name', None, 'Taken for dataset_split_name.')
flags.DEFINE_float('gpu_momory_fraction', None, 'Taken for gpu_memory_fraction.')


def main():
  """Translates the flags, then evaluates."""
  from ssd_tf.evaluation import log_format
  from ssd_tf.ssd_tensorflow import eval_flags

  log_format.setup_logging()
  given = {name for name in FLAGS if FLAGS[name].present}
  pipeline, values = eval_flags.prepare(FLAGS.flag_values_dict(), given)
  if values['eval_all_checkpoints'] and values['wait_for_checkpoints']:
    raise InputError('--eval_all_checkpoints and --wait_for_checkpoints: give one of them')
  _evaluate(pipeline, values, {name: values[name] for name in eval_flags.SETTINGS})


def _evaluate(pipeline, values, settings) -> None:
  """Evaluates what --checkpoint_path says, and writes a report of each."""
  from ssd_tf.report.voc_report import VocReport
  from ssd_tf.run.evaluate import evaluate_all_checkpoints, evaluate_checkpoints
  from ssd_tf.run.evaluator import Options
  from ssd_tf.run.strategy import make_strategy

  eval_dir, checkpoints = values['eval_dir'], values['checkpoints']
  name = values['model_name'] or pipeline.config.model.ssd.feature_extractor.type
  title = f'{name} on {values["dataset_name"]} {values["dataset_split_name"]}'
  options = Options(
    eval_dir=eval_dir,
    max_num_batches=values['max_num_batches'] or 0,
    select_top_k=values['select_top_k'],
    voc_metrics={
      'iou_threshold': values['matching_threshold'],
      'count_difficult': not values['remove_difficult'],
    },
    settings=settings,
    report=VocReport(eval_dir, title, settings),
  )
  common = {'strategy': make_strategy(), 'options': options}
  if len(checkpoints) > 1 or values['eval_all_checkpoints']:
    chosen = checkpoints if len(checkpoints) > 1 else checkpoints[0]
    evaluate_all_checkpoints(pipeline, eval_dir, chosen, **common)
    return
  waits = values['wait_for_checkpoints']
  evaluate_checkpoints(
    pipeline,
    eval_dir,
    checkpoints[0],
    timeout=float('inf') if waits else 0.0,
    wait_for_first=waits,
    **common,
  )
