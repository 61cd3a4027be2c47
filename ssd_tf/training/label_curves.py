"""Computes curves of what partial labels contribute to the training of each class."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class LabelCurves:
  """Draws, for each class, labeled images, positives and the share of the loss that is masked."""

  class_names: Mapping[int, str]
  interval: int

  def write(self, step: int, num_images: float, labels: np.ndarray, masked: np.ndarray) -> None:
    """Writes a point of every curve, if some labels since the last point were partial.

    Args:
      num_images: that were trained on since the last point.
      labels: the sum of `objective.count_labels` since then, f32[2, K].
      masked: `Objective.masked_losses` of the last step, f32[2, K].
    """
    (labeled, positives), (masked_losses, losses) = labels, masked
    if all(labeled[class_id - 1] >= num_images for class_id in self.class_names):
      return
    for class_id, name in self.class_names.items():
      i = class_id - 1
      tf.summary.scalar(f'PartialLabels/labeled_images/{name}', labeled[i], step=step)
      tf.summary.scalar(f'PartialLabels/positives/{name}', positives[i], step=step)
      share = masked_losses[i] / max(losses[i], 1e-9)
      tf.summary.scalar(f'PartialLabels/masked_share_of_loss/{name}', share, step=step)
