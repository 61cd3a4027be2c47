"""The evaluation of checkpoints, from a pipeline.config."""

import json
import os
from collections.abc import Iterator

import orbit
import tensorflow as tf

from ssd_tf import builders
from ssd_tf import config as config_lib
from ssd_tf.evaluation import log_format
from ssd_tf.training import checkpoints
from ssd_tf.training.evaluator import Evaluator
from ssd_tf.training.failures import explaining_failures, naming
from ssd_tf.training.starting import restore


def evaluate_checkpoints(
  config: config_lib.PipelineConfig,
  config_path: str,
  model_dir: str,
  checkpoint_dir: str,
  *,
  strategy: tf.distribute.Strategy,
  timeout: float = 0.0,
  wait_for_first: bool = False,
  sample_1_of_n_eval_examples: int = 1,
  on_train_data: bool = False,
) -> dict[str, float]:
  """Evaluates the newest checkpoint, then each new one until none comes within the timeout.

  Args:
    config: the model and its evaluation.
    config_path: where it is from.
    model_dir: gets event files and evaluation results in eval/.
    checkpoint_dir: a folder that a training writes to, or the prefix of one checkpoint, which may
      be one of the Object Detection API's.
    strategy: as `make_strategy` gives it.
    timeout: seconds to wait for a further checkpoint; 0 to evaluate just the newest one.
    wait_for_first: whether the folder may still be empty, or not there yet.
    sample_1_of_n_eval_examples: evaluate on every n-th example only.
    on_train_data: evaluate on the training records.

  Returns:
    The metrics of the last checkpoint evaluated.

  Raises:
    InputError: config, data or checkpoint are at fault, or there is no checkpoint.
  """
  if not wait_for_first:
    checkpoints.find_checkpoint(checkpoint_dir)  # A misspelt folder is told at once.
  config_lib.validate(config, config_path, checking='train' if on_train_data else 'eval')
  with naming(config_path):
    builders.require_supported_model(config)
    builders.check_records(config, config_path, is_training=on_train_data)
    with strategy.scope():
      detector = builders.build_detector(config.model, is_training=False)
      step = tf.Variable(0, dtype=tf.int64, trainable=False)
  evaluator = build_evaluator(
    config, config_path, detector, strategy, sample_1_of_n_eval_examples, on_train_data
  )
  controller = orbit.Controller(
    strategy=strategy,
    evaluator=evaluator,
    global_step=step,
    eval_summary_dir=os.path.join(model_dir, 'eval'),
    eval_actions=[lambda output: log_evaluation(step, evaluator, output, model_dir)],
  )
  metrics = {}
  for path in _checkpoints(checkpoint_dir, timeout, wait_for_first):
    log_format.emit([f'Found new checkpoint at {path}'])
    restore(detector.model, path)
    step.assign(checkpoints.checkpoint_step(path))
    with explaining_failures(
      config, config_path, training=on_train_data, evaluation=not on_train_data
    ):
      metrics = controller.evaluate(steps=-1)
    if timeout and 0 < config.train_config.num_steps <= step:
      break  # The training is over.
  return metrics


def build_evaluator(
  config: config_lib.PipelineConfig,
  config_path: str,
  detector: builders.Detector,
  strategy: tf.distribute.Strategy,
  sample_1_of_n: int = 1,
  on_train_data: bool = False,
) -> Evaluator:
  """Builds what runs a model over the evaluation's data set and measures its detections.

  Args:
    config: the whole config.
    config_path: where it is from.
    detector: what is evaluated.
    strategy: that the model's variables were made under.
    sample_1_of_n: evaluate on every n-th example only.
    on_train_data: evaluate on the training records.

  Returns:
    The evaluator.
  """
  dataset = builders.build_eval_dataset(
    config,
    config_path,
    detector,
    num_replicas=strategy.num_replicas_in_sync,
    sample_1_of_n_examples=sample_1_of_n,
    on_train_data=on_train_data,
  )
  return Evaluator(
    model=detector.model,
    dataset=strategy.experimental_distribute_dataset(dataset),
    detect=detector.detect,
    compute_losses=detector.compute_batch_losses,
    make_metrics=lambda: builders.build_metrics(config, config_path, on_train_data),
    names=builders.class_names(config, config_path),
    strategy=strategy,
    num_visualizations=config.eval_config.num_visualizations,
    min_score_threshold=config.eval_config.min_score_threshold,
    max_boxes_to_draw=config.eval_config.max_num_boxes_to_visualize,
    include_metrics_per_category=config.eval_config.include_metrics_per_category,
  )


def log_evaluation(
  step: tf.Variable, evaluator: Evaluator, output: dict[str, float], model_dir: str
) -> None:
  """Writes an evaluation's lines, and appends its numbers to eval/metrics.jsonl.

  Args:
    step: of the model that was evaluated, i64[].
    evaluator: that measured it.
    output: the metrics by name.
    model_dir: gets eval/metrics.jsonl.
  """
  step = int(step.numpy())
  log_format.emit(log_format.eval_lines(step, output))
  path = os.path.join(model_dir, 'eval', 'metrics.jsonl')
  os.makedirs(os.path.dirname(path), exist_ok=True)
  # Without what was measured on, a number cannot be compared.
  line = {'step': step, 'metrics': output, **evaluator.metrics.details}
  with open(path, 'a', encoding='utf-8') as file:
    file.write(json.dumps(line, ensure_ascii=False) + '\n')


def _checkpoints(checkpoint_dir, timeout, wait_for_first) -> Iterator[str]:
  # Nothing tells of new ones where a checkpoint is given by name, or was copied by hand.
  is_watched = tf.train.latest_checkpoint(checkpoint_dir) is not None
  if not timeout or not (is_watched or wait_for_first):
    yield checkpoints.find_checkpoint(checkpoint_dir)
    return
  log_format.emit([f'Waiting for new checkpoint at {checkpoint_dir}'])
  yield from tf.train.checkpoints_iterator(checkpoint_dir, timeout=timeout)
  log_format.emit(['Timed-out waiting for a checkpoint.'])
