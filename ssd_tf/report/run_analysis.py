"""Analyzes a run: evaluates a checkpoint, writes plots and the page that holds them."""

import os
from collections.abc import Sequence

from ssd_tf import builders
from ssd_tf.config.input_paths import find_checkpoint
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.experiments.recorded_run import RecordedRun
from ssd_tf.files.failed_writes import open_for_writing
from ssd_tf.groundtruth.reading import read_reader_table
from ssd_tf.report import analysis_sections
from ssd_tf.report.class_statistics import ClassStatistics, measure_classes
from ssd_tf.run import evaluated_images

PAGE = 'index.html'


def analyze_run(
  pipeline: Pipeline,
  output_dir: str,
  *,
  model_dir: str = '',
  checkpoint: str = '',
  on_train_data: bool = False,
  max_images: int = 0,
  score_threshold: float = 0.5,
  max_pictures: int = 12,
) -> str:
  """Evaluates a checkpoint, and writes what can be seen of it into a folder.

  Args:
    output_dir: gets SVG and JPEG files, and index.html, which holds them all.
    model_dir: of the training, for its curves; '' leaves them out.
    checkpoint: the prefix of one, or a folder; '' for the newest of model_dir.
    max_images: evaluate on so many images; 0: on all.
    score_threshold: of the detections that count in the errors and the gallery.
    max_pictures: of the images with the worst errors; 0: none.

  Returns:
    The path of the page.

  Raises:
    InputError: config, data or checkpoint are at fault, or there is no checkpoint.
  """
  checkpoint = find_checkpoint(checkpoint or model_dir)
  os.makedirs(output_dir, exist_ok=True)
  evaluated = evaluated_images.evaluate_images(
    pipeline, checkpoint, on_train_data=on_train_data, max_images=max_images
  )
  statistics, statistics_of = _measure_classes(pipeline)
  examples = builders.build_decoded_dataset(pipeline, is_training=on_train_data)
  found = analysis_sections.Analysis(
    config_path=pipeline.path,
    model_dir=model_dir,
    evaluated=evaluated,
    examples=examples.as_numpy_iterator(),
    statistics=statistics,
    statistics_of=statistics_of,
    score_threshold=score_threshold,
    max_pictures=max_pictures,
  )
  path = os.path.join(output_dir, PAGE)
  text = analysis_sections.write(found, output_dir)
  with open_for_writing(path) as file:
    file.write(text)
  return path


def read_pipeline(path: str | None, model_dir: str, overrides: Sequence[str]) -> Pipeline:
  """Reads the config of an analysis.

  Args:
    path: None or '' for the config that the training saved.

  Returns:
    The config; of a saved one, as from the file that the training was given.

  Raises:
    InputError: the config, or the training's run.json, is at fault.
  """
  if path:
    return Pipeline.load(path, overrides)
  saved = Pipeline.load(os.path.join(model_dir, 'pipeline.config'), overrides)
  return Pipeline(saved.config, RecordedRun(model_dir).config_path)


def _measure_classes(pipeline) -> tuple[ClassStatistics, str]:
  """The figures of the training's boxes, and whose they are."""
  training = pipeline.used_readers(is_training=True)
  split = ', '.join(builders.evaluated_paths(pipeline, on_train_data=bool(training)))
  tables = (
    (read_reader_table(pipeline, field), reader.sample_1_of_n_examples)
    for field, reader in (training or pipeline.used_readers(is_training=False)).items()
  )
  statistics = measure_classes(tables, pipeline.config.model.ssd.num_classes)
  kind = 'training' if training else 'evaluation (the config has no train_input_reader)'
  return statistics, f'{kind} groundtruth, {split}'
