"""Writes the sections of an analysis page, and draws the plots of each."""

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping

import numpy as np

from ssd_tf.errors import InputError
from ssd_tf.evaluation import error_analysis
from ssd_tf.evaluation.error_analysis import JudgedImage
from ssd_tf.experiments import curves
from ssd_tf.experiments.recorded_run import RecordedRun
from ssd_tf.report import class_plots, gallery, html_page
from ssd_tf.report.class_plots import MANY_CLASSES
from ssd_tf.report.class_statistics import ClassStatistics
from ssd_tf.report.html_page import escape
from ssd_tf.run.evaluated_images import EvaluatedImages

_NONE = '\u2013'
_CURVE_IOUS = (0.5, 0.75)
_NUM_BINS = 20
# Heading of the table of classes -> COCO's figure.
_CLASS_FIGURES = {
  'AP': 'Precision/mAP',
  'AP .50': 'Precision/mAP@.50IOU',
  'AP .75': 'Precision/mAP@.75IOU',
  'AR@100': 'Recall/AR@100',
}
# Figure of the classes -> what its axis says.
_AGAINST = {
  'boxes': 'annotations of the class',
  'size': 'mean box size, \u221a(width \u00b7 height), pixels',
  'area_ratio': 'mean area ratio, box / image',
  'aspect_ratio': 'mean aspect ratio, width / height (geometric)',
}
_KINDS = {
  error_analysis.LOCALIZATION: 'badly placed: IoU .1 to .5 with an object of its class',
  error_analysis.CLASS: 'on an object of another class, IoU .5 or more',
  error_analysis.DUPLICATE: 'on an object that a better detection has found',
  error_analysis.BACKGROUND: 'on nothing, or hardly on anything',
}


@dataclasses.dataclass(frozen=True)
class Analysis:
  """What was measured of a run.

  Attributes:
    model_dir: of the training; '' for a checkpoint alone.
    examples: image u8[h,w,3] of each image evaluated, in their order.
    statistics_of: whose statistics these are, in words.
    score_threshold: of the detections that count in the errors and the gallery.
    max_pictures: in the gallery; 0: none.
  """

  config_path: str
  model_dir: str
  evaluated: EvaluatedImages
  examples: Iterable[Mapping[str, np.ndarray]]
  statistics: ClassStatistics
  statistics_of: str
  score_threshold: float
  max_pictures: int

  def judged(self, score_threshold: float | None = None) -> list[JudgedImage]:
    """The images, judged at a score threshold; None for that of the errors."""
    threshold = self.score_threshold if score_threshold is None else score_threshold
    return [
      error_analysis.judge(image, score_threshold=threshold) for image in self.evaluated.images
    ]


def write(found: Analysis, output_dir: str) -> str:
  """Draws the plots and pictures into an existing folder; returns the HTML page that holds them."""
  name = found.model_dir or found.evaluated.checkpoint
  title = f'{os.path.basename(os.path.normpath(name))}, step {found.evaluated.step}'
  judged = found.judged()
  sections = [
    ('run', 'Run', _run(found)),
    ('metrics', 'Metrics', _metrics(found.evaluated.metrics)),
    ('classes', 'Classes', _classes(found, judged)),
    ('relations', 'AP against what the boxes are like', _relations(found, output_dir)),
    ('precision-recall', 'Precision and recall', _precision_recall(found, output_dir)),
    ('progress', 'Over the steps', _progress(found, output_dir)),
    ('errors', 'Errors', _errors(found, judged, output_dir)),
    ('worst', 'Worst images', _worst(found, judged, output_dir)),
  ]
  return html_page.page(title, sections)


def _run(found):
  evaluated, details = found.evaluated, found.evaluated.coco.details
  items = [
    ('Config', found.config_path),
    ('Checkpoint', evaluated.checkpoint),
    ('Evaluated on', f'{evaluated.split}: {details["images"]} images, '
                     f'{details["groundtruth_boxes"]} boxes'),
    ('Detections', f'{details["detections"]}, at most {details["max_detections"]} an image'),
    ('Classes measured on', f'{found.statistics_of}: {found.statistics.num_images} images, '
                            f'{found.statistics.boxes.sum()} boxes, without crowds'),
    ('Score threshold', f'{found.score_threshold:g}, of the errors and worst images only'),
  ]  # fmt: skip
  return html_page.terms(([('Run', found.model_dir)] if found.model_dir else []) + items)


def _metrics(metrics):
  rows = [
    (name, _figure(value, '.4f'))
    for name, value in metrics.items()
    if not re.search(r'ByCategory', name)  # The table of classes has them.
  ]
  note = html_page.paragraph(f'{_NONE}: no groundtruth of this size or class.')
  return html_page.table(('metric', 'value'), rows) + note


def _classes(found, judged):
  evaluated, statistics = found.evaluated, found.statistics
  figures = [evaluated.coco.class_figures(figure) for figure in _CLASS_FIGURES.values()]
  counts = error_analysis.count_by_class(judged, evaluated.images[0].labeled.size)
  header = (
    *('class', 'boxes', 'images', 'mean size, px', 'area ratio', 'aspect ratio'),
    *('boxes evaluated', 'found', 'wrong', *_CLASS_FIGURES),
  )
  rows = []
  for class_id, name in sorted(evaluated.names.items()):
    column = class_id - 1
    rows.append(
      (
        name,
        statistics.boxes[column],
        statistics.images[column],
        _figure(statistics.size[column], '.1f'),
        _figure(statistics.area_ratio[column], '.4f'),
        _figure(statistics.aspect_ratio[column], '.2f'),
        counts.groundtruth[column],
        counts.found[column],
        counts.wrong[column],
        *(_figure(values[class_id], '.3f') for values in figures),
      )
    )
  note = html_page.paragraph(
    f'Boxes, images, sizes and ratios: {found.statistics_of}. Found and wrong: detections of score '
    f'{found.score_threshold:g} or more at IoU .50. {_NONE}: no box of this class.'
  )
  return html_page.table(header, rows) + note


def _relations(found, output_dir):
  evaluated, statistics = found.evaluated, found.statistics
  average = evaluated.coco.class_figures()
  measured = [i for i, ap in average.items() if ap >= 0 and statistics.boxes[i - 1]]
  columns = np.array(measured, np.int64) - 1
  precision = np.array([average[i] for i in measured])
  names = [evaluated.names[i] for i in measured]
  pictures = []
  for figure, label in _AGAINST.items():
    path = os.path.join(output_dir, f'ap_against_{figure}.svg')
    x = getattr(statistics, figure)[columns].astype(np.float64)
    correlation, left_out = class_plots.plot_scatter(x, precision, names, label, path)
    caption = f'<b>AP against {escape(label)}.</b> {escape(correlation)}.'
    if left_out:
      caption += f' {left_out} names found no room; the table has all.'
    description = f'Scatter plot: AP of the classes against {label}'
    pictures.append(html_page.picture(path, description, caption))
  note = html_page.paragraph(
    f'From {found.statistics_of}; AP on {evaluated.split}. Dashed: the least-squares line. '
    'p is how often classes without any such relation would show an r as great; with four '
    'figures looked at, one p below .05 is weak evidence.'
  )
  is_small = len(evaluated.names) <= MANY_CLASSES
  return note + (html_page.plots(pictures) if is_small else '\n'.join(pictures))


def _precision_recall(found, output_dir):
  evaluated = found.evaluated
  classes = [image.groundtruth_classes[~image.is_crowd] for image in evaluated.images]
  counts = np.bincount(np.concatenate(classes), minlength=max(evaluated.names) + 1)
  pictures = []
  for iou in _CURVE_IOUS:
    path = os.path.join(output_dir, f'precision_recall_{round(100 * iou)}.svg')
    of_classes = evaluated.coco.class_curves(iou)
    num_groundtruth = {i: int(counts[i]) for i in of_classes}
    class_plots.plot_curves(of_classes, evaluated.names, num_groundtruth, f'IoU {iou:.2f}', path)
    pictures.append(
      html_page.picture(
        path,
        f'Precision over recall of each class at IoU {iou:.2f}',
        f'<b>IoU {iou:.2f}.</b> Precision interpolated at 101 recalls, as in COCO.',
      )
    )
  return '\n'.join(pictures)


def _progress(found, output_dir):
  """Curves over the steps, as far as the run has any; what it lacks is said instead."""
  drawn, notes = draw_progress(found.model_dir, found.evaluated.split, output_dir)
  pictures = [html_page.picture(path, f'{what} over the steps', '') for what, path in drawn]
  return ''.join(map(html_page.paragraph, notes)) + '\n'.join(pictures)


def draw_progress(
  model_dir: str, split: str, output_dir: str
) -> tuple[list[tuple[str, str]], list[str]]:
  """Draws AP and AR, and the losses, over the steps of a training.

  Args:
    model_dir: of the training; '' for a checkpoint alone.
    split: the data set that its evaluations are on.
    output_dir: an existing folder, which gets ap_and_ar.svg and losses.svg.

  Returns:
    (what, file) of each plot, and a sentence for each that there is not.
  """
  if not model_dir:
    return [], ['A checkpoint was given without a model_dir: there are no curves.']
  drawn, notes = [], []
  path = os.path.join(output_dir, 'ap_and_ar.svg')
  if units := curves.plot_averages(RecordedRun(model_dir).evaluation_curves(split), path):
    drawn.append((' and '.join(units), path))
  else:
    notes.append(f'{os.path.join(model_dir, "eval")} has no AP or AR of an evaluation on {split}.')
  path = os.path.join(output_dir, 'losses.svg')
  try:
    curves.plot_losses(model_dir, path)
    drawn.append(('Losses', path))
  except InputError as error:
    notes.append(f'No losses: {error}.')
  return drawn, notes


def _errors(found, judged, output_dir):
  kinds, confusion, scores = (
    os.path.join(output_dir, f'{name}.svg') for name in ('false_positives', 'confusion', 'scores')
  )
  evaluated, of_all_scores = found.evaluated, found.judged(0.0)
  counts = error_analysis.count_false_positives(judged)
  class_plots.plot_kinds(counts, kinds)
  matrix = error_analysis.confusion_matrix(
    evaluated.images, evaluated.images[0].labeled.size, score_threshold=found.score_threshold
  )
  class_plots.plot_confusion(matrix, evaluated.names, confusion)
  class_plots.plot_scores(error_analysis.score_histogram(of_all_scores, _NUM_BINS), scores)
  above = f'score {found.score_threshold:g} or more'
  text = (
    f'Of the objects, {_figure(error_analysis.recall(judged), ".1%")} are found by detections of '
    f'{above}, and {_figure(error_analysis.recall(of_all_scores), ".1%")} by detections of any '
    'score (IoU .50).'
  )
  rows = [(kind, count, _KINDS[kind]) for kind, count in counts.items()]
  pictures = [
    html_page.picture(
      kinds, 'Number of false positives of each kind', f'<b>False positives</b>, {above}.'
    ),
    html_page.picture(
      scores,
      'Histogram of the scores of right and wrong detections',
      '<b>Scores</b> of all detections, right and wrong at IoU .50; counts on a logarithmic axis.',
    ),
  ]
  of_classes = html_page.picture(
    confusion,
    'Confusion matrix of the classes',
    f'<b>Confusion</b>, {above}, at IoU .50. Shade: the share of its row.',
  )
  table = html_page.table(('false positive', 'number', 'meaning'), rows, text_columns=[2])
  return html_page.paragraph(text) + table + html_page.plots(pictures) + of_classes


def _worst(found, judged, output_dir):
  drawn = gallery.draw_gallery(
    found.examples,
    judged,
    found.evaluated.names,
    output_dir,
    score_threshold=found.score_threshold,
    max_images=found.max_pictures,
  )
  if not drawn:
    return html_page.paragraph('None: no errors, or no pictures asked for.')
  pictures = []
  for i, picture in enumerate(drawn, start=1):
    parts = [f'<b>{i}. {escape(picture.source_id)}</b>, cost {picture.cost:.2f}.']
    if picture.missed:
      parts.append(f'Missed: {escape(picture.missed)}.')
    if picture.wrong:
      parts.append(f'Wrong: {escape(", ".join(picture.wrong))}.')
    description = f'Detections beside groundtruth of {picture.source_id}'
    pictures.append(html_page.picture(picture.path, description, ' '.join(parts)))
  note = html_page.paragraph(
    'By cost: the sum of the scores of the false positives, and 1 for each missed object. '
    f'Detections of score {found.score_threshold:g} or more.'
  )
  return note + '\n'.join(pictures)


def _figure(value, form):
  """A number, or a dash for COCO's -1 and for nan."""
  return _NONE if np.isnan(value) or value == -1 else format(value, form)
