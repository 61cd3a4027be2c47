"""Scalars read back from event files as TF1 and TF2 write them, and the SVG drawn of them."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ssd_tf.errors import InputError
from ssd_tf.experiments import curves
from ssd_tf.experiments.event_scalars import read_scalars

_ROOT = Path(__file__).parents[2]
_LOSSES = ('localization_loss', 'classification_loss', 'regularization_loss', 'total_loss')


def _write(event_dir, scalars, suffix=''):
  """Writes {tag: {step: value}} with tf.summary, and an image that is not to be read."""
  writer = tf.summary.create_file_writer(str(event_dir), filename_suffix=suffix)
  with writer.as_default():
    for tag, points in scalars.items():
      for step, value in points.items():
        tf.summary.scalar(tag, value, step)
    tf.summary.image('train_input_images', np.zeros((1, 4, 6, 3), np.uint8), 0)
  writer.close()


def _training(model_dir, points=3):
  steps = range(100, 100 * points + 1, 100)
  scalars = {f'Loss/{name}': {s: 1 / s for s in steps} for name in _LOSSES}
  _write(model_dir / 'train', {**scalars, 'learning_rate': dict.fromkeys(steps, 0.02)})


def _texts(path):
  root = ElementTree.parse(path).getroot()
  assert root.tag == '{http://www.w3.org/2000/svg}svg'
  return [element.text for element in root.iter('{http://www.w3.org/2000/svg}text')]


def test_tf2_scalars_are_read_and_images_are_not(tmp_path):
  _write(tmp_path, {'Loss/total_loss': {0: 2.5, 10: 0.25, 20: -1.0}, 'learning_rate': {10: 0.5}})
  scalars = read_scalars(str(tmp_path))
  assert sorted(scalars) == ['Loss/total_loss', 'learning_rate']
  steps, values = scalars['Loss/total_loss']
  np.testing.assert_array_equal(steps, [0, 10, 20])
  np.testing.assert_array_equal(values, [2.5, 0.25, -1.0])
  assert steps.dtype == np.int64 and values.dtype == np.float64


def test_tf1_scalars_are_read(tmp_path):
  with tf.Graph().as_default(), tf.compat.v1.summary.FileWriter(str(tmp_path)) as writer:
    for step, value in ((1, 0.5), (2, 0.75)):
      summary = tf.compat.v1.Summary()
      summary.value.add(tag='loss', simple_value=value)
      writer.add_summary(summary, step)
  steps, values = read_scalars(str(tmp_path))['loss']
  np.testing.assert_array_equal(steps, [1, 2])
  np.testing.assert_array_equal(values, [0.5, 0.75])


def test_restart_overrides_steps_and_a_half_record_is_passed_over(tmp_path):
  _write(tmp_path, {'loss': {10: 1.0, 20: 2.0, 30: 3.0}}, suffix='.first')
  (first,) = tmp_path.iterdir()
  # A killed training: the file ends within the record of the image, behind the scalars.
  first.write_bytes(first.read_bytes()[:-5])
  os.rename(first, tmp_path / 'events.out.tfevents.1000000000.host.first')
  _write(tmp_path, {'loss': {20: 2.5, 40: 4.0}}, suffix='.second')
  steps, values = read_scalars(str(tmp_path))['loss']
  np.testing.assert_array_equal(steps, [10, 20, 30, 40])
  np.testing.assert_array_equal(values, [1.0, 2.5, 3.0, 4.0])


def test_svg_names_its_panels_and_is_reproducible(tmp_path):
  _training(tmp_path, points=60)
  precision = {'DetectionBoxes_Precision/mAP': {1000: 0.25, 6000: 0.5}}
  losses = {'Loss/total_loss': {1000: 0.5, 6000: 0.25}}
  nothing = {'DetectionBoxes_Precision/mAP@.50IOU': {1000: -1.0, 6000: -1.0}}
  _write(tmp_path / 'eval', {**precision, **losses, **nothing})
  first, second = tmp_path / 'new' / 'a.svg', tmp_path / 'b.svg'
  curves.plot_losses(str(tmp_path), str(first))
  curves.plot_losses(str(tmp_path), str(second))
  assert first.read_bytes() == second.read_bytes()
  texts = _texts(first)
  for name in _LOSSES:
    assert name.replace('_', ' ') in texts
  assert {'learning rate', 'mean average precision', 'step', 'mAP 0.500'} <= set(texts)
  assert not any('mAP@.50IOU' in text for text in texts)


def test_precision_of_voc_metrics_alone(tmp_path):
  _training(tmp_path)
  of_class = {'PascalBoxes_PerformanceByCategory/AP@0.5IOU/cat': {100: 0.2, 300: 0.4}}
  _write(tmp_path / 'eval', {'PascalBoxes_Precision/mAP@0.5IOU': {100: 0.25, 300: 0.5}, **of_class})
  assert curves.draw_curve_files(str(tmp_path), str(tmp_path))[4:] == ['mAP.svg']
  curves.plot_losses(str(tmp_path), str(tmp_path / 'losses.svg'))
  for name in ('mAP.svg', 'losses.svg'):
    assert {'mean average precision', 'PascalBoxes mAP@0.5IOU 0.500'} <= set(
      _texts(tmp_path / name)
    )


def test_coco_goes_before_voc(tmp_path):
  coco = ['DetectionBoxes_Precision/mAP', 'DetectionBoxes_Precision/mAP@.50IOU']
  voc = ['WeightedPascalBoxes_Precision/mAP@0.5IOU', 'PascalBoxes_Precision/mAP@0.5IOU']
  assert curves.precision_tags([*voc, *coco[::-1]]) == coco
  assert curves.precision_tags([*voc, 'OpenImagesV2_Precision/mAP@0.5IOU']) == voc
  assert curves.precision_tags(['Loss/total_loss']) == []
  tags = (*coco, voc[1], 'DetectionBoxes_Recall/AR@100 (small)')
  short = [curves.short_name(tag) for tag in tags]
  assert short == ['mAP', 'mAP@.50IOU', 'PascalBoxes mAP@0.5IOU', 'AR@100 (small)']


@pytest.mark.parametrize('points', [1, 3])
def test_short_training_without_evaluation(tmp_path, points):
  _training(tmp_path, points)
  curves.plot_losses(str(tmp_path), str(tmp_path / 'losses.svg'))
  texts = _texts(tmp_path / 'losses.svg')
  assert 'total loss' in texts and 'mean average precision' not in texts


def test_bad_input_is_named(tmp_path):
  output = str(tmp_path / 'losses.svg')
  with pytest.raises(InputError, match='train: expected a folder .* missing'):
    curves.plot_losses(str(tmp_path), output)
  (tmp_path / 'train').mkdir()
  with pytest.raises(InputError, match=r'train: expected events.out.tfevents.\* files, found none'):
    curves.plot_losses(str(tmp_path), output)
  _write(tmp_path / 'train', {'accuracy': {1: 0.5}})
  with pytest.raises(InputError, match=r"expected the scalars .*, received \['accuracy'\]"):
    curves.plot_losses(str(tmp_path), output)
  with pytest.raises(InputError, match='losses.png.*ends in .svg'):
    curves.plot_losses(str(tmp_path), 'losses.png')


def test_tool_says_in_one_line_what_is_wrong(tmp_path):
  command = [sys.executable, 'tools/plot_losses.py', '--output_path=x.svg']
  environment = {**os.environ, 'PYTHONPATH': str(_ROOT)}
  run = subprocess.run(
    [*command, f'--model_dir={tmp_path}'],
    cwd=_ROOT,
    env=environment,
    capture_output=True,
    text=True,
  )
  assert run.returncode == 2
  assert run.stderr.startswith('plot_losses.py: error: ') and run.stderr.count('\n') == 1
