r"""Times forward pass and training step against a bare tf_keras network with the same heads.

  python tools/benchmarks/train_step.py --pipeline_config_path=CONFIG
  python tools/benchmarks/train_step.py --batch_size=2 --num_steps=2 \
    --pipeline_config_path=ssd_tf/configs/ssd300_vgg_voc0712.config
"""

import statistics
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from ssd_tf import builders, fields
from ssd_tf.commands import command_line
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.models import vgg
from ssd_tf.training import trainer

PIPELINE_CONFIG_PATH = flags.DEFINE_string(
  'pipeline_config_path',
  'ssd_tf/configs/ssd_mobilenet_v2_320x320_bccd.config',
  'A pipeline.config of an SSD MobileNet v2, or of SSD300 with VGG-16.',
)
BATCH_SIZE = flags.DEFINE_integer(
  'batch_size', None, "Images in a batch; default: the config's.", lower_bound=1
)
NUM_STEPS = flags.DEFINE_integer('num_steps', 10, 'Steps in a round.', lower_bound=1)
NUM_ROUNDS = flags.DEFINE_integer(
  'num_rounds', 5, 'Rounds, in turn with the other one.', lower_bound=1
)

_MAPS = ('block_13_expand_relu', 'out_relu')
_EXTRA_DEPTHS = (512, 256, 256, 128)
_ANCHORS = (3, 6, 6, 6, 6, 6)
_VGG_ANCHORS = (4, 6, 6, 6, 4, 4)


def compare(
  config_path: str, *, num_steps: int, num_rounds: int, batch_size: int | None = None
) -> dict[str, tuple[float, float]]:
  """Times our forward pass and step, and bare tf_keras ones, in turn, on one batch in memory.

  Both assign no data and read none; targets, losses, gradients and update are made every step. The
  bare one has the stock MobileNetV2 of tf_keras, or VGG-16 of its layers (its stock VGG16 leaves
  out the last row of odd maps), the same feature maps, heads, loss and optimizer; no regularizer.

  Args:
    config_path: a pipeline.config of an SSD MobileNet v2 with six feature maps, or of SSD300 with
      VGG-16.
    num_steps: in a round.
    num_rounds: of each.
    batch_size: instead of the config's.

  Returns:
    'forward pass' and 'training step' -> median seconds of ours, and of the bare one.

  Raises:
    InputError: the config's network has no bare counterpart.
  """
  config = Pipeline.load(config_path).config
  kind = config.model.ssd.feature_extractor.type
  if kind.removesuffix('_keras') not in _BARE_MODELS:
    raise InputError(
      f'{config_path}: model.ssd.feature_extractor.type: is {kind!r}; expected one of '
      f'{", ".join(_BARE_MODELS)}, since only these have a bare counterpart'
    )
  keras.utils.set_random_seed(0)
  detector = builders.build_detector(config.model, is_training=True)
  bare_model = _BARE_MODELS[kind.removesuffix('_keras')](detector)
  batch = _random_batch(detector, batch_size or config.train_config.batch_size)
  return {
    'forward pass': _median_times(
      (_forward_pass(detector.model, batch), _forward_pass(bare_model, batch)),
      num_steps,
      num_rounds,
    ),
    'training step': _median_times(
      (_our_step(config, detector, batch), _bare_step(detector, bare_model, batch)),
      num_steps,
      num_rounds,
    ),
  }


def _median_times(steps, num_steps, num_rounds):
  times: tuple[list, list] = ([], [])
  for step in steps:
    _time(step, 3)  # Tracing, and the first allocation of memory.
  for _ in range(num_rounds):
    for step, seconds in zip(steps, times, strict=True):
      seconds.append(_time(step, num_steps))
  return statistics.median(times[0]), statistics.median(times[1])


def _time(step: Callable[[], None], num_steps):
  began = time.perf_counter()
  for _ in range(num_steps):
    step()
  return (time.perf_counter() - began) / num_steps


def _forward_pass(model, batch):
  predict = tf.function(lambda images: model(images, training=False))
  return lambda: predict(batch[fields.IMAGE])[fields.CLASS_LOGITS].numpy()


def _our_step(config, detector, batch):
  dataset = tf.data.Dataset.from_tensors(batch).repeat()
  optimizer = builders.build_optimizer(config.train_config.optimizer)
  model_trainer = trainer.Trainer(
    detectors={detector.image_size: detector},
    optimizer=optimizer,
    dataset=dataset,
    strategy=tf.distribute.get_strategy(),
    gradient_clipping_by_norm=config.train_config.gradient_clipping_by_norm,
  )
  iterator = iter(dataset)
  step = tf.function(model_trainer.train_step, autograph=False)

  def run():
    step(iterator)
    model_trainer.global_step.numpy()

  return run


def _bare_step(detector, model, batch):
  """The step that a short script would have: model, loss, gradients, momentum."""
  import tf_keras

  optimizer = tf_keras.optimizers.legacy.SGD(0.01, momentum=0.9)

  @tf.function
  def step():
    targets = detector.assign_targets(batch)
    with tf.GradientTape() as tape:
      outputs = model(batch[fields.IMAGE], training=True)
      losses = detector.compute_losses(outputs, targets, batch)
      total = sum(losses.values())
    gradients = tape.gradient(total, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return total

  return lambda: step().numpy()


def _bare_mobilenet(detector):
  import tf_keras
  from tf_keras import layers

  height, width = detector.image_size
  backbone = tf_keras.applications.MobileNetV2((height, width, 3), include_top=False, weights=None)
  maps = [backbone.get_layer(name).output for name in _MAPS]

  def conv(inputs, filters, kernel_size, strides):
    outputs = layers.Conv2D(filters, kernel_size, strides, 'same', use_bias=False)(inputs)
    return layers.ReLU(6.0)(layers.BatchNormalization()(outputs))

  for filters in _EXTRA_DEPTHS:
    maps.append(conv(conv(maps[-1], filters // 2, 1, 1), filters, 3, 2))
  return _with_heads(backbone.input, maps, _ANCHORS, detector.num_classes, kernel_size=1)


def _bare_vgg(detector):
  import tf_keras
  from tf_keras import layers

  def conv(inputs, filters, kernel_size, padding='same', **options):
    layer = layers.Conv2D(filters, kernel_size, padding=padding, activation='relu', **options)
    return layer(inputs)

  images = features = tf_keras.Input([*detector.image_size, 3])
  ends = []
  for num_convs, filters in vgg.STAGES:
    if ends:
      features = layers.MaxPooling2D(padding='same')(features)
    for _ in range(num_convs):
      features = conv(features, filters, 3)
    ends.append(features)
  features = layers.MaxPooling2D(3, 1, padding='same')(features)
  features = conv(conv(features, 1024, 3, dilation_rate=6), 1024, 1)
  maps = [layers.UnitNormalization()(ends[3]), features]
  for squeezed, filters, size, strides, pad in vgg.EXTRA_BLOCKS_300:
    features = conv(maps[-1], squeezed, 1)
    if pad:
      features = layers.ZeroPadding2D(pad)(features)
    maps.append(conv(features, filters, size, 'valid', strides=strides))
  return _with_heads(images, maps, _VGG_ANCHORS, detector.num_classes, kernel_size=3)


def _with_heads(images, maps, anchors, num_classes, kernel_size):
  import tf_keras
  from tf_keras import layers

  def heads(channels):
    outputs = [
      layers.Reshape((-1, channels))(
        layers.Conv2D(num_anchors * channels, kernel_size, padding='same')(features)
      )
      for features, num_anchors in zip(maps, anchors, strict=True)
    ]
    return layers.Concatenate(axis=1)(outputs)

  outputs = {fields.CLASS_LOGITS: heads(num_classes + 1), fields.BOX_ENCODINGS: heads(4)}
  return tf_keras.Model(images, outputs)


_BARE_MODELS = {'ssd_mobilenet_v2': _bare_mobilenet, 'ssd_300_vgg': _bare_vgg}


def _random_batch(detector, batch_size, num_boxes=14, max_num_boxes=100):
  """Noise with as many boxes as BCCD has in an image."""
  rng = np.random.default_rng(0)
  boxes = np.zeros([batch_size, max_num_boxes, 4], np.float32)
  corners = rng.uniform(0, 0.75, [batch_size, num_boxes, 2])
  boxes[:, :num_boxes, :2] = corners
  boxes[:, :num_boxes, 2:] = corners + rng.uniform(0.1, 0.25, [batch_size, num_boxes, 2])
  mask = np.broadcast_to(np.arange(max_num_boxes) < num_boxes, [batch_size, max_num_boxes])
  classes = rng.integers(1, detector.num_classes + 1, [batch_size, max_num_boxes]) * mask
  image = rng.uniform(-1, 1, [batch_size, *detector.image_size, 3])
  return {
    fields.IMAGE: tf.constant(image, tf.float32),
    fields.GROUNDTRUTH_BOXES: tf.constant(boxes),
    fields.GROUNDTRUTH_CLASSES: tf.constant(classes, tf.int32),
    fields.GROUNDTRUTH_WEIGHTS: tf.constant(mask, tf.float32),
    fields.GROUNDTRUTH_MASK: tf.constant(mask),
    fields.LABELED_CLASSES: tf.ones([batch_size, detector.num_classes], tf.bool),
    fields.EXAMPLE_MASK: tf.ones([batch_size], tf.bool),
    fields.SOURCE_ID: tf.constant(['image'] * batch_size),
  }


def main():
  """Prints the medians and their ratios."""
  times = compare(
    PIPELINE_CONFIG_PATH.value,
    num_steps=NUM_STEPS.value,
    num_rounds=NUM_ROUNDS.value,
    batch_size=BATCH_SIZE.value,
  )
  for name, (ours, bare) in times.items():
    print(f'{name}: ssd_tf {ours:.4f} s, bare tf_keras {bare:.4f} s, ratio {ours / bare:.3f}')


if __name__ == '__main__':
  command_line.run(main)
