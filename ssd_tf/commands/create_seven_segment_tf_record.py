r"""Draws strings of seven-segment digits and writes them as TFRecords, with their label map.

python tools/create_seven_segment_tf_record.py --output_dir=/tmp/digits --seed=0

writes digits_train.record (800 images), digits_eval.record (200 more) and label_map.pbtxt (classes
"0" to "9", ids 1 to 10). The same seed gives the same bytes.
"""

import os

from absl import flags

from ssd_tf.commands import shared_flags

FLAGS = flags.FLAGS
flags.DEFINE_string('output_dir', None, 'Folder to write; created if it does not exist.')
flags.DEFINE_integer('num_train', 800, 'Number of training images.', lower_bound=1)
flags.DEFINE_integer('num_eval', 200, 'Number of evaluation images.', lower_bound=1)
flags.DEFINE_integer('seed', 0, 'Seed of all images.', lower_bound=0)
flags.DEFINE_integer('num_shards', 1, 'Files for each of the two sets.', lower_bound=1)
shared_flags.num_workers()
flags.DEFINE_bool('write_voc', False, 'Also write output_dir/voc: images and Pascal VOC XML.')
flags.DEFINE_bool('write_coco', False, 'Also write output_dir/coco: images and COCO JSON.')

# How the images look. Not given: the default of seven_segment.DigitStyle, named here.
_STYLE = {
  'height': flags.DEFINE_integer('height', None, 'Pixels of the canvas (512).', lower_bound=1),
  'width': flags.DEFINE_integer('width', None, 'Pixels of the canvas (512).', lower_bound=1),
  'min_digits': flags.DEFINE_integer('min_digits', None, 'Fewest digits of a string (5).'),
  'max_digits': flags.DEFINE_integer('max_digits', None, 'Most digits of a string (14).'),
  'min_glyph_height': flags.DEFINE_integer('min_glyph_height', None, 'Pixels (25).'),
  'max_glyph_height': flags.DEFINE_integer('max_glyph_height', None, 'Pixels (33).'),
  'slant': flags.DEFINE_float('slant', None, 'Shift over the height, of the height (0).'),
  'stroke': flags.DEFINE_float('stroke', None, "Segment width, of the glyph's height (0.14)."),
  'foreground': flags.DEFINE_multi_integer(
    'foreground', None, 'Color: three values, the flag repeated (20 20 20).'
  ),
  'background': flags.DEFINE_multi_integer(
    'background', None, 'Color: three values, the flag repeated (255 255 255).'
  ),
  'noise': flags.DEFINE_float('noise', None, 'Standard deviation, gray levels of 255 (0).'),
}
flags.mark_flags_as_required(['output_dir'])


def main() -> None:
  """Writes the records, then the label map."""
  from ssd_tf.config import label_map
  from ssd_tf.data.sources import seven_segment

  given = {name: flag.value for name, flag in _STYLE.items() if flag.value is not None}
  options = 'num_train num_eval seed num_shards num_workers write_voc write_coco'
  seven_segment.write_data_set(
    FLAGS.output_dir,
    style=seven_segment.DigitStyle(**given),
    **{name: FLAGS[name].value for name in options.split()},
  )
  names = seven_segment.CLASS_NAMES
  classes = label_map.numbered(names)
  label_map.save(classes, os.path.join(FLAGS.output_dir, 'label_map.pbtxt'))
