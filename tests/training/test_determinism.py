"""The graph of a step holds no op that TensorFlow refuses on a GPU under op determinism."""

import pathlib

import keras
import pytest
import tensorflow as tf

from ssd_tf import builders, fields
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.models.normalization import FusedBatchNormalization, make_deterministic
from ssd_tf.training import trainer
from ssd_tf.training.label_curves import LabelCurves

ROOT = pathlib.Path(__file__).parents[2]
API_CONFIGS = ROOT / 'tests/testdata/odapi_configs'
# Those whose kernels say so: the messages "... deterministic ..." of UnimplementedError in the
# libraries of TensorFlow 2.20, which tf.config.experimental.enable_op_determinism speaks of.
REFUSED = {
  *('AdjustContrast', 'AdjustContrastv2', 'Bincount', 'DenseBincount', 'ResizeNearestNeighborGrad'),
  *('CropAndResizeGradBoxes', 'CropAndResizeGradImage', 'SparseTensorDenseMatMul'),
  *('FakeQuantWithMinMaxVarsGradient', 'FakeQuantWithMinMaxVarsPerChannelGradient'),
  *('SoftmaxCrossEntropyWithLogits', 'SparseSoftmaxCrossEntropyWithLogits'),
  *('SegmentMean', 'SegmentProd', 'SegmentSum', 'UnsortedSegmentProd', 'UnsortedSegmentSum'),
  *('ScatterAdd', 'ScatterDiv', 'ScatterMul', 'ScatterNdAdd', 'ScatterNdSub', 'ScatterSub'),
}
FROZEN = 'model.ssd.freeze_batchnorm=true'
LOSS = 'model.ssd.loss'
# Every neck and both box predictors, each in a small network, and the miners.
FAMILIES = {
  'v1 ppn, image miner': (
    API_CONFIGS / 'ssd_mobilenet_v1_ppn_shared_box_predictor_300x300_coco14_sync.config',
    [
      FROZEN,
      f'{LOSS}.classification_loss={{weighted_sigmoid {{}}}}',
      f'{LOSS}.hard_example_miner={{max_negatives_per_positive: 3 iou_threshold: 0.99}}',
    ],
  ),
  'v2 fpnlite': (API_CONFIGS / 'ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8.config', [FROZEN]),
  'v3': (API_CONFIGS / 'ssdlite_mobilenet_v3_small_320x320_coco.config', []),
  'vgg, miner by layers': (
    ROOT / 'ssd_tf/configs/ssd300_vgg_voc0712.config',
    [
      f'{LOSS}.hard_example_miner={{scope: SSD_TENSORFLOW_LAYER max_negatives_per_positive: 3}}',
      'model.ssd.normalize_loss_by_num_matches=false',
    ],
  ),
}


def refused_ops(function):
  """Names of the ops in the graph of a concrete function, and in all that it calls."""
  graph = function.graph.as_graph_def()
  nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
  assert nodes
  return {
    node.op
    for node in nodes
    if node.op in REFUSED
    or (node.op.startswith('FusedBatchNormGrad') and not node.attr['is_training'].b)
  }


def batch_of(detector):
  """One image with a box, one without."""
  return {
    fields.IMAGE: tf.zeros([2, *detector.image_size, 3]),
    fields.GROUNDTRUTH_BOXES: tf.constant([[[0.1, 0.1, 0.6, 0.7]], [[0.0] * 4]]),
    fields.GROUNDTRUTH_CLASSES: tf.constant([[1], [0]]),
    fields.GROUNDTRUTH_WEIGHTS: tf.constant([[1.0], [0.0]]),
    fields.GROUNDTRUTH_MASK: tf.constant([[True], [False]]),
    fields.GROUNDTRUTH_IS_CROWD: tf.zeros([2, 1], tf.bool),
    fields.GROUNDTRUTH_GROUP_OF: tf.zeros([2, 1], tf.bool),
    fields.EXAMPLE_MASK: tf.constant([True, True]),
    fields.LABELED_CLASSES: tf.ones([2, detector.num_classes], tf.bool),
    fields.SOURCE_ID: tf.constant(['a', 'b']),
  }


@pytest.mark.parametrize('name', FAMILIES)
def test_a_step_holds_no_op_without_a_deterministic_kernel(name):
  path, overrides = FAMILIES[name]
  small = ['model.ssd.num_classes=3', 'model.ssd.feature_extractor.depth_multiplier=0.125']
  loaded = Pipeline.load(path, [*small, *overrides]).config
  detector = builders.build_detector(loaded.model, is_training=True)
  make_deterministic(detector.model)
  dataset = tf.data.Dataset.from_tensors(batch_of(detector)).repeat()
  step = trainer.Trainer(
    detectors={detector.image_size: detector},
    optimizer=builders.build_optimizer(loaded.train_config.optimizer),
    dataset=dataset,
    strategy=tf.distribute.get_strategy(),
    gradient_clipping_by_norm=10.0,
    label_curves=LabelCurves({1: 'a', 2: 'b', 3: 'c'}, interval=1),
    batches_per_step=loaded.train_config.gradient_accumulation_steps,
  ).train_step
  traced = tf.function(step, autograph=False).get_concrete_function(iter(dataset))
  assert refused_ops(traced) == set()


def test_an_op_that_is_refused_is_found():
  layer = FusedBatchNormalization(frozen=True)
  inputs = keras.Input([2, 2, 3])
  model = keras.Model(inputs, layer(inputs))

  @tf.function
  def gradient(images):
    with tf.GradientTape() as tape:
      loss = tf.reduce_sum(model(images, training=True))
    return tape.gradient(loss, layer.gamma.value), tf.math.bincount([1, 2])

  found = refused_ops(gradient.get_concrete_function(tf.zeros([1, 2, 2, 3])))
  assert found == {'DenseBincount', 'FusedBatchNormGradV3'}
