"""Computes COCO metrics, named and ordered as the Object Detection API reports them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from ssd_tf import fields
from ssd_tf.evaluation import coco_tables, log_format
from ssd_tf.evaluation.coco_figures import (
  FIGURES,
  LABELED_AVERAGE,
  LABELED_METRIC_NAMES,
  METRIC_NAMES,
  category_metrics,
  summary_lines,
)
from ssd_tf.evaluation.image_results import ImageResult, image_results


@dataclasses.dataclass(eq=False)
class CocoEvaluator:
  """Average precision and recall over one pass of a data set, in pixels of the original images.

  AP is the mean over IoU .50:.05:.95 of the precision interpolated at 101 recalls, averaged over
  the classes that have groundtruth; AR@k is the recall with at most k detections per image and
  class. A crowd box is neither missed nor matched as a hit: detections that fall on it are left
  out. Boxes of classes outside the categories are left out, groundtruth ones with a warning.

  With partial labels a detection of an object that nobody annotated counts as false. Where a class
  is not labeled in some image, the metrics are therefore given a second time, of the labeled
  (image, class) pairs alone: of a class not labeled in an image, detections and groundtruth there
  are left out, and the image stays for its other classes.

  Attributes:
    categories: (id, name) of each class, ids from 1.
    split: the data set's name, for `details` only.
    score_threshold: below which the detector drops its detections, for `details` only.
    include_metrics_per_category: whether the result has the AP of each class too.
    all_metrics_per_category: whether it then has all twelve figures of each class.
    super_categories: whose mean APs it then has: class names by the name of their group.

  Source: pycocotools 2.0; the Object Detection API's metrics/coco_evaluation.py for the names.
  Unlike there, images are counted, not told apart by source_id, so a repeated id loses no image.
  The labeled pairs as in Gupta et al., LVIS, section 3, and Kuznetsova et al., Open Images V4,
  section 3; unlike LVIS, which still counts the boxes of a class that is not exhaustively
  annotated in an image, that pair is left out whole.
  """

  categories: Sequence[tuple[int, str]]
  _: dataclasses.KW_ONLY
  split: str = ''
  score_threshold: float | None = None
  include_metrics_per_category: bool = False
  all_metrics_per_category: bool = False
  super_categories: Mapping[str, Sequence[str]] | None = None

  def __post_init__(self):
    self._names = dict(self.categories)
    self._max_id = max(self._names, default=0)
    self._images = []
    self._groundtruth = [np.zeros(0, coco_tables.GROUNDTRUTH)]
    self._detections = [np.zeros(0, coco_tables.DETECTION)]
    self._labeled = [np.zeros((0, self._max_id), bool)]  # Of each image; column i is class i + 1.
    self._max_detections = 0
    self._source_ids = set()
    self._image_names = []
    self._warned = set()
    self._coco_evals = {}  # Whether of the labeled pairs alone -> as coco_tables.evaluate gives it.
    self.report = ''

  def update(self, batch: dict[str, Any], detections: dict[str, Any]) -> None:
    """Adds a batch; see `image_results`. A groundtruth_area of 0 stands for the box's own.

    Raises:
      ValueError: a key is missing, a shape does not fit, or a detection is not finite.
    """
    self._coco_evals.clear()
    for image in image_results(batch, detections, self._max_id):
      self._add_image(image)
    self._max_detections = max(
      self._max_detections, np.shape(detections[fields.DETECTION_BOXES])[1]
    )

  def result(self) -> dict[str, float]:
    """Evaluates all images; `report` has the lines that pycocotools prints of it.

    If a class is not labeled in some image, the report has those of the labeled pairs too, under a
    heading, and a warning tells what the missing labels do to AP.

    Returns:
      The twelve metrics in [0, 1], in COCO's order; -1 where there is no groundtruth of that size.
      With partial labels, then the same of the labeled (image, class) pairs, as
      LABELED_METRIC_NAMES. Then, if asked for, figures of the classes.
    """
    values, self.report = self._summarize(labeled_only=False)
    metrics = dict(zip(METRIC_NAMES, values, strict=True))
    labeled = self._labeled_pairs()
    if not labeled.all():
      heading = f'Of the {labeled.sum()} labeled of {labeled.size} (image, class) pairs alone:'
      values, text = self._summarize(heading, labeled_only=True)
      self.report += text
      metrics.update(zip(LABELED_METRIC_NAMES, values, strict=True))
      warning = self._partial_labels_warning(metrics)
      self._warn_once(warning, warning)
    if self.include_metrics_per_category:
      coco_eval, _ = self._evaluate(labeled_only=False)
      metrics |= self._category_metrics(lambda k, figure: figure.of(coco_eval, k))
      if not labeled.all():
        averages = self.per_class_ap(labeled_only=True)
        metrics |= {LABELED_AVERAGE.format(name): value for name, value in averages.items()}
    return metrics

  @property
  def metric_names(self) -> list[str]:
    """The names in `result`, in its order, told without one; those of labeled pairs among them."""
    names = [*METRIC_NAMES, *LABELED_METRIC_NAMES]
    if self.include_metrics_per_category:
      names += self._category_metrics(lambda k, figure: -1.0)
      names += map(LABELED_AVERAGE.format, self._class_names())
    return names

  def per_class_ap(self, *, labeled_only: bool = False) -> dict[str, float]:
    """AP at IoU .50:.95, all sizes, 100 detections per image, by class name in the order of ids.

    With labeled_only each class is measured only on the images in which it is labeled; -1 without
    groundtruth.
    """
    coco_eval, _ = self._evaluate(labeled_only)
    return {name: FIGURES[0].of(coco_eval, k) for k, name in enumerate(self._class_names())}

  def class_figures(self, name: str = 'Precision/mAP') -> dict[int, float]:
    """A figure, such as 'Precision/mAP@.50IOU' or 'Recall/AR@100', of each class, by rising id.

    It is -1 where there is no groundtruth of that class and size.
    """
    coco_eval, _ = self._evaluate(labeled_only=False)
    [figure] = (figure for figure in FIGURES if figure.name == name)
    return {id_: figure.of(coco_eval, k) for k, id_ in enumerate(coco_eval.params.catIds)}

  def class_curves(self, iou_threshold: float) -> dict[int, np.ndarray]:
    """Each class's precision at the recalls 0, .01, ..., 1, f64[101] by class id, rising.

    At one of the IoUs .50, .55, ..., .95; 100 detections per image. Interpolated: at a recall, the
    best precision from there; -1 without groundtruth. Their means are the AP at this IoU.
    """
    coco_eval, _ = self._evaluate(labeled_only=False)
    params = coco_eval.params
    at = int(np.flatnonzero(np.isclose(params.iouThrs, iou_threshold))[0])
    size, limit = params.areaRngLbl.index('all'), params.maxDets.index(100)
    precision = coco_eval.eval['precision'][at]  # [recalls, classes, sizes, limits]
    return {class_id: precision[:, k, size, limit] for k, class_id in enumerate(params.catIds)}

  @property
  def details(self) -> dict[str, Any]:
    """What a figure has to be read with: split, counts, score threshold, detections per image.

    'pairs' are all (image, class) pairs, 'labeled_pairs' those of them that are labeled.
    """
    groundtruth = np.concatenate(self._groundtruth)
    labeled = self._labeled_pairs()
    return {
      'split': self.split,
      'images': len(self._images),
      'groundtruth_boxes': len(groundtruth),
      'crowd_boxes': int(groundtruth['iscrowd'].sum()),
      'detections': sum(map(len, self._detections)),
      'score_threshold': self.score_threshold,
      'max_detections': self._max_detections,
      'labeled_pairs': int(labeled.sum()),
      'pairs': labeled.size,
    }

  def _add_image(self, result: ImageResult):
    source_id = result.source_id
    if source_id and source_id in self._source_ids:
      self._warn_once(
        'source_id',
        f'source_id {source_id!r} occurs twice; every image counts, but does the data set repeat?',
      )
    self._source_ids.add(source_id)
    image = {'id': len(self._images) + 1, 'height': result.height, 'width': result.width}
    self._images.append(image)
    self._image_names.append(source_id)
    self._labeled.append(result.labeled[np.newaxis])

    table = coco_tables.make_table(
      coco_tables.GROUNDTRUTH, image, result.groundtruth_boxes, result.groundtruth_classes
    )
    table['area'] = np.where(result.area > 0, result.area, table['area'])
    table['iscrowd'] = result.is_crowd
    known = self._is_known(table)
    for unknown in np.unique(table['category_id'][~known]):
      self._warn_once(
        ('class', unknown),
        f'groundtruth class {unknown} (first in {source_id!r}) is not among the categories '
        f'{sorted(self._names)}; its boxes are left out: add it to the label map',
      )
    self._groundtruth.append(table[known])

    table = coco_tables.make_table(coco_tables.DETECTION, image, result.boxes, result.classes)
    table['score'] = result.scores
    self._detections.append(table[self._is_known(table)])

  def coco_results(self) -> list[dict[str, Any]]:
    """The detections in COCO's results format: image_id, category_id, bbox in pixels, score.

    An image_id is the record's source_id, as a number if it is one.
    """
    detections = np.concatenate(self._detections)
    names = [int(name) if name.isdecimal() else name for name in self._image_names]
    return [
      {
        'image_id': names[row['image_id'] - 1],
        'category_id': int(row['category_id']),
        'bbox': row['bbox'].tolist(),
        'score': float(row['score']),
      }
      for row in detections
    ]

  def _is_known(self, table):
    return np.isin(table['category_id'], list(self._names))

  def _warn_once(self, subject, message):
    if subject not in self._warned:
      self._warned.add(subject)
      logging.warning('%s', message)

  def _labeled_pairs(self):
    """Returns bool[images, categories]."""
    return np.concatenate(self._labeled)[:, np.array([*self._names], int) - 1]

  def _of_labeled_pairs(self, table):
    labeled = np.concatenate(self._labeled)
    return table[labeled[table['image_id'] - 1, table['category_id'] - 1]]

  def _class_names(self):
    return [name for _, name in sorted(self._names.items())]

  def _category_metrics(self, value):
    return category_metrics(
      value,
      self._class_names(),
      all_metrics=self.all_metrics_per_category,
      super_categories=self.super_categories,
    )

  def _summarize(self, *heading, labeled_only):
    """The twelve figures, and what pycocotools prints: on the way to them, then of them."""
    coco_eval, text = self._evaluate(labeled_only)
    values = [figure.of(coco_eval) for figure in FIGURES]
    return values, '\n'.join([text, *heading, *summary_lines(values), ''])

  def _evaluate(self, labeled_only):
    labeled_only = labeled_only and not self._labeled_pairs().all()
    if labeled_only not in self._coco_evals:
      tables = [np.concatenate(tables) for tables in (self._groundtruth, self._detections)]
      if labeled_only:
        # Pairs are matched independently of each other: leaving out rows is all there is to it.
        tables = [self._of_labeled_pairs(table) for table in tables]
      else:
        log_format.emit([f'Performing evaluation on {len(self._images)} images.'])
      self._coco_evals[labeled_only] = coco_tables.evaluate(self._images, self._names, *tables)
    return self._coco_evals[labeled_only]

  def _partial_labels_warning(self, metrics):
    labeled = self._labeled_pairs()
    groundtruth = np.concatenate(self._groundtruth)
    left_out = len(groundtruth) - len(self._of_labeled_pairs(groundtruth))
    everywhere, restricted = metrics[METRIC_NAMES[0]], metrics[LABELED_METRIC_NAMES[0]]
    if restricted > -1:
      effect = (
        f'{everywhere:.4f}, against {restricted:.4f} on the labeled pairs alone '
        f'({restricted - everywhere:+.4f})'
      )
    else:
      effect = f'{everywhere:.4f}; the labeled pairs have no groundtruth to measure it on'
    boxes = f' {left_out} groundtruth boxes lie in unlabeled pairs.' if left_out else ''
    return (
      f'{labeled.size - labeled.sum()} of {labeled.size} (image, class) pairs are not labeled. '
      'Detections of the unlabeled objects there count as false positives, so mAP is too low: '
      f'{effect}.{boxes} Read the DetectionBoxes_Precision_Labeled and _Recall_Labeled metrics, or '
      'score on completely labeled images.'
    )
