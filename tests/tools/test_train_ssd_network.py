"""SSD-Tensorflow's flags: what is parsed, what it is translated into, what trains by it."""

import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tiny_project
import tool_processes

from ssd_tf import builders
from ssd_tf.config import label_map
from ssd_tf.config.checks import by_schema
from ssd_tf.config.checks.whole_config import find_faults
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.data import record_schema, tf_example
from ssd_tf.data.sources import ssd_tensorflow
from ssd_tf.errors import InputError
from ssd_tf.pretrained.loading import LoadOptions
from ssd_tf.pretrained.original_names import original_names
from ssd_tf.run import loop
from ssd_tf.ssd_tensorflow import data_sets, model_text, script_flags, train_flags
from ssd_tf.training.variable_selection import Stage, VariableSelector

ROOT = pathlib.Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'train_ssd_network.py'
BALANCAP = ROOT / 'tests/testdata/balancap'
MEASURED = json.loads((BALANCAP / 'flags.json').read_text())
OWN = {
  'original_objective': False,
  'label_map_path': None,
  'classes': None,
  'decimate_fc': False,
}
DEFAULTS = {**MEASURED['train_ssd_network.py'], 'max_to_keep': 5, **OWN}
NEW_512 = ','.join(
  f'ssd_512_vgg/{name}'
  for name in (
    *('conv6', 'conv7', 'block8', 'block9', 'block10', 'block11', 'block12'),
    *(f'block{i}_box' for i in (4, 7, 8, 9, 10, 11, 12)),
  )
)
# As written in an experiment's notes, but for the paths.
HDA = (
  '--train_dir=logs --dataset_dir=hda_tfrecords --dataset_name=hda --dataset_splict_name=train '
  '--model_name=ssd_512_vgg --checkpoint_path=checkpoints/vgg_16.ckpt {} --num_classes=2 '
  f'--checkpoint_model_scope=vgg_16 --checkpoint_exclude_scopes={NEW_512} '
  f'--trainable_scopes={NEW_512} --save_summaries_secs=30 --optimizer=adam --num_clones=4 '
  '--gpu_momory_fraction=0.9 --weight_decay=0.0005 {}'
)
HDA_VARIANTS = [
  (0.001, 10, 1361),
  (0.001, 2, 3000),
  (2, 10, 10000),
]
PARSE = """
import json, runpy, sys
from absl import app, flags, logging
before = set(flags.FLAGS)
runpy.run_path(sys.argv[1], run_name='tool')
flags.FLAGS(sys.argv[1:])
tool = [flags.FLAGS[name] for name in set(flags.FLAGS) - before]
print(json.dumps([{f.name: f.value for f in tool}, [f.name for f in tool if f.present]]))
"""


def parse(command):
  """(values, given) of a command line, parsed by the tool's own flags."""
  done = subprocess.run(
    [sys.executable, '-c', PARSE, str(TOOL), *command.split()],
    capture_output=True,
    text=True,
    check=False,
    cwd=ROOT,
  )
  assert done.returncode == 0, done.stderr
  values, given = json.loads(done.stdout)
  return values, set(given)


def write_records(path, class_ids, names, num_images=3):
  """Images with 0, 1 and 2 boxes, under SSD-Tensorflow's keys alone."""
  path.parent.mkdir(exist_ok=True)
  with tf.io.TFRecordWriter(str(path)) as writer:
    for image in tiny_project.annotations(num_images, seed=0):
      rows = np.asarray(image.class_ids, int) - 1
      image.class_ids = [class_ids[row] for row in rows]
      image.class_names = [names[row] for row in rows]
      record = tf.train.Example.FromString(
        ssd_tensorflow.add_keys(tf_example.encode_example(image))
      )
      for key in record_schema.SSD_TENSORFLOW_KEYS:
        del record.features.feature[key]
      writer.write(record.SerializeToString())


@pytest.fixture
def hda(tmp_path, monkeypatch):
  """A folder with hda_tfrecords/hda_train_*.tfrecord: 100 images of people, whose id is 1."""
  for i, num_images in enumerate((60, 40)):
    path = tmp_path / f'hda_tfrecords/hda_train_{i:03d}.tfrecord'
    write_records(path, [1, 1, 1], ['person'] * 3, num_images)
  monkeypatch.chdir(tmp_path)
  return tmp_path


def prepare(given=(), **flags):
  values = {**DEFAULTS, 'dataset_dir': 'hda_tfrecords', 'dataset_name': 'hda', 'num_classes': 2}
  values |= {'train_dir': 'logs', **flags}
  return train_flags.prepare(values, {*given, *flags})


def translated(**flags):
  return prepare(**flags)[0].config


def test_every_flag_of_the_original_is_there_with_its_default():
  values, given = parse('--dataset_dir=d')
  assert given == {'dataset_dir'}
  fork = MEASURED['fork: train_ssd_network.py']
  assert fork == {'max_to_keep': 5, 'feature_extractor': 'vgg_16', 'model': 'ssd300'}
  misspelled = {name: DEFAULTS[meant] for name, meant in script_flags.MISSPELLED.items()}
  refused = {'feature_extractor': None, 'model': None}
  assert values == {**DEFAULTS, **misspelled, **refused, 'dataset_dir': 'd'}


@pytest.mark.parametrize(('rate', 'batch_size', 'num_steps'), HDA_VARIANTS)
def test_a_command_from_an_experiment(rate, batch_size, num_steps, hda, caplog):
  settings = f'--learning_rate={rate} --learning_rate_decay_type=fixed --batch_size={batch_size}'
  flags, given = parse(HDA.format(settings, f'--max_number_of_steps={num_steps}'))
  pipeline, load_options = train_flags.prepare(flags, given)
  config = pipeline.config
  train, ssd = config.train_config, config.model.ssd
  assert (ssd.num_classes, ssd.feature_extractor.type) == (1, 'ssd_512_vgg')
  assert (train.batch_size, train.num_steps) == (4 * batch_size, num_steps)
  adam = train.optimizer.adam_optimizer
  assert adam.learning_rate.constant_learning_rate.learning_rate == np.float32(rate)
  assert (adam.epsilon, adam.beta1, adam.beta2) == (1, np.float32(0.9), np.float32(0.999))
  assert not train.optimizer.use_moving_average
  for hyperparams in (
    ssd.feature_extractor.conv_hyperparams,
    ssd.box_predictor.convolutional_box_predictor.conv_hyperparams,
  ):
    assert hyperparams.regularizer.l2_regularizer.weight == np.float32(0.0005)
  assert train.fine_tune_checkpoint == 'checkpoints/vgg_16.ckpt'
  assert list(train.update_trainable_variables) == [f'^{s}' for s in NEW_512.split(',')]
  assert load_options == LoadOptions(
    exclude_scopes=tuple(NEW_512.split(',')),
    model_scope='vgg_16',
    ignore_missing=False,
    decimate_fc=False,
  )
  (reader,) = config.train_input_reader
  assert reader.tf_record_input_reader.input_path == [
    f'hda_tfrecords/hda_train_00{i}.tfrecord' for i in (0, 1)
  ]
  assert label_map.load(reader.label_map_path).names == ('person',)
  assert '--dataset_splict_name: taken for --dataset_split_name' in caplog.text
  assert '--gpu_momory_fraction: taken for --gpu_memory_fraction' in caplog.text
  assert '--opt_epsilon=1 goes to Adam as well' in caplog.text
  builders.require_supported(config)
  assert by_schema.ineffective_fields(config) == []


def test_the_defaults(hda):
  config = translated()
  train, ssd = config.train_config, config.model.ssd
  steps = [step.WhichOneof('preprocessing_step') for step in train.data_augmentation_options]
  assert steps == ['ssd_tensorflow_crop', 'random_horizontal_flip', 'ssd_tensorflow_color']
  assert (train.batch_size, train.num_steps, train.keep_checkpoint_every_n_hours) == (32, 0, 1)
  rmsprop = train.optimizer.rms_prop_optimizer
  decay = rmsprop.learning_rate.exponential_decay_learning_rate
  assert decay.initial_learning_rate == np.float32(0.01)
  # int(100 images / 32 * 2 epochs)
  assert (decay.decay_steps, decay.decay_factor, decay.staircase) == (6, np.float32(0.94), True)
  assert (rmsprop.decay, rmsprop.momentum_optimizer_value) == (np.float32(0.9), np.float32(0.9))
  assert rmsprop.epsilon == 1
  miner, matcher = ssd.loss.hard_example_miner, ssd.matcher.argmax_matcher
  assert (miner.max_negatives_per_positive, miner.scope) == (3, miner.IMAGE)
  assert (matcher.matched_threshold, matcher.force_match_for_each_row) == (0.5, True)
  assert ssd.normalize_loss_by_num_matches and not ssd.normalize_loss_by_batch_size
  assert (ssd.image_resizer.fixed_shape_resizer.height, ssd.num_classes) == (300, 1)
  assert not config.eval_input_reader  # No records of the split test.


@pytest.mark.parametrize(
  ('flags', 'kind', 'expected'),
  [
    ({'adadelta_rho': 0.5, 'opt_epsilon': 0.25}, 'adadelta', {'rho': 0.5, 'epsilon': 0.25}),
    (
      {'adagrad_initial_accumulator_value': 0.5},
      'adagrad',
      {'initial_accumulator_value': 0.5},
    ),
    (
      {'adam_beta1': 0.5, 'adam_beta2': 0.75, 'opt_epsilon': 2.0**-20},
      'adam',
      {'beta1': 0.5, 'beta2': 0.75, 'epsilon': 2.0**-20},
    ),
    (
      {
        **{'ftrl_learning_rate_power': -0.25, 'ftrl_initial_accumulator_value': 0.5},
        **{'ftrl_l1': 0.125, 'ftrl_l2': 0.0625},
      },
      'ftrl',
      {
        **{'learning_rate_power': -0.25, 'initial_accumulator_value': 0.5},
        **{'l1_regularization_strength': 0.125, 'l2_regularization_strength': 0.0625},
      },
    ),
    ({'momentum': 0.5}, 'momentum', {'momentum_optimizer_value': 0.5}),
    (
      {'rmsprop_decay': 0.75, 'rmsprop_momentum': 0.5, 'opt_epsilon': 0.25},
      'rmsprop',
      {'decay': 0.75, 'momentum_optimizer_value': 0.5, 'epsilon': 0.25},
    ),
    ({}, 'sgd', {}),
  ],
)
def test_every_optimizer(flags, kind, expected, hda, caplog):
  optimizer = translated(optimizer=kind, learning_rate_decay_type='fixed', **flags)
  optimizer = optimizer.train_config.optimizer
  name = {'rmsprop': 'rms_prop'}.get(kind, kind)
  assert optimizer.WhichOneof('optimizer') == f'{name}_optimizer'
  message = getattr(optimizer, f'{name}_optimizer')
  assert {field: getattr(message, field) for field in expected} == expected
  assert message.learning_rate.constant_learning_rate.learning_rate == np.float32(0.01)
  assert 'goes to Adam' not in caplog.text
  built = builders.build_optimizer(optimizer)
  np.testing.assert_allclose(built.learning_rate, 0.01, rtol=1e-6)


@pytest.mark.parametrize(
  ('kind', 'step', 'rate'),
  [
    ('fixed', 25, 0.5),
    # int(100 images / 8 a clone * 0.8 epochs) = 10 steps.
    ('exponential', 9, 0.5),
    ('exponential', 25, 0.5 * 0.25**2),
    ('polynomial', 5, 0.5 + (0.1 - 0.5) * 5 / 10),
    ('polynomial', 25, 0.1),
  ],
)
def test_every_decay_of_the_learning_rate(kind, step, rate, hda):
  config = translated(
    optimizer='sgd',
    learning_rate_decay_type=kind,
    learning_rate=0.5,
    end_learning_rate=0.1,
    learning_rate_decay_factor=0.25,
    num_epochs_per_decay=0.8,
    batch_size=8,
    num_clones=2,
  )
  message = config.train_config.optimizer.sgd_optimizer.learning_rate
  schedule = builders.build_schedule(message, 'learning_rate')
  np.testing.assert_allclose(schedule(tf.constant(step, tf.int64)), rate, rtol=1e-6)


def test_the_other_flags_with_a_meaning(hda):
  config = translated(
    loss_alpha=0.5,
    negative_ratio=2.0,
    match_threshold=0.25,
    moving_average_decay=0.75,
    num_readers=7,
    trainable_scopes='ssd_300_vgg/conv6, ssd_300_vgg/block',
    preprocessing_name='ssd_300_vgg',
  )
  ssd = config.model.ssd
  assert ssd.loss.localization_weight == 0.5
  assert ssd.loss.hard_example_miner.max_negatives_per_positive == 2
  matcher = ssd.matcher.argmax_matcher
  assert (matcher.matched_threshold, matcher.unmatched_threshold) == (0.25, 0.25)
  optimizer = config.train_config.optimizer
  assert (optimizer.use_moving_average, optimizer.moving_average_decay) == (True, 0.75)
  assert config.train_input_reader[0].num_readers == 7
  scopes = ['^ssd_300_vgg/conv6', '^ssd_300_vgg/block']
  assert list(config.train_config.update_trainable_variables) == scopes


@pytest.mark.parametrize(
  ('model_name', 'scope', 'by_images'),
  [
    ('ssd_300_vgg', 'SSD_TENSORFLOW', True),
    ('ssd_512_vgg', 'SSD_TENSORFLOW_LAYER', False),
    ('ssd_300_mobilenet_v2', 'SSD_TENSORFLOW', True),
  ],
)
def test_the_original_objective(model_name, scope, by_images, hda):
  config = translated(model_name=model_name, original_objective=True)
  ssd = config.model.ssd
  miner = ssd.loss.hard_example_miner
  assert miner.Scope.Name(miner.scope) == scope
  assert not ssd.matcher.argmax_matcher.force_match_for_each_row
  assert not ssd.normalize_loss_by_num_matches
  assert ssd.normalize_loss_by_batch_size == by_images
  builders.require_supported(config)


@pytest.mark.parametrize(
  ('model_name', 'count'),
  [
    ('ssd_300_vgg', 8732),
    ('ssd_512_vgg', 24564),
    # 19^2 * 3 + (10^2 + 5^2 + 3^2 + 2^2 + 1) * 6
    ('ssd_300_mobilenet_v1', 1917),
    ('ssd_300_mobilenet_v2', 1917),
  ],
)
def test_every_model_builds(model_name, count, hda):
  config = translated(model_name=model_name, num_classes=21)
  detector = builders.build_detector(config.model, is_training=False)
  anchors = builders.generate_anchors(config.model.ssd, detector.model.feature_map_sizes)
  assert anchors.shape == (count, 4)
  assert detector.model.output['class_logits'].shape == (None, count, 21)
  if 'vgg' in model_name:
    measured = np.load(BALANCAP / f'anchors_{model_name}.npz')['anchors_yxhw']
    center, half = measured[:, :2], measured[:, 2:] / 2
    expected = np.concatenate([center - half, center + half], axis=1)
    np.testing.assert_allclose(anchors, expected, atol=1e-6)


def scopes_of(model_name, last):
  names = [*('conv6', 'conv7'), *(f'block{i}' for i in range(8, last + 1))]
  names += [f'block{i}_box' for i in (4, 7, *range(8, last + 1))]
  return ','.join(f'{model_name}/{name}' for name in names)


@pytest.mark.parametrize(('model_name', 'last'), [('ssd_300_vgg', 11), ('ssd_512_vgg', 12)])
def test_the_scopes_train_what_they_train_in_the_original(model_name, last, hda):
  measured = json.loads((BALANCAP / 'init_fn_mapping.json').read_text())
  measured = measured[model_name]
  config = translated(model_name=model_name, trainable_scopes=scopes_of(model_name, last))
  model = builders.build_detector(config.model, is_training=True).model
  names = original_names(model)
  selector = VariableSelector(model, api_names=names)
  update = config.train_config.update_trainable_variables
  selector.apply(selector.select(Stage(update_trainable_variables=update)))
  trained = {names[v.path] for v in model.trainable_variables}
  assert len(trained) == measured['phase1_n_train_unique']
  assert not trained & set(measured['phase1_not_trained'])


def test_a_scope_of_nothing_is_refused(hda):
  config = translated(trainable_scopes='ssd_300_vgg/conv6,ssd_300_vgg/blok8')
  model = builders.build_detector(config.model, is_training=True).model
  selector = VariableSelector(model, api_names=original_names(model))
  update = config.train_config.update_trainable_variables
  with pytest.raises(InputError, match=r'ssd_300_vgg/blok8.*begin with.* ssd_300_vgg/block8, '):
    selector.select(Stage(update_trainable_variables=update))


def test_flags_without_effect_are_said_to_be(hda, caplog):
  caplog.set_level('INFO', logger='absl')
  prepare(label_smoothing=0.1, gpu_memory_fraction=0.5)
  lines = [line for line in caplog.messages if 'accepted, without effect' in line]
  assert [line.split(':')[0] for line in lines] == ['--label_smoothing', '--gpu_memory_fraction']
  assert set(train_flags.WITHOUT_EFFECT) < set(DEFAULTS)


def test_a_misspelled_flag_gives_way_to_the_right_one(hda):
  write_records(hda / 'hda_tfrecords/hda_val_000.tfrecord', [1, 1, 1], ['person'] * 3)
  config = translated(dataset_splict_name='gone', dataset_split_name='val', batch_size=1)
  (path,) = config.train_input_reader[0].tf_record_input_reader.input_path
  assert path == 'hda_tfrecords/hda_val_000.tfrecord'
  with pytest.raises(InputError, match=r'expected hda_gone_\*\.tfrecord'):
    translated(dataset_splict_name='gone')


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    ({'model': 'ssd300'}, r'--model: is for the modular networks of a fork.*--model_name, one of'),
    ({'feature_extractor': 'vgg_16'}, r'--feature_extractor: is for .* ssd_300_vgg, ssd_512_vgg'),
    ({'preprocessing_name': 'lenet'}, r'--preprocessing_name=lenet: there is one'),
    ({'negative_ratio': 2.5}, r'--negative_ratio=2\.5: expected a whole number'),
    ({'negative_ratio': float('nan')}, r'--negative_ratio=nan: expected a finite number'),
    ({'num_epochs_per_decay': float('inf')}, r'--num_epochs_per_decay=inf: expected a finite'),
    ({'learning_rate': float('nan')}, r'--learning_rate=nan: expected a finite number'),
    ({'num_readers': 2**31}, r'--num_readers=2147483648: expected 2147483647 at most'),
    ({'batch_size': 300}, r'--num_epochs_per_decay=2: 100 images in batches of 300 are less than'),
    ({'dataset_dir': 'gone'}, r'--dataset_dir=gone: no such folder'),
    (
      {'dataset_name': 'x', 'dataset_split_name': 'val'},
      r"--dataset_dir=hda_tfrecords: expected x_val_\*\.tfrecord .*'val'.*there are hda_train_000",
    ),
    ({'classes': 'person,cat', 'num_classes': 3}, r'the label map has no class named "cat"'),
    ({'classes': 'person', 'num_classes': 21}, r'--classes: names 1, so give --num_classes=2'),
  ],
)
def test_bad_values(flags, message, hda):
  with pytest.raises(InputError, match=message):
    prepare(**flags)
  assert not (hda / 'logs/pipeline.config').exists()


def test_what_a_config_may_not_have_is_told_of_the_one_that_flags_become(hda):
  pipeline, _ = prepare(momentum=1.5, optimizer='momentum', weight_decay=-1.0, learning_rate=-0.5)
  optimizer = 'train_config.optimizer.momentum_optimizer'
  faults = dict(by_schema.out_of_range(pipeline.config))
  assert f'{optimizer}.momentum_optimizer_value' in faults
  assert [field for field in faults if field.startswith(f'{optimizer}.learning_rate.')]
  assert [field for field in faults if field.endswith('l2_regularizer.weight')]


@pytest.fixture
def voc(tmp_path, monkeypatch):
  """A folder with records of Pascal VOC's ids: person 15, car 7."""
  write_records(tmp_path / 'd/voc_2007_train_000.tfrecord', [15, 7, 15], ['person', 'car'] * 2, 6)
  write_records(tmp_path / 'd/voc_2007_test_000.tfrecord', [15, 7, 15], ['person', 'car'] * 2)
  monkeypatch.chdir(tmp_path)
  return tmp_path


def test_ids_of_voc_with_two_classes_are_refused(voc):
  counts = data_sets.load('d', 'pascalvoc_2007', 'train').counts
  people, cars = counts.boxes[15], counts.boxes[7]
  assert people + cars == 6 and people > 0 and cars > 0
  with pytest.raises(InputError) as error:
    prepare(dataset_dir='d', dataset_name='pascalvoc_2007', batch_size=1)
  message = str(error.value)
  assert message.startswith('--num_classes=2: counts the background, so class ids are 1 to 1')
  assert f'{people} of class id 15 (person)' in message
  assert f'{cars} of class id 7 (car)' in message
  assert 'raise --num_classes to 16 or more' in message
  assert '--classes=car,person --num_classes=3' in message


def test_classes_are_chosen_and_numbered_by_name(voc):
  flags = {'dataset_dir': 'd', 'dataset_name': 'pascalvoc_2007', 'batch_size': 1}
  pipeline, _ = prepare(classes='person', **flags)
  assert pipeline.path == 'logs/pipeline.config'
  assert pipeline.model_classes.names == ('person',)
  classes = pipeline.classes('train_input_reader')
  assert classes.table == {**dict.fromkeys(range(1, 21), 0), 15: 1}
  assert find_faults(pipeline) == []
  builders.check_records(pipeline, is_training=True)
  (evaluation,) = pipeline.config.eval_input_reader
  assert evaluation.tf_record_input_reader.input_path == ['d/voc_2007_test_000.tfrecord']
  # Of a training that is under way they stay.
  pathlib.Path('logs/checkpoint').touch()
  translated(classes='person', **flags)
  with pytest.raises(InputError, match='--train_dir=logs: holds a training of other classes'):
    translated(classes='car', **flags)


def test_pascal_voc_has_its_twenty_classes(voc):
  config = translated(dataset_dir='d', dataset_name='pascalvoc_2007', num_classes=21, batch_size=1)
  classes = label_map.load(config.train_input_reader[0].label_map_path)
  assert (classes.ids, classes.id_of('person')) == (tuple(range(1, 21)), 15)
  assert find_faults(Pipeline(config, 'logs/pipeline.config')) == []


@pytest.mark.parametrize(
  ('name', 'split', 'expected'),
  [
    ('pascalvoc_2007', 'train', ['voc_2007_train_000.tfrecord', 'voc_2007_train_001.tfrecord']),
    ('pascalvoc_2012', 'train', ['voc_2012_train_000.tfrecord']),
    ('hda', 'test', ['hda_test.record']),
    ('other', 'val', ['a-val.record-00000-of-00002', 'a-val.record-00001-of-00002']),
  ],
)
def test_records_are_found_by_name_and_split(name, split, expected, tmp_path):
  names = [*('voc_2007_train_001.tfrecord', 'voc_2007_train_000.tfrecord', 'interval.tfrecord')]
  names += ['voc_2012_train_000.tfrecord', 'hda_test.record', 'a-val.record-00000-of-00002']
  names += ['a-val.record-00001-of-00002', 'hda_test.txt', 'hda_tester_000.tfrecord']
  for file in names:
    (tmp_path / file).touch()
  found = data_sets.find_records(str(tmp_path), name, split)
  assert [pathlib.Path(path).name for path in found] == expected


@pytest.mark.parametrize(
  ('file', 'text', 'expected'),
  [
    ('label_map.pbtxt', "item { id: 15 name: 'human' }", {15: 'human'}),
    ('labels.txt', '0:none\n7:vehicle\n15:human\n', {7: 'vehicle', 15: 'human'}),
    ('labels.txt', 'cat\ndog\n', {1: 'cat', 2: 'dog'}),
    (None, None, {7: 'car', 15: 'person'}),
  ],
)
def test_label_maps_are_found_or_made(file, text, expected, tmp_path):
  write_records(tmp_path / 'd/x_train_000.tfrecord', [15, 7, 15], ['person', 'car'] * 2, 6)
  if file:
    (tmp_path / 'd' / file).write_text(text)
  data_set = data_sets.load(str(tmp_path / 'd'), 'x', 'train')
  assert dict(zip(data_set.classes.ids, data_set.classes.names, strict=True)) == expected
  assert data_set.counts.num_records == 6


@pytest.mark.parametrize(
  ('text', 'fault'),
  [
    (b'1:cat\n7:dog\n\n7:person\n', "labels.txt:4: class id 7 is already that of 'dog'"),
    (b'1:cat\n7:d\x08og\n', 'labels.txt: name of class id 7: expected text on one line'),
    (b'1:cat\n7:caf\xe9\n', 'labels.txt:2: expected UTF-8 text, found byte 0xe9'),
  ],
)
def test_a_faulty_list_of_ids_and_names(text, fault, tmp_path):
  write_records(tmp_path / 'd/x_train_000.tfrecord', [7] * 3, ['dog'] * 3, 6)
  (tmp_path / 'd/labels.txt').write_bytes(text)
  with pytest.raises(InputError) as raised:
    data_sets.load(str(tmp_path / 'd'), 'x', 'train')
  assert fault in str(raised.value)


def test_a_name_in_records_that_is_no_text_is_refused(tmp_path):
  write_records(tmp_path / 'd/x_train_000.tfrecord', [7] * 3, ['do\ng'] * 3, 6)
  with pytest.raises(InputError, match='name of class id 7: expected text on one line'):
    data_sets.load(str(tmp_path / 'd'), 'x', 'train')


def test_one_name_for_two_ids_is_refused(tmp_path):
  write_records(tmp_path / 'd/x_train_000.tfrecord', [15, 7, 15], ['person'] * 3, 6)
  with pytest.raises(InputError, match="'person' is the name of several class ids"):
    data_sets.load(str(tmp_path / 'd'), 'x', 'train')


def test_checkpoints_are_saved_by_time(monkeypatch):
  now, saved = [100.0], []

  class Manager:
    def save(self, checkpoint_number):
      saved.append((now[0], checkpoint_number))

  monkeypatch.setattr(loop.time, 'monotonic', lambda: now[0])
  step = tf.Variable(0, dtype=tf.int64)
  action = loop.SaveByTime(Manager(), step, 30)
  for now[0], number in ((110.0, 10), (130.0, 20), (159.0, 30), (161.0, 40)):
    step.assign(number)
    action()
  assert saved == [(130.0, 20), (161.0, 40)]


@pytest.mark.slow
def test_clones_on_the_cpu():
  code = (
    'from ssd_tf.ssd_tensorflow import clones; from absl import logging; logging.set_verbosity(0); '
    'print(clones.make_clones(3, on_cpu=True).num_replicas_in_sync)'
  )
  done = subprocess.run(
    [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
  )
  assert done.stdout.split()[-1] == '3'
  assert '3 clones as logical CPUs, which share the processors: --clone_on_cpu' in done.stderr


def run_tool(folder, *flags):
  done = tool_processes.run(folder, 'train_ssd_network.py', *flags)
  return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_training_and_its_continuation(hda):
  flags = (
    *('--train_dir=logs', '--dataset_dir=hda_tfrecords', '--dataset_name=hda', '--num_classes=2'),
    *('--model_name=ssd_300_mobilenet_v1', '--batch_size=1', '--log_every_n_steps=1'),
    *('--trainable_scopes=BoxPredictor_0,BoxPredictor_1', '--learning_rate=0.001'),
  )
  code, log = run_tool(hda, *flags, '--max_number_of_steps=2')
  assert code == 0, log
  assert 'Step 2 per-step time' in log and 'Training 8 of ' in log
  config = Pipeline.load(hda / 'logs/pipeline.config').config
  assert config.train_config.num_steps == 2
  assert (hda / 'logs/ckpt-2.index').exists()
  before, after = (tf.train.load_checkpoint(str(hda / f'logs/ckpt-{step}')) for step in (0, 2))
  changed = {
    name.split('/')[1]
    for name in before.get_variable_to_shape_map()
    if name.startswith('model/') and 'moving_' not in name
    if (before.get_tensor(name) != after.get_tensor(name)).any()
  }
  assert changed == {
    *('box_encoding_head_0', 'box_encoding_head_1', 'class_head_0', 'class_head_1')
  }
  more = ('--checkpoint_path=logs/ckpt-0', '--num_clones=2', '--clone_on_cpu')
  code, log = run_tool(hda, *flags, '--max_number_of_steps=2', *more)
  assert code == 0, log
  assert re.search(
    r'Going on from logs/ckpt-2 \(step 2\), since logs holds a training, so fine_tune_checkpoint '
    'is not loaded again',
    log,
  )


@pytest.mark.parametrize(
  ('flags', 'code', 'message'),
  [
    (['--learning_rate_decay_typ=fixed'], 1, r'Did you mean: learning_rate_decay_type'),
    (['--optimizer=adamax'], 1, r'value should be one of <adadelta\|adagrad\|adam'),
    (['--model_name=inception_v3'], 1, r'<ssd_300_vgg\|ssd_512_vgg'),
    (['--num_classes=1'], 1, r'--num_classes=1: 1 is not integer >= 2'),
    ([], 1, r'--dataset_dir.*must have a value'),
    (['--dataset_dir=gone'], 2, r'error: --dataset_dir=gone: no such folder'),
  ],
)
def test_bad_flags_end_in_a_line(flags, code, message, tmp_path):
  found, log = run_tool(tmp_path, *flags)
  assert found == code and 'Traceback' not in log
  assert re.search(message, log.replace('\n', ' '))


def test_models_are_those_of_the_flag():
  text = (ROOT / 'ssd_tf/commands/train_ssd_network.py').read_text()
  for names in (model_text.MODELS, train_flags.OPTIMIZERS, train_flags.DECAY_TYPES):
    assert all(f"'{name}'" in text for name in names)
