import functools
import os

import numpy as np
import pytest
import tensorflow as tf
import tool_processes

from ssd_tf import fields
from ssd_tf.data import augmentation, input_pipeline, preprocessing, tf_example
from ssd_tf.errors import InputError

NUM_IMAGES = 11


def make_records(directory, num_images=NUM_IMAGES, num_shards=3, height=16, width=24):
  """Writes non-square images of random pixels; image i has the source_id i and i % 4 boxes."""
  random = np.random.RandomState(0)
  paths = [
    os.path.join(directory, f'a.record-{i:05d}-of-{num_shards:05d}') for i in range(num_shards)
  ]
  serialized = [[] for _ in paths]
  for i in range(num_images):
    corners = np.sort(random.uniform(0, 1, [i % 4, 2, 2]), axis=1).reshape([-1, 4])
    annotation = tf_example.Annotation(
      encoded=tf.io.encode_png(random.randint(0, 256, [height, width, 3]).astype(np.uint8)).numpy(),
      format='png',
      height=height,
      width=width,
      filename=f'{i}.png',
      source_id=str(i),
      boxes=corners,
      class_ids=np.arange(i % 4) % 2 + 1,
      class_names=['cat'] * (i % 4),
    )
    serialized[i % num_shards].append(tf_example.encode_example(annotation))
  for path, records in zip(paths, serialized, strict=True):
    with tf.io.TFRecordWriter(path) as writer:
      for record in records:
        writer.write(record)
  return paths


def build(paths, **changes):
  of_source = {'decode_fn': functools.partial(tf_example.decode_example, num_classes=2)}
  for name in ('shuffle', 'shuffle_buffer_size', 'num_readers', 'sample_1_of_n'):
    if name in changes:
      of_source[name] = changes.pop(name)
  return build_mixed([input_pipeline.RecordSource(paths, **of_source)], **changes)


def build_mixed(sources, *, is_training=True, batch_size=4, num_parallel_calls=2, **training):
  operations = [
    ('random_horizontal_flip', augmentation.random_horizontal_flip),
    ('ssd_random_crop', augmentation.ssd_random_crop),
  ]
  training = {'augment_operations': operations, 'seed': 7, **training}
  preprocess_image_fn = functools.partial(
    preprocessing.preprocess_image, resize_fn=functools.partial(preprocessing.resize, size=(6, 8))
  )
  return input_pipeline.build_dataset(
    sources,
    preprocess_fn=lambda example, _: preprocessing.preprocess(
      example, preprocess_image_fn=preprocess_image_fn
    ),
    batch_size=batch_size,
    max_num_boxes=5,
    training=input_pipeline.TrainingOrder(**training) if is_training else None,
    num_parallel_calls=num_parallel_calls,
  )


def batches_of(dataset, count=None):
  return list(dataset.take(-1 if count is None else count).as_numpy_iterator())


def source_ids(batches):
  return [int(i) for batch in batches for i in batch[fields.SOURCE_ID]]


def assert_same(batches, others):
  assert len(batches) == len(others)
  for batch, other in zip(batches, others, strict=True):
    assert batch.keys() == other.keys()
    for key, value in batch.items():
      np.testing.assert_array_equal(value, other[key], err_msg=key)


@pytest.fixture(scope='module')
def paths(tmp_path_factory):
  return make_records(tmp_path_factory.mktemp('records'))


def test_training_goes_through_all_examples_in_each_epoch(paths):
  # 11 examples, batches of 4: 11 batches are 4 epochs, and no batch is short.
  batches = batches_of(build(paths), 11)
  assert all(batch[fields.IMAGE].shape == (4, 6, 8, 3) for batch in batches)
  assert all(batch[fields.EXAMPLE_MASK].all() for batch in batches)
  epochs = np.reshape(source_ids(batches), [4, 11])
  np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(11), [4, 1]))
  assert len({tuple(epoch) for epoch in epochs}) == 4


@pytest.mark.parametrize(
  'start_step', [1, 2, 3, 8]
)  # in the first epoch; at 12, past it; the third
def test_a_restart_gives_the_batches_that_would_have_come(paths, start_step):
  undisturbed = batches_of(build(paths), 10)
  assert_same(
    batches_of(build(paths, start_step=start_step), 10 - start_step), undisturbed[start_step:]
  )


def test_batches_do_not_depend_on_the_programs_own_seed_or_on_parallelism(paths):
  tf.random.set_seed(0)
  batches = batches_of(build(paths, num_parallel_calls=1), 5)
  tf.random.set_seed(99)
  assert_same(batches_of(build(paths, num_parallel_calls=8), 5), batches)
  dataset = build(paths)
  assert_same(batches_of(dataset, 5), batches)
  assert_same(batches_of(dataset, 5), batches)


def test_another_seed_gives_another_order_and_other_crops(paths):
  first, second = (batches_of(build(paths, seed=seed), 6) for seed in (0, 1))
  assert source_ids(first) != source_ids(second)
  # Unshuffled, the same example gets another crop in each epoch and with each seed.
  fixed = [batches_of(build(paths, seed=seed, shuffle=False, batch_size=11), 2) for seed in (0, 1)]
  images = [batch[fields.IMAGE] for batches in fixed for batch in batches]
  assert source_ids(fixed[0]) == source_ids(fixed[1])
  for i in range(4):
    for j in range(i):
      assert not np.array_equal(images[i], images[j])


def test_evaluation_gives_each_example_once_and_fills_the_last_batch(paths):
  batches = batches_of(build(paths, is_training=False))
  assert [batch[fields.EXAMPLE_MASK].tolist() for batch in batches] == [
    [True] * 4,
    [True] * 4,
    [True, True, True, False],
  ]
  # File after file: image i lies in file i % 3.
  ids = [batch[fields.SOURCE_ID].tolist() for batch in batches]
  assert ids == [[b'0', b'3', b'6', b'9'], [b'1', b'4', b'7', b'10'], [b'2', b'5', b'8', b'']]
  for key in set(batches[-1]) - {fields.SOURCE_ID}:
    assert not batches[-1][key][3].any()
  assert_same(batches_of(build(paths, is_training=False, augment_operations=())), batches)


@pytest.mark.parametrize(('batch_size', 'num_batches'), [(1, 11), (11, 1), (16, 1)])
def test_evaluation_batches_that_divide_the_examples_or_exceed_them(paths, batch_size, num_batches):
  batches = batches_of(build(paths, is_training=False, batch_size=batch_size))
  assert len(batches) == num_batches
  assert sum(batch[fields.EXAMPLE_MASK].sum() for batch in batches) == 11


def test_example_is_what_decoding_and_resizing_give(paths):
  batch = batches_of(build(paths, is_training=False, batch_size=2), 1)[0]
  record = list(tf.data.TFRecordDataset(paths[0]).as_numpy_iterator())[1]
  annotation = tf_example.parse_example(record)
  pixels = tf.io.decode_png(annotation.encoded)
  expected = tf.compat.v1.image.resize(pixels, (6, 8)) * (2 / 255) - 1
  np.testing.assert_allclose(batch[fields.IMAGE][1], expected, atol=1e-5)
  np.testing.assert_array_equal(batch[fields.GROUNDTRUTH_BOXES][1, :3], annotation.boxes)
  np.testing.assert_array_equal(batch[fields.GROUNDTRUTH_CLASSES][1], [1, 2, 1, 0, 0])
  np.testing.assert_array_equal(batch[fields.ORIGINAL_SIZE][1], [16, 24])
  np.testing.assert_array_equal(batch[fields.LABELED_CLASSES][1], [True, True])


@pytest.mark.parametrize('weights', [pytest.param((0, 0, 0), marks=pytest.mark.slow), (1, 2, 5)])
def test_sources_take_turns_by_weight_also_after_a_restart(weights, tmp_path):
  counts = (11, 4, 6)
  sources = []
  for number, (count, weight) in enumerate(zip(counts, weights, strict=True)):
    folder = tmp_path / str(number)
    folder.mkdir()

    def decode(serialized, number=number):
      example = tf_example.decode_example(serialized, num_classes=2)
      source_id = tf.strings.join([str(number), example[fields.SOURCE_ID]], ' ')
      return {**example, fields.SOURCE_ID: source_id}

    paths = make_records(folder, count, num_shards=2)
    sources.append(input_pipeline.RecordSource(paths, decode, weight=weight))

  def take(num_batches=None, **changes):
    dataset = build_mixed(sources, batch_size=7, **changes)
    batches = batches_of(dataset, num_batches)
    return [i for batch in batches for i in batch[fields.SOURCE_ID].tolist()]

  shares = np.array(weights if any(weights) else counts) / sum(weights if any(weights) else counts)
  undisturbed = take(300)[:2000]
  drawn = [[i.split()[1] for i in undisturbed if i.split()[0] == b'%d' % n] for n in range(3)]
  # Two whole rounds of 1,000 turns.
  np.testing.assert_array_equal([len(ids) for ids in drawn], np.rint(shares * 1000) * 2)
  for ids, count in zip(drawn, counts, strict=True):
    epochs = np.reshape(ids[: len(ids) // count * count], [-1, count]).astype(int)
    assert (np.sort(epochs, axis=1) == np.arange(count)).all()
  # 145 * 7 is past the first round of turns.
  for start_step in (1, 145):
    assert take(3, start_step=start_step) == undisturbed[start_step * 7 :][:21]
  found = take(is_training=False)
  assert sorted(found) == sorted(b'%d %d' % (n, i) for n in range(3) for i in range(counts[n]))
  assert [i.split()[0] for i in found] == [b'0'] * 11 + [b'1'] * 4 + [b'2'] * 6


def test_a_small_source_beside_a_large_one_gets_a_turn():
  turns = input_pipeline._turns([1e6, *[1] * 60], seed=0)
  np.testing.assert_array_equal(np.bincount(turns), [940, *[1] * 60])


def groundtruth(n):
  rows = np.arange(1, n + 1)
  return {
    fields.GROUNDTRUTH_BOXES: np.stack([rows] * 4, axis=1).astype(np.float32),
    fields.GROUNDTRUTH_CLASSES: rows.astype(np.int32),
    fields.GROUNDTRUTH_WEIGHTS: rows.astype(np.float32),
    fields.GROUNDTRUTH_IS_CROWD: rows > 0,
    fields.GROUNDTRUTH_DIFFICULT: rows > 0,
    fields.GROUNDTRUTH_GROUP_OF: rows > 0,
    fields.GROUNDTRUTH_AREA: rows.astype(np.float32),
    fields.SOURCE_ID: np.array(b'x'),
  }


# Boxes: none, one, a full N, one too many.
@pytest.mark.parametrize(('n', 'kept'), [(0, 0), (1, 1), (3, 3), (4, 3)])
def test_pad_groundtruth_keeps_the_first_rows_and_masks_the_rest(n, kept):
  example = groundtruth(n)
  pad = functools.partial(input_pipeline.pad_groundtruth, max_num_boxes=3)
  dataset = tf.data.Dataset.from_tensors(example).map(pad)
  assert dataset.element_spec[fields.GROUNDTRUTH_BOXES].shape == [3, 4]
  for padded in (pad(example), next(iter(dataset))):
    np.testing.assert_array_equal(padded[fields.GROUNDTRUTH_MASK], np.arange(3) < kept)
    for key in fields.PER_BOX:
      np.testing.assert_array_equal(padded[key][:kept], example[key][:kept])
      assert not padded[key][kept:].numpy().any()
    assert padded[fields.SOURCE_ID] == b'x'


def save_batches_of_two_replicas(paths):
  """Saves those of steps 2 to 4; in a process that has no device yet."""
  cpu = tf.config.list_physical_devices('CPU')[0]
  tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
  strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
  iterator = iter(strategy.experimental_distribute_dataset(build(paths, start_step=2)))
  for step in range(3):
    images = strategy.experimental_local_results(next(iterator)[fields.IMAGE])
    assert [len(image) for image in images] == [2, 2]
    np.save(os.path.join(os.path.dirname(paths[0]), f'{step}.npy'), np.concatenate(images))


def test_two_replicas_in_a_new_process_get_the_same_global_batches(paths):
  tool_processes.call(save_batches_of_two_replicas, paths)
  for step, batch in enumerate(batches_of(build(paths), 5)[2:]):
    saved = np.load(os.path.join(os.path.dirname(paths[0]), f'{step}.npy'))
    np.testing.assert_array_equal(saved, batch[fields.IMAGE])


def test_every_second_record(paths):
  evaluated = batches_of(build(paths, is_training=False, sample_1_of_n=2, batch_size=1))
  # Of 0 3 6 9, 1 4 7 10, 2 5 8.
  assert source_ids(evaluated) == [0, 6, 1, 7, 2, 8]
  trained = batches_of(build(paths, sample_1_of_n=2, batch_size=3), 4)
  epochs = np.reshape(source_ids(trained), [2, 6])
  np.testing.assert_array_equal(np.sort(epochs[0]), np.sort(epochs[1]))
  # A restart knows how long a sampled epoch is.
  restarted = batches_of(build(paths, sample_1_of_n=2, batch_size=3, start_step=3), 1)
  assert_same(restarted, trained[3:])


def test_shuffle_buffer_is_bounded_by_bytes(paths, caplog):
  record_bytes = os.path.getsize(paths[0]) / 4
  with caplog.at_level('INFO', logger='absl'):
    batches = batches_of(build(paths, max_shuffle_bytes=int(record_bytes * 1.5)), 2)
  assert 'Shuffle buffer: 1 records' in caplog.text
  assert 'lowered from 2048' in caplog.text
  assert len(batches) == 2


def test_files_without_records_are_refused(tmp_path):
  (tmp_path / 'empty.record').write_bytes(b'')
  with pytest.raises(InputError, match='empty.record: no record in there'):
    build([str(tmp_path / 'empty.record')])
