"""Opens a checkpoint of any format."""

from ssd_tf.pretrained import named_weights, weights_table
from ssd_tf.pretrained.checkpoint_file import CheckpointFile
from ssd_tf.pretrained.keras_h5_file import H5File
from ssd_tf.pretrained.tflite_file import TfliteFile


def open_checkpoint(path: str) -> CheckpointFile | H5File | TfliteFile:
  """Opens a checkpoint.

  Args:
    path: a checkpoint's prefix, a file of Keras's that ends in .h5 or .hdf5, a .tflite file, or a
      name of `weights_table`.

  Returns:
    Its tensors.

  Raises:
    InputError: it is none of these, or damaged.
  """
  if weights_table.is_name(path):
    path = named_weights.checkpoint_path(path)
  if path.endswith(('.h5', '.hdf5')):
    return H5File(path)
  return TfliteFile(path) if path.endswith('.tflite') else CheckpointFile(path)
