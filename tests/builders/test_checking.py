"""A config with many mistakes: one message, one line for each."""

import pytest
import tiny_project

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError


def faults(folder, *overrides, **options):
  """What `check_config` finds in the tiny config with overrides, without the file's name."""
  path = str(folder / 'tiny.config')
  try:
    builders.check_config(Pipeline.load(path, overrides), **options)
  except InputError as error:
    lines = str(error).split('\n')
    assert all(line.startswith(f'{path}: ') for line in lines)
    return [line.removeprefix(f'{path}: ') for line in lines]
  return []


@pytest.fixture(scope='module')
def project(tmp_path_factory):
  folder = tmp_path_factory.mktemp('project')
  tiny_project.make(folder)
  return folder


def test_nothing_is_wrong(project):
  assert faults(project) == []
  assert faults(project, checking='eval', training=False) == []


def test_a_mistake_in_every_part_is_told_at_once(project):
  found = faults(
    project,
    'train_config.batch_size=0',
    'eval_input_reader.label_map_path=gone.pbtxt',
    'model.ssd.mask_head_config={}',
    'model.ssd.feature_extractor.type=ssd_mobilenet_v9',
    'model.ssd.box_coder.faster_rcnn_box_coder.y_scale=0',
    'model.ssd.matcher.argmax_matcher.unmatched_threshold=0.75',
    'model.ssd.loss.classification_loss={}',
    'model.ssd.box_predictor.convolutional_box_predictor.box_code_size=5',
    'model.ssd.post_processing.batch_non_max_suppression.iou_threshold=2',
    'train_config.optimizer={momentum_optimizer {}}',
    'train_config.data_augmentation_options=[{subtract_channel_mean {}}]',
  )
  expected = [
    'model.ssd.box_coder.faster_rcnn_box_coder.y_scale: is 0; expected more than 0',
    'model.ssd.post_processing.batch_non_max_suppression.iou_threshold: is 2; expected 0 to 1',
    'train_config.batch_size: is 0',
    'eval_input_reader[0].label_map_path: no such file',
    'model.ssd.mask_head_config: predicts masks',
    "model.ssd.feature_extractor.type: 'ssd_mobilenet_v9' is not supported",
    'model.ssd.box_predictor.convolutional_box_predictor.box_code_size: is 5, expected 4',
    'model.ssd.matcher.argmax_matcher.unmatched_threshold: is 0.75; expected at most',
    'model.ssd.loss.classification_loss: is not set',
    'train_config.optimizer.momentum_optimizer.learning_rate: is not set',
    'train_config.data_augmentation_options[0].subtract_channel_mean.means: is empty',
  ]
  for line, beginning in zip(found, expected, strict=True):
    assert line.startswith(beginning)


def test_a_mistake_of_the_anchors_does_not_hide_that_of_the_predictor(project):
  found = faults(
    project,
    'model.ssd.anchor_generator.ssd_anchor_generator.num_layers=2',
    'model.ssd.box_predictor.convolutional_box_predictor={min_depth: 2 max_depth: 1}',
  )
  predictor, anchors = found
  assert predictor.startswith('model.ssd.box_predictor.convolutional_box_predictor.min_depth: is 2')
  assert anchors.startswith('model.ssd.anchor_generator.ssd_anchor_generator.num_layers: is 2')


def test_an_evaluation_does_not_ask_for_what_trains(project):
  overrides = ['train_config.optimizer={}', 'train_config.batch_size=0']
  assert len(faults(project, *overrides)) == 2
  assert faults(project, *overrides, checking='eval', training=False) == []


@pytest.mark.parametrize('kind', ['exponential', 'polynomial'])
def test_a_decay_of_no_steps(project, kind):
  rate = f'{kind}_decay_learning_rate {{decay_steps: 0}}'
  (fault,) = faults(
    project, f'train_config.optimizer={{momentum_optimizer {{learning_rate {{{rate}}}}}}}'
  )
  path = f'train_config.optimizer.momentum_optimizer.learning_rate.{kind}_decay_learning_rate'
  assert fault == f'{path}.decay_steps: is 0; expected 1 or more'


def test_no_model_at_all(project):
  assert faults(project, 'model={}') == ['model: there is no ssd { ... } in it']


def test_a_number_out_of_its_range_is_told_once_and_alone(project):
  """Also where other fields are compared with it."""
  rate = 'train_config.optimizer.momentum_optimizer.learning_rate.cosine_decay_learning_rate'
  assert faults(project, f'{rate}.learning_rate_base=nan') == [
    f'{rate}.learning_rate_base: is nan; expected 0 or more'
  ]
  assert faults(project, 'model.ssd.num_classes=2147483647') == [
    'model.ssd.num_classes: is 2147483647; expected 1 to 30000'
  ]


def test_what_a_layer_refuses_is_told_with_its_part(project):
  """Numbers that each are in their range, but make no filter."""
  overrides = [
    'model.ssd.feature_extractor.depth_multiplier=1e-8',
    'model.ssd.feature_extractor.min_depth=0',
  ]
  loaded = Pipeline.load(project / 'tiny.config', overrides).config
  with pytest.raises(InputError, match=r'^model\.ssd: its values contradict each other'):
    builders.build_detector(loaded.model, is_training=True)
