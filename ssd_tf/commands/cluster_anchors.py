r"""Finds anchors for the boxes of a config's training records, and compares them with its own.

python tools/cluster_anchors.py --pipeline_config_path=my.config \
    --output_config_path=my_anchors.config --plot_path=anchors.svg

Boxes are clustered by k-means with the distance 1 - IoU, as the model sees them (resized as
image_resizer does). Sizes go to the coarsest feature map whose cells fit them, as many as need no
more anchors than the config's own. --output_path has the anchor_generator block alone, to be put
into model.ssd, or on a command line:

  --config_override="model.ssd.anchor_generator=$(sed 's/^anchor_generator//' anchors.pbtxt)"
"""

from absl import flags

from ssd_tf.commands import shared_flags

PIPELINE_CONFIG_PATH = flags.DEFINE_string(
  'pipeline_config_path', None, 'A pipeline.config; its train_input_reader is read.', required=True
)
CONFIG_OVERRIDE = shared_flags.config_override()
NUM_ANCHORS = flags.DEFINE_integer(
  'num_anchors',
  None,
  'Sizes, of all feature maps together; default: what overlaps best without more anchors than the '
  "config's own.",
  lower_bound=1,
)
MIN_SIZE = flags.DEFINE_float(
  'min_size',
  0.0,
  "Leave out boxes whose shorter side is less, in pixels of the model's input; 0: none.",
  lower_bound=0.0,
)
FIT_POSITIONS = flags.DEFINE_bool(
  'fit_positions', True, 'At the end, improve the sizes for where anchors really lie.'
)
SEED = flags.DEFINE_integer('seed', 0, 'Of the clustering.', lower_bound=0)
OUTPUT_PATH = flags.DEFINE_string(
  'output_path', None, 'File for the anchor_generator block; default: none.'
)
OUTPUT_CONFIG_PATH = flags.DEFINE_string(
  'output_config_path', None, 'File for the config with that block, all else unchanged.'
)
PLOT_PATH = flags.DEFINE_string('plot_path', None, 'SVG to draw; default: none.')
flags.register_validator(
  'plot_path', lambda path: not path or path.endswith('.svg'), 'expected a name that ends in .svg'
)


def main():
  """Finds the anchors, prints the comparison and writes what is asked for."""
  from ssd_tf.anchors import block, dataset, plot, text
  from ssd_tf.config.pipeline import Pipeline

  pipeline = Pipeline.load(PIPELINE_CONFIG_PATH.value, CONFIG_OVERRIDE.value)
  dataset.check_output(pipeline, OUTPUT_CONFIG_PATH.value)
  found = dataset.find_anchors(
    pipeline,
    num_anchors=NUM_ANCHORS.value,
    min_size=MIN_SIZE.value,
    fit_positions=FIT_POSITIONS.value,
    seed=SEED.value,
  )
  print(text.describe(found))
  if OUTPUT_PATH.value:
    block.write_block(found.config, OUTPUT_PATH.value, text.remarks(found))
  if OUTPUT_CONFIG_PATH.value:
    dataset.save_config(found, OUTPUT_CONFIG_PATH.value)
  if PLOT_PATH.value:
    plot.draw(found, PLOT_PATH.value)
