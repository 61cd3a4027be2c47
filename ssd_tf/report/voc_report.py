"""Writes the tables and curves of an evaluation with VOC's metrics."""

import os
from collections.abc import Mapping
from typing import Any

from ssd_tf.evaluation import log_format
from ssd_tf.evaluation.detection_evaluator import EvaluatorGroup
from ssd_tf.evaluation.voc_07_12_metrics import KINDS, ClassResult, Voc0712Evaluator
from ssd_tf.files.failed_writes import open_for_writing
from ssd_tf.report import voc_tables
from ssd_tf.report.precision_recall_plot import plot_precision_recall
from ssd_tf.run.evaluation_log import EvaluationLog

_TABLE = 'average_precision'


class VocReport:
  """Writes the report of each evaluation; call it once that is in the log.

  In eval_dir: average_precision.md and .csv, all classes at all steps evaluated so far on the same
  data set with the same settings; precision_recall_<step>.svg.

  Args:
    eval_dir: the folder of metrics.jsonl.
    title: what is evaluated: model and data set.
    settings: as in metrics.jsonl.
  """

  def __init__(self, eval_dir: str, title: str, settings: Mapping[str, Any]):
    self._eval_dir = eval_dir
    self._title = title
    self._settings = dict(settings)

  def __call__(self, step: int, metrics: Mapping[str, float], evaluators: EvaluatorGroup) -> None:
    """Logs the classes' average precision, then writes the files.

    Args:
      step: of the checkpoint evaluated.
      metrics: of this evaluation.
      evaluators: that measured it, a `Voc0712Evaluator` among them.
    """
    evaluator = next(e for e in evaluators.evaluators if isinstance(e, Voc0712Evaluator))
    results, details = evaluator.class_results(), evaluator.details
    log_format.emit([f'{self._title}, step {step}:\n{class_table(metrics, results)}'])
    wanted = {'split': details['split'], 'settings': self._settings}
    lines = EvaluationLog(self._eval_dir).comparable(wanted)
    evaluations = {at: line['metrics'] for at, line in lines.items()} | {step: metrics}
    names = {id_: result.name for id_, result in results.items()}
    note = self._note(details, [result.name for result in results.values()
                                if not result.num_groundtruth], len(results))  # fmt: skip
    self._write(f'{_TABLE}.md', voc_tables.markdown(evaluations, names, note))
    self._write(f'{_TABLE}.csv', voc_tables.comma_separated(evaluations, names))
    plot = os.path.join(self._eval_dir, f'precision_recall_{step}.svg')
    plot_precision_recall(list(results.values()), f'{self._title}, step {step}', plot)
    log_format.emit([f'Wrote {os.path.join(self._eval_dir, _TABLE)}.md, .csv and {plot}'])

  def _note(self, details, without, num_classes):
    lines = [
      f'# {self._title}',
      f'{details["images"]} images with {details["groundtruth_boxes"]} boxes, of which '
      f'{details["difficult_boxes"]} are difficult ({details["difficult"]}), from '
      f'`{details["split"]}`. '
      + ', '.join(f'{name} {value}' for name, value in self._settings.items())
      + '.',
    ]
    if without:
      lines.append(
        f'mAP is the mean over the {num_classes - len(without)} of {num_classes} classes that have '
        'groundtruth, as in the VOC development kits; SSD-Tensorflow counts each of the others as '
        f'0: {", ".join(without)}.'
      )
    return '\n\n'.join(lines)

  def _write(self, name, text):
    with open_for_writing(os.path.join(self._eval_dir, name)) as file:
      file.write(text)


def class_table(metrics: Mapping[str, float], results: Mapping[int, ClassResult]) -> str:
  """Puts what was measured of each class into lines: boxes, detections that count, AP, mAP."""
  rows = [('id', 'class', 'boxes', 'detections', *KINDS)]
  for id_, result in results.items():
    figures = [_shown(metrics[f'{kind}/{id_}']) for kind in KINDS]
    rows.append(
      (str(id_), result.name, str(result.num_groundtruth), str(len(result.precision)), *figures)
    )
  rows.append(('', 'mAP', '', '', *(_shown(metrics[f'{kind}/mAP']) for kind in KINDS)))
  return log_format.aligned(rows, left=(1,))


def _shown(value):
  return '-' if value != value else f'{value:.4f}'
