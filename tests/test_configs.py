"""What every config has to stand: parse, validate, build, run, save and restore, export."""

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
import tiny_project

from ssd_tf import builders, config, fields
from ssd_tf.data import tf_example
from ssd_tf.errors import InputError
from ssd_tf.export import saved_model
from ssd_tf.training import checkpoints

ROOT = pathlib.Path(__file__).parents[1]
TINY = ROOT / 'tests/testdata/tiny.config'
CONFIGS = [*sorted(ROOT.glob('configs/*.config')), *sorted(ROOT.glob('logs/*/*.config')), TINY]
NUM_ANCHORS = {
  # 64x96, strides 16, 32, 64: 4*6 locations with 3 anchors, 2*3 and 1*2 with 4.
  'tiny': 72 + 24 + 8,
  # 300x300: 19*19 locations with 3 anchors; 10*10, 5*5, 3*3, 2*2, 1 with 6.
  'ssd_mobilenet_v2_320x320_bccd': 1083 + 834,
  'ssd_mobilenet_v1_0.75_300x300_bccd': 1083 + 834,
  'ssd_mobilenet_v1_0.75_300x300_coco': 1083 + 834,
}


def noise(height, width, seed=0):
  return np.random.default_rng(seed).integers(0, 256, [height, width, 3]).astype(np.uint8)


def run(detector, image):
  """Outputs of the network and detections, of one image."""
  batch, true_size = detector.preprocess_image(tf.constant(image[np.newaxis]))
  outputs = detector.model(batch, training=False)
  return outputs, detector.postprocess(outputs, true_size)


def load_with_stub_data(path, folder):
  """The config over files in the folder that are there, but empty; those it names may not be."""
  original = config.load(path)
  num_classes = original.model.ssd.num_classes
  items = [f"item {{ id: {i} name: 'class {i}' }}\n" for i in range(1, num_classes + 1)]
  (folder / 'label_map.pbtxt').write_text(''.join(items))
  (folder / 'data.record').touch()
  (folder / 'model.ckpt.index').touch()
  overrides = []
  trained = [f'train_input_reader[{i}]' for i in range(len(original.train_input_reader))]
  for reader in (*trained, 'eval_input_reader'):
    overrides += [
      f'{reader}.label_map_path={folder}/label_map.pbtxt',
      f'{reader}.tf_record_input_reader.input_path={folder}/data.record',
    ]
  if original.train_config.fine_tune_checkpoint:
    overrides.append(f'train_config.fine_tune_checkpoint={folder}/model.ckpt')
  return config.load(path, overrides)


def build(loaded, seed):
  detector = builders.build_detector(loaded.model, is_training=True)
  optimizer = builders.build_optimizer(loaded.train_config.optimizer)
  optimizer.build(detector.model.trainable_variables)
  tiny_project.randomize(detector.model, seed)
  return detector, optimizer


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_conformance(path, tmp_path):
  loaded = load_with_stub_data(path, tmp_path)
  config.validate(loaded, path)
  builders.require_supported(loaded)
  builders.build_augmentation(loaded.train_config)
  detector, optimizer = build(loaded, seed=0)

  image = noise(90, 160)
  outputs, detections = run(detector, image)
  num_anchors, num_classes = len(detector.anchors), loaded.model.ssd.num_classes
  assert num_anchors == NUM_ANCHORS.get(path.stem, num_anchors)
  assert outputs[fields.CLASS_LOGITS].shape == (1, num_anchors, num_classes + 1)
  assert outputs[fields.BOX_ENCODINGS].shape == (1, num_anchors, 4)
  assert all(np.isfinite(value).all() for value in outputs.values())
  boxes = detections[fields.DETECTION_BOXES].numpy()
  assert boxes.min() >= 0 and boxes.max() <= 1
  assert set(np.unique(detections[fields.DETECTION_CLASSES])) <= set(range(num_classes + 1))

  optimizer.iterations.assign(7)
  saved = checkpoints.training_checkpoint(detector.model, optimizer).save(str(tmp_path / 'ckpt'))
  other, other_optimizer = build(loaded, seed=1)
  before, _ = run(other, image)
  assert np.abs(before[fields.CLASS_LOGITS] - outputs[fields.CLASS_LOGITS]).max() > 0.1
  checkpoints.restore_all(checkpoints.training_checkpoint(other.model, other_optimizer), saved)
  assert int(other_optimizer.iterations) == checkpoints.checkpoint_step(saved) == 7
  restored, _ = run(other, image)
  for key, value in outputs.items():
    np.testing.assert_array_equal(restored[key], value)


@pytest.fixture(scope='module')
def tiny_detector():
  few = 'model.ssd.post_processing.batch_non_max_suppression.max_total_detections=20'
  detector = builders.build_detector(config.load(TINY, [few]).model, is_training=False)
  tiny_project.randomize(detector.model, seed=2)
  return detector


def as_input(image, input_type):
  """The image as an exported detector takes it."""
  if input_type == 'image_tensor':
    return image
  encoded = tf.io.encode_png(image).numpy()
  if input_type == 'encoded_image_string_tensor':
    return encoded
  annotation = tiny_project.annotation(0, np.random.default_rng(0), num_boxes=1)
  annotation.encoded = encoded
  return tf_example.encode_example(annotation)


@pytest.mark.parametrize('batch_size', [1, None])
@pytest.mark.parametrize('input_type', saved_model.INPUT_TYPES)
def test_an_export_detects_what_the_model_detects(input_type, batch_size, tiny_detector, tmp_path):
  # Pixels of one batch share their size; encoded images need not.
  sizes = [(48, 80), (48, 80) if input_type == 'image_tensor' else (100, 60)]
  images = [noise(*size, seed=i) for i, size in enumerate(sizes[:batch_size])]
  path = saved_model.export_saved_model(
    tiny_detector, str(tmp_path), input_type=input_type, batch_size=batch_size
  )
  detect = tf.saved_model.load(path).signatures['serving_default']
  # Not by NumPy, which drops the zeros at the end of a bytestring.
  batch = tf.stack([tf.constant(as_input(image, input_type)) for image in images])
  exported = detect(input_tensor=batch)
  assert set(exported) == set(saved_model.OUTPUTS)
  for i, image in enumerate(images):
    _, expected = run(tiny_detector, image)
    scores = expected[fields.DETECTION_SCORES][0].numpy()
    assert np.diff(scores).max() < -1e-5  # So that rounding cannot change their order.
    for key in saved_model.OUTPUTS:
      np.testing.assert_allclose(exported[key][i], expected[key][0], atol=1e-5, err_msg=key)


def field_exists(path):
  """Whether a config can have a field of this path, such as model.ssd.loss."""
  message = config.PipelineConfig.DESCRIPTOR
  for name in re.sub(r'\[\d+\]', '', path).split('.'):
    field = message and message.fields_by_name.get(name)
    if not field:
      return False
    message = field.message_type
  return True


# Of the 30 configs; README.md has their number.
BUILT = {
  'ssd_mobilenet_v1_0.75_depth_300x300_coco14_sync',
  'ssd_mobilenet_v1_300x300_coco14_sync',
  'ssd_mobilenet_v2_320x320_coco17_tpu-8',
  'ssd_mobilenet_v2_pets_keras',
}


@pytest.mark.parametrize(
  'path', sorted((ROOT / 'tests/testdata/odapi_configs').glob('*.config')), ids=lambda p: p.stem
)
def test_a_config_of_the_api_builds_or_says_which_field_is_in_the_way(path):
  loaded = config.load(path)
  try:
    builders.require_supported(loaded)
    builders.build_augmentation(loaded.train_config)
    builders.build_optimizer(loaded.train_config.optimizer)
    detector = builders.build_detector(loaded.model, is_training=True)
  except InputError as error:
    assert path.stem not in BUILT
    for line in str(error).splitlines():
      field, _, fault = line.partition(': ')
      assert field_exists(field), line
      assert fault
  else:
    assert path.stem in BUILT
    assert len(detector.anchors) == detector.model.output[fields.CLASS_LOGITS].shape[1]
