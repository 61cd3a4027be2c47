"""A checkpoint's detections on every image of a data set, kept beside the metrics."""

import contextlib
import dataclasses
import sys
from collections.abc import Mapping, Sequence

import tensorflow as tf
import tqdm

from ssd_tf import builders
from ssd_tf.config.input_paths import find_checkpoint
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.evaluation.coco_metrics import CocoEvaluator
from ssd_tf.evaluation.detection_evaluator import EvaluatorGroup
from ssd_tf.evaluation.image_results import ImageResult, image_results
from ssd_tf.evaluation.pictures import Pictures
from ssd_tf.run.failures import explaining_failures
from ssd_tf.run.starting import restore
from ssd_tf.training.evaluator import Evaluator


@dataclasses.dataclass(frozen=True)
class EvaluatedImages:
  """What a checkpoint detects on a data set, K classes.

  Attributes:
    checkpoint: prefix of the weights.
    step: that they were written at; 0 where the file does not say.
    split: the data set: input paths as the config has them.
    names: class id -> name.
    images: every image, in the records' order, with all detections that post-processing leaves.
    metrics: those of eval_config, then the losses, by the names that are logged.
    coco: what measured them by COCO's rules, for the figures of classes; it is one of those of
      eval_config where that asks for COCO's metrics.
  """

  checkpoint: str
  step: int
  split: str
  names: Mapping[int, str]
  images: Sequence[ImageResult]
  metrics: Mapping[str, float]
  coco: CocoEvaluator


def evaluate_images(
  pipeline: Pipeline,
  checkpoint: str,
  *,
  on_train_data: bool = False,
  max_images: int = 0,
) -> EvaluatedImages:
  """Runs a model over the evaluation's data set; measures and keeps what it detects.

  Nothing is written; what pycocotools prints goes to stderr.

  Args:
    pipeline: the config.
    checkpoint: the prefix of one, or a folder, of which the newest is taken.
    on_train_data: evaluate on the training records, without augmentation.
    max_images: evaluate on so many images, the first ones; 0: on all.

  Returns:
    The images and their metrics.

  Raises:
    InputError: config, data or checkpoint are at fault, or there is no checkpoint.
  """
  config = pipeline.config
  path = find_checkpoint(checkpoint)
  checking = 'train' if on_train_data else 'eval'
  builders.check_config(pipeline, checking=checking, training=False)
  with pipeline.naming_errors():
    builders.check_records(pipeline, is_training=on_train_data)
    names = pipeline.class_names
    metrics = builders.build_metrics(pipeline, on_train_data)
    detector = builders.build_detector(config.model, is_training=False)
  step = restore(detector.model, path)
  dataset = builders.build_eval_dataset(pipeline, detector, on_train_data=on_train_data)
  if max_images:
    dataset = dataset.unbatch().take(max_images).batch(config.eval_config.batch_size)
  split = ', '.join(builders.evaluated_paths(pipeline, on_train_data))
  recorder = _Recorder(metrics, names, split, config.model.ssd.num_classes)
  explaining = explaining_failures(pipeline, training=on_train_data, evaluation=not on_train_data)
  evaluator = _evaluator(config, detector, dataset, recorder)
  with explaining, contextlib.redirect_stdout(sys.stderr):
    figures = _run(evaluator, dataset)
  return EvaluatedImages(
    checkpoint=path,
    step=step,
    split=split,
    names=names,
    images=recorder.images,
    metrics=figures,
    coco=recorder.coco,
  )


class _Recorder:
  """Stands in for the metrics in an `Evaluator`: passes on what comes, and keeps it."""

  def __init__(self, metrics, names, split, num_classes):
    self.images = []
    self._num_classes = num_classes
    of_config = (e for e in metrics.evaluators if isinstance(e, CocoEvaluator))
    self.coco = next(of_config, None)
    self._groups = [metrics]
    if self.coco is None:
      self.coco = CocoEvaluator(sorted(names.items()), split=split)
      self._groups.append(EvaluatorGroup([self.coco]))

  def update(self, batch, detections):
    self.images += image_results(batch, detections, self._num_classes)
    for group in self._groups:
      group.update(batch, detections)

  def result(self):
    return self._groups[0].result()


def _evaluator(config, detector, dataset, recorder):
  return Evaluator(
    detector=detector,
    dataset=dataset,
    with_losses=not config.eval_config.use_dummy_loss_in_eval,
    make_metrics=lambda: recorder,
    strategy=tf.distribute.get_strategy(),
    pictures=Pictures(names={}, max_images=0),
  )


def _run(evaluator, dataset):
  """The metrics and losses, after one pass."""
  # No Python control flow depends on a tensor: AutoGraph would find nothing, in seconds of tracing.
  step = tf.function(lambda iterator: evaluator.eval_step(iterator), autograph=False)
  state, iterator = evaluator.eval_begin(), iter(dataset)
  # disable=None: no bar in a log file.
  with tqdm.tqdm(desc='evaluated', unit='image', disable=None) as progress:
    while True:
      try:
        outputs = step(iterator)
      except tf.errors.OutOfRangeError:
        break
      evaluator.eval_reduce(state, outputs)
      progress.update(len(evaluator.metrics.images) - progress.n)
  return evaluator.eval_end(state)
