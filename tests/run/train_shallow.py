"""Trains a network of three convolutions for a few steps; run as train_shallow.py REPLICAS OUT.npz.

Through the seventeen batch norms of a MobileNet at random weights the last bit of a float grows to
1e-4 within one step, whatever makes it differ (oneDNN on or off, one device, does as much). So that
a replica's fault can be told from that, synchronized batch norm is tried where floats stay put.
"""

import dataclasses
import sys

import keras
import numpy as np
import tensorflow as tf

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.models.box_predictor import Heads, convolutional_box_predictor
from ssd_tf.models.conv_block import ConvHyperparams, conv_block
from ssd_tf.run.strategy import make_strategy
from ssd_tf.training import trainer


def shallow_model(anchors_per_location):
  hyperparams = ConvHyperparams(
    initializer=lambda: keras.initializers.HeNormal(),
    l2_weight=1e-3,
    batch_norm={'momentum': 0.9, 'synchronized': True},
  )
  features = keras.Input([64, 96, 3])
  images, maps = features, []
  for i, strides in enumerate((16, 2, 2)):
    features = conv_block(features, 8, 3, hyperparams, strides=strides, name=f'conv_{i}')
    maps.append(features)
  logits, boxes = convolutional_box_predictor(
    maps, Heads(hyperparams=hyperparams, num_classes=3), anchors_per_location=anchors_per_location
  )
  return keras.Model(images, {'class_logits': logits, 'box_encodings': boxes})


def main():
  num_replicas, output_path = int(sys.argv[1]), sys.argv[2]
  strategy = make_strategy(num_replicas if num_replicas > 1 else 0)
  keras.utils.set_random_seed(0)
  rate = 'train_config.optimizer.momentum_optimizer.learning_rate'
  slow = f'{rate}={{constant_learning_rate {{learning_rate: 0.005}}}}'
  config = Pipeline.load('tiny.config', [slow]).config
  with strategy.scope():
    detector = builders.build_detector(config.model, is_training=True)
    detector = dataclasses.replace(detector, model=shallow_model([3, 4, 4]))
    optimizer = builders.build_optimizer(config.train_config.optimizer)
  dataset = builders.build_train_dataset(Pipeline(config, 'tiny.config'), detector)
  model_trainer = trainer.Trainer(
    detectors={detector.image_size: detector},
    optimizer=optimizer,
    dataset=strategy.experimental_distribute_dataset(dataset),
    strategy=strategy,
    gradient_clipping_by_norm=float(sys.argv[3]),
  )
  before = {v.path: v.numpy() for v in detector.model.variables}
  model_trainer.train(tf.constant(5))
  after = {v.path: v.numpy() for v in detector.model.variables}
  np.savez(output_path, **{f'before/{k}': v for k, v in before.items()}, **after)


if __name__ == '__main__':
  main()
