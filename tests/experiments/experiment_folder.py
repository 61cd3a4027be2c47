"""A training's folder made by hand, with numbers that are known."""

import json

import tensorflow as tf

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.evaluation.coco_metrics import METRIC_NAMES
from ssd_tf.run.evaluation_log import EvaluationLog

BY_CLASS = 'DetectionBoxes_PerformanceByCategory/mAP/'
LOSSES = ('localization_loss', 'classification_loss', 'regularization_loss', 'total_loss')


def write_config(model_dir, config_path='tiny.config', overrides=()):
  model_dir.mkdir(parents=True, exist_ok=True)
  Pipeline.load(config_path, overrides).save(model_dir)


def write_events(event_dir, curves):
  """Writes {tag: {step: value}}."""
  writer = tf.summary.create_file_writer(str(event_dir))
  with writer.as_default():
    for tag, points in curves.items():
      for step, value in points.items():
        tf.summary.scalar(tag, value, step)
  writer.close()


def write_losses(model_dir, losses):
  """Writes {step: total loss}; of the others each is a quarter of it."""
  curves = {f'Loss/{name}': {s: v / 4 for s, v in losses.items()} for name in LOSSES[:3]}
  curves['Loss/total_loss'] = losses
  curves['steps_per_sec'] = dict.fromkeys(losses, 2.5)
  write_events(model_dir / 'train', curves)


def write_evaluations(model_dir, evaluations, others=()):
  """Writes {step: (mAP, {class: AP})}, all the other figures as mAP; and others {name: value}."""
  for step, (figure, classes) in evaluations.items():
    metrics = dict.fromkeys(METRIC_NAMES, figure)
    metrics.update({f'{BY_CLASS}{name}': value for name, value in classes.items()})
    metrics.update(others)
    details = {'split': 'eval.record', 'images': 5, 'groundtruth_boxes': 4, 'max_detections': 100}
    EvaluationLog(str(model_dir / 'eval')).append(step, metrics, details)


def write_record(model_dir, *runs, folder='.'):
  """Writes run.json of (seconds, last step, outcome), each begun an hour after the other."""
  entries = [
    {
      'started': f'2026-03-01T{10 + i}:00:00Z',
      'seconds': seconds,
      'first_step': 0,
      'last_step': last_step,
      'num_steps': 20,
      'outcome': outcome,
      'seed': 1,
      'config_path': 'tiny.config',
      'command': 'python tools/model_main_tf2.py --model_dir=x',
      'folder': folder,
      'commit': 'c0ffee',
      'is_clean': i == 0,
      'hardware': {'cpu': 'Some CPU', 'cores': 2, 'memory_gb': 23.5, 'gpus': []},
      'versions': {'python': '3.11.2', 'tensorflow': '2.20.0'},
    }
    for i, (seconds, last_step, outcome) in enumerate(runs)
  ]
  (model_dir / 'run.json').write_text(json.dumps({'runs': entries}))


def write_about(model_dir, **about):
  (model_dir / 'experiment.json').write_text(json.dumps(about))
