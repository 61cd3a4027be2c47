"""Formats the average precision of every class at every checkpoint in Markdown and CSV."""

import csv
import io
import math
from collections.abc import Mapping

from ssd_tf.evaluation.voc_07_12_metrics import KINDS
from ssd_tf.experiments.markdown import step_name

_TITLES = {
  'AP_VOC07': 'Average precision as VOC2007 defines it: the mean at eleven recalls',
  'AP_VOC12': 'Average precision as VOC2012 defines it: the area under the curve',
}
_OTHERS = {
  'DetectionBoxes_Precision/mAP': 'COCO AP@.50:.95',
  'DetectionBoxes_Precision/mAP@.50IOU': 'COCO AP@.50',
  'DetectionBoxes_Precision/mAP@.75IOU': 'COCO AP@.75',
  'DetectionBoxes_Recall/AR@100': 'COCO AR@100',
  'Loss/total_loss': 'loss',
}
_MEAN = 'mAP'

Evaluations = Mapping[int, Mapping[str, float]]


def markdown(evaluations: Evaluations, names: Mapping[int, str], note: str) -> str:
  """Writes one table a kind of average precision, classes down and steps across, as ssd_keras does.

  Args:
    evaluations: metrics by step, with those of `Voc0712Evaluator`; COCO's and the loss where there
      are any.
    names: of the classes, by id.
    note: what was evaluated; comes first.
  """
  steps = sorted(evaluations)
  parts = [note]
  for kind in KINDS:
    rows = [['', 'Steps', *map(step_name, steps)]]
    for id_, name in names.items():
      rows.append([_escaped(name), 'AP', *_figures(evaluations, steps, f'{kind}/{id_}')])
    means = _figures(evaluations, steps, f'{kind}/{_MEAN}')
    rows.append(['', '**mAP**', *(f'**{figure}**' for figure in means)])
    parts += [f'## {_TITLES[kind]}', _table(rows)]
  rows = [
    [title, *_figures(evaluations, steps, metric)]
    for metric, title in _OTHERS.items()
    if any(metric in metrics for metrics in evaluations.values())
  ]
  if rows:
    parts += ['## Further figures', _table([['Steps', *map(step_name, steps)], *rows])]
  return '\n\n'.join(parts) + '\n'


def comma_separated(evaluations: Evaluations, names: Mapping[int, str]) -> str:
  """Writes the same figures as rows of metric, class and one column a step; empty: undefined."""
  steps = sorted(evaluations)
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(['metric', 'class', *steps])
  rows = [(kind, name, f'{kind}/{id_}') for kind in KINDS for id_, name in names.items()]
  rows += [(kind, _MEAN, f'{kind}/{_MEAN}') for kind in KINDS]
  rows += [(metric, '', metric) for metric in _OTHERS]
  for *head, metric in rows:
    values = [evaluations[step].get(metric, math.nan) for step in steps]
    if any(metric in metrics for metrics in evaluations.values()):
      writer.writerow([*head, *('' if math.isnan(v) else f'{v:.6f}' for v in values)])
  return text.getvalue()


def _figures(evaluations, steps, metric):
  values = [evaluations[step].get(metric, math.nan) for step in steps]
  return ['-' if math.isnan(value) else f'{value:.4f}' for value in values]


def _escaped(name):
  return name.replace('|', r'\|')


def _table(rows):
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  # Names to the left, figures to the right.
  lines = [
    '| ' + ' | '.join(
      cell.ljust(width) if i == 0 else cell.rjust(width)
      for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ) + ' |'
    for row in rows
  ]  # fmt: skip
  rules = ['-' * (widths[0] + 2), *('-' * (width + 1) + ':' for width in widths[1:])]
  return '\n'.join([lines[0], f'|{"|".join(rules)}|', *lines[1:]])
