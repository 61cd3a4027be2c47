"""What an analysis found, as the sections of its page."""

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence

import numpy as np

from ssd_tf.evaluation import error_analysis
from ssd_tf.evaluation.error_analysis import JudgedImage
from ssd_tf.report import html_page
from ssd_tf.report.class_plots import MANY_CLASSES
from ssd_tf.report.class_statistics import ClassStatistics
from ssd_tf.report.correlation import Correlation
from ssd_tf.report.gallery import Picture
from ssd_tf.report.html_page import escape
from ssd_tf.run.evaluated_images import EvaluatedImages

_NONE = '\u2013'
# Heading of the table of classes -> COCO's figure.
_CLASS_FIGURES = {
  'AP': 'Precision/mAP',
  'AP .50': 'Precision/mAP@.50IOU',
  'AP .75': 'Precision/mAP@.75IOU',
  'AR@100': 'Recall/AR@100',
}
_KINDS = {
  error_analysis.LOCALIZATION: 'badly placed: IoU .1 to .5 with an object of its class',
  error_analysis.CLASS: 'on an object of another class, IoU .5 or more',
  error_analysis.DUPLICATE: 'on an object that a better detection has found',
  error_analysis.BACKGROUND: 'on nothing, or hardly on anything',
}


@dataclasses.dataclass(frozen=True)
class Scatter:
  """A plot of AP against a figure of the classes: file, the figure, how well they go together, and
  how many names found no room in it."""

  path: str
  label: str
  correlation: Correlation | str
  names_left_out: int


@dataclasses.dataclass(frozen=True)
class Progress:
  """The plots over the steps, (what, file) each, and a sentence for each that there is not."""

  plots: Sequence[tuple[str, str]]
  notes: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Errors:
  """The plots of the errors, the false positives by kind, and the recall: at the score threshold,
  and of all detections."""

  kinds: str
  confusion: str
  scores: str
  counts: Mapping[str, int]
  recall: float
  recall_of_all: float


@dataclasses.dataclass(frozen=True)
class Findings:
  """All that the page shows; `judged` at the score threshold, files by their paths.

  `statistics_of` says whose the statistics are; `precision_recall` has (IoU, file).
  """

  config_path: str
  model_dir: str
  evaluated: EvaluatedImages
  statistics: ClassStatistics
  statistics_of: str
  judged: Sequence[JudgedImage]
  score_threshold: float
  scatters: Sequence[Scatter]
  precision_recall: Sequence[tuple[float, str]]
  progress: Progress
  errors: Errors
  pictures: Sequence[Picture]


def write(found: Findings) -> str:
  """Writes the page.

  Args:
    found: what it shows.

  Returns:
    HTML5.
  """
  name = found.model_dir or found.evaluated.checkpoint
  title = f'{os.path.basename(os.path.normpath(name))}, step {found.evaluated.step}'
  sections = [
    ('run', 'Run', _run(found)),
    ('metrics', 'Metrics', _metrics(found.evaluated.metrics)),
    ('classes', 'Classes', _classes(found)),
    ('relations', 'AP against what the boxes are like', _relations(found)),
    ('precision-recall', 'Precision and recall', _precision_recall(found)),
    ('progress', 'Over the steps', _progress(found.progress)),
    ('errors', 'Errors', _errors(found)),
    ('worst', 'Worst images', _worst(found)),
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


def _classes(found):
  evaluated, statistics = found.evaluated, found.statistics
  figures = [evaluated.coco.class_figures(figure) for figure in _CLASS_FIGURES.values()]
  counts = error_analysis.count_by_class(found.judged, evaluated.images[0].labeled.size)
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


def _relations(found):
  pictures = []
  for scatter in found.scatters:
    caption = f'<b>AP against {escape(scatter.label)}.</b> {escape(scatter.correlation)}.'
    if scatter.names_left_out:
      caption += f' {scatter.names_left_out} names found no room; the table has all.'
    description = f'Scatter plot: AP of the classes against {scatter.label}'
    pictures.append(html_page.picture(scatter.path, description, caption))
  note = html_page.paragraph(
    f'From {found.statistics_of}; AP on {found.evaluated.split}. Dashed: the least-squares line. '
    'p is how often classes without any such relation would show a coefficient as great; with four '
    'figures looked at, one p below .05 is weak evidence.'
  )
  is_small = len(found.evaluated.names) <= MANY_CLASSES
  return note + (html_page.plots(pictures) if is_small else '\n'.join(pictures))


def _precision_recall(found):
  return '\n'.join(
    html_page.picture(
      path,
      f'Precision over recall of each class at IoU {iou:.2f}',
      f'<b>IoU {iou:.2f}.</b> Precision interpolated at 101 recalls, as in COCO.',
    )
    for iou, path in found.precision_recall
  )


def _progress(progress):
  notes = ''.join(map(html_page.paragraph, progress.notes))
  pictures = [
    html_page.picture(path, f'{what} over the steps', '') for what, path in progress.plots
  ]
  return notes + '\n'.join(pictures)


def _errors(found):
  errors = found.errors
  above = f'score {found.score_threshold:g} or more'
  text = (
    f'Of the objects, {_figure(errors.recall, ".1%")} are found by detections of {above}, and '
    f'{_figure(errors.recall_of_all, ".1%")} by detections of any score (IoU .50).'
  )
  rows = [(kind, count, _KINDS[kind]) for kind, count in errors.counts.items()]
  pictures = [
    html_page.picture(
      errors.kinds, 'Number of false positives of each kind', f'<b>False positives</b>, {above}.'
    ),
    html_page.picture(
      errors.scores,
      'Histogram of the scores of right and wrong detections',
      '<b>Scores</b> of all detections, right and wrong at IoU .50; counts on a logarithmic axis.',
    ),
  ]
  confusion = html_page.picture(
    errors.confusion,
    'Confusion matrix of the classes',
    f'<b>Confusion</b>, {above}, at IoU .50. Shade: the share of its row.',
  )
  table = html_page.table(('false positive', 'number', 'meaning'), rows, text_columns=[2])
  return html_page.paragraph(text) + table + html_page.plots(pictures) + confusion


def _worst(found):
  if not found.pictures:
    return html_page.paragraph('None: no errors, or no pictures asked for.')
  pictures = []
  for i, picture in enumerate(found.pictures, start=1):
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
