"""What a config's model.ssd says of targets, losses, detections and resizing, against the goldens.

The network itself stays out of most of these: the builders of its surroundings are called alone.
"""

import pathlib

import batches
import numpy as np
import odapi_goldens
import pytest
import tensorflow as tf
import tiny_project

from ssd_tf import builders, fields
from ssd_tf.builders import resizers, target_assigner
from ssd_tf.builders.objective import build_objective
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.exporting import saved_model

ROOT = pathlib.Path(__file__).parents[2]
TINY = ROOT / 'tests/testdata/tiny.config'
API_CONFIGS = ROOT / 'tests/testdata/odapi_configs'
V2_320 = API_CONFIGS / 'ssd_mobilenet_v2_320x320_coco17_tpu-8.config'
V1_COCO = API_CONFIGS / 'ssd_mobilenet_v1_coco.config'
SSDLITE = API_CONFIGS / 'ssdlite_mobilenet_v2_coco.config'
TARGETS = ROOT / 'tests/testdata/odapi/c_targets.npz'
CLASSIFICATION = 'model.ssd.loss.classification_loss'
LOCALIZATION = 'model.ssd.loss.localization_loss'
MATCHER = 'model.ssd.matcher.argmax_matcher'
RESIZER = 'model.ssd.image_resizer'
SUPPRESSION = 'model.ssd.post_processing.batch_non_max_suppression'


def ssd_of(path, *overrides):
  return Pipeline.load(path, overrides).config.model.ssd


def tiny_detector(*overrides):
  detector = builders.build_detector(Pipeline.load(TINY, overrides).config.model, is_training=False)
  tiny_project.randomize(detector.model, seed=2)
  return detector


@pytest.fixture(scope='module')
def measured():
  anchors = odapi_goldens.arrays('a_anchors')['ssd_mobilenet_v2_320']
  return {**odapi_goldens.losses(), 'anchors': tf.constant(anchors)}


def groundtruth():
  """The nine images of the goldens."""
  arrays = np.load(TARGETS)
  counts = [len(arrays[f'gt_boxes_{i}']) for i in range(9)]
  boxes, weights = np.zeros([9, 40, 4], np.float32), np.zeros([9, 40], np.float32)
  classes, mask = np.zeros([9, 40], np.int32), np.zeros([9, 40], bool)
  for i, count in enumerate(counts):
    boxes[i, :count], weights[i, :count] = arrays[f'gt_boxes_{i}'], arrays[f'gt_weights_{i}']
    classes[i, :count], mask[i, :count] = arrays[f'gt_classes_{i}'] + 1, True
  return batches.groundtruth(boxes, classes, weights, mask)


def assign(ssd, anchors):
  box_coder = target_assigner.build_box_coder(ssd)
  return target_assigner.build_target_assigner(ssd, box_coder)(groundtruth(), anchors)


# From a config and the changes to it to a complete loss of the original.
@pytest.mark.parametrize(
  ('name', 'path', 'overrides'),
  [
    ('ssd_mobilenet_v2_320_config', V2_320, []),
    ('v2_320_no_codesize_norm', V2_320, ['model.ssd.normalize_loc_loss_by_codesize=false']),
    ('v2_320_no_num_matches_norm', V2_320, ['model.ssd.normalize_loss_by_num_matches=false']),
    (
      'v2_320_clsw2_locw05',
      V2_320,
      ['model.ssd.loss.classification_weight=2', 'model.ssd.loss.localization_weight=0.5'],
    ),
    ('ssd_mobilenet_v1_coco_config_hard_mining_min0_bg_onehot', V1_COCO, []),
    ('ssdlite_mobilenet_v2_coco_config_hard_mining_min3_bg_onehot', SSDLITE, []),
    ('v2_320_focal_alpha025', V2_320, [f'{CLASSIFICATION}.weighted_sigmoid_focal.alpha=0.25']),
    (
      'ssd_mobilenet_v1_coco_softmax_hard_mining_min0',
      V1_COCO,
      [f'{CLASSIFICATION}={{weighted_softmax {{}}}}'],
    ),
    ('v2_320_is_annotated_even_images', V2_320, []),
  ],
)
def test_a_config_makes_the_originals_loss(name, path, overrides, measured):
  ssd = ssd_of(path, *overrides)
  assigned = assign(ssd, measured['anchors'])
  ours = build_objective(ssd, target_assigner.build_box_coder(ssd))
  annotated = np.arange(9) % 2 == 0 if 'annotated' in name else np.ones(9, bool)
  result = ours(
    batches.outputs(measured['logits'], measured['box_encodings']),
    assigned,
    batches.masks(9, 3, tf.constant(annotated)),
    tf.maximum(ours.normalizer_part(assigned, batches.masks(9, 3)), 1.0),
    measured['anchors'],
  )
  for term in ('localization_loss', 'classification_loss'):
    golden = measured['json']['model_loss'][name][f'Loss/{term}']
    np.testing.assert_allclose(result[term], golden, rtol=1e-5)


@pytest.mark.parametrize(
  ('suffix', 'overrides'),
  [
    ('', []),
    ('_05_04_force', [f'{MATCHER}.unmatched_threshold=0.4']),
    ('_05_05_noforce', [f'{MATCHER}.force_match_for_each_row=false']),
    (
      '_06_04_force_negnotlower',
      [
        f'{MATCHER}.matched_threshold=0.6',
        f'{MATCHER}.unmatched_threshold=0.4',
        f'{MATCHER}.negatives_lower_than_unmatched=false',
      ],
    ),
  ],
)
def test_a_config_makes_the_originals_targets(suffix, overrides, measured):
  arrays = np.load(TARGETS)
  assigned = assign(ssd_of(V2_320, *overrides), measured['anchors'])
  match = arrays[f'match{suffix}']
  np.testing.assert_array_equal(assigned.positive_mask, match >= 0)
  weights = arrays[f'cls_weights{suffix}']
  weights = weights if weights.ndim == 2 else weights[..., 0]
  np.testing.assert_array_equal(assigned.class_weights, weights)


# All variants of each oneof, with values away from the defaults.
@pytest.mark.parametrize(
  'override',
  [
    f'{LOCALIZATION}={{weighted_l2 {{}}}}',
    f'{LOCALIZATION}={{weighted_iou {{}}}}',
    f'{LOCALIZATION}={{weighted_giou {{}}}}',
    f'{LOCALIZATION}={{l1_localization_loss {{}}}}',
    f'{LOCALIZATION}={{weighted_smooth_l1 {{delta: 0.3}}}}',
    f'{CLASSIFICATION}={{weighted_sigmoid {{}}}}',
    f'{CLASSIFICATION}={{bootstrapped_sigmoid {{alpha: 0.9}}}}',
    f'{CLASSIFICATION}={{bootstrapped_sigmoid {{alpha: 0.9 hard_bootstrap: true}}}}',
    f'{CLASSIFICATION}={{weighted_softmax {{logit_scale: 3}}}}',
    f'{CLASSIFICATION}={{weighted_softmax_focal {{gamma: 1 alpha: 0.3 logit_scale: 2}}}}',
    f'{CLASSIFICATION}={{weighted_softmax_focal {{}}}}',
    'model.ssd.negative_class_weight=0.5',
    f'{MATCHER}.ignore_thresholds=true',
    'model.ssd.matcher={bipartite_matcher {}}',
    'model.ssd.similarity_calculator={ioa_similarity {}}',
    'model.ssd.similarity_calculator={neg_sq_dist_similarity {}}',
    'model.ssd.similarity_calculator={thresholded_iou_similarity {iou_threshold: 0.3}}',
    'model.ssd.box_coder={mean_stddev_box_coder {stddev: 0.1}}',
    'model.ssd.box_coder={faster_rcnn_box_coder {y_scale: 5}}',
    'model.ssd.box_coder={square_box_coder {}}',
  ],
)
def test_each_choice_changes_the_loss_and_stays_finite(override):
  overrides = [override]
  if 'softmax' in override:
    overrides.append('model.ssd.encode_background_as_zeros=false')
  if 'square' in override:
    overrides.append('model.ssd.box_predictor.convolutional_box_predictor.box_code_size=3')
  rng = np.random.default_rng(0)
  logits, encodings = rng.normal(-2, 2, [9, 104, 4]), rng.normal(0, 1, [9, 104, 4])
  batch = groundtruth() | batches.masks(9, 3, labeled_classes=rng.random([9, 3]) < 0.7)
  found = {}
  for name, changes in (('ours', overrides), ('stock', [])):
    loaded = Pipeline.load(TINY, changes).config
    builders.require_supported(loaded)
    detector = builders.build_detector(loaded.model, is_training=True)
    code_size = detector.model.output[fields.BOX_ENCODINGS].shape[-1]
    outputs = {
      fields.CLASS_LOGITS: tf.constant(logits, tf.float32),
      fields.BOX_ENCODINGS: tf.constant(encodings[..., :code_size], tf.float32),
    }
    detections = detector.postprocess(outputs)
    assert detections[fields.DETECTION_BOXES].shape == (9, 100, 4)
    with tf.GradientTape() as tape:
      tape.watch(outputs)
      losses = detector.compute_losses(outputs, detector.assign_targets(batch), batch)
      total = sum(losses.values())
    gradient = tape.gradient(total, outputs)
    assert all(np.isfinite(value).all() and np.any(value) for value in gradient.values()), name
    found[name] = float(total)
  assert np.isfinite(found['ours']) and found['ours'] != pytest.approx(found['stock'], rel=1e-4)


CROWD_BOX, PLAIN_BOX = [0.0, 0.0, 0.9, 0.5], [0.1, 0.55, 0.6, 0.95]


@pytest.mark.parametrize('kind', [fields.GROUNDTRUTH_IS_CROWD, fields.GROUNDTRUTH_GROUP_OF])
def test_crowds_and_groups_of_records_are_ignored_unless_wanted(kind, tiny):
  annotation = tiny_project.annotations(1, seed=0)[0]
  annotation.boxes = np.array([CROWD_BOX, PLAIN_BOX], np.float32)
  annotation.class_ids, annotation.class_names = np.array([1, 2]), ['a', 'b']
  flags = np.array([True, False])
  if kind == fields.GROUNDTRUTH_IS_CROWD:
    annotation.is_crowd = flags
  else:
    annotation.group_of = flags
  tiny_project.write_records(tiny / 'train.record', [annotation] * 4)
  found = {}
  for wanted in (False, True):
    override = f'model.ssd.train_on_crowds={str(wanted).lower()}'
    loaded = Pipeline.load(tiny / 'tiny.config', [override]).config
    del loaded.train_config.data_augmentation_options[:]
    builders.require_supported(loaded)
    detector = builders.build_detector(loaded.model, is_training=True)
    dataset = builders.build_train_dataset(Pipeline(loaded, str(tiny / 'tiny.config')), detector)
    batch = next(iter(dataset))
    np.testing.assert_array_equal(batch[kind][:, :2], np.tile(flags, [4, 1]))
    assigned = detector.assign_targets(batch)
    found[wanted] = {name: value.numpy()[0] for name, value in assigned._asdict().items()}
    # A crowd's image stays labeled; a group's is not exhaustively annotated for the group's class.
    is_labeled = [kind == fields.GROUNDTRUTH_IS_CROWD, True, True]
    np.testing.assert_array_equal(batch[fields.LABELED_CLASSES], [is_labeled] * 4)
  anchors = detector.anchors.numpy()
  low, high = np.maximum(anchors[:, :2], CROWD_BOX[:2]), np.minimum(anchors[:, 2:], CROWD_BOX[2:])
  share = np.maximum(high - low, 0).prod(1) / (anchors[:, 2:] - anchors[:, :2]).prod(1)
  classes = found[True]['class_targets']
  assert set(classes) == {0, 1, 2}
  np.testing.assert_array_equal(found[False]['class_targets'], np.where(classes == 2, 2, 0))
  ignored = (share >= 0.5) & (classes != 2)
  assert (classes[ignored] == 0).any() and (classes[ignored] == 1).any()
  np.testing.assert_array_equal(found[False]['class_weights'], ~ignored)
  np.testing.assert_array_equal(found[True]['class_weights'], np.ones_like(share))


# What f_preprocess.json names the cases of.
RESIZERS = {
  'fixed_16x20': 'fixed_shape_resizer {height: 16 width: 20}',
  'fixed_50x40': 'fixed_shape_resizer {height: 50 width: 40}',
  'fixed_16x20_nearest': (
    'fixed_shape_resizer {height: 16 width: 20 resize_method: NEAREST_NEIGHBOR}'
  ),
  'fixed_16x20_bicubic': 'fixed_shape_resizer {height: 16 width: 20 resize_method: BICUBIC}',
  'fixed_16x20_area': 'fixed_shape_resizer {height: 16 width: 20 resize_method: AREA}',
  'fixed_16x20_gray': 'fixed_shape_resizer {height: 16 width: 20 convert_to_grayscale: true}',
  'keep_min30_max40_pad': (
    'keep_aspect_ratio_resizer {min_dimension: 30 max_dimension: 40 pad_to_max_dimension: true}'
  ),
  'keep_pad_color': (
    'keep_aspect_ratio_resizer {min_dimension: 30 max_dimension: 40 pad_to_max_dimension: true '
    'per_channel_pad_value: [123.68, 116.779, 103.939]}'
  ),
}


@pytest.mark.parametrize('case', RESIZERS)
def test_a_config_makes_the_originals_resizer(case):
  arrays = np.load(ROOT / 'tests/testdata/f_preprocess.npz')
  ssd = ssd_of(TINY, f'{RESIZER}={{{RESIZERS[case]}}}')
  preprocess = resizers.build_preprocess_image(ssd)
  for dtype in ('uint8', 'float32'):
    image = arrays['image_24x36'].astype(dtype)
    resized, true_size = preprocess(image, normalize_fn=tf.identity)
    np.testing.assert_array_equal(resized, arrays[f'resize_{case}_{dtype}'])
    np.testing.assert_array_equal(true_size, arrays[f'resize_{case}_{dtype}_true_shape'][:2])
    shape = (*resizers.image_size(ssd), resizers.num_channels(ssd))
    assert resized.shape == shape


@pytest.mark.parametrize('kind', ['fixed_shape_resizer', 'keep_aspect_ratio_resizer'])
def test_half_pixel_centers_are_read(kind):
  sizes = (
    'height: 40 width: 40'
    if kind == 'fixed_shape_resizer'
    else ('min_dimension: 40 max_dimension: 40 pad_to_max_dimension: true')
  )
  image = np.random.default_rng(0).integers(0, 256, [80, 80, 3]).astype(np.uint8)
  halves = {}
  for value in ('true', 'false'):
    text = f'{RESIZER}={{{kind} {{{sizes} half_pixel_centers: {value}}}}}'
    preprocess = resizers.build_preprocess_image(ssd_of(TINY, text))
    resized, _ = preprocess(image, normalize_fn=tf.identity)
    halves[value] = resized.numpy()
  # Half the size: the mean of four pixels, or one of them.
  means = image.reshape(40, 2, 40, 2, 3).mean(axis=(1, 3), dtype=np.float32)
  np.testing.assert_allclose(halves['true'], means, atol=1e-4)
  np.testing.assert_array_equal(halves['false'], image[::2, ::2])


PADDED = (
  f'{RESIZER}={{keep_aspect_ratio_resizer {{min_dimension: 96 max_dimension: 96 '
  'pad_to_max_dimension: true}}'
)
FEW = f'{SUPPRESSION}.max_total_detections=20'


def test_what_is_learned_on_a_padded_image_is_found_on_the_original(tiny):
  # A network that predicts the targets exactly finds the boxes of the records.
  rng = np.random.default_rng(0)
  # One box in each, as two could want the same anchor.
  annotations = [tiny_project.annotation(i, rng, num_boxes=1) for i in range(5)]
  tiny_project.write_records(tiny / 'eval.record', annotations)
  loaded = Pipeline.load(tiny / 'tiny.config', [PADDED, 'eval_config.batch_size=3']).config
  builders.require_supported(loaded)
  detector = builders.build_detector(loaded.model, is_training=False)
  batches = list(builders.build_eval_dataset(Pipeline(loaded, str(tiny / 'tiny.config')), detector))
  images = []
  for batch in batches:
    assigned = detector.assign_targets(batch)
    outputs = {
      fields.CLASS_LOGITS: tf.one_hot(assigned.class_targets, 4) * 20.0 - 10.0,
      fields.BOX_ENCODINGS: assigned.box_targets,
    }
    found = detector.postprocess(outputs, batch[fields.TRUE_SIZE])
    found = {key: value.numpy() for key, value in found.items()}
    for i in np.flatnonzero(batch[fields.EXAMPLE_MASK]):
      sure = found[fields.DETECTION_SCORES][i] > 0.5
      images.append(
        (found[fields.DETECTION_BOXES][i][sure], found[fields.DETECTION_CLASSES][i][sure])
      )
    assert not found[fields.NUM_DETECTIONS][~batch[fields.EXAMPLE_MASK].numpy()].any()
  for annotation, (boxes, classes) in zip(annotations, images, strict=True):
    order = [np.abs(boxes - box).max(axis=1).argmin() for box in annotation.boxes]
    np.testing.assert_allclose(boxes[order], annotation.boxes, atol=1e-4)
    np.testing.assert_array_equal(classes[order], annotation.class_ids)


@pytest.mark.slow
@pytest.mark.parametrize('input_type', ['image_tensor', 'encoded_image_string_tensor'])
@pytest.mark.parametrize('gray', [False, True])
def test_an_export_of_a_padding_detector_speaks_of_the_original_image(input_type, gray, tmp_path):
  resizer = PADDED.replace('96 pad', f'96 convert_to_grayscale: {str(gray).lower()} pad')
  detector = tiny_detector(resizer, FEW)
  image = np.random.default_rng(0).integers(0, 256, [48, 80, 3]).astype(np.uint8)
  path = saved_model.export_saved_model(detector, str(tmp_path), input_type=input_type)
  given = tf.constant(image) if input_type == 'image_tensor' else tf.io.encode_png(image)
  detect = tf.saved_model.load(path).signatures['serving_default']
  found = {key: value[0].numpy() for key, value in detect(input_tensor=given[None]).items()}
  # 48x80 becomes 58x96 of 96x96.
  share = np.float32([58 / 96, 1, 58 / 96, 1])
  count = int(found[fields.NUM_DETECTIONS])
  assert count > 3
  anchors = found[fields.DETECTION_ANCHOR_INDICES][:count].astype(int)
  raw = found[fields.RAW_DETECTION_BOXES][anchors]
  expected = np.minimum(np.maximum(raw, 0), share) / share
  np.testing.assert_allclose(found[fields.DETECTION_BOXES][:count], expected, atol=1e-5)
  # The network saw the image, then 0.
  seen, true_size = detector.preprocess_image(image)
  np.testing.assert_array_equal(true_size, [58, 96])
  assert seen.shape == (96, 96, 1 if gray else 3) and not seen[58:].numpy().any()
  outputs = detector.model(seen[None], training=False)
  raw_boxes = detector.postprocess(outputs)[fields.RAW_DETECTION_BOXES]
  np.testing.assert_allclose(found[fields.RAW_DETECTION_BOXES], raw_boxes[0], atol=1e-5)


def test_all_of_the_suppressions_fields_are_read():
  values = {
    'score_threshold': 0.25,
    'iou_threshold': 0.5,
    'max_detections_per_class': 7,
    'max_total_detections': 9,
    'use_class_agnostic_nms': True,
    'max_classes_per_detection': 2,
    'soft_nms_sigma': 0.75,
    'change_coordinate_frame': False,
  }
  overrides = [f'{SUPPRESSION}.{name}={str(value).lower()}' for name, value in values.items()]
  machinery = ('use_static_shapes', 'use_partitioned_nms', 'use_combined_nms', 'use_cpu_nms')
  overrides += [f'{SUPPRESSION}.{name}=true' for name in machinery]
  overrides += ['model.ssd.post_processing.logit_scale=4']
  overrides += ['model.ssd.post_processing.score_converter=SOFTMAX']
  detector = tiny_detector(*overrides)
  given = detector.post_processor
  assert {name: getattr(given, name) for name in values} == values
  assert given.logit_scale == 4 and given.score_converter == 'SOFTMAX'
  hard = tiny_detector(*overrides, f'{SUPPRESSION}.use_hard_nms=true')
  assert hard.post_processor.soft_nms_sigma == 0


@pytest.mark.parametrize(
  ('override', 'message'),
  [
    (f'{RESIZER}={{identity_resizer {{}}}}', 'identity_resizer: gives images of many .* take'),
    (
      f'{RESIZER}={{conditional_shape_resizer {{}}}}',
      'conditional_shape_resizer: gives .*pad_to_max_dimension: true',
    ),
    (f'{RESIZER}={{pad_to_multiple_resizer {{}}}}', 'pad_to_multiple_resizer: gives images of'),
    (
      f'{RESIZER}={{keep_aspect_ratio_resizer {{pad_to_max_dimension: true min_dimension: 2000}}}}',
      'keep_aspect_ratio_resizer.max_dimension: is 1024; expected min_dimension, 2000',
    ),
    (
      PADDED.replace('96 pad', '96 per_channel_pad_value: [1, 2] pad'),
      'per_channel_pad_value: has 2 values; expected none, or 3',
    ),
    (f'{RESIZER}.fixed_shape_resizer.height=0', 'fixed_shape_resizer.height: is 0; expected 1 to'),
    ('model.ssd.box_coder={keypoint_box_coder {}}', 'keypoint_box_coder: codes keypoints'),
    ('model.ssd.box_coder.faster_rcnn_box_coder.x_scale=0', 'x_scale: is 0; expected more than 0'),
    ('model.ssd.box_coder={square_box_coder {}}', 'box_code_size: is 4, expected 3'),
    (f'{MATCHER}.matched_threshold=0', 'argmax_matcher.matched_threshold: is 0; expected more'),
    (f'{MATCHER}.unmatched_threshold=0.6', 'unmatched_threshold: is 0.6; expected at most'),
    (f'{MATCHER}.negatives_lower_than_unmatched=false', 'negatives_lower_than_unmatched: false le'),
    ('model.ssd.negative_class_weight=2', 'negative_class_weight: is 2; expected 0 to 1'),
    ('model.ssd.explicit_background_class=true', 'explicit_background_class: true is not'),
    ('model.ssd.use_confidences_as_targets=true', 'use_confidences_as_targets: true is not suppor'),
    ('model.ssd.implicit_example_weight=0.5', 'implicit_example_weight: is not supported; for'),
    ('model.ssd.loss.expected_loss_weights=EXPECTED_SAMPLING', 'expected_loss_weights: is not'),
    ('model.ssd.loss.random_example_sampler={}', 'random_example_sampler: is not supported'),
    ('model.ssd.loss.equalization_loss={weight: 1}', 'equalization_loss: is not supported'),
    (f'{CLASSIFICATION}={{weighted_logits_softmax {{}}}}', 'weighted_logits_softmax: learns'),
    (f'{CLASSIFICATION}={{bootstrapped_sigmoid {{}}}}', 'bootstrapped_sigmoid.alpha: is not set; '),
    (f'{CLASSIFICATION}={{bootstrapped_sigmoid {{alpha: 2}}}}', 'alpha: is 2; expected 0 to 1'),
    (f'{CLASSIFICATION}={{weighted_softmax_focal {{}}}}', 'encode_background_as_zeros: expected f'),
    (f'{CLASSIFICATION}.weighted_sigmoid_focal.gamma=-1', 'focal.gamma: is -1; expected 0 to'),
    (f'{CLASSIFICATION}.weighted_sigmoid_focal.alpha=1.5', 'focal.alpha: is 1.5; expected 0 to 1'),
    (f'{LOCALIZATION}.weighted_smooth_l1.delta=0', 'weighted_smooth_l1.delta: is 0; expected more'),
    ('model.ssd.loss.hard_example_miner={}', 'hard_example_miner and weighted_sigmoid_focal both'),
    (f'{SUPPRESSION}.max_total_detections=0', 'max_total_detections: is 0; expected 1 to'),
    (f'{SUPPRESSION}.iou_threshold=1.5', 'iou_threshold: is 1.5; expected 0 to 1'),
    (f'{SUPPRESSION}.soft_nms_sigma=-1', 'soft_nms_sigma: is -1; expected 0 or more'),
    ('model.ssd.post_processing.logit_scale=0', 'logit_scale: is 0; expected more than 0'),
  ],
)
def test_what_cannot_be_built_is_named_with_the_way_out(override, message):
  loaded = Pipeline.load(TINY, [override]).config
  with pytest.raises(InputError, match=message) as caught:
    builders.build_detector(loaded.model, is_training=True)
  assert str(caught.value).startswith('model.ssd')


def test_softmax_has_no_background_column_apart():
  for kind in ('weighted_softmax', 'weighted_softmax_focal'):
    ssd = ssd_of(
      TINY,
      f'{CLASSIFICATION}={{{kind} {{}}}}',
      'model.ssd.encode_background_as_zeros=false',
      'model.ssd.loss.partial_labels=MASKED_BUT_BACKGROUND',
    )
    with pytest.raises(InputError, match=f'partial_labels: .* with {kind}'):
      build_objective(ssd, target_assigner.build_box_coder(ssd))
