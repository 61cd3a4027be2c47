"""Evaluation: detections and losses of a whole data set, under the tags of the log."""

from collections.abc import Callable

import keras
import numpy as np
import orbit
import tensorflow as tf

from ssd_tf import fields
from ssd_tf.evaluation import drawing, log_format
from ssd_tf.evaluation.coco_metrics import CocoEvaluator

_PROGRESS_EVERY = 100


class Evaluator(orbit.StandardEvaluator):
  """Measures a model on a data set, once through.

  Args:
    model: image f32[B,H,W,3] -> class_logits, box_encodings.
    dataset: distributed batches, finite; keys of `fields`.
    detect: outputs of the model, batch -> detections, keys of `fields`.
    compute_losses: (outputs, batch) -> {'localization_loss': f32[], 'classification_loss': f32[]}.
    make_metrics: makes a new evaluator of detections (such as CocoEvaluator).
    names: class id -> name, for the pictures.
    strategy: that the model was made under.
    num_visualizations: how many images are drawn beside their groundtruth.
    min_score_threshold: of the detections drawn.
    max_boxes_to_draw: of the detections drawn, the best ones.
    include_metrics_per_category: whether to report the AP of each class too.

  `evaluate(-1)` returns {metric or loss: value}; the losses are means over batches.
  """

  def __init__(
    self,
    *,
    model: keras.Model,
    dataset: tf.data.Dataset,
    detect: Callable,
    compute_losses: Callable,
    make_metrics: Callable[[], CocoEvaluator],
    names: dict[int, str],
    strategy: tf.distribute.Strategy,
    num_visualizations: int = 10,
    min_score_threshold: float = 0.5,
    max_boxes_to_draw: int = 20,
    include_metrics_per_category: bool = False,
  ):
    super().__init__(dataset)
    self.model = model
    self.strategy = strategy
    self.metrics = None
    self._detect = detect
    self._compute_losses = compute_losses
    self._make_metrics = make_metrics
    self._names = names
    self._num_visualizations = num_visualizations
    self._min_score_threshold = min_score_threshold
    self._max_boxes_to_draw = max_boxes_to_draw
    self._per_category = include_metrics_per_category

  def eval_begin(self) -> dict:
    """Starts from nothing; the state counts steps and drawn images."""
    self.metrics = self._make_metrics()
    return {'steps': 0, 'drawn': 0, 'losses': []}

  def eval_step(self, iterator) -> list[dict]:
    """Detects on one global batch; one dict for each replica."""
    batch = next(iterator)
    return self.strategy.experimental_local_results(
      self.strategy.run(self._replica_step, args=(batch,))
    )

  def _replica_step(self, batch):
    outputs = self.model(batch[fields.IMAGE], training=False)
    detections = self._detect(outputs, batch)
    parts = self._compute_losses(outputs, batch)
    regularization = tf.add_n(self.model.losses) if self.model.losses else tf.constant(0.0)
    losses = [parts['localization_loss'], parts['classification_loss'], regularization]
    shown = {
      key: detections[key]
      for key in (
        fields.DETECTION_BOXES,
        fields.DETECTION_SCORES,
        fields.DETECTION_CLASSES,
        fields.NUM_DETECTIONS,
      )
    }
    return {'batch': batch, 'detections': shown, 'losses': tf.stack([*losses, sum(losses)])}

  def eval_reduce(self, state: dict, step_outputs: list[dict]) -> dict:
    """Adds the detections of one step to the metrics, and draws the first images."""
    if state['steps'] % _PROGRESS_EVERY == 0:
      log_format.emit([f'Finished eval step {state["steps"]}'])
    state['steps'] += 1
    for output in step_outputs:
      batch, detections = (
        {key: value.numpy() for key, value in output[part].items()}
        for part in ('batch', 'detections')
      )
      if not batch[fields.EXAMPLE_MASK].any():
        continue  # The last batch need not reach every replica.
      self.metrics.update(batch, detections)
      state['losses'].append(output['losses'].numpy())
      for i in range(len(batch[fields.IMAGE])):
        if state['drawn'] < self._num_visualizations and batch[fields.EXAMPLE_MASK][i]:
          self._draw(
            state['drawn'], *({k: v[i] for k, v in d.items()} for d in (batch, detections))
          )
          state['drawn'] += 1
    return state

  def eval_end(self, state: dict) -> dict[str, float]:
    """The metrics, then the mean losses."""
    metrics = self.metrics.result()
    if self._per_category:
      for name, average in self.metrics.per_class_ap().items():
        metrics[f'DetectionBoxes_PerformanceByCategory/mAP/{name}'] = average
      details = self.metrics.details
      if details['labeled_pairs'] < details['pairs']:
        for name, average in self.metrics.per_class_ap(labeled_only=True).items():
          metrics[f'DetectionBoxes_PerformanceByCategory_Labeled/mAP/{name}'] = average
    losses = np.mean(state['losses'], axis=0).tolist()
    return {**metrics, **dict(zip(fields.LOSSES, losses, strict=True))}

  def _draw(self, index, example, detections):
    image = example[fields.IMAGE]
    image = (image - image.min()) / max(float(np.ptp(image)), 1e-6) * 255
    count = int(detections[fields.NUM_DETECTIONS])
    # Back to the shape that people know; the model's input is often squeezed to a square.
    height, width = example[fields.ORIGINAL_SIZE]
    scale = max(image.shape[:2]) / max(height, width)
    size = [max(1, round(side * scale)) for side in (int(height), int(width))]
    image = tf.cast(tf.image.resize(image, size), tf.uint8).numpy()
    drawn = drawing.side_by_side(
      image,
      {**detections, fields.NUM_DETECTIONS: min(count, self._max_boxes_to_draw)},
      example,
      self._names,
      score_threshold=self._min_score_threshold,
    )
    tf.summary.image(f'eval_side_by_side_{index}_0', drawn[np.newaxis])
