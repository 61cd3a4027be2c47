"""The loop that overfits a few images; that it succeeds is seen in test_overfit_models."""

import dataclasses

import keras
import pytest
import tiny_project

from ssd_tf import builders, fields
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.diagnosis.overfit import overfit
from ssd_tf.errors import InputError
from ssd_tf.models.box_predictor import Heads, convolutional_box_predictor
from ssd_tf.models.conv_block import ConvHyperparams, conv_block


def shallow(model_config, is_training):
  """The tiny config's detector with three convolutions for a network: seconds less of tracing."""
  hyperparams = ConvHyperparams(
    initializer=lambda: keras.initializers.HeNormal(), l2_weight=1e-3, batch_norm={'momentum': 0.99}
  )
  images = features = keras.Input([64, 96, 3])
  maps = []
  for i, strides in enumerate((16, 2, 2)):
    features = conv_block(features, 8, 3, hyperparams, strides=strides, name=f'conv_{i}')
    maps.append(features)
  logits, boxes = convolutional_box_predictor(
    maps, Heads(hyperparams=hyperparams, num_classes=3), anchors_per_location=[3, 4, 4]
  )
  model = keras.Model(images, {'class_logits': logits, 'box_encodings': boxes})
  return dataclasses.replace(build_detector(model_config, is_training), model=model)


build_detector = builders.build_detector


@pytest.fixture(scope='module')
def detector():
  config = Pipeline.load(tiny_project.ROOT / 'tests/testdata/tiny.config').config
  return shallow(config.model, is_training=True)


@pytest.fixture
def path(tmp_path, monkeypatch, detector):
  tiny_project.make(tmp_path)
  monkeypatch.setattr(builders, 'build_detector', lambda model, is_training: detector)
  return tmp_path / 'tiny.config'


@pytest.mark.slow
def test_a_few_steps(path, caplog):
  caplog.set_level('INFO', logger='absl')
  result = overfit(Pipeline.load(path), num_images=3, num_steps=3)
  # Of the ten images with 0, 1, 2, 0, 1, ... boxes the first three with any: 1 + 2 + 1.
  assert (result.num_images, result.num_objects, result.trainable_share) == (3, 4, 1.0)
  assert [point.step for point in result.curve] == [1, 2, 3] and result.num_steps == 3
  losses = [point.losses[fields.TOTAL_LOSS] for point in result.curve]
  assert losses[0] > losses[1] > losses[2]
  assert result.is_finite and not result.succeeded
  assert 'Overfitting: step 3 of 3, AP at IoU 0.5 0.' in caplog.text


@pytest.mark.slow
def test_a_loss_that_is_not_finite(path):
  # The first step is so long that the next loss is not finite.
  result = overfit(Pipeline.load(path), num_images=3, num_steps=3, learning_rate=1e30)
  assert not result.is_finite and not result.succeeded
  assert [point.step for point in result.curve] == [1]


def test_images_without_objects(path):
  images = [i for i in tiny_project.annotations(4, seed=0) if not len(i.boxes)]
  tiny_project.write_records(path.parent / 'train.record', images)
  with pytest.raises(InputError) as error:
    overfit(Pipeline.load(path), num_steps=1)
  assert str(error.value) == 'train_input_reader: no image has an object; there is nothing to learn'
