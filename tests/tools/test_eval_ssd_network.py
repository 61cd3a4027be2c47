"""eval_ssd_network.py: what its flags mean, its whole output once, and what it refuses."""

import csv
import json
import re
import xml.etree.ElementTree

import numpy as np
import pytest
import tensorflow as tf
import tiny_project

from ssd_tf.commands import eval_ssd_network
from ssd_tf.config import label_map
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.experiments import event_scalars
from ssd_tf.run.evaluate import evaluate_checkpoints
from ssd_tf.ssd_tensorflow import eval_flags

DEFAULTS = {
  'checkpoint_path': 'model',
  'eval_dir': 'out',
  'dataset_dir': 'data',
  'dataset_name': 'hda',
  'dataset_split_name': 'test',
  'label_map_path': None,
  'model_name': None,
  'num_classes': 21,
  'select_threshold': 0.01,
  'select_top_k': 400,
  'keep_top_k': 200,
  'nms_threshold': 0.45,
  'matching_threshold': 0.5,
  'eval_resize': 4,
  'remove_difficult': True,
  'batch_size': 1,
  'max_num_batches': None,
  'wait_for_checkpoints': False,
  'preprocessing_name': None,
  'master': '',
}


@pytest.fixture(scope='module')
def project(tmp_path_factory):
  """A folder with the tiny model's checkpoints of steps 0 and 1000, and data/hda_test_*.tfrecord.

  Of the two files' 6 images (boxes 0, 1, 2, 0, 1, 2), class c has no box.
  """
  folder = tmp_path_factory.mktemp('network')
  tiny_project.make(folder)
  tiny_project.write_checkpoint(folder)
  reader = tf.train.load_checkpoint(str(folder / 'model/ckpt-0'))
  assert reader.get_tensor('step/.ATTRIBUTES/VARIABLE_VALUE') == 0
  write_at_step(folder / 'model/ckpt-0', folder / 'model/ckpt-1000', 1000)
  (folder / 'data').mkdir()
  images = tiny_project.annotations(6, seed=1)
  for image in images:
    image.class_ids[:] = np.minimum(image.class_ids, 2)
    image.class_names[:] = [tiny_project.NAMES[i - 1] for i in image.class_ids]
  tiny_project.write_records(folder / 'data/hda_test_000.tfrecord', images[:4])
  tiny_project.write_records(folder / 'data/hda_test_001.tfrecord', images[4:])
  return folder


def write_at_step(source, target, step):
  """A copy of a checkpoint with another step."""
  reader = tf.train.load_checkpoint(str(source))
  checkpoint = tf.train.Checkpoint(step=tf.Variable(np.int64(step)))
  for name in reader.get_variable_to_shape_map():
    *path, leaf = name.removesuffix('/.ATTRIBUTES/VARIABLE_VALUE').split('/')
    if path[:1] != ['model']:
      continue
    node = checkpoint
    for part in path:
      part = part.replace('.S', '/')
      if not hasattr(node, part):
        setattr(node, part, tf.train.Checkpoint())
      node = getattr(node, part)
    setattr(node, leaf, tf.Variable(reader.get_tensor(name)))
  checkpoint.write(str(target))


def prepare(project, monkeypatch, **flags):
  monkeypatch.chdir(project)
  return eval_flags.prepare({**DEFAULTS, **flags}, set(flags))


def test_whole_run_over_all_checkpoints(project, run_tool):
  code, output = run_tool(
    project,
    'eval_ssd_network.py',
    *('--checkpoint_path=model', '--eval_all_checkpoints', '--eval_dir=results'),
    *('--dataset_dir=data', '--dataset_name=hda', '--batch_size=2', '--max_num_batches=2'),
    *('--select_threshold=0', '--keep_top_k=20', '--master=', '--gpu_momory_fraction=.9'),
  )
  assert code == 0, output
  assert '--gpu_momory_fraction: taken for --gpu_memory_fraction' in output
  lines = (project / 'results/metrics.jsonl').read_text().splitlines()
  first, second = map(json.loads, lines)
  assert (first['step'], second['step']) == (0, 1000)
  assert first['images'] == 4  # Two batches of two, of six.
  assert first['settings']['max_num_batches'] == 2 and first['settings']['nms_threshold'] == 0.45
  metrics = first['metrics']
  assert metrics == pytest.approx(second['metrics'])  # The same weights.
  assert 0 <= metrics['AP_VOC12/mAP'] <= 1 and metrics['AP_VOC07/3'] is None
  assert metrics['AP_VOC07/mAP'] == pytest.approx(
    np.mean([metrics['AP_VOC07/1'], metrics['AP_VOC07/2']])
  )
  scalars = event_scalars.read_scalars(str(project / 'results'))
  for tag in ('AP_VOC07/1', 'AP_VOC07/mAP', 'AP_VOC12/2', 'DetectionBoxes_Precision/mAP'):
    steps, values = scalars[tag]
    np.testing.assert_array_equal(steps, [0, 1000])
    np.testing.assert_allclose(values, [metrics[tag]] * 2, atol=1e-7)
  table = (project / 'results/average_precision.md').read_text()
  assert re.search(rf'\| a +\| +AP \| +{metrics["AP_VOC07/1"]:.4f} \| +\S+ \|', table)
  assert re.search(r'\| +\| +Steps \| +0 \| +1k \|', table)
  with open(project / 'results/average_precision.csv') as file:
    rows = {tuple(row[:2]): row[2:] for row in csv.reader(file)}
  assert rows['metric', 'class'] == ['0', '1000']
  assert rows['AP_VOC12', 'mAP'] == [f'{metrics["AP_VOC12/mAP"]:.6f}'] * 2
  assert rows['AP_VOC12', 'c'] == ['', '']
  for step in (0, 1000):
    svg = xml.etree.ElementTree.parse(project / f'results/precision_recall_{step}.svg')
    texts = {''.join(n.itertext()) for n in svg.iter('{http://www.w3.org/2000/svg}text')}
    for i, name in ((1, 'a'), (2, 'b')):
      shown = f'{metrics[f"AP_VOC07/{i}"]:.3f} / {metrics[f"AP_VOC12/{i}"]:.3f}'
      assert f'{name}  {shown}' in texts


def test_flags_and_defaults_are_the_originals():
  golden = json.loads((tiny_project.TESTDATA / 'balancap/flags.json').read_text())
  defined = eval_ssd_network.FLAGS.get_flags_for_module(eval_ssd_network)
  ours = {flag.name: flag.default for flag in defined}
  added = {*golden['fork: eval_ssd_network.py'], 'dataset_splict_name', 'gpu_momory_fraction'}
  assert {*golden['eval_ssd_network.py'], *added} <= set(ours)
  differ = {
    name: (default, ours[name])
    for name, default in golden['eval_ssd_network.py'].items()
    if ours[name] != default
  }
  # Those of a classifier, which nothing could be evaluated with.
  assert differ == {'model_name': ('inception_v3', None), 'dataset_name': ('imagenet', None)}


def test_thresholds_and_classes_reach_the_trainings_config(project, monkeypatch):
  pipeline, flags = prepare(
    project,
    monkeypatch,
    select_threshold=0.3,
    nms_threshold=0.6,
    keep_top_k=7,
    batch_size=5,
    num_classes=4,
  )
  config = pipeline.config
  suppression = config.model.ssd.post_processing.batch_non_max_suppression
  assert (pipeline.path, flags['num_classes']) == ('model/pipeline.config', 4)
  assert suppression.score_threshold == pytest.approx(0.3)
  assert suppression.iou_threshold == pytest.approx(0.6)
  assert suppression.max_detections_per_class == 7
  assert suppression.max_total_detections == 21  # Of each of the 3 classes.
  assert config.eval_config.batch_size == 5
  assert list(config.eval_config.metrics_set) == list(eval_flags._METRICS)
  [reader] = config.eval_input_reader
  assert reader.label_map_path == 'label_map.pbtxt' and not reader.shuffle
  assert list(reader.tf_record_input_reader.input_path) == [
    'data/hda_test_000.tfrecord',
    'data/hda_test_001.tfrecord',
  ]


def test_config_of_flags_alone(project, monkeypatch, tmp_path):
  (tmp_path / 'model.ckpt.index').touch()
  pipeline, _ = prepare(
    project,
    monkeypatch,
    checkpoint_path=str(tmp_path / 'model.ckpt'),
    model_name='ssd_512_vgg',
    num_classes=3,
    eval_dir=str(tmp_path),
  )
  config, ssd = pipeline.config, pipeline.config.model.ssd
  assert (ssd.num_classes, ssd.feature_extractor.type) == (2, 'ssd_512_vgg')
  assert ssd.post_processing.batch_non_max_suppression.max_total_detections == 400
  assert pipeline.path == str(tmp_path / 'eval_pipeline.config')
  assert Pipeline.load(pipeline.path).config.model == _with_defaults(config)
  assert label_map.load(config.eval_input_reader[0].label_map_path).names == ('a', 'b')


def _with_defaults(config):
  """The model as written: before the suppression of the flags."""
  model = type(config.model)()
  model.CopyFrom(config.model)
  suppression = model.ssd.post_processing.batch_non_max_suppression
  suppression.max_detections_per_class = suppression.max_total_detections = 200
  return model


def test_misspelled_split_is_taken(project, monkeypatch, caplog):
  pipeline, _ = prepare(project, monkeypatch, dataset_splict_name='test')
  assert len(pipeline.config.eval_input_reader[0].tf_record_input_reader.input_path) == 2
  assert '--dataset_splict_name: taken for --dataset_split_name' in caplog.text


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    ({'checkpoint_path': 'nowhere'}, r'^--checkpoint_path=nowhere: no such file or folder: '),
    ({'checkpoint_path': 'data'}, r'^--checkpoint_path=data: the folder data holds no checkpoint'),
    ({'dataset_name': None}, r'^--dataset_name: is required'),
    ({'checkpoint_path': ''}, r'^--checkpoint_path: is empty'),
    ({'dataset_dir': 'nowhere'}, r'^--dataset_dir=nowhere: no such folder'),
    (
      {'dataset_split_name': 'train'},
      r'expected hda_train_\*\.tfrecord .*are hda_test_000\.tfrecord, hda_test_001\.tfrecord',
    ),
    ({'num_classes': 21}, r'^--num_classes=21: counts the background, so it is 4 for this train'),
    ({'model_name': 'ssd_300_vgg'}, r'^--model_name=ssd_300_vgg: the training is of ssd_mobile'),
    ({'eval_resize': 3}, r'^--eval_resize=3: of 1 NONE, .* there is 4 only'),
    ({'model': 'ssd300'}, r'^--model: is for the modular networks'),
    ({'preprocessing_name': 'inception'}, r'^--preprocessing_name=inception: there is one'),
    (
      {'eval_dir': 'out--dataset_dir=data', 'dataset_dir': None},
      r'^--eval_dir=out--dataset_dir=data: --dataset_dir is part of the value: put a space',
    ),
    ({'select_threshold': float('nan')}, '--select_threshold=nan: expected a finite number'),
    ({'keep_top_k': 2**31}, '--keep_top_k=2147483648: expected 2147483647 at most'),
  ],
)  # fmt: skip
def test_faults_are_one_line(project, monkeypatch, flags, message):
  with pytest.raises(InputError, match=message) as raised:
    prepare(project, monkeypatch, **flags)
  assert '\n' not in str(raised.value)


def test_without_a_trainings_config_the_model_has_to_be_named(project, monkeypatch, tmp_path):
  (tmp_path / 'model.ckpt.index').touch()
  with pytest.raises(InputError, match=r'^--model_name: expected one of ssd_300_vgg'):
    prepare(project, monkeypatch, checkpoint_path=str(tmp_path / 'model.ckpt'))
  with pytest.raises(InputError, match=r'--num_classes=2: .* of class id 2 \(b\).*raise'):
    prepare(
      project,
      monkeypatch,
      checkpoint_path=str(tmp_path / 'model.ckpt'),
      model_name='ssd_300_vgg',
      num_classes=2,
      eval_dir=str(tmp_path),
    )


def test_ids_outside_of_the_training_are_one_line(project, monkeypatch):
  folder = project / 'wrong'
  folder.mkdir()
  image = tiny_project.annotation(1, np.random.default_rng(0), 1)
  image.class_ids[:] = 15
  tiny_project.write_records(folder / 'voc_test_000.tfrecord', [image])
  pipeline, _ = prepare(project, monkeypatch, dataset_dir='wrong', dataset_name='voc')
  strategy = tf.distribute.get_strategy()
  expected = r'1 boxes of class id 15 .* lie outside 1\.\.3: raise num_classes to 15.*voc_test_000'
  with pytest.raises(InputError, match=expected) as raised:
    evaluate_checkpoints(pipeline, 'none', 'model', strategy=strategy)
  assert '\n' not in str(raised.value)
