"""Exports a detector as a SavedModel with the Object Detection API's signature."""

import os

import tensorflow as tf

from ssd_tf import fields
from ssd_tf.data import image_files
from ssd_tf.detector import SsdDetector

# Pixels, whole images of one size; the others are one string for each image.
_PIXELS = {'image_tensor': tf.uint8, 'float_image_tensor': tf.float32}
INPUT_TYPES = (*_PIXELS, 'encoded_image_string_tensor', 'tf_example')
# As the original names and types them: everything is float32, classes count from 1.
OUTPUTS = (
  fields.DETECTION_BOXES,
  fields.DETECTION_SCORES,
  fields.DETECTION_CLASSES,
  fields.NUM_DETECTIONS,
  fields.RAW_DETECTION_BOXES,
  fields.RAW_DETECTION_SCORES,
  fields.DETECTION_MULTICLASS_SCORES,
  fields.DETECTION_ANCHOR_INDICES,
)


class ExportedDetector(tf.Module):
  """Images in, detections out, as one graph; called as the Object Detection API's exports are.

  Args:
    input_type: 'image_tensor': uint8 [B,h,w,3]; 'float_image_tensor': float32 [B,h,w,3], also from
      0 to 255; 'encoded_image_string_tensor': string [B], JPEG or PNG; 'tf_example': string [B],
      serialized tf.train.Example with image/encoded.
    batch_size: B; None for any. Images given as pixels share one size.

  Source: signature of the Object Detection API's exporter_lib_v2.
  """

  def __init__(
    self,
    detector: SsdDetector,
    input_type: str = 'image_tensor',
    batch_size: int | None = None,
  ):
    super().__init__(name='ssd_tf')
    if input_type not in INPUT_TYPES:
      raise ValueError(f'input_type: expected one of {INPUT_TYPES}, received {input_type!r}')
    self._detector = detector
    # As plain tf.Variables: those inside of Keras's are not restored by loaders that know the graph
    # alone and no objects, such as TensorFlow Serving, saved_model_cli and TF1 sessions.
    self.model_variables = [variable.value for variable in detector.model.variables]
    self._preprocess = {
      **dict.fromkeys(_PIXELS, detector.preprocess_image),
      'encoded_image_string_tensor': self._preprocess_encoded,
      'tf_example': self._preprocess_examples,
    }[input_type]
    spec = (
      tf.TensorSpec([batch_size, None, None, 3], _PIXELS[input_type], 'input_tensor')
      if input_type in _PIXELS
      else tf.TensorSpec([batch_size], tf.string, 'input_tensor')
    )
    # No Python control flow depends on a tensor: AutoGraph would find nothing to convert.
    self.serve = tf.function(self.detect, input_signature=[spec], autograph=False)
    # By this attribute, what is loaded can be called. Of any shape: where that is wrong, TensorFlow
    # prints the whole input, but one line if the graph finds it.
    any_shape = tf.TensorSpec(None, spec.dtype, 'input_tensor')
    self.__call__ = tf.function(
      lambda input_tensor: self.serve(tf.ensure_shape(input_tensor, spec.shape)),
      input_signature=[any_shape],
      autograph=False,
    )

  def detect(self, input_tensor: tf.Tensor) -> dict[str, tf.Tensor]:
    """Detects on a batch; see OUTPUTS. Boxes are normalized to the image given."""
    [spec] = self.serve.input_signature
    images, true_size = self._preprocess(tf.ensure_shape(input_tensor, spec.shape))
    outputs = self._detector.model(images, training=False)
    detections = self._detector.postprocess(outputs, true_size)
    return {key: tf.cast(detections[key], tf.float32) for key in OUTPUTS}

  def _preprocess_encoded(self, encoded):
    def decode(one):
      return self._detector.preprocess_image(image_files.decode_image(one))

    return tf.map_fn(
      decode,
      encoded,
      fn_output_signature=(
        tf.TensorSpec(self._detector.model.input_shape[1:], tf.float32),
        tf.TensorSpec([2], tf.int32),
      ),
    )

  def _preprocess_examples(self, serialized):
    features = {'image/encoded': tf.io.FixedLenFeature([], tf.string)}
    return self._preprocess_encoded(tf.io.parse_example(serialized, features)['image/encoded'])


def export_saved_model(
  detector: SsdDetector,
  output_dir: str,
  *,
  input_type: str = 'image_tensor',
  batch_size: int | None = None,
) -> str:
  """Writes the folder saved_model into another, and returns its path; see `ExportedDetector`."""
  module = ExportedDetector(detector, input_type, batch_size)
  path = os.path.join(output_dir, 'saved_model')
  tf.saved_model.save(module, path, signatures={'serving_default': module.serve})
  return path
