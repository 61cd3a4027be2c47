"""Lists the layers of this package that Keras needs to load a saved model."""

from ssd_tf.models.dropout import Dropout
from ssd_tf.models.l2_normalization import L2Normalization
from ssd_tf.models.normalization import FusedBatchNormalization

CUSTOM_OBJECTS = {
  layer.__name__: layer for layer in (Dropout, FusedBatchNormalization, L2Normalization)
}
