"""The analysis of a run: evaluates a checkpoint, writes plots and the page that holds them."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
import tqdm

from ssd_tf import builders, plots
from ssd_tf.config.input_paths import find_checkpoint
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.evaluation import error_analysis
from ssd_tf.evaluation.error_analysis import JudgedImage
from ssd_tf.experiments.experiment_run import original_config_path
from ssd_tf.files.failed_writes import open_for_writing
from ssd_tf.report import class_plots, class_statistics, gallery, progress_plot, report, themed_svg
from ssd_tf.report.class_statistics import ClassStatistics
from ssd_tf.run import evaluated_images, record
from ssd_tf.run.evaluated_images import EvaluatedImages

PAGE = 'index.html'
_CURVE_IOUS = (0.5, 0.75)
_NUM_BINS = 20
# Figure of the classes -> what its axis says.
_AGAINST = {
  'boxes': 'annotations of the class',
  'size': 'mean box size, \u221a(width \u00b7 height), pixels',
  'area_ratio': 'mean area ratio, box / image',
  'aspect_ratio': 'mean aspect ratio, width / height (geometric)',
}


@dataclasses.dataclass(frozen=True)
class Options:
  """What an analysis may be asked for.

  Attributes:
    score_threshold: of the detections that count in the errors and the gallery.
    max_gallery_images: in the gallery; 0: none.
    max_images: evaluate on so many images; 0: on all.
    on_train_data: evaluate on the training records.
  """

  score_threshold: float = 0.5
  max_gallery_images: int = 12
  max_images: int = 0
  on_train_data: bool = False


def analyze_run(
  pipeline: Pipeline,
  output_dir: str,
  *,
  model_dir: str = '',
  checkpoint: str = '',
  options: Options | None = None,
) -> str:
  """Evaluates a checkpoint, and writes what can be seen of it into a folder.

  Args:
    pipeline: the config.
    output_dir: gets SVG and JPEG files, and index.html, which holds them all.
    model_dir: of the training, for its curves; '' leaves them out.
    checkpoint: the prefix of one, or a folder; '' for the newest of model_dir.
    options: further ones.

  Returns:
    The path of the page.

  Raises:
    InputError: config, data or checkpoint are at fault, or there is no checkpoint.
  """
  options = options or Options()
  checkpoint = find_checkpoint(checkpoint or model_dir)
  os.makedirs(output_dir, exist_ok=True)
  evaluated = evaluated_images.evaluate_images(
    pipeline,
    checkpoint,
    on_train_data=options.on_train_data,
    max_images=options.max_images,
  )
  statistics, statistics_of = _measure_classes(pipeline)
  judged = _judge(evaluated, options.score_threshold)
  found = report.Findings(
    config_path=pipeline.path,
    model_dir=model_dir,
    evaluated=evaluated,
    statistics=statistics,
    statistics_of=statistics_of,
    judged=judged,
    score_threshold=options.score_threshold,
    scatters=_draw_scatters(evaluated, statistics, output_dir),
    precision_recall=_draw_precision_recall(evaluated, output_dir),
    progress=_draw_progress(model_dir, evaluated.split, output_dir),
    errors=_draw_errors(evaluated, judged, options.score_threshold, output_dir),
    pictures=_draw_gallery(pipeline, evaluated, judged, output_dir, options),
  )
  path = os.path.join(output_dir, PAGE)
  with open_for_writing(path) as file:
    file.write(report.write(found))
  return path


def read_pipeline(path: str | None, model_dir: str, overrides: Sequence[str]) -> Pipeline:
  """Reads the config of an analysis.

  Args:
    path: the config; None or '' for the one that a training saved.
    model_dir: of the training.
    overrides: field.path=value.

  Returns:
    The config; of a saved one, as from the file that the training was given.

  Raises:
    InputError: the config, or the training's run.json, is at fault.
  """
  if path:
    return Pipeline.load(path, overrides)
  saved = Pipeline.load(os.path.join(model_dir, 'pipeline.config'), overrides)
  return Pipeline(saved.config, original_config_path(model_dir, record.read(model_dir)))


def _measure_classes(pipeline) -> tuple[ClassStatistics, str]:
  """The figures of the training's boxes, and whose they are."""
  has_training = bool(builders.evaluated_paths(pipeline, on_train_data=True))
  split = ', '.join(builders.evaluated_paths(pipeline, on_train_data=has_training))
  examples = builders.build_decoded_dataset(pipeline, is_training=has_training)
  examples = examples.map(lambda example: {key: example[key] for key in class_statistics.READ})
  with builders.explained_record_errors(
    pipeline, training=has_training, evaluation=not has_training
  ):
    # disable=None: no bar in a log file.
    progress = tqdm.tqdm(
      examples.as_numpy_iterator(), 'classes measured', unit='image', disable=None
    )
    statistics = class_statistics.measure_classes(progress, pipeline.config.model.ssd.num_classes)
  kind = 'training' if has_training else 'evaluation (the config has no train_input_reader)'
  return statistics, f'{kind} groundtruth, {split}'


def _judge(evaluated, score_threshold) -> list[JudgedImage]:
  return [
    error_analysis.judge(image, score_threshold=score_threshold) for image in evaluated.images
  ]


def _draw_scatters(
  evaluated: EvaluatedImages, statistics: ClassStatistics, output_dir: str
) -> list[report.Scatter]:
  average = evaluated.coco.class_figures()
  measured = [i for i, ap in average.items() if ap >= 0 and statistics.boxes[i - 1]]
  columns = np.array(measured, np.int64) - 1
  precision = np.array([average[i] for i in measured])
  names = [evaluated.names[i] for i in measured]
  scatters = []
  for figure, label in _AGAINST.items():
    path = os.path.join(output_dir, f'ap_against_{figure}.svg')
    x = getattr(statistics, figure)[columns].astype(np.float64)
    correlation, left_out = class_plots.plot_scatter(x, precision, names, label, path)
    scatters.append(report.Scatter(path, label, correlation, left_out))
  return scatters


def _draw_precision_recall(evaluated, output_dir) -> list[tuple[float, str]]:
  classes = [image.groundtruth_classes[~image.is_crowd] for image in evaluated.images]
  counts = np.bincount(np.concatenate(classes), minlength=max(evaluated.names) + 1)
  drawn = []
  for iou in _CURVE_IOUS:
    path = os.path.join(output_dir, f'precision_recall_{round(100 * iou)}.svg')
    curves = evaluated.coco.class_curves(iou)
    class_plots.plot_curves(
      curves, evaluated.names, {i: int(counts[i]) for i in curves}, f'IoU {iou:.2f}', path
    )
    drawn.append((iou, path))
  return drawn


def _draw_progress(model_dir, split, output_dir) -> report.Progress:
  """Curves over the steps, as far as the run has any; what it lacks is said instead."""
  if not model_dir:
    return report.Progress([], ['A checkpoint was given without a model_dir: there are no curves.'])
  drawn, notes = [], []
  curves = progress_plot.read_curves(model_dir, split)
  if curves:
    path = os.path.join(output_dir, 'ap_and_ar.svg')
    progress_plot.plot_progress(curves, path)
    drawn.append(('AP and AR' if any('/AR' in name for name in curves) else 'AP', path))
  else:
    notes.append(f'{os.path.join(model_dir, "eval")} has no AP or AR of an evaluation on {split}.')
  path = os.path.join(output_dir, 'losses.svg')
  try:
    plots.plot_losses(model_dir, path)
  except InputError as error:
    notes.append(f'No losses: {error}.')
  else:
    themed_svg.adapt(path)
    drawn.append(('Losses', path))
  return report.Progress(drawn, notes)


def _draw_errors(evaluated, judged, score_threshold, output_dir) -> report.Errors:
  kinds, confusion, scores = (
    os.path.join(output_dir, f'{name}.svg') for name in ('false_positives', 'confusion', 'scores')
  )
  counts = error_analysis.count_false_positives(judged)
  class_plots.plot_kinds(counts, kinds)
  matrix = error_analysis.confusion_matrix(
    evaluated.images, evaluated.images[0].labeled.size, score_threshold=score_threshold
  )
  class_plots.plot_confusion(matrix, evaluated.names, confusion)
  everything = _judge(evaluated, 0.0)
  class_plots.plot_scores(error_analysis.score_histogram(everything, _NUM_BINS), scores)
  return report.Errors(
    kinds=kinds,
    confusion=confusion,
    scores=scores,
    counts=counts,
    recall=error_analysis.recall(judged),
    recall_of_all=error_analysis.recall(everything),
  )


def _draw_gallery(pipeline, evaluated, judged, output_dir, options) -> Sequence[gallery.Picture]:
  examples = builders.build_decoded_dataset(pipeline, is_training=options.on_train_data)
  return gallery.draw_gallery(
    examples.as_numpy_iterator(),
    judged,
    evaluated.names,
    output_dir,
    score_threshold=options.score_threshold,
    max_images=options.max_gallery_images,
  )
