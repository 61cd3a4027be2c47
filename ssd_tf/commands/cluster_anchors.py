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

FLAGS = flags.FLAGS
shared_flags.pipeline_config('A pipeline.config; its train_input_reader is read.')
flags.DEFINE_integer(
  'num_anchors',
  None,
  'Sizes, of all feature maps together; default: what overlaps best without more anchors than the '
  "config's own.",
  lower_bound=1,
)
flags.DEFINE_float(
  'min_size',
  0.0,
  "Leave out boxes whose shorter side is less, in pixels of the model's input; 0: none.",
  lower_bound=0.0,
)
flags.DEFINE_bool(
  'fit_positions', True, 'Finally adjust the sizes to the positions where anchors are.'
)
flags.DEFINE_integer('seed', 0, 'Seed of the clustering.', lower_bound=0)
flags.DEFINE_string('output_path', None, 'File for the anchor_generator block; default: none.')
flags.DEFINE_string(
  'output_config_path', None, 'File for the config with that block, all else unchanged.'
)
flags.DEFINE_string('plot_path', None, 'SVG to draw; default: none.')
flags.register_validator(
  'plot_path', lambda path: not path or path.endswith('.svg'), 'expected a name that ends in .svg'
)
flags.mark_flags_as_required(['pipeline_config_path'])


def main():
  """Finds the anchors, prints the comparison and writes what is asked for."""
  from ssd_tf.anchors import block, dataset, plot, text

  pipeline = shared_flags.load_pipeline()
  dataset.check_output(pipeline, FLAGS.output_config_path)
  found = dataset.find_anchors(
    pipeline,
    **shared_flags.values_of('num_anchors', 'min_size', 'fit_positions', 'seed'),
  )
  print(text.describe(found))
  if FLAGS.output_path:
    block.write_block(found.config, FLAGS.output_path, text.remarks(found))
  if FLAGS.output_config_path:
    dataset.save_config(found, FLAGS.output_config_path)
  if FLAGS.plot_path:
    plot.draw(found, FLAGS.plot_path)
