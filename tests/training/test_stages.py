"""Freezing by parts of the network, and stages: bit for bit, across borders and restarts."""

import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from stub_detector import stub_detectors

from ssd_tf import builders, fields
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.models.normalization import FusedBatchNormalization
from ssd_tf.pretrained.layer_groups import group_of
from ssd_tf.protos import train_pb2
from ssd_tf.run import checkpoints
from ssd_tf.run.loop import Loop
from ssd_tf.training.moving_average import MovingAverage
from ssd_tf.training.regularization import regularization_losses
from ssd_tf.training.stages import Stages
from ssd_tf.training.trainer import Trainer
from ssd_tf.training.variable_selection import VariableSelector

BATCH = 4


def network():
  """A backbone, a feature map and a head; batch norms in the first two."""
  keras.utils.set_random_seed(0)
  images = features = keras.Input([4, 6, 3])
  for name in ('mobilenet_v1_conv_0', 'feature_map_2_expand'):
    features = keras.layers.Conv2D(5, 3, 2, 'same', name=name, kernel_regularizer='l2')(features)
    features = FusedBatchNormalization(momentum=0.5, name=f'{name}_batch_norm')(features)
    # As those that batch_norm { center: false scale: false } makes: nothing trains there.
    plain = FusedBatchNormalization(
      momentum=0.5, center=False, scale=False, name=f'{name}_plain_batch_norm'
    )
    features = keras.layers.Activation('swish')(plain(features))
  logits = keras.layers.Conv2D(3, 1, name='class_head_0')(features)
  outputs = {fields.CLASS_LOGITS: keras.layers.Reshape([-1, 3])(logits)}
  return keras.Model(images, outputs)


def images_from(step):
  """Batches that are a function of the step, as those of the input pipeline."""
  images = np.random.default_rng(3).normal(size=[10, BATCH, 4, 6, 3]).astype(np.float32)
  batches = tf.data.Dataset.from_tensor_slices(
    {
      fields.IMAGE: images,
      fields.EXAMPLE_MASK: np.ones([10, BATCH], bool),
      fields.SOURCE_ID: np.full([10, BATCH], 'x'),
    }
  )
  return batches.skip(step)


class Run:
  """A training of the network above under `train_config`, from a checkpoint if it starts late."""

  def __init__(self, train_config, folder, start=0, checkpoint_every_n=1):
    self._checkpoint_every_n = checkpoint_every_n
    self.model = network()
    selector = VariableSelector(self.model, group_of=group_of)
    self.stages = Stages(selector, builders.build_stages(train_config))
    optimizer = builders.build_optimizer(train_config.optimizer, train_config.stage)
    optimizer.build(self.stages.variables)
    self.average = MovingAverage(self.stages.variables, decay=0.75)
    checkpoint = checkpoints.training_checkpoint(self.model, optimizer, self.average.averages)
    self.state = {
      **{v.path: v.value for v in self.model.variables},
      **{v.path: v.value for v in optimizer.variables},
      **{f'average/{path}': v for path, v in self.average.averages.items()},
    }
    if start:
      checkpoints.restore_all(checkpoint, f'{folder}/ckpt-{start}')
    self.manager = tf.train.CheckpointManager(checkpoint, str(folder), max_to_keep=99)
    self.trainer = Trainer(
      detectors=stub_detectors(self.model, self._losses),
      optimizer=optimizer,
      dataset=images_from(start),
      strategy=tf.distribute.get_strategy(),
      moving_average=self.average,
      stages=self.stages,
    )

  def _losses(self, outputs, targets, batch, normalizer):
    loss = tf.reduce_mean((outputs[fields.CLASS_LOGITS] - 1.0) ** 2)
    return {'classification_loss': loss, 'localization_loss': tf.constant(0.0)}

  def values(self):
    return {path: np.array(v) for path, v in self.state.items()}

  def train(self, num_steps):
    """Returns {step: all values}, for the step it began at and those at which a loop ended."""
    seen = {int(self.trainer.global_step): self.values()}

    def look():
      seen[int(self.trainer.global_step)] = self.values()

    Loop(
      self.trainer,
      self.manager,
      num_steps,
      log_every_n=100,
      checkpoint_every_n=self._checkpoint_every_n,
      train_actions=[look],
    ).run()
    return seen


def parsed(text):
  return text_format.Parse(text, train_pb2.TrainConfig())


MOMENTUM = """
optimizer { momentum_optimizer { momentum_optimizer_value: 0.9
  learning_rate { exponential_decay_learning_rate {
    initial_learning_rate: 0.05 decay_steps: 1 decay_factor: 0.9 } } } }
"""
TWO_STAGES = parsed(
  MOMENTUM
  + """
freeze: ALL_BUT_HEADS
stage { first_step: 2 freeze: BACKBONE learning_rate { exponential_decay_learning_rate {
  initial_learning_rate: 0.02 decay_steps: 1 decay_factor: 0.5 } } }
stage { first_step: 4 }
"""
)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """A training of 6 steps in three stages: its folder, and the values after each of them."""
  folder = tmp_path_factory.mktemp('whole')
  return folder, Run(TWO_STAGES, folder).train(6)


def moved(before, after):
  """The parts of the network that moved, as (part, what of it)."""
  return {
    (group_of(path), path.rsplit('/', 1)[1])
    for path in before
    if '/' in path and not path.startswith(('momentum', 'average'))
    if np.any(before[path] != after[path])
  }


def test_what_is_frozen_does_not_change_a_bit_and_what_is_released_moves(whole):
  _, at = whole
  assert sorted(at) == [0, 1, 2, 3, 4, 5, 6]
  heads = {('class heads', 'kernel'), ('class heads', 'bias')}
  for step in (0, 1):
    assert moved(at[step], at[step + 1]) == heads
  # A bias before a batch norm gets no gradient but the last digits.
  names = ('kernel', 'gamma', 'beta', 'moving_mean', 'moving_variance')
  maps = {('feature maps', name) for name in names}
  for step in (2, 3):
    found = moved(at[step], at[step + 1])
    assert heads | maps <= found <= heads | maps | {('feature maps', 'bias')}
  backbone = {('backbone', name) for name in names}
  for step in (4, 5):
    assert heads | maps | backbone <= moved(at[step], at[step + 1])


def test_batch_norms_without_weights_are_frozen_with_their_part(whole):
  _, at = whole
  for first, last, name in ((0, 2, 'feature_map_2_expand'), (0, 4, 'mobilenet_v1_conv_0')):
    for statistic in ('moving_mean', 'moving_variance'):
      path = f'{name}_plain_batch_norm/{statistic}'
      np.testing.assert_array_equal(at[first][path], at[last][path])
      assert np.any(at[last][path] != at[last + 1][path])


def test_slots_are_there_from_the_beginning_and_start_from_zero(whole):
  _, at = whole
  slots = [path for path in at[0] if path.startswith('momentum') and 'mobilenet_v1' in path]
  assert len(slots) == 4
  for path in slots:
    for step in range(5):
      np.testing.assert_array_equal(at[step][path], 0)
  (slot,) = (path for path in slots if 'kernel' in path)
  kernel = 'mobilenet_v1_conv_0/kernel'
  # The first step of what is released is its velocity, which began at 0: the same to the bit but
  # for the sum's rounding.
  np.testing.assert_allclose(at[5][kernel] - at[4][kernel], at[5][slot], rtol=1e-5, atol=1e-7)
  # The rate of the second stage goes on: .02 * .5^2 at its third step.
  rate = 0.02 * 0.5**2
  gradient = at[5][slot] / -rate
  assert 0.01 < np.abs(gradient).max() < 10


def test_averages_are_of_all_stages(whole):
  _, at = whole
  kernel = 'mobilenet_v1_conv_0/kernel'
  np.testing.assert_array_equal(at[4][f'average/{kernel}'], at[0][kernel])
  # After the update number s: d = min(.75, (1 + s) / (10 + s)); s = 5: .4, s = 6: .4375.
  expected = 0.4 * at[4][kernel] + 0.6 * at[5][kernel]
  np.testing.assert_allclose(at[5][f'average/{kernel}'], expected, rtol=1e-5, atol=1e-7)
  expected = 0.4375 * expected + 0.5625 * at[6][kernel]
  np.testing.assert_allclose(at[6][f'average/{kernel}'], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('step', [1, 4])  # Within a stage, and at a border.
def test_a_resume_in_any_stage_goes_on_exactly(step, whole, tmp_path):
  folder, at = whole
  for name in (f'ckpt-{step}.index', f'ckpt-{step}.data-00000-of-00001'):
    shutil.copy(folder / name, tmp_path)
  resumed = Run(TWO_STAGES, tmp_path, start=step, checkpoint_every_n=5).train(6)
  # A loop ends at a border, at a checkpoint, and at the end.
  assert sorted(resumed) == sorted({step, 2, 4, 5, 6} - set(range(step)))
  for path, value in at[6].items():
    np.testing.assert_array_equal(resumed[6][path], value, err_msg=path)


def point_run(train_config):
  """logit = x * kernel + bias for x = 3, and the loss is the logit: gradients 3 and 1."""
  image = keras.Input([1, 1, 1])
  conv = keras.layers.Conv2D(1, 1, kernel_initializer='ones', name='conv')(image)
  model = keras.Model(image, {fields.CLASS_LOGITS: keras.layers.Reshape([1, 1])(conv)})
  stages = Stages(VariableSelector(model), builders.build_stages(train_config))
  optimizer = builders.build_optimizer(train_config.optimizer, train_config.stage)
  batch = {
    fields.IMAGE: tf.fill([1, 1, 1, 1], 3.0),
    fields.EXAMPLE_MASK: tf.constant([True]),
    fields.SOURCE_ID: tf.constant(['x']),
  }
  trainer = Trainer(
    detectors=stub_detectors(
      model,
      lambda outputs, *_: {
        'classification_loss': outputs[fields.CLASS_LOGITS][0, 0, 0],
        'localization_loss': tf.constant(0.0),
      },
    ),
    optimizer=optimizer,
    dataset=tf.data.Dataset.from_tensors(batch).repeat(),
    strategy=tf.distribute.get_strategy(),
    stages=stages,
  )
  values = []
  for _ in range(6):
    trainer.train(tf.constant(1))
    values.append([float(v.numpy().squeeze()) for v in model.layers[1].weights])
  return values


def test_stages_of_momentum_equal_a_loop():
  """Kernel and bias train, then the bias alone at another rate, then both at rates that go on."""
  train_config = parsed(
    """optimizer { momentum_optimizer { momentum_optimizer_value: 0.5
         learning_rate { constant_learning_rate { learning_rate: 0.25 } } } }
       stage { first_step: 2 freeze_variables: "kernel" learning_rate {
         exponential_decay_learning_rate {
           initial_learning_rate: 1 decay_steps: 1 decay_factor: 0.5 } } }
       stage { first_step: 4 }"""
  )
  rates = [0.25, 0.25, 1, 0.5, 0.25, 0.125]
  value, velocity, expected = np.array([1.0, 0.0]), np.zeros(2), []
  for step, rate in enumerate(rates):
    trains = np.array([step not in (2, 3), True])
    velocity = np.where(trains, 0.5 * velocity - rate * np.array([3.0, 1.0]), velocity)
    value = value + np.where(trains, velocity, 0)
    expected.append(value)
  np.testing.assert_allclose(point_run(train_config), expected, rtol=1e-6)


@pytest.mark.parametrize(
  'optimizer',
  [
    'rms_prop_optimizer { %s }',
    'adamw_optimizer { %s weight_decay: 0.5 }',
    'ftrl_optimizer { %s }',
  ],
)
def test_other_optimizers_leave_frozen_variables_alone(optimizer):
  rate = 'learning_rate { constant_learning_rate { learning_rate: 0.125 } }'
  train_config = parsed(
    f'optimizer {{ {optimizer % rate} }} freeze_variables: "kernel" stage {{ first_step: 2 }}'
  )
  kernel, bias = np.array(point_run(train_config)).T
  np.testing.assert_array_equal(kernel[:2], 1)
  assert np.all(np.diff(kernel[1:]) < 0) and np.all(np.diff(bias) < 0)


def test_what_trains_in_each_stage_is_logged(caplog):
  caplog.set_level('INFO', logger='absl')
  stages = Stages(
    VariableSelector(network(), group_of=group_of),
    builders.build_stages(TWO_STAGES),
  )
  assert [stages.enter(step) for step in (0, 1, 2, 3, 4, 9)] == [True, False] * 3
  # Kernels of 3*3*3*5, 3*3*5*5 and 5*3; biases of 5, 5 and 3; gammas and betas of 5 twice.
  assert [m for m in caplog.messages if 'tep' in m or 'Training' in m] == [
    'Step 0: the stage of train_config.',
    'Training 2 of 10 variables, 18 of 408 parameters; frozen: backbone 4 of 4, feature maps 4 of '
    '4, class heads 0 of 2.',
    'Step 2: the stage of train_config.stage[0].',
    'Training 6 of 10 variables, 258 of 408 parameters; frozen: backbone 4 of 4, feature maps 0 of '
    '4, class heads 0 of 2.',
    'Step 4: the stage of train_config.stage[1].',
    'Training 10 of 10 variables, 408 of 408 parameters.',
  ]


def test_faults_of_all_stages_are_told_at_once():
  train_config = parsed(
    """freeze_variables: "nowhere"
       stage { first_step: 1 freeze: BACKBONE update_trainable_variables: "^mobilenet" }
       stage { first_step: 2 freeze: BACKBONE freeze_variables: "head" }
       stage { first_step: 3 update_trainable_variables: "gone" }"""
  )
  with pytest.raises(InputError) as error:
    Stages(
      VariableSelector(network(), group_of=group_of),
      builders.build_stages(train_config),
    )
  first, second, third = str(error.value).split('\n')
  assert first.startswith(
    "train_config.freeze_variables[0]: 'nowhere' matches no trainable variable; names are "
    'mobilenet_v1_conv_0/kernel (here '
  )
  assert second == (
    'train_config.stage[0].freeze, freeze_variables, update_trainable_variables: leave no variable '
    'to train'
  )
  assert third.startswith("train_config.stage[2].update_trainable_variables[0]: 'gone' matches no")


def test_a_preset_combines_with_patterns():
  train_config = parsed('freeze: BACKBONE update_trainable_variables: ["kernel", "gamma"]')
  train_config.freeze_variables.append('class_head')
  stages = builders.build_stages(train_config)
  model = network()
  Stages(VariableSelector(model, group_of=group_of), stages).enter(0)
  assert [v.path for v in model.trainable_variables] == [
    'feature_map_2_expand/kernel',
    'feature_map_2_expand_batch_norm/gamma',
  ]


@pytest.mark.parametrize('freeze', ['NONE', 'BACKBONE', 'ALL_BUT_HEADS'])
def test_the_regularization_is_of_all_weights_whatever_trains(freeze):
  model = network()
  stages = builders.build_stages(parsed(f'freeze: {freeze}'))
  Stages(VariableSelector(model, group_of=group_of), stages).enter(0)
  kernels = [v.numpy() for v in model.variables if 'feature_map_2_expand/kernel' in v.path]
  kernels += [v.numpy() for v in model.variables if 'mobilenet_v1_conv_0/kernel' in v.path]
  expected = [0.01 * np.sum(kernel**2) for kernel in kernels]  # Keras's 'l2'.
  assert len(expected) == 2
  assert sum(regularization_losses(model)).numpy() == pytest.approx(sum(expected), rel=1e-6)


# Type -> (beginnings of the layers of the backbone, those of the feature maps), as far as they have
# weights.
_MAPS = ('feature_map_',)
PARTS = {
  'ssd_mobilenet_v1_keras': (('mobilenet_v1_',), _MAPS),
  'ssd_mobilenet_v2_keras': (('mobilenet_v2_',), _MAPS),
  'ssd_mobilenet_v3_small': (('mobilenet_v3_small_',), _MAPS),
  'ssd_mobilenet_v2_fpn_keras': (('mobilenet_v2_',), _MAPS),
  'ssd_mobilenet_v1_ppn': (('mobilenet_v1_',), ()),
  'ssd_300_vgg': (('vgg_16_',), ('conv4_3_norm', 'block8_', 'block9_')),
  'ssd_7': (('ssd_7_',), ()),
}


@pytest.mark.parametrize('kind', PARTS)
def test_presets_of_every_extractor(kind, tiny):
  backbone, maps = PARTS[kind]
  model = built_model(kind, tiny)
  selector = VariableSelector(model, group_of=group_of)
  for freeze, frozen in (
    ('BACKBONE', backbone),
    ('ALL_BUT_HEADS', (*backbone, *maps)),
    ('NONE', ('none',)),
  ):
    stages = builders.build_stages(parsed(f'freeze: {freeze}'))
    Stages(selector, stages).enter(0)
    assert {v.path for v in model.trainable_variables} == {
      v.path for v in selector.variables if not v.path.startswith(frozen)
    }
    for layer in model.layers:  # So say those of batch norms which statistics they take.
      assert layer.trainable != (bool(layer.weights) and layer.name.startswith(frozen))
  paths = [v.path for v in model.variables]
  heads = [path for path in paths if not path.startswith((*backbone, *maps))]
  assert heads and all('head' in path or 'tower' in path for path in heads)
  assert all(any(path.startswith(part) for path in paths) for part in (*backbone, *maps))


@pytest.mark.parametrize('freeze', ['BACKBONE', 'ALL_BUT_HEADS'])
def test_frozen_batch_norms_keep_their_statistics(freeze, tiny):
  kind = 'ssd_mobilenet_v1_keras'
  model = built_model(kind, tiny)
  stages = builders.build_stages(parsed(f'freeze: {freeze}'))
  Stages(VariableSelector(model, group_of=group_of), stages).enter(0)
  frozen = 'mobilenet_v1_' if freeze == 'BACKBONE' else ('mobilenet_v1_', 'feature_map_')
  before = {v.path: v.numpy() for v in model.variables}
  model(tf.random.stateless_uniform([2, *model.input.shape[1:]], [1, 2], -1, 1), training=True)
  changed = {v.path for v in model.variables if np.any(v.numpy() != before[v.path])}
  assert changed == {p for p in before if '/moving_' in p and not p.startswith(frozen)}
  assert len(changed) == (4 if freeze == 'BACKBONE' else 0)


def built_model(kind, folder):
  num_layers = 4 if kind in ('ssd_7', 'ssd_300_vgg') else 3
  generator = f'{{ssd_anchor_generator {{num_layers: {num_layers} aspect_ratios: 1}}}}'
  options = {'type': kind, 'num_layers': num_layers}
  if '_fpn' in kind:
    options['fpn'] = '{min_level: 3 max_level: 5}'
    generator = '{multiscale_anchor_generator {max_level: 5 scales_per_octave: 1 aspect_ratios: 1}}'
  if '_v3_' in kind:
    options['use_depthwise'] = 'true'
  if '_vgg' in kind:
    options['depth_multiplier'] = 1 / 16
  overrides = [f'model.ssd.feature_extractor.{name}={v}' for name, v in options.items()]
  overrides.append(f'model.ssd.anchor_generator={generator}')
  loaded = Pipeline.load(folder / 'tiny.config', overrides).config
  return builders.build_model(loaded.model, is_training=True)
