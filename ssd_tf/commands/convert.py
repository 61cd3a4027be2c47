"""Converts annotated images of any known format to TFRecords, with a label map.

ssd-tf convert --data=mydata --output=mydata/records

It finds out the format: a VOCdevkit, images and XML files, COCO JSON, YOLO with data.yaml, CSV, or
TFRecords. Without a split of its own, the data is split by a seed, each class in the same share and
copies of an image together. Records that are there and up to date are not written again.
"""

from absl import flags

from ssd_tf.commands import data_flags
from ssd_tf.errors import InputError

FLAGS = flags.FLAGS
data_flags.define_conversion()
flags.DEFINE_string('output', None, 'Folder to write.')


def main() -> None:
  """Converts, and says what was found."""
  if not FLAGS.data or not FLAGS.output:
    raise InputError('give --data and --output')
  from ssd_tf.project import records

  prepared = records.prepare(
    FLAGS.data,
    FLAGS.output,
    label_map_path=FLAGS.label_map_path,
    validation_share=FLAGS.validation_share,
    seed=FLAGS.seed,
  )
  how = 'is up to date: nothing was written' if prepared.is_reused else 'is written'
  print(f'{prepared.format} in {prepared.place}: {FLAGS.output} {how}')
  for remark in prepared.remarks:
    print(remark)
