"""Fills the unlabeled (image, class) cells of partially labeled TFRecords with a model's boxes.

  python tools/pseudo_label.py --pipeline_config_path=CONFIG --checkpoint=DIR \\
    --input_path=train.record --validation_path=val.record --output_path=filled.record

Of each class, a high and a low score threshold are chosen on the labeled validation images, by the
greatest F-beta with --beta and --low_beta. Where an image is not labeled for the class, detections
from the high one on become boxes ('pseudo'), weighted by their precision on the validation images;
those between become boxes of weight 0 ('ignored'), whose anchors training ignores. The boxes of
people stay as they are. Non-maximum suppression is the config's
(--config_override=model.ssd.post_processing.batch_non_max_suppression.iou_threshold=0.5).
"""

from absl import flags

from ssd_tf.commands import shared_flags

FLAGS = flags.FLAGS
shared_flags.pipeline_config()
flags.DEFINE_string('checkpoint', None, 'A folder with checkpoints, or the prefix of one.')
flags.DEFINE_list('input_path', None, 'TFRecords to fill: files, globs, name@10; by commas.')
flags.DEFINE_list('validation_path', None, 'Labeled TFRecords to choose thresholds on.')
flags.DEFINE_string('output_path', None, 'The TFRecord to write.')
flags.DEFINE_string(
  'label_map_path', None, "Label map of records and model; default: the eval_input_reader's."
)
flags.DEFINE_multi_string(
  'labeled_class',
  [],
  'A class that images to fill are labeled for where their record does not say; else all.',
)
flags.DEFINE_float(
  'beta', 0.5, 'Beta of the F-beta for the high threshold; below 1, precision counts more.'
)
flags.DEFINE_float(
  'low_beta', 2.0, 'Beta of the F-beta for the low threshold; above 1, recall counts more.'
)
flags.DEFINE_float(
  'min_precision', 0.5, 'Minimum precision of a class to be filled.', lower_bound=0, upper_bound=1
)
flags.DEFINE_integer(
  'min_validation_boxes',
  20,
  'Minimum number of validation boxes of a class to be filled.',
  lower_bound=1,
)
flags.DEFINE_float(
  'max_overlap',
  0.5,
  "Adds no pseudo-label whose IoU with an annotator's box, or with a better one of another class, "
  'reaches this.',
  upper_bound=1,
)
flags.DEFINE_string('report_path', None, 'Report to write; default: output_path.report.json.')
flags.DEFINE_integer('num_shards', 1, 'Number of files to write.', lower_bound=1)
flags.DEFINE_integer('batch_size', 8, 'Images per device at a time.', lower_bound=1)
flags.mark_flags_as_required(
  ['pipeline_config_path', 'checkpoint', 'input_path', 'validation_path', 'output_path']
)
_RULES = ('beta', 'low_beta', 'min_precision', 'min_validation_boxes', 'max_overlap')


def main():
  """Reads the config, then fills."""
  from ssd_tf.config import input_paths
  from ssd_tf.pseudo_labels import class_thresholds, labeling
  from ssd_tf.run.strategy import make_strategy

  labeling.pseudo_label(
    shared_flags.load_pipeline(),
    FLAGS.checkpoint,
    input_paths=input_paths.expand_input_paths(FLAGS.input_path),
    validation_paths=input_paths.expand_input_paths(FLAGS.validation_path),
    output_path=FLAGS.output_path,
    strategy=make_strategy(),
    rules=class_thresholds.Rules(**shared_flags.values_of(*_RULES)),
    labeled_by_default=FLAGS.labeled_class,
    **shared_flags.values_of('label_map_path', 'report_path', 'num_shards', 'batch_size'),
  )
