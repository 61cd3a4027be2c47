"""Lists the weights that a training can start from, by name, with the config that each fits.

  ssd-tf weights
  ssd-tf weights --download=zoo:ssd_mobilenet_v2_coco

Those of the package need no network. Those of the Object Detection API's zoos are downloaded once,
by the first training that names them, or here.
"""

from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_string(
  'download', None, 'Name of weights in the list: download them, and print the path.'
)


def main():
  """Prints the list, or the path of what was downloaded."""
  from ssd_tf.pretrained import named_weights, weights_list, weights_table

  name = FLAGS.download
  if name is None:
    print('\n'.join(weights_list.lines()))
    return
  if not weights_table.is_name(name):
    name = f'{weights_table.ZOO}{name}'
  print(named_weights.checkpoint_path(name))
