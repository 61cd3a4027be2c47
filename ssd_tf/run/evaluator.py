"""Builds the evaluator of a model on the evaluation's data set, and writes its results."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orbit
import tensorflow as tf

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.detector import SsdDetector
from ssd_tf.evaluation import log_format
from ssd_tf.evaluation.detection_evaluator import EvaluatorGroup
from ssd_tf.evaluation.pictures import Pictures
from ssd_tf.run.checked_event_files import CheckedSummaries
from ssd_tf.run.evaluation_conditions import conditions_of
from ssd_tf.run.evaluation_log import EvaluationLog
from ssd_tf.training.evaluator import Evaluator


@dataclasses.dataclass(frozen=True)
class Options:
  """What an evaluation may be asked for besides its config.

  Attributes:
    on_train_data: evaluate on the training records, not on those of the evaluation.
    eval_dir: gets event files and metrics.jsonl; None: the folder eval of model_dir.
    max_images: evaluate on so many images, the first ones; 0: on all.
    select_top_k: of a class, detect among so many best candidates only; 0: among all.
    voc_metrics: iou_threshold and count_difficult of `Voc0712Evaluator`.
    settings: is written to metrics.jsonl; earlier evaluations with other settings do not count.
    report: gets step, metrics and the evaluators after each evaluation.
  """

  sample_1_of_n: int = 1
  on_train_data: bool = False
  eval_dir: str | None = None
  max_num_batches: int = 0
  max_images: int = 0
  select_top_k: int = 0
  voc_metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  report: Callable[[int, Mapping[str, float], EvaluatorGroup], None] | None = None

  def log(self, model_dir: str) -> EvaluationLog:
    """The log in the eval_dir that is meant."""
    return EvaluationLog(self.eval_dir or os.path.join(model_dir, 'eval'))


def evaluation_details(pipeline: Pipeline, options: Options) -> dict[str, Any]:
  """What the figures of an evaluation depend on besides the weights, as the log has it.

  That is split, conditions, and settings if there are any; see `conditions`.
  """
  return {
    'split': ', '.join(builders.evaluated_paths(pipeline, options.on_train_data)),
    'conditions': conditions_of(pipeline.config, options.sample_1_of_n),
    **({'settings': dict(options.settings)} if options.settings else {}),
  }


def build_detector(
  pipeline: Pipeline, strategy: tf.distribute.Strategy, on_train_data: bool
) -> SsdDetector:
  """Builds the detector of an evaluation alone, after checking the config and its records."""
  checking = 'train' if on_train_data else 'eval'
  builders.check_config(pipeline, checking=checking, training=False)
  with pipeline.naming_errors():
    builders.check_records(pipeline, is_training=on_train_data)
    with strategy.scope():
      return builders.build_detector(pipeline.config.model, is_training=False)


def build_evaluator(
  pipeline: Pipeline,
  detector: SsdDetector,
  strategy: tf.distribute.Strategy,
  options: Options | None = None,
  metrics: EvaluatorGroup | None = None,
) -> Evaluator:
  """Builds what runs a model over the evaluation's data set and measures its detections.

  Args:
    metrics: measure instead of those of eval_config, and nothing is drawn or exported; None: not.
  """
  options, writes = options or Options(), metrics is None
  eval_config = pipeline.config.eval_config

  def make_metrics():
    return metrics or builders.build_metrics(
      pipeline, options.on_train_data, voc_options=options.voc_metrics
    )

  with pipeline.naming_errors():
    make_metrics()  # Reports its faults at once.
    pictures = builders.build_pictures(pipeline) if writes else Pictures({}, 0)
  dataset = builders.build_eval_dataset(
    pipeline,
    detector,
    num_replicas=strategy.num_replicas_in_sync,
    sample_1_of_n_examples=options.sample_1_of_n,
    on_train_data=options.on_train_data,
  )
  if options.max_num_batches:
    dataset = dataset.take(options.max_num_batches)
  if options.max_images:
    dataset = dataset.unbatch().take(options.max_images).batch(eval_config.batch_size)
  if options.select_top_k:
    post_processor = dataclasses.replace(
      detector.post_processor, max_candidates_per_class=options.select_top_k
    )
    detector = dataclasses.replace(detector, post_processor=post_processor)
  return Evaluator(
    detector=detector,
    dataset=strategy.experimental_distribute_dataset(dataset),
    with_losses=not eval_config.use_dummy_loss_in_eval,
    make_metrics=make_metrics,
    strategy=strategy,
    pictures=pictures,
    export_path=eval_config.export_path if writes else '',
  )


def evaluate(
  evaluator: orbit.AbstractEvaluator,
  summaries: CheckedSummaries,
  actions: Sequence[Callable[[dict[str, float]], None]],
) -> dict[str, float]:
  """Evaluates once through the data.

  Args:
    summaries: gets the figures and pictures, after the actions.
    actions: are called with the figures.
  """
  with summaries.summary_writer().as_default():
    output = evaluator.evaluate(tf.constant(-1))
  for action in actions:
    action(output)
  summaries.write_summaries(output)
  summaries.flush()
  return output


def log_evaluation(
  step: tf.Variable,
  evaluator: Evaluator,
  output: dict[str, float],
  log: EvaluationLog,
  details: Mapping[str, Any],
) -> None:
  """Writes an evaluation's lines, and adds its numbers to the log of evaluations."""
  step = int(step.numpy())
  log_format.show(evaluator.metrics.report)
  log_format.emit(log_format.eval_lines(step, output))
  log.append(step, output, evaluator.metrics.details | details)
