"""Trainings on partial labels: replicas, curves, merged readers; bad labels are named."""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf
import tiny_project
from replicas import FROZEN, SLOW, largest_difference, variables

from ssd_tf import builders, fields
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.experiments import event_scalars


def only(annotation, class_ids, labeled_classes):
  """The annotation with the boxes of these classes alone."""
  kept = [i for i, class_id in enumerate(annotation.class_ids) if class_id in class_ids]
  return dataclasses.replace(
    annotation,
    boxes=annotation.boxes[kept],
    class_ids=annotation.class_ids[kept],
    class_names=[annotation.class_names[i] for i in kept],
    labeled_classes=labeled_classes,
  )


@pytest.fixture
def partial(tiny):
  """The tiny project, its training images labeled for class 1, and for 2 and 3, in turn."""
  images = tiny_project.annotations(10, seed=0)
  groups = ([1], [2, 3])
  images = [only(image, groups[i % 2], groups[i % 2]) for i, image in enumerate(images)]
  tiny_project.write_records(tiny / 'train.record', images)
  return tiny


@pytest.mark.slow
def test_two_replicas_make_the_same_weights_as_one(partial, train_tiny):
  flags = ('--num_train_steps=4', '--noevaluate', SLOW, *FROZEN)
  train_tiny(partial, 'one', *flags)
  train_tiny(partial, 'two', *flags, '--num_logical_cpus=2')
  before, one, two = (variables(partial, f) for f in ('one/ckpt-0', 'one/ckpt-4', 'two/ckpt-4'))
  assert largest_difference(before, one) > 1e-3
  assert largest_difference(one, two) < 1e-6

  for folder in ('one', 'two'):
    curves = event_scalars.read_scalars(str(partial / folder / 'train'))
    # Of the 8 images between two points each is labeled for class a, or for b and c.
    a, b, c = (curves[f'PartialLabels/labeled_images/{name}'][1] for name in tiny_project.NAMES)
    np.testing.assert_array_equal(a + b, [8, 8])
    np.testing.assert_array_equal(b, c)
    # At nearly equal logits the shares are those of the images in the last batch.
    shares = [
      curves[f'PartialLabels/masked_share_of_loss/{name}'][1] for name in tiny_project.NAMES
    ]
    np.testing.assert_allclose(shares[0] + shares[1], 1, atol=0.02)
    np.testing.assert_allclose(shares[1], shares[2], atol=0.02)
    np.testing.assert_allclose(np.array(shares) * 4, np.rint(np.array(shares) * 4), atol=0.1)
    assert sum(curves[f'PartialLabels/positives/{name}'][1] for name in tiny_project.NAMES).all()


@pytest.mark.slow
def test_two_data_sets_are_merged_by_the_config_alone(tiny, train_tiny):
  images = tiny_project.annotations(8, seed=0)
  one, other = (1, 2), (3,)
  tiny_project.write_records(tiny / 'train.record', [only(im, one, None) for im in images[:6]])
  # A data set of its own, where c has id 1.
  renumbered = [
    dataclasses.replace(image, class_ids=np.ones_like(image.class_ids))
    for image in (only(image, other, None) for image in images[6:])
  ]
  tiny_project.write_records(tiny / 'other.record', renumbered)
  (tiny / 'label_map.pbtxt').write_text("item { id: 1 name: 'a' } item { id: 2 name: 'b' }")
  (tiny / 'other.pbtxt').write_text("item { id: 1 name: 'sea' }")
  (tiny / 'all.pbtxt').write_text(
    ''.join(f"item {{ id: {i} name: '{n}' }}\n" for i, n in enumerate('abc', start=1))
  )
  text = (tiny / 'tiny.config').read_text()
  text = text.replace(
    'train_input_reader {',
    "train_input_reader { sampling_weight: 1 label_map_path: 'other.pbtxt' "
    "class_map { name: 'sea' to: 'c' } "
    "tf_record_input_reader { input_path: 'other.record' } }\n"
    'train_input_reader { sampling_weight: 3',
  )
  text = re.sub(r'(eval_input_reader \{\s+label_map_path: )"label_map', r'\1"all', text)
  (tiny / 'tiny.config').write_text(text)

  output = train_tiny(tiny, 'model', '--num_train_steps=2')
  assert 'train_input_reader[0]: 2 records checked' in output
  assert 'train_input_reader[1]: 6 records checked' in output
  # The first reader's class keeps its id; evaluation's own ids are brought to the model's.
  loaded = Pipeline.load(tiny / 'tiny.config').config
  path = str(tiny / 'tiny.config')
  assert Pipeline(loaded, path).class_names == {1: 'c', 2: 'a', 3: 'b'}
  detector = builders.build_detector(loaded.model, is_training=True)

  def batches(start_step, count):
    dataset = builders.build_train_dataset(Pipeline(loaded, path), detector, start_step)
    return list(dataset.take(count).as_numpy_iterator())

  seen = {True: 0, False: 0}
  undisturbed = batches(0, 250)
  for batch in undisturbed:
    for i, labeled in enumerate(batch[fields.LABELED_CLASSES].tolist()):
      is_other = labeled == [True, False, False]
      assert is_other or labeled == [False, True, True]
      classes = batch[fields.GROUNDTRUTH_CLASSES][i][batch[fields.GROUNDTRUTH_MASK][i]]
      assert set(classes) <= ({1} if is_other else {2, 3})
      seen[is_other] += 1
  assert seen == {True: 250, False: 750}  # 1 to 3, and 1,000 is a whole round of turns.
  for restarted, batch in zip(batches(248, 2), undisturbed[248:], strict=True):
    for key, value in batch.items():
      np.testing.assert_array_equal(restarted[key], value, err_msg=key)
  evaluated = next(iter(builders.build_eval_dataset(Pipeline(loaded, path), detector)))
  original = tiny_project.annotations(5, seed=1)[1].class_ids  # Image 0 has no box.
  row = evaluated[fields.GROUNDTRUTH_CLASSES][1].numpy()
  np.testing.assert_array_equal(row[: len(original)], [{1: 2, 2: 3, 3: 1}[i] for i in original])


def check(folder, images):
  tiny_project.write_records(folder / 'train.record', images)
  builders.check_records(Pipeline.load(folder / 'tiny.config'), is_training=True)


def test_a_labeled_id_outside_the_label_map_is_refused(tiny):
  images = tiny_project.annotations(4, seed=0)
  images[2] = dataclasses.replace(images[2], labeled_classes=[1, 7])
  with pytest.raises(InputError) as error:
    check(tiny, images)
  assert re.search(
    r'train_input_reader: .*1 images have class id 7 in image/class/labeled_classes.*record 2, '
    r'source_id image 2',
    str(error.value),
  )


@pytest.mark.parametrize(
  'key', ['verified_present', 'verified_absent', 'not_exhaustive', 'labeled_classes']
)
def test_ids_of_every_list_are_looked_at(key, tiny):
  images = [dataclasses.replace(tiny_project.annotations(1, seed=0)[0], **{key: [9]})]
  with pytest.raises(InputError, match='images have class id 9 in image/'):
    check(tiny, images)


def test_modes_of_the_config_reach_the_loss(tiny):
  totals = {}
  for mode in ('MASKED', 'NAIVE', 'MASKED_BUT_BACKGROUND'):
    loaded = Pipeline.load(tiny / 'tiny.config', [f'model.ssd.loss.partial_labels={mode}']).config
    detector = builders.build_detector(loaded.model, is_training=True)
    dataset = builders.build_train_dataset(Pipeline(loaded, str(tiny / 'tiny.config')), detector)
    batch = next(iter(dataset))
    num_anchors = len(detector.anchors)
    outputs = {
      fields.CLASS_LOGITS: np.zeros([4, num_anchors, 4], np.float32),
      fields.BOX_ENCODINGS: np.zeros([4, num_anchors, 4], np.float32),
    }
    labeled = np.array([[True] * 3, [True] * 3, [True] * 3, [False] * 3])
    batch = {**batch, fields.LABELED_CLASSES: tf.constant(labeled)}
    batch[fields.GROUNDTRUTH_MASK] = tf.zeros_like(batch[fields.GROUNDTRUTH_MASK])
    outputs = {key: tf.constant(value) for key, value in outputs.items()}
    targets = detector.assign_targets(batch)
    losses = detector.compute_losses(outputs, targets, batch, tf.constant(1.0))
    # Focal with alpha .75: a "no" costs .25 * .5^2 * log 2; how many are there in an image?
    cost = 0.25 * 0.25 * np.log(2) * num_anchors
    totals[mode] = float(losses['classification_loss']) / cost
  assert totals == pytest.approx({'MASKED': 12, 'NAIVE': 16, 'MASKED_BUT_BACKGROUND': 13}, rel=1e-5)


def test_a_background_column_of_softmax_cannot_be_told_apart(tiny):
  loaded = Pipeline.load(
    tiny / 'tiny.config',
    [
      'model.ssd.loss.partial_labels=MASKED_BUT_BACKGROUND',
      'model.ssd.loss.classification_loss={weighted_softmax {}}',
      'model.ssd.encode_background_as_zeros=false',
    ],
  ).config
  with pytest.raises(InputError, match='model.ssd.loss.partial_labels: .*sigmoid'):
    builders.build_detector(loaded.model, is_training=True)


def test_unused_ids_count_as_labeled_whatever_a_record_says(tiny):
  (tiny / 'label_map.pbtxt').write_text("item { id: 1 name: 'a' } item { id: 3 name: 'c' }")
  image = only(tiny_project.annotations(2, seed=0)[1], (), [1])
  tiny_project.write_records(tiny / 'train.record', [image])
  loaded, path = Pipeline.load(tiny / 'tiny.config').config, str(tiny / 'tiny.config')
  detector = builders.build_detector(loaded.model, is_training=True)
  batch = next(iter(builders.build_train_dataset(Pipeline(loaded, path), detector)))
  assert batch[fields.LABELED_CLASSES].numpy().tolist() == [[True, True, False]] * 4


def test_two_classes_that_become_one_are_labeled_where_both_are(tiny, caplog):
  text = (tiny / 'tiny.config').read_text()
  maps = "class_map { name: 'a' to: 'x' } class_map { name: 'b' to: 'x' }"
  (tiny / 'tiny.config').write_text(
    text.replace('train_input_reader {', f'train_input_reader {{ {maps}')
  )
  images = [only(image, (), [1]) for image in tiny_project.annotations(2, seed=0)]
  with pytest.raises(InputError, match='no image is labeled for any class'):
    check(tiny, images)
  images[0] = only(images[0], (), [1, 2])
  with caplog.at_level('WARNING', logger='absl'):
    check(tiny, images)
  assert "no image is labeled for 'c'" in caplog.text and "'x'" not in caplog.text


def test_a_damaged_file_of_several_readers_is_named(tiny):
  (tiny / 'other.record').write_bytes((tiny / 'train.record').read_bytes())
  text = (tiny / 'tiny.config').read_text()
  reader = text[text.index('train_input_reader') : text.index('eval_config')]
  (tiny / 'tiny.config').write_text(text + reader.replace('train.record', 'other.record'))
  content = bytearray((tiny / 'train.record').read_bytes())
  content[40] ^= 1
  (tiny / 'train.record').write_bytes(content)
  loaded, path = Pipeline.load(tiny / 'tiny.config').config, str(tiny / 'tiny.config')
  detector = builders.build_detector(loaded.model, is_training=True)
  with (
    pytest.raises(InputError, match=r'train\.record: record 0 .*cannot be read'),
    builders.explained_record_errors(Pipeline(loaded, path), training=True, evaluation=True),
  ):
    for _ in builders.build_train_dataset(Pipeline(loaded, path), detector).take(9):
      pass


def test_no_image_labeled_for_anything_is_refused(tiny):
  images = [only(image, (), []) for image in tiny_project.annotations(4, seed=0)]
  with pytest.raises(InputError, match='no image is labeled for any class'):
    check(tiny, images)


def test_odd_labels_are_told_by_image_and_class(tiny, caplog):
  images = tiny_project.annotations(4, seed=0)
  images = [dataclasses.replace(image, labeled_classes=[1, 2]) for image in images]
  images[1] = dataclasses.replace(
    images[1], class_ids=np.array([3]), class_names=['c'], labeled_classes=[1]
  )
  images[2] = only(images[2], (1, 2), [1, 2])
  with caplog.at_level('WARNING', logger='absl'):
    check(tiny, images)
  assert re.search(
    r'1 images have boxes of class 3 \(c\), but are not labeled for it.*source_id image 1',
    caplog.text,
  )
  assert "no image is labeled for 'c'" in caplog.text


def test_a_labeled_id_that_slips_past_the_check_stops_the_decoder(tiny):
  images = [dataclasses.replace(tiny_project.annotations(2, seed=0)[1], labeled_classes=[4])]
  tiny_project.write_records(tiny / 'train.record', images)
  loaded, path = Pipeline.load(tiny / 'tiny.config').config, str(tiny / 'tiny.config')
  detector = builders.build_detector(loaded.model, is_training=True)
  dataset = builders.build_train_dataset(Pipeline(loaded, path), detector)
  with (
    pytest.raises(InputError, match=r'labeled_classes must lie in 1\.\.3'),
    builders.explained_record_errors(Pipeline(loaded, path), training=True, evaluation=False),
  ):
    next(iter(dataset))
