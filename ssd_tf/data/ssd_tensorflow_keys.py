"""SSD-Tensorflow's keys of a record, where they are not the Object Detection API's."""

from collections.abc import Mapping

import tensorflow as tf

from ssd_tf.data.annotation import BOX_FIELDS

# The Object Detection API's key -> SSD-Tensorflow's for the same list, one entry for each box.
KEYS = {field.key: field.ssd_tensorflow_key for field in BOX_FIELDS if field.ssd_tensorflow_key}


def per_box_feature(features: Mapping[str, tf.train.Feature], key: str) -> tf.train.Feature:
  """A per-box list of a record, by the Object Detection API's key or else by SSD-Tensorflow's."""
  for name in (key, KEYS.get(key, key)):
    feature = features[name] if name in features else tf.train.Feature()
    kind = feature.WhichOneof('kind')
    if kind and getattr(feature, kind).value:
      return feature
  return tf.train.Feature()


def add_keys(serialized: bytes) -> bytes:
  """Adds KEYS, image/channels and image/shape to a record, for SSD-Tensorflow's own scripts."""
  example = tf.train.Example.FromString(serialized)
  features = example.features.feature
  for ours, theirs in KEYS.items():
    features[theirs].CopyFrom(features[ours])
  size = [features[f'image/{side}'].int64_list.value[0] for side in ('height', 'width')]
  features['image/channels'].int64_list.value[:] = [3]
  features['image/shape'].int64_list.value[:] = [*size, 3]
  return example.SerializeToString(deterministic=True)
