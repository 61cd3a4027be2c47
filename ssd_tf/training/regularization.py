"""Computes the regularization of a network's weights."""

import keras
import tensorflow as tf


def regularization_losses(model: keras.Model) -> list[tf.Tensor]:
  """Computes the regularization of every weight that has one, f32[] each; may be empty.

  Of those too that are frozen, as the Object Detection API counts them (Keras's `model.losses`
  leaves them out): the sum is a function of the weights alone, so that it has no jump where a stage
  of a training releases them, and means the same in every run. They have no gradient from it.
  """
  return [
    variable.regularizer(variable)
    for variable in model.variables
    if getattr(variable, 'regularizer', None) is not None
  ]
