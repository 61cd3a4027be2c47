"""What a training says of losses that cannot be right: the saved batch, and warnings."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from stub_detector import stub_detectors

from ssd_tf import fields
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.run.failures import explaining_failures
from ssd_tf.training import optimizers, trainer
from ssd_tf.training.label_curves import LabelCurves
from ssd_tf.training.loss_scale import LossScale
from ssd_tf.training.loss_watch import LossWatch
from ssd_tf.training.non_finite_batch import NonFiniteBatch


def examples(first, images):
  count = len(images)
  return {
    fields.IMAGE: np.array(images, np.float32).reshape(count, 1, 1, 1),
    fields.GROUNDTRUTH_BOXES: np.full([count, 1, 4], 0.25 * first, np.float32),
    fields.GROUNDTRUTH_CLASSES: np.full([count, 1], first, np.int32),
    fields.GROUNDTRUTH_MASK: np.full([count, 1], True),
    fields.EXAMPLE_MASK: np.full(count, True),
    fields.SOURCE_ID: np.array([f'Äpfel {first + i}.jpg'.encode() for i in range(count)]),
  }


def losses(outputs, targets, batch, normalizer):
  return {
    'classification_loss': tf.reduce_sum(outputs[fields.CLASS_LOGITS]),
    'localization_loss': tf.constant(0.5),
  }


def make_trainer(batches, compute_losses=losses, assign_targets=lambda batch: (), **settings):
  """Of logits that are the image times a kernel of ones, and a bias of zeros."""
  image = keras.Input([1, 1, 1])
  conv = keras.layers.Conv2D(2, 1, kernel_initializer='ones', name='conv')(image)
  model = keras.Model(image, {fields.CLASS_LOGITS: keras.layers.Reshape([1, 2])(conv)})
  return trainer.Trainer(
    detectors=stub_detectors(model, compute_losses, assign_targets),
    optimizer=optimizers.Momentum(0.1, momentum=0.0),
    dataset=tf.data.Dataset.from_generator(
      lambda: iter(batches),
      output_signature={
        key: tf.TensorSpec(value.shape, tf.string if value.dtype.kind == 'S' else value.dtype)
        for key, value in batches[0].items()
      },
    ),
    strategy=tf.distribute.get_strategy(),
    **settings,
  )


def fail_second_step(model_trainer, folder, model_dir):
  """What is said of a training whose second step fails, and leaves the weights as they were."""
  path = str(folder / 'tiny.config')
  explaining = explaining_failures(
    Pipeline.load(path),
    failed_batch=model_trainer.non_finite_batch,
    model_dir=str(model_dir),
  )
  conv = model_trainer.model.get_layer('conv')
  with pytest.raises(InputError) as error, explaining:
    model_trainer.train(tf.constant(1))
    before = conv.get_weights()
    model_trainer.train(tf.constant(1))
  assert int(model_trainer.global_step) == 1
  for now, then in zip(conv.get_weights(), before, strict=True):
    np.testing.assert_array_equal(now, then)
  assert np.isfinite(before[0]).all()
  return error


def test_the_batch_of_a_loss_that_is_not_finite_is_saved_and_named(tiny):
  batches = [
    examples(1, [1, 2]),
    examples(3, [3, 4]),
    examples(5, [5, 6]),
    examples(7, [7, np.nan]),
  ]
  error = fail_second_step(make_trainer(batches, batches_per_step=2), tiny, tiny)
  assert str(error.value) == (
    'The loss is not finite at step 1: Loss/localization_loss 1, Loss/classification_loss nan, '
    'Loss/regularization_loss 0, Loss/total_loss nan; source ids: Äpfel 5.jpg, Äpfel 6.jpg, Äpfel '
    f'7.jpg, Äpfel 8.jpg; the batch is in {tiny}/non_finite_batch.npz. Training stopped before '
    'this update; the last checkpoint is good. Lower the learning rate (is it made for this batch '
    'size?), lengthen the warm-up, set gradient_clipping_by_norm, or look at the boxes of these '
    'images.'
  )
  with np.load(tiny / 'non_finite_batch.npz') as saved:
    np.testing.assert_array_equal(saved[fields.IMAGE].ravel(), [5, 6, 7, np.nan])
    np.testing.assert_array_equal(saved[fields.GROUNDTRUTH_CLASSES].ravel(), [5, 5, 7, 7])
    np.testing.assert_array_equal(
      saved[fields.GROUNDTRUTH_BOXES][:, 0, 0], [1.25, 1.25, 1.75, 1.75]
    )
    assert list(saved[fields.SOURCE_ID]) == [f'Äpfel {i}.jpg' for i in (5, 6, 7, 8)]
    assert (int(saved['step']), list(saved['replica'])) == (1, [0, 0, 0, 0])
    assert (
      dict(zip(saved['loss_names'], saved['losses'], strict=True))[fields.LOCALIZATION_LOSS] == 1.0
    )
  assert sorted(p.name for p in tiny.iterdir() if 'batch' in p.name) == ['non_finite_batch.npz']


def root_losses(outputs, targets, batch, normalizer):
  """Of a logit of 0, sqrt(0) = 0; its derivative 1 / (2 sqrt(0)) is infinite."""
  return {
    'classification_loss': tf.reduce_sum(tf.sqrt(outputs[fields.CLASS_LOGITS])),
    'localization_loss': tf.constant(0.5),
  }


@pytest.mark.parametrize(
  ('value', 'compute_losses', 'settings', 'beginning'),
  [
    (0.0, root_losses, {}, 'at'),
    (0.0, root_losses, {'gradient_clipping_by_norm': 10.0}, 'at'),
    # Of two images, the kernel's gradients are 2e20 each; the square of that, 4e40, is above the
    # 3e38 that float32 ends at.
    (1e20, losses, {'gradient_clipping_by_norm': 10.0}, 'at'),
    (1e20, losses, {}, 'at'),
    (0.0, root_losses, {'loss_scale': 1.0}, 'at a loss scale of 1 at'),
  ],
)
def test_the_batch_of_a_gradient_that_is_not_finite_is_saved_and_named(
  value, compute_losses, settings, beginning, tiny
):
  if 'loss_scale' in settings:
    settings = {'loss_scale': LossScale()}
    settings['loss_scale'].scale.assign(1.0)
  batches = [examples(1, [1.0, 0.25]), examples(5, [value, value])]
  model_trainer = make_trainer(batches, compute_losses, **settings)
  model_trainer.model.get_layer('conv').bias.trainable = False  # So that logits are 0 or more.
  error = fail_second_step(model_trainer, tiny, tiny)
  assert str(error.value).startswith(
    f'The norm of the gradient is not finite {beginning} step 1: Loss/localization_loss 0.5, '
    'Loss/classification_loss '
  )
  assert (
    f'source ids: Äpfel 5.jpg, Äpfel 6.jpg; the batch is in {tiny}/non_finite_batch.npz. Training '
    'stopped before this update; the last checkpoint is good. Lower the learning rate'
  ) in str(error.value)
  with np.load(tiny / 'non_finite_batch.npz') as saved:
    np.testing.assert_array_equal(saved[fields.IMAGE].ravel(), np.float32([value, value]))


def test_a_batch_that_cannot_be_saved_still_is_named(tiny):
  batches = [examples(1, [1, 2]), examples(3, [3, np.nan])]
  error = fail_second_step(make_trainer(batches), tiny, tiny / 'missing')
  assert str(error.value).startswith(
    'The loss is not finite at step 1: Loss/localization_loss 0.5, Loss/classification_loss nan, '
    'Loss/regularization_loss 0, Loss/total_loss nan; source ids: Äpfel 3.jpg, Äpfel 4.jpg; the '
    'batch could not be saved: [Errno 2] No such file or directory: '
  )


def test_the_parts_of_all_replicas_are_saved_in_their_order(tmp_path):
  failed = NonFiniteBatch()
  assert failed.message() == failed.save(str(tmp_path)) == ''
  for replica, first in ((1, 3), (0, 1)):
    batch = {key: tf.constant(value) for key, value in examples(first, [first, first + 1]).items()}
    done = failed.keep([batch], tf.constant(7), tf.constant([0.0, 1.0, 2.0, 3.0]), replica)
    assert float(done) == 1.0
  with np.load(failed.save(str(tmp_path))) as saved:
    np.testing.assert_array_equal(saved[fields.IMAGE].ravel(), [1, 2, 3, 4])
    np.testing.assert_array_equal(saved['replica'], [0, 0, 1, 1])
  assert failed.message() == (
    'at step 7: Loss/localization_loss 0, Loss/classification_loss 1, Loss/regularization_loss 2, '
    'Loss/total_loss 3; source ids: Äpfel 1.jpg, Äpfel 2.jpg, Äpfel 3.jpg, Äpfel 4.jpg'
  )


def terms(localization, classification, regularization):
  values = localization, classification, regularization
  return dict(zip(fields.LOSSES, (*values, sum(values)), strict=True))


def counts(images, boxes, positives):
  return {'images': images, 'boxes': boxes, 'positives': positives}


def test_a_term_that_dominates_is_told_once(caplog):
  watch = LossWatch(10)
  watch.add(5, terms(0.0, 0.0, 100.0))  # In the middle of an interval.
  watch.add(10, terms(10.0, 10.0, 0.0))  # 100 / 120 = 83 %.
  assert caplog.messages == []
  for step in (20, 30):
    watch.add(step, terms(2.0, 2.0, 96.0))
  watch.add(40, terms(2.5, 2.5, 95.0))  # Not above 95 %.
  assert caplog.messages == [
    'Loss/regularization_loss is 96.0% of Loss/total_loss over the steps up to 20: '
    'regularization dominates the loss: lower l2_regularizer.weight (0.00004 is usual), or has the '
    'network overfit these few images? tools/diagnose.py looks into it.'
  ]
  watch.add(50, terms(0.0, 99.0, 1.0))
  assert caplog.messages[1].startswith('Loss/classification_loss is 99.0% of Loss/total_loss')


def test_what_an_interval_begins_is_looked_at_in_the_end(caplog):
  watch = LossWatch(100)
  watch.add(50, terms(0.0, 0.0, 100.0), counts(20, 30, 0))
  assert caplog.messages == []
  watch.flush(50)
  assert [message.split(':')[0] for message in caplog.messages] == [
    'Loss/regularization_loss is 100.0% of Loss/total_loss over the steps up to 50',
    'No anchor matched any of the 30 boxes in 20 images of the steps up to 50, so nothing is '
    'learned of them',
  ]
  watch = LossWatch(100)
  watch.add(100, terms(1.0, 1.0, 0.1), counts(20, 30, 1))
  watch.flush(100)  # Nothing came since.
  assert len(caplog.messages) == 2


class Noting(LossWatch):
  """A watch that also notes what it is given."""

  def __init__(self):
    super().__init__(interval=2)
    self.given = []

  def add(self, step, losses, counts=None):
    self.given.append((step, losses, counts))
    super().add(step, losses, counts)


@pytest.mark.parametrize('batches_per_step', [1, 2])
def test_a_trainer_gives_its_sums_to_the_watch(batches_per_step, caplog):
  # Of three examples, the last fills the batch; the first has two boxes.
  batch = examples(1, [1, 2, 3])
  batch[fields.EXAMPLE_MASK] = np.array([True, True, False])
  batch[fields.GROUNDTRUTH_MASK] = np.array([[True, True], [True, False], [False, False]])

  def fixed_losses(outputs, targets, batch, normalizer):
    zero = 0.0 * tf.reduce_sum(outputs[fields.CLASS_LOGITS])
    return {'classification_loss': zero + 200.0, 'localization_loss': tf.constant(3.0)}

  batch[fields.LABELED_CLASSES] = np.full([3, 1], True)
  # Five anchors of the real images are matched.
  matched = types.SimpleNamespace(class_targets=tf.constant([[1, 1, 1], [1, 0, 1], [0, 1, 0]]))
  watch = Noting()
  model_trainer = make_trainer(
    [batch] * 6 * batches_per_step,
    fixed_losses,
    lambda batch: matched,
    batches_per_step=batches_per_step,
    loss_watch=watch,
    label_curves=LabelCurves(class_names={1: 'a'}, interval=2),
  )
  for steps in (1, 3, 2):
    model_trainer.train(tf.constant(steps))
  for (step, sums, seen), (end, steps) in zip(watch.given, ((1, 1), (4, 3), (6, 2)), strict=True):
    batches = steps * batches_per_step
    assert step == end
    assert seen == {'images': 2 * batches, 'boxes': 3 * batches, 'positives': 5 * batches}
    assert sums == {
      fields.LOCALIZATION_LOSS: 3 * batches,
      fields.CLASSIFICATION_LOSS: 200 * batches,
      fields.REGULARIZATION_LOSS: 0,
      fields.TOTAL_LOSS: 203 * batches,
    }
  (message,) = caplog.messages  # 200 / 203 = 98.5 %
  assert message.startswith('Loss/classification_loss is 98.5% of Loss/total_loss over the steps ')


def test_what_matches_nothing_is_told_once(caplog):
  watch, fine = LossWatch(10), terms(1.0, 1.0, 0.1)
  watch.add(10, fine, counts(40, 80, 5))
  watch.add(15, fine, counts(20, 30, 0))
  watch.add(20, fine, counts(20, 30, 1))
  assert caplog.messages == []
  watch.add(25, fine, counts(20, 30, 0))
  watch.add(30, fine, counts(20, 31, 0))
  watch.add(40, fine, counts(20, 30, 0))
  assert caplog.messages == [
    'No anchor matched any of the 61 boxes in 40 images of the steps up to 30, so nothing is '
    'learned of them: are the anchors of their size and shape (tools/cluster_anchors.py), is '
    'matched_threshold too high, is force_match_for_each_row false, are all boxes crowds or their '
    'weights 0? tools/diagnose.py looks into it.'
  ]
  watch.add(50, fine, counts(20, 0, 0))
  watch.add(60, fine, counts(20, 0, 0))
  assert caplog.messages[1:] == [
    'None of the 20 images of the steps up to 50 had a box: do the records hold objects, are their '
    'classes in label_map_path and not above num_classes, does an augmentation drop them? '
    'tools/diagnose.py looks into it.'
  ]
  watch.add(70, fine)  # Not counted.
  assert len(caplog.messages) == 2
