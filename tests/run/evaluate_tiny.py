"""Evaluates the tiny project; run as evaluate_tiny.py REPLICAS BATCH_SIZE, prints JSON."""

import json
import sys

import tiny_project

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.run.evaluator import build_evaluator
from ssd_tf.run.strategy import make_strategy


def main():
  num_replicas, batch_size = int(sys.argv[1]), int(sys.argv[2])
  print(json.dumps(losses(make_strategy(num_replicas), [batch_size])))


def losses(strategy, batch_sizes, overrides=(), prepare=None):
  """[{name: loss}] of tiny.config in the working folder, of each batch size.

  Args:
    strategy: under which the model is made.
    batch_sizes: of the evaluation.
    overrides: changes to the config.
    prepare: changes the model; None: its weights are random, always the same.
  """
  config = Pipeline.load('tiny.config', ['eval_config.num_visualizations=0', *overrides]).config
  with strategy.scope():
    detector = builders.build_detector(config.model, is_training=False)
  if prepare is None:
    tiny_project.randomize(detector.model, seed=3)
  else:
    prepare(detector.model)
  found = []
  for batch_size in batch_sizes:
    config.eval_config.batch_size = batch_size
    evaluator = build_evaluator(Pipeline(config, 'tiny.config'), detector, strategy)
    metrics = evaluator.evaluate(-1)
    found.append({name: value for name, value in metrics.items() if name.startswith('Loss/')})
  return found


if __name__ == '__main__':
  main()
