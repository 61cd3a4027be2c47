"""Stores a checkpoint's detections on every image of a data set beside the metrics."""

import dataclasses
from collections.abc import Mapping, Sequence

import tensorflow as tf
import tqdm

from ssd_tf import builders
from ssd_tf.config.input_paths import find_checkpoint
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.evaluation.coco_metrics import CocoEvaluator
from ssd_tf.evaluation.detection_evaluator import EvaluatorGroup
from ssd_tf.evaluation.image_results import ImageResult, image_results
from ssd_tf.run.evaluator import Options, build_detector, build_evaluator
from ssd_tf.run.failures import explaining_failures
from ssd_tf.run.start import restore


@dataclasses.dataclass(frozen=True)
class EvaluatedImages:
  """What a checkpoint detects on a data set, K classes.

  Attributes:
    step: that they were written at; 0 where the file does not say.
    split: the data set: input paths as the config has them.
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

  Nothing is written, and nothing printed.

  Args:
    checkpoint: the prefix of one, or a folder, of which the newest is taken.
    on_train_data: evaluate on the training records, without augmentation.
    max_images: evaluate on so many images, the first ones; 0: on all.

  Raises:
    InputError: config, data or checkpoint are at fault, or there is no checkpoint.
  """
  path = find_checkpoint(checkpoint)
  strategy = tf.distribute.get_strategy()
  detector = build_detector(pipeline, strategy, on_train_data)
  with pipeline.naming_errors():
    names = pipeline.class_names
    metrics = builders.build_metrics(pipeline, on_train_data)
  step = restore(detector.model, path)
  split = ', '.join(builders.evaluated_paths(pipeline, on_train_data))
  recorder = _Recorder(metrics, names, split, detector.num_classes)
  evaluator = build_evaluator(
    pipeline,
    detector,
    strategy,
    Options(on_train_data=on_train_data, max_images=max_images),
    metrics=recorder,
  )
  explaining = explaining_failures(pipeline, training=on_train_data, evaluation=not on_train_data)
  with explaining, recorder.progress:
    figures = evaluator.evaluate(tf.constant(-1))
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
    # disable=None: no bar in a log file.
    self.progress = tqdm.tqdm(desc='evaluated', unit='image', disable=None)
    self._num_classes = num_classes
    of_config = (e for e in metrics.evaluators if isinstance(e, CocoEvaluator))
    self.coco = next(of_config, None)
    self._groups = [metrics]
    if self.coco is None:
      self.coco = CocoEvaluator(sorted(names.items()), split=split)
      self._groups.append(EvaluatorGroup([self.coco]))

  def update(self, batch, detections):
    found = list(image_results(batch, detections, self._num_classes))
    self.images += found
    self.progress.update(len(found))
    for group in self._groups:
      group.update(batch, detections)

  def result(self):
    return self._groups[0].result()
