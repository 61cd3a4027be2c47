"""The same seed makes the same weights, order and crops; another seed makes others."""

import keras
import numpy as np
import tensorflow as tf

from ssd_tf import builders, fields
from ssd_tf.config.pipeline import Pipeline


def begun(folder, seed):
  """(weights by path, the first 6 batches) of a training of that seed, as `run.train` begins it."""
  changes = ['train_config.data_augmentation_options={ssd_random_crop {}}']
  loaded = Pipeline.load(folder / 'tiny.config', [f'train_config.seed={seed}', *changes]).config
  keras.utils.set_random_seed(loaded.train_config.seed)
  detector = builders.build_detector(loaded.model, is_training=True)
  dataset = builders.build_train_dataset(Pipeline(loaded, str(folder / 'tiny.config')), detector)
  weights = {v.path: v.numpy() for v in detector.model.variables}
  return weights, list(dataset.take(6).as_numpy_iterator())


def test_a_seed_settles_weights_order_and_augmentation(tiny):
  weights, batches = begun(tiny, 3)
  assert_others(weights, batches, *begun(tiny, 4))
  tf.random.uniform([])  # Whatever was drawn before.
  np.random.default_rng().random()
  again, batches_again = begun(tiny, 3)
  for path, value in weights.items():
    np.testing.assert_array_equal(again[path], value, err_msg=path)
  for batch, batch_again in zip(batches, batches_again, strict=True):
    assert batch.keys() == batch_again.keys()
    for key, value in batch.items():
      np.testing.assert_array_equal(batch_again[key], value, err_msg=key)


def assert_others(weights, batches, others, other_batches):
  kernels = [path for path in weights if path.endswith('kernel')]
  assert len(kernels) > 30
  for path in kernels:
    assert np.any(weights[path] != others[path]), path
  order, other_order = (
    [source_id for batch in part for source_id in batch[fields.SOURCE_ID]]
    for part in (batches, other_batches)
  )
  assert sorted(set(order)) == sorted(set(other_order)) and order != other_order
  # The same image is cropped otherwise.
  images, other_images = (
    {
      source_id: image
      for batch in reversed(part)
      for source_id, image in zip(batch[fields.SOURCE_ID], batch[fields.IMAGE], strict=True)
    }
    for part in (batches, other_batches)
  )
  assert sum(bool(np.any(images[key] != other_images[key])) for key in images) > 5
