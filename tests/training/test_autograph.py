"""TensorFlow turns the training step into a graph without a warning."""

import inspect

import pytest
import tensorflow as tf

from ssd_tf.training.multi_scale import MultiScaleTrainer

METHODS = [
  method
  for _, method in inspect.getmembers(MultiScaleTrainer, inspect.isfunction)  # And the inherited.
  if method.__module__.startswith('ssd_tf') and method.__name__ != '__init__'
]


@pytest.mark.parametrize('method', METHODS, ids=lambda method: method.__qualname__)
def test_every_method_of_a_trainer_converts(method):
  # Raises where a trace would only warn, and run the method unconverted.
  assert callable(tf.autograph.to_graph(method))
