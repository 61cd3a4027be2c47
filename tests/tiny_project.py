"""A project of seconds: tiny images in records, a label map, a config; and the tools' commands."""

import pathlib
import shutil

import numpy as np
import tensorflow as tf

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.data import tf_example
from ssd_tf.run import checkpoints

ROOT = pathlib.Path(__file__).parents[1]
TESTDATA = ROOT / 'tests/testdata'
NAMES = ('a', 'b', 'c')
HEIGHT, WIDTH = 48, 80


def annotation(i, rng, num_boxes):
  """An image of noise, not square, with rectangles of each class's own color."""
  pixels = rng.integers(0, 60, [HEIGHT, WIDTH, 3]).astype(np.uint8)
  boxes, classes = [], []
  for _ in range(num_boxes):
    class_id = int(rng.integers(1, 4))
    y, x = rng.integers(0, HEIGHT - 20), rng.integers(0, WIDTH - 20)
    h, w = rng.integers(8, 20, 2)
    pixels[y : y + h, x : x + w, class_id - 1] = 255
    boxes.append([y / HEIGHT, x / WIDTH, (y + h) / HEIGHT, (x + w) / WIDTH])
    classes.append(class_id)
  return tf_example.Annotation(
    encoded=tf.io.encode_png(pixels).numpy(),
    format='png',
    height=HEIGHT,
    width=WIDTH,
    filename=f'image_{i}.png',
    source_id=f'image {i}',
    boxes=np.array(boxes, np.float32).reshape(-1, 4),
    class_ids=np.array(classes),
    class_names=[NAMES[c - 1] for c in classes],
  )


def annotations(num_images, seed):
  """Images with 0, 1, 2, 0, 1, ... boxes."""
  rng = np.random.default_rng(seed)
  return [annotation(i, rng, num_boxes=i % 3) for i in range(num_images)]


def write_records(path, images):
  with tf.io.TFRecordWriter(str(path)) as writer:
    for image in images:
      writer.write(tf_example.encode_example(image))


def make(folder):
  """Writes tiny.config, label_map.pbtxt, train.record (10 images) and eval.record (5)."""
  shutil.copy(ROOT / 'tests/testdata/tiny.config', folder / 'tiny.config')
  (folder / 'label_map.pbtxt').write_text(
    ''.join(f"item {{ id: {i} name: '{n}' }}\n" for i, n in enumerate(NAMES, start=1))
  )
  write_records(folder / 'train.record', annotations(10, seed=0))
  write_records(folder / 'eval.record', annotations(5, seed=1))


def write_checkpoint(folder):
  """What a training of the tiny config leaves in model/ after no step; returns its detector."""
  loaded = Pipeline.load(folder / 'tiny.config').config
  detector = builders.build_detector(loaded.model, is_training=True)
  optimizer = builders.build_optimizer(loaded.train_config.optimizer)
  optimizer.build(detector.model.trainable_variables)
  randomize(detector.model, seed=2)
  checkpoint = checkpoints.training_checkpoint(detector.model, optimizer)
  (folder / 'model').mkdir()
  tf.train.CheckpointManager(checkpoint, folder / 'model', max_to_keep=7).save(checkpoint_number=0)
  Pipeline(loaded, '').save(folder / 'model')
  return detector


def randomize(model, seed):
  """Gives every variable a value of its own; kernels such that activations neither fade nor grow.

  At the configs' own initial weights, before any training, all logits are the bias.
  """
  rng = np.random.default_rng(seed)
  for variable in model.variables:
    if 'kernel' in variable.path:
      is_depthwise = variable.shape[-1] == 1
      fan_in = np.prod(variable.shape[: 2 if is_depthwise else 3])
      variable.assign(rng.normal(0, np.sqrt(2 / fan_in), variable.shape))
    else:
      variable.assign(variable + rng.uniform(0, 0.2, variable.shape))
