"""The settings of a first training, by the number of images and the machine."""

import pytest

from ssd_tf.config import label_map
from ssd_tf.errors import InputError
from ssd_tf.project import recipe, stock_configs
from ssd_tf.project.recipe import Machine, Wishes
from ssd_tf.project.records import PreparedData

CPU = Machine(memory_gb=24)


@pytest.fixture
def data(tmp_path):
  """Returns a function: number of training images -> a data set of two classes."""
  path = str(tmp_path / 'label_map.pbtxt')
  label_map.save(label_map.of_names({1: 'cat', 2: 'dog'}), path)

  def prepared(num_images):
    return PreparedData(
      format='COCO',
      place='mydata',
      folder=str(tmp_path),
      num_images={'train': num_images, 'val': 40},
      num_boxes={'train': num_images, 'val': 40},
      num_files={'train': -(-num_images // 5000), 'val': 1},
      is_split=True,
    )

  return prepared


def settings(pipeline):
  train = pipeline.config.train_config
  schedule = train.optimizer.momentum_optimizer.learning_rate.cosine_decay_learning_rate
  return {
    'batch_size': train.batch_size,
    'num_steps': train.num_steps,
    'total_steps': schedule.total_steps,
    'warmup_steps': schedule.warmup_steps,
    'rate': pytest.approx(schedule.learning_rate_base),
    'freezes': pipeline.config.model.ssd.freeze_batchnorm,
  }


@pytest.mark.parametrize(
  ('num_images', 'machine', 'expected'),
  [
    # The recipe of logs/raccoon_freezing: 400 steps of 8, a tenth of .02.
    (156, CPU, (8, 400, 400, 50, 0.002, True)),
    # 20 times 999 images / 8, rounded up.
    (999, CPU, (8, 2498, 2498, 312, 0.002, True)),
    (1000, CPU, (8, 2500, 2500, 312, 0.002, False)),
    # 200,000 + 1,000,000 images seen; .02 * 32 / 8 / 10.
    (1_000_000, Machine(40, 1), (32, 37_500, 37_500, 1000, 0.008, False)),
    # An eighth of 20 images is 2.5.
    (20, CPU, (2, 1600, 1600, 200, 0.0005, True)),
    (156, Machine(3), (4, 800, 800, 100, 0.001, True)),
  ],
)
def test_settings_follow_images_and_memory(data, num_images, machine, expected):
  pipeline, _ = recipe.compose(data(num_images), Wishes(), machine, 'pipeline.config')
  assert tuple(settings(pipeline).values()) == expected


def test_the_config_trains_these_records_from_the_starter_weights(data, tmp_path):
  pipeline, choices = recipe.compose(data(156), Wishes(), CPU, 'pipeline.config')
  config = pipeline.config
  assert config.model.ssd.num_classes == 2
  assert config.train_config.fine_tune_checkpoint == 'starter:ssd_mobilenet_v1_0.75_coco'
  assert config.train_config.fine_tune_checkpoint_type == 'fine_tune'
  (train,), (val,) = config.train_input_reader, config.eval_input_reader
  assert list(train.tf_record_input_reader.input_path) == [f'{tmp_path}/train.record']
  assert list(val.tf_record_input_reader.input_path) == [f'{tmp_path}/val.record']
  assert {choice.flag for choice in choices} >= {'--model', '--weights', '--batch_size'}


def test_many_images_lie_in_several_files(data, tmp_path):
  pipeline, _ = recipe.compose(data(10_001), Wishes(), CPU, 'pipeline.config')
  (reader,) = pipeline.config.train_input_reader
  assert list(reader.tf_record_input_reader.input_path) == [
    f'{tmp_path}/train.record-?????-of-00003'
  ]


def test_wishes_come_first(data):
  wishes = Wishes(
    model='ssd_mobilenet_v2_fpnlite_320x320_coco',
    weights='none',
    num_steps=100,
    batch_size=16,
    changes=['train_config.num_steps=50'],
  )
  pipeline, choices = recipe.compose(data(156), wishes, CPU, 'pipeline.config')
  # From scratch at an FPN's rate, .005 for a batch of 8; changes come last.
  assert tuple(settings(pipeline).values()) == (16, 50, 100, 12, 0.01, False)
  assert not pipeline.config.train_config.fine_tune_checkpoint
  assert not any(choice.what == 'batch norms' for choice in choices)


def test_each_model_has_the_weights_that_fit_it(data):
  assert recipe.weights_of('ssd_mobilenet_v1_0.75_300x300_coco').name.startswith('starter:')
  assert recipe.weights_of('ssd_mobilenet_v1_fpn_640x640_coco').name == (
    'zoo:ssd_mobilenet_v1_fpn_coco'  # AP 32, the TF2 one has 29.1.
  )
  fpnlite = recipe.weights_of('ssd_mobilenet_v2_fpnlite_320x320_coco')
  assert fpnlite.name == 'zoo:ssd_mobilenet_v2_fpnlite_320x320_coco17'  # Not that of 640x640.
  wishes = Wishes(model='ssd300_vgg_voc0712')
  with pytest.raises(InputError, match='--weights: no weights with a name fit ssd300_vgg_voc0712'):
    recipe.compose(data(156), wishes, CPU, 'pipeline.config')


def test_a_misspelled_model_is_answered_with_the_closest():
  with pytest.raises(InputError, match='did you mean "ssd_mobilenet_v1_ppn_300x300_coco"'):
    stock_configs.load('ssd_mobilenet_v1_pnp_300x300_coco')


def test_every_stock_config_is_described():
  for name in stock_configs.names():
    summary = stock_configs.describe(name).summary
    assert summary.startswith(('SSD', 'A ', 'One ')) and summary.endswith('.')
  found = stock_configs.describe('ssd_mobilenet_v1_fpn_640x640_coco')
  assert found.size == (640, 640) and 'a feature pyramid' in found.summary
