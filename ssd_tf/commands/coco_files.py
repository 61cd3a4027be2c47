"""Defines the flags and the conversion that the converters of COCO and LVIS share."""

import sys
from collections.abc import Callable, Sequence

from absl import flags

from ssd_tf.commands import shared_flags
from ssd_tf.data.sources.record_sets import SetFlags, given_sets

flags.disclaim_key_flags()  # Each is a flag of the command that asks for it, also in its --help.


def define_flags(num_shards_help: str) -> None:
  """Defines the flags of both.

  Args:
    num_shards_help: the help of --num_shards, whose default differs from set to set.
  """
  flags.DEFINE_string('train_image_dir', None, 'Folder of the training images.')
  flags.DEFINE_string('val_image_dir', None, 'Folder of the validation images.')
  flags.DEFINE_string('train_annotations_file', None, 'JSON of the training images.')
  flags.DEFINE_string('val_annotations_file', None, 'JSON of the validation images.')
  flags.DEFINE_string('output_dir', None, 'Folder to write; created if it does not exist.')
  flags.DEFINE_string('image_dir', None, 'Folder of the images, for --output_path.')
  flags.DEFINE_string('annotations_file', None, 'JSON of the images, for --output_path.')
  flags.DEFINE_string('output_path', None, 'TFRecord file to write.')
  flags.DEFINE_string('label_map_output_path', None, 'Label map (pbtxt) to write.')
  flags.DEFINE_bool('include_masks', False, 'Not supported: SSD predicts no masks.')
  shared_flags.writing_records('image', num_shards=None, num_shards_help=num_shards_help)


def convert(sets: Sequence[SetFlags], load: Callable) -> None:
  """Reads every annotation file, then converts set after set.

  Args:
    sets: flags and files of each set that can be asked for.
    load: reads an annotation file, see `coco.load_sets`.
  """
  from ssd_tf.config import label_map
  from ssd_tf.data.sources import coco

  values = flags.FLAGS.flag_values_dict()
  if values['include_masks']:
    print('--include_masks: SSD predicts no masks; only boxes are written', file=sys.stderr)
  given = given_sets(sets, values)
  loaded = coco.load_sets([each.annotations_file for each in given], load)
  if values['label_map_output_path']:
    names = {class_id: name for name, class_id in loaded[0].name_to_id.items()}
    label_map.save(label_map.of_names(names), values['label_map_output_path'])
  for annotations, each in zip(loaded, given, strict=True):
    source = coco.open_source(annotations, each.image_dir)
    shared_flags.write_records(source, each.output_path, num_shards=each.num_shards)
