"""What every config has to stand: parse, validate, build, run, save and restore, export."""

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
import tiny_project

from ssd_tf import builders, fields
from ssd_tf.config.checks.whole_config import find_faults
from ssd_tf.config.pipeline import Pipeline, PipelineConfig
from ssd_tf.data import tf_example
from ssd_tf.errors import InputError
from ssd_tf.exporting import saved_model
from ssd_tf.pretrained.checkpoint_description import step_of
from ssd_tf.pretrained.checkpoint_formats import open_checkpoint
from ssd_tf.run import checkpoints

ROOT = pathlib.Path(__file__).parents[2]
TINY = ROOT / 'tests/testdata/tiny.config'
# 300x300: 19 * 19 locations with 3 anchors; 10 * 10, 5 * 5, 3 * 3, 2 * 2 and 1 with 6.
SSD_300 = 1917
# 320x320: 20 * 20 with 3, the others as at 300x300.
SSD_320 = 2034
# Levels 3 to 7 of a pyramid, 3 ratios at 2 scales: 6 * (40^2 + 20^2 + 10^2 + 5^2 + 3^2); at 640x640
# 6 * (80^2 + 40^2 + 20^2 + 10^2 + 5^2); levels 3 to 5 alone 6 * (40^2 + 20^2 + 10^2).
FPN_320, FPN_640, FPN_320_TO_LEVEL_5 = 12_804, 51_150, 12_600
# 4, 6, 6, 6, 4, 4 on 38^2, 19^2, 10^2, 5^2, 3^2, 1; 4, 6, 6, 6, 6, 4, 4 on 64^2, 32^2, ..., 1.
VGG_300, VGG_512 = 8732, 24_564
NUM_ANCHORS = {
  'ssd_tf/configs/ssd300_vgg_voc0712': VGG_300,
  'ssd_tf/configs/ssd512_vgg_voc0712': VGG_512,
  'ssd_tf/configs/ssd_mobilenet_v1_0.75_300x300_bccd': SSD_300,
  'ssd_tf/configs/ssd_mobilenet_v1_0.75_300x300_coco': SSD_300,
  'ssd_tf/configs/ssd_mobilenet_v1_0.75_300x300_raccoon': SSD_300,
  'ssd_tf/configs/ssd_mobilenet_v1_0.75_300x300_raccoon_bccd': SSD_300,
  'ssd_tf/configs/ssd_mobilenet_v1_300x300_coco': SSD_300,
  'ssd_tf/configs/ssd_mobilenet_v1_512x512_digits': 2560,  # 2 on 32^2 and 16^2.
  'ssd_tf/configs/ssd_mobilenet_v1_fpn_640x640_coco': FPN_640,
  'ssd_tf/configs/ssd_mobilenet_v1_ppn_300x300_coco': 3000,  # 6 on 19^2 too.
  'ssd_tf/configs/ssd_mobilenet_v2_300x300_coco': SSD_300,
  'ssd_tf/configs/ssd_mobilenet_v2_320x320_bccd': SSD_300,
  'ssd_tf/configs/ssd_mobilenet_v2_fpnlite_320x320_coco': FPN_320,
  'ssd_tf/configs/ssd_mobilenet_v2_fpnlite_320x320_digits': FPN_320_TO_LEVEL_5,
  'ssd_tf/configs/ssdlite_mobilenet_v2_300x300_coco': SSD_300,
  'ssd_tf/configs/ssdlite_mobilenet_v3_large_320x320_coco': SSD_320,
  'ssd_tf/configs/ssdlite_mobilenet_v3_small_320x320_coco': SSD_320,
  'logs/bccd_ssd_mobilenet_v2/pipeline': SSD_300,
  'logs/digits_320/found_anchors/pipeline': FPN_320_TO_LEVEL_5,
  'logs/digits_320/stock_anchors/pipeline': FPN_320_TO_LEVEL_5,
  'logs/partial_labels/bccd': SSD_300,
  'logs/partial_labels/digits': 160,  # 128x128: 2 on 8^2 and 4^2.
  'logs/raccoon_freezing/base': SSD_300,
  'logs/raccoon_freezing/best/pipeline': SSD_300,
  'logs/ssd300_bccd/pipeline': VGG_300,
  'logs/ssd_512_vgg_person/pipeline': VGG_512,
  # 64x96, strides 16, 32, 64: 4 * 6 locations with 3 anchors, 2 * 3 and 1 * 2 with 4.
  'tests/testdata/tiny': 104,
}
# One of each family: their exports are tested in minutes, those of the others among the slow tests.
EXPORTED = (
  'ssd_tf/configs/ssd300_vgg_voc0712',
  'ssd_tf/configs/ssd_mobilenet_v1_ppn_300x300_coco',
  'ssd_tf/configs/ssd_mobilenet_v2_fpnlite_320x320_digits',
  'ssd_tf/configs/ssdlite_mobilenet_v3_small_320x320_coco',
  'tests/testdata/tiny',
)


def noise(height, width, seed=0):
  return np.random.default_rng(seed).integers(0, 256, [height, width, 3]).astype(np.uint8)


def run(detector, image):
  """Outputs of the network and detections, of one image."""
  batch, true_size = detector.preprocess_image(tf.constant(image[np.newaxis]))
  outputs = detector.model(batch, training=False)
  return outputs, detector.postprocess(outputs, true_size)


def load_with_stub_data(path, folder):
  """The config over files in the folder that are there, but empty; those it names may not be."""
  original = Pipeline.load(path).config
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
  return Pipeline.load(path, overrides).config


def build(loaded, seed):
  detector = builders.build_detector(loaded.model, is_training=True)
  optimizer = builders.build_optimizer(loaded.train_config.optimizer)
  optimizer.build(detector.model.trainable_variables)
  tiny_project.randomize(detector.model, seed)
  return detector, optimizer


def test_every_config_has_its_number_of_anchors():
  paths = [TINY, *ROOT.glob('ssd_tf/configs/**/*.config'), *ROOT.glob('logs/**/*.config')]
  assert {str(path.relative_to(ROOT).with_suffix('')) for path in paths} == set(NUM_ANCHORS)


@pytest.mark.parametrize('name', [name for name in NUM_ANCHORS if not name.startswith('logs/')])
def test_conformance(name, tmp_path):
  check_conformance(name, tmp_path, exported=name in EXPORTED)


@pytest.mark.slow
@pytest.mark.parametrize('name', [name for name in NUM_ANCHORS if name not in EXPORTED])
def test_conformance_and_export_of_the_others(name, tmp_path):
  check_conformance(name, tmp_path, exported=True)


def check_conformance(name, tmp_path, *, exported):
  path = ROOT / f'{name}.config'
  loaded = load_with_stub_data(path, tmp_path)
  assert find_faults(Pipeline(loaded, path)) == []
  builders.require_supported(loaded)
  builders.build_augmentation(loaded.train_config)
  loaded.model.ssd.feature_extractor.depth_multiplier = 0.25  # It is quicker so.
  detector, optimizer = build(loaded, seed=0)

  image = noise(90, 160)
  outputs, detections = run(detector, image)
  num_anchors, num_classes = NUM_ANCHORS[name], loaded.model.ssd.num_classes
  assert len(detector.anchors) == num_anchors
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
  assert int(other_optimizer.iterations) == step_of(open_checkpoint(saved)) == 7
  restored, _ = run(other, image)
  for key, value in outputs.items():
    np.testing.assert_array_equal(restored[key], value)

  if not exported:
    return
  # Each with one type of input; all types below.
  input_type = saved_model.INPUT_TYPES[len(name) % len(saved_model.INPUT_TYPES)]
  [exported] = exported_detections(other, tmp_path, [image], input_type, batch_size=None)
  for key in (fields.NUM_DETECTIONS, fields.DETECTION_SCORES):
    np.testing.assert_allclose(exported[key], detections[key][0], atol=1e-4, err_msg=key)


@pytest.fixture(scope='module')
def tiny_detector():
  few = 'model.ssd.post_processing.batch_non_max_suppression.max_total_detections=20'
  detector = builders.build_detector(Pipeline.load(TINY, [few]).config.model, is_training=False)
  tiny_project.randomize(detector.model, seed=2)
  return detector


def as_input(image, input_type):
  """The image as an exported detector takes it."""
  if input_type == 'image_tensor':
    return image
  if input_type == 'float_image_tensor':
    return image.astype(np.float32)
  encoded = tf.io.encode_png(image).numpy()
  if input_type == 'encoded_image_string_tensor':
    return encoded
  annotation = tiny_project.annotation(0, np.random.default_rng(0), num_boxes=1)
  annotation.encoded = encoded
  return tf_example.encode_example(annotation)


def exported_detections(detector, folder, images, input_type, batch_size):
  """What a SavedModel of the detector, written and loaded again, finds in each image."""
  path = saved_model.export_saved_model(
    detector, str(folder), input_type=input_type, batch_size=batch_size
  )
  detect = tf.saved_model.load(path).signatures['serving_default']
  # Not by NumPy, which drops the zeros at the end of a bytestring.
  batch = tf.stack([tf.constant(as_input(image, input_type)) for image in images])
  exported = detect(input_tensor=batch)
  assert set(exported) == set(saved_model.OUTPUTS)
  return [{key: value[i] for key, value in exported.items()} for i in range(len(images))]


@pytest.mark.parametrize('batch_size', [1, None])
@pytest.mark.parametrize('input_type', saved_model.INPUT_TYPES)
def test_an_export_detects_what_the_model_detects(input_type, batch_size, tiny_detector, tmp_path):
  # Pixels of one batch share their size; encoded images need not.
  sizes = [(48, 80), (48, 80) if 'image_tensor' in input_type else (100, 60)]
  images = [noise(*size, seed=i) for i, size in enumerate(sizes[:batch_size])]
  exported = exported_detections(tiny_detector, tmp_path, images, input_type, batch_size)
  for found, image in zip(exported, images, strict=True):
    _, expected = run(tiny_detector, image)
    scores = expected[fields.DETECTION_SCORES][0].numpy()
    assert np.diff(scores).max() < -1e-5  # So that rounding cannot change their order.
    for key in saved_model.OUTPUTS:
      np.testing.assert_allclose(found[key], expected[key][0], atol=1e-5, err_msg=key)


def field_exists(path):
  """Whether a config can have a field of this path, such as model.ssd.loss."""
  message = PipelineConfig.DESCRIPTOR
  for name in re.sub(r'\[\d+\]', '', path).split('.'):
    field = message and message.fields_by_name.get(name)
    if not field:
      return False
    message = field.message_type
  return True


API_CONFIGS = sorted((ROOT / 'tests/testdata/odapi_configs').glob('*.config'))
# Extractors that are refused, in words that the message has.
REFUSED = {
  'ssdlite_mobilenet_edgetpu_320x320_coco': 'ssd_mobilenet_edgetpu',
  'ssdlite_mobilenet_edgetpu_320x320_coco_quant': 'ssd_mobilenet_edgetpu',
  'ssd_mobilenet_v2_mnasfpn_shared_box_predictor_320x320_coco_sync': 'ssd_mobilenet_v2_mnasfpn',
}


def reduced(path):
  """A config with a small image and few filters; all else as it is."""
  loaded = Pipeline.load(path).config
  ssd = loaded.model.ssd
  size = 128 if 'multiscale_anchor_generator' in str(ssd.anchor_generator) else 96
  if ssd.image_resizer.HasField('fixed_shape_resizer'):
    resizer = ssd.image_resizer.fixed_shape_resizer
    resizer.height, resizer.width = size, size + 32
  else:
    resizer = ssd.image_resizer.keep_aspect_ratio_resizer
    resizer.min_dimension, resizer.max_dimension = size // 2, size
  ssd.feature_extractor.depth_multiplier = 0.25
  if ssd.feature_extractor.HasField('fpn'):
    ssd.feature_extractor.fpn.additional_layer_depth = 32
    ssd.box_predictor.weight_shared_convolutional_box_predictor.depth = 32
  return loaded


@pytest.mark.parametrize('path', API_CONFIGS, ids=lambda p: p.stem)
def test_a_config_of_the_api_trains_a_step_and_detects(path, tmp_path):
  stub = load_with_stub_data(path, tmp_path)
  assert find_faults(Pipeline(stub, path)) == []
  builders.require_supported(stub)
  loaded = reduced(path)
  builders.build_augmentation(loaded.train_config)
  optimizer = builders.build_optimizer(loaded.train_config.optimizer)
  if path.stem in REFUSED:
    with pytest.raises(InputError, match=f'feature_extractor.type: .*{REFUSED[path.stem]}'):
      builders.build_detector(loaded.model, is_training=True)
    return
  detector = builders.build_detector(loaded.model, is_training=True)
  variables = detector.model.trainable_variables
  optimizer.build(variables)
  images = tf.constant(np.stack([noise(90, 160, seed) for seed in range(2)]))
  batch, true_size = detector.preprocess_image(images)
  boxes = tf.constant([[[0.2, 0.1, 0.9, 0.6]], [[0.0, 0.0, 0.5, 1.0]]])
  groundtruth = {
    fields.GROUNDTRUTH_BOXES: boxes,
    fields.GROUNDTRUTH_CLASSES: tf.constant([[1], [2]]) % (detector.num_classes + 1),
    fields.GROUNDTRUTH_WEIGHTS: tf.ones([2, 1]),
    fields.GROUNDTRUTH_MASK: tf.ones([2, 1], tf.bool),
    fields.GROUNDTRUTH_IS_CROWD: tf.zeros([2, 1], tf.bool),
    fields.GROUNDTRUTH_GROUP_OF: tf.zeros([2, 1], tf.bool),
    fields.EXAMPLE_MASK: tf.ones([2], tf.bool),
    fields.LABELED_CLASSES: tf.ones([2, detector.num_classes], tf.bool),
  }
  before = [variable.numpy() for variable in variables]
  with tf.GradientTape() as tape:
    outputs = detector.model(batch, training=True)
    losses = detector.compute_losses(outputs, detector.assign_targets(groundtruth), groundtruth)
    total = tf.add_n([*losses.values(), *detector.model.losses])
  assert len(detector.anchors) == outputs[fields.CLASS_LOGITS].shape[1]
  assert np.isfinite(total) and total > 0
  gradients = tape.gradient(total, variables)
  optimizer.iterations.assign(500)  # A schedule may begin with 0.
  optimizer.apply(gradients, variables)
  moved = [np.any(old != new.numpy()) for old, new in zip(before, variables, strict=True)]
  assert np.mean(moved) > 0.7  # Some maps of so small an image have no match.

  detections = detector.postprocess(detector.model(batch, training=False), true_size)
  for box in detections[fields.DETECTION_BOXES].numpy().reshape(-1, 4):
    assert box.min() >= 0 and box.max() <= 1 and (box[:2] <= box[2:]).all()
  assert (detections[fields.NUM_DETECTIONS].numpy() >= 0).all()
