"""Evaluates a data set: detections and losses, under the tags of the log."""

import json
import os
from collections.abc import Callable, Iterator

import numpy as np
import orbit
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.detector import SsdDetector
from ssd_tf.evaluation import log_format
from ssd_tf.evaluation.detection_evaluator import EvaluatorGroup
from ssd_tf.evaluation.pictures import Pictures
from ssd_tf.files.failed_writes import open_for_writing
from ssd_tf.models.folding import fold_batch_norm
from ssd_tf.training.regularization import regularization_losses

_PROGRESS_EVERY = 100
_SUMS = ('localization_loss', 'classification_loss', 'normalizer')
_DETECTIONS = (
  fields.DETECTION_BOXES,
  fields.DETECTION_SCORES,
  fields.DETECTION_CLASSES,
  fields.NUM_DETECTIONS,
)


class Evaluator(orbit.StandardEvaluator):
  """Measures a model on a data set, once through.

  Args:
    detector: what is measured, with the weights that it has at that time.
    dataset: distributed batches, finite; keys of `fields`.
    with_losses: whether the losses are computed; else the total loss is 1.
    export_path: gets all detections, in COCO's results format; '' for no such file.

  `evaluate(-1)` returns {metric or loss: value}. Losses and normalizers are summed over the whole
  data set and divided once, so that the size of the batches and the replicas change nothing.
  """

  def __init__(
    self,
    *,
    detector: SsdDetector,
    dataset: tf.data.Dataset,
    make_metrics: Callable[[], EvaluatorGroup],
    strategy: tf.distribute.Strategy,
    pictures: Pictures,
    with_losses: bool = True,
    export_path: str = '',
  ):
    super().__init__(dataset)
    self.strategy = strategy
    self.metrics = None
    self._detector = detector
    self._model = fold_batch_norm(detector.model)
    self._with_losses = with_losses
    self._make_metrics = make_metrics
    self._pictures = pictures
    self._export_path = export_path

  def eval_begin(self) -> dict:
    """Starts from nothing; the state counts steps and drawn images."""
    self.metrics = self._make_metrics()
    return {'steps': 0, 'drawn': 0, 'sums': np.zeros(len(_SUMS))}

  # No Python control flow depends on a tensor: AutoGraph would find nothing, in seconds of tracing.
  @tf.autograph.experimental.do_not_convert
  def eval_step(self, iterator: Iterator) -> list[dict]:
    """Detects on one global batch; one dict for each replica."""
    batch = next(iterator)
    return self.strategy.experimental_local_results(
      self.strategy.run(self._replica_step, args=(batch,))
    )

  def _replica_step(self, batch):
    outputs = self._model(batch[fields.IMAGE], training=False)
    detections = self._detector.postprocess(outputs, batch[fields.TRUE_SIZE])
    sums = tf.zeros(len(_SUMS))
    if self._with_losses:
      parts = self._detector.sum_losses(outputs, batch)
      sums = tf.stack([parts[name] for name in _SUMS])
    shown = {key: detections[key] for key in _DETECTIONS}
    return {'batch': _without_padding(batch), 'detections': shown, 'sums': sums}

  def eval_reduce(self, state: dict, step_outputs: list[dict]) -> dict:
    """Adds the detections of one step to the metrics, and draws the first images."""
    if state['steps'] % _PROGRESS_EVERY == 0:
      log_format.emit([f'Finished eval step {state["steps"]}'])
    state['steps'] += 1
    for output in step_outputs:
      images = output['batch'].pop(fields.IMAGE)  # As an array only where it is drawn.
      batch, detections = (
        {key: value.numpy() for key, value in output[part].items()}
        for part in ('batch', 'detections')
      )
      if not batch[fields.EXAMPLE_MASK].any():
        continue  # The last batch need not reach every replica.
      self.metrics.update(batch, detections)
      state['sums'] += output['sums'].numpy()
      for i in np.flatnonzero(batch[fields.EXAMPLE_MASK]):
        if state['drawn'] == self._pictures.max_images:
          break
        example, found = ({k: v[i] for k, v in d.items()} for d in (batch, detections))
        height, width = example[fields.TRUE_SIZE]
        example[fields.IMAGE] = images[i, :height, :width].numpy()
        self._pictures.write(state['drawn'], example, found)
        state['drawn'] += 1
    return state

  def eval_end(self, state: dict) -> dict[str, float]:
    """The metrics, then the losses."""
    metrics = self.metrics.result()
    if self._export_path:
      os.makedirs(os.path.dirname(self._export_path) or '.', exist_ok=True)
      with open_for_writing(self._export_path) as file:
        json.dump(self.metrics.coco_results(), file)
    if not self._with_losses:
      return {**metrics, fields.TOTAL_LOSS: 1.0}
    *sums, normalizer = state['sums'].tolist()
    losses = [loss / max(normalizer, 1.0) for loss in sums]
    losses.append(float(sum(regularization_losses(self._detector.model), start=tf.constant(0.0))))
    return {**metrics, **dict(zip(fields.LOSSES, [*losses, sum(losses)], strict=True))}


def _without_padding(batch):
  """Groundtruth boxes as the detections: normalized to the part of the image that is no padding."""
  size = tf.cast(tf.shape(batch[fields.IMAGE])[1:3], tf.float32)
  share = tf.cast(batch[fields.TRUE_SIZE], tf.float32) / size
  # An example that only fills the batch has no size.
  scale = tf.tile(tf.math.divide_no_nan(1.0, share), [1, 2])
  boxes = batch[fields.GROUNDTRUTH_BOXES] * scale[:, tf.newaxis]
  return {**batch, fields.GROUNDTRUTH_BOXES: boxes}
