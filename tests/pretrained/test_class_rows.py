"""Rows of mapped classes, by hand; and that a model's logits of them are the source's."""

import numpy as np
import pytest
import small_checkpoints
import tensorflow as tf

from ssd_tf.errors import InputError
from ssd_tf.pretrained import checkpoint_kind
from ssd_tf.pretrained.class_rows import remap_class_rows
from ssd_tf.pretrained.loading import load_pretrained

# 2 anchors of 2 classes: background, a, b of each anchor.
SOURCE = np.array([10, 11, 12, 20, 21, 22], np.float32)
# 2 anchors of 3 classes.
INITIAL = np.array([1, 2, 3, 4, 5, 6, 7, 8], np.float32)


def test_rows_by_hand():
  # Class 3 here is class 1 there; classes 1 and 2 keep 2, 3 and 6, 7.
  result = remap_class_rows(SOURCE, INITIAL, {3: 1}, num_anchors=2, num_classes=3)
  np.testing.assert_array_equal(result, [10, 2, 3, 11, 20, 6, 7, 21])
  np.testing.assert_array_equal(INITIAL, [1, 2, 3, 4, 5, 6, 7, 8])  # Not overwritten.


def test_one_class_for_two_and_swapped():
  result = remap_class_rows(SOURCE, INITIAL, {1: 2, 2: 1, 3: 2}, num_anchors=2, num_classes=3)
  np.testing.assert_array_equal(result, [10, 12, 11, 12, 20, 22, 21, 22])


def test_kernels_by_hand():
  kernel = np.stack([SOURCE, 100 + SOURCE])[None, None]  # [1, 1, 2, 6]
  initial = np.zeros([1, 1, 2, 8], np.float32)
  result = remap_class_rows(kernel, initial, {2: 1}, num_anchors=2, num_classes=3)
  np.testing.assert_array_equal(
    result[0, 0], [[10, 0, 11, 0, 20, 0, 21, 0], [110, 0, 111, 0, 120, 0, 121, 0]]
  )


def test_heads_without_background():
  # Columns are the classes alone: 3 anchors of 2 classes there, of 3 classes here.
  initial = np.zeros(9, np.float32)
  result = remap_class_rows(SOURCE, initial, {3: 1}, num_anchors=3, num_classes=3)
  np.testing.assert_array_equal(result, [0, 0, 10, 0, 0, 12, 0, 0, 21])


def test_a_class_that_the_checkpoint_lacks():
  with pytest.raises(InputError, match='id 3 is to be carried over, but the checkpoint has 2 cl'):
    remap_class_rows(SOURCE, INITIAL, {1: 3}, num_anchors=2, num_classes=3)


@pytest.mark.parametrize('shape', [(7,), (2, 6)])
def test_shapes_that_cannot_be_mapped(shape):
  with pytest.raises(ValueError, match='in the checkpoint, .* here for 2 anchors of 3 classes'):
    remap_class_rows(np.zeros(shape), INITIAL, {1: 1}, num_anchors=2, num_classes=3)


@pytest.mark.parametrize(
  'predictor', ['convolutional', 'ssdlite', 'weight_shared', 'weight_shared_lite']
)
@pytest.mark.parametrize('kind', [checkpoint_kind.TF1, checkpoint_kind.TF2, checkpoint_kind.SSD_TF])
def test_logits_of_mapped_classes_are_the_sources(predictor, kind, tmp_path):
  source = small_checkpoints.tiny_model(3, predictor, seed=1)
  target = small_checkpoints.tiny_model(5, predictor, seed=2)
  small_checkpoints.write_model(tmp_path / 'ckpt-0', source, kind)
  before = {v.path: v.numpy() for v in target.weights}
  report = load_pretrained(target, str(tmp_path / 'ckpt-0'), class_ids={5: 1, 2: 3})
  assert report.skipped == {} and report.missing == {} and report.unused == [], report.table()
  assert {p.rsplit('/', 1)[1] for p in report.mapped} <= {'kernel', 'pointwise_kernel', 'bias'}

  images = tf.random.stateless_normal([1, *source.input_shape[1:]], seed=[1, 2])
  theirs, ours = source(images, training=False), target(images, training=False)
  np.testing.assert_allclose(ours['box_encodings'], theirs['box_encodings'], atol=1e-6)
  rows = [0, 5, 2]
  np.testing.assert_allclose(
    ours['class_logits'].numpy()[..., rows], theirs['class_logits'].numpy()[..., [0, 1, 3]],
    rtol=1e-6, atol=1e-6,
  )  # fmt: skip
  # The others keep what they had: in each mapped variable, column 1 of every anchor's six.
  for path in report.mapped:
    now = target.get_layer(path.split('/')[0])
    value = next(v for v in now.weights if v.path == path).numpy()
    np.testing.assert_array_equal(value[..., 1::6], before[path][..., 1::6])
    assert (value[..., 0::6] != before[path][..., 0::6]).any()
