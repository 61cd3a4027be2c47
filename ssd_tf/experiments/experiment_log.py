"""Writes the log of one training: a folder with README.md, curves and pipeline.config."""

import os
import shutil
import statistics
from collections.abc import Iterator, Sequence

from ssd_tf.errors import InputError, listed
from ssd_tf.evaluation import log_format
from ssd_tf.evaluation.coco_figures import METRIC_NAMES, summary_lines
from ssd_tf.experiments import config_words
from ssd_tf.experiments.curves import draw_curve_files
from ssd_tf.experiments.experiment_tables import class_table
from ssd_tf.experiments.recorded_run import RecordedRun
from ssd_tf.files.failed_writes import open_for_writing
from ssd_tf.groundtruth.description import describe_records

_CAPTIONS = {'mAP.svg': 'Mean average precision', 'AR.svg': 'Average recall'}
_CONDITIONS = {  # Of a line of metrics.jsonl.
  'images': '{:,} images',
  'groundtruth_boxes': '{:,} boxes',
  'score_threshold': 'score threshold {:g}',
  'max_detections': 'at most {} detections of an image',
}
_MAX_NAMES = 20
_UNKNOWN = 'not recorded (trained before there was a run.json)'


def write_log(run: RecordedRun, output_dir: str) -> list[str]:
  """Writes the log of a training, which needs at least one logged step; returns the paths written.

  Args:
    output_dir: gets README.md, pipeline.config, Loss_*.svg and, of several evaluations, mAP.svg and
      AR.svg; made if it is missing.

  Raises:
    InputError: there are no event files of the training, or they lack a loss.
  """
  os.makedirs(output_dir, exist_ok=True)
  curves = draw_curve_files(run.model_dir, output_dir)
  shutil.copyfile(
    os.path.join(run.model_dir, 'pipeline.config'), os.path.join(output_dir, 'pipeline.config')
  )
  with open_for_writing(os.path.join(output_dir, 'README.md')) as file:
    file.write(describe_run(run, curves))
  return [os.path.join(output_dir, name) for name in ('README.md', 'pipeline.config', *curves)]


def describe_run(run: RecordedRun, curves: Sequence[str] = ()) -> str:
  """Writes what was trained, on what, how it went, and how to do it again, as Markdown.

  `curves` are the names of the SVG files beside the text.
  """
  about = run.about
  parts = [
    f'# {about["name"] or "Experiment " + about["id"]}',
    about['purpose'] and f'**Purpose.** {about["purpose"]}',
    '\n'.join(
      [
        f'- Model: {config_words.model_name(run.config)}',
        '- Configuration ([pipeline.config](pipeline.config)):',
        *(f'  - {item}' for item in config_words.describe_config(run.config)),
        '- Data:',
        *(f'  - {item}' for item in _data_items(run)),
      ]
    ),
    '## Results',
    *(f"<img src='./{name}' width=300/>\n\n*{_caption(name)}*" for name in curves),
    _class_part(run),
    '## Scores',
    *_score_parts(run),
    about['analysis'] and f'## Analysis\n\n{about["analysis"]}',
    about['notes'] and f'## Notes\n\n{about["notes"]}',
    '## Run',
    '\n'.join(f'- {item}' for item in _run_items(run)),
    _commands(run),
  ]
  return '\n\n'.join(filter(None, parts)) + '\n'


def score_block(run: RecordedRun, step: int) -> str:
  """The lines that an evaluation leaves in a log: COCO's twelve, then each figure by name.

  As training and the Object Detection API write them; the last ones, where there are any, explain
  -1 and nan.
  """
  metrics = run.evaluations[step]['metrics']
  lines = []
  if all(name in metrics for name in METRIC_NAMES):
    lines = summary_lines([metrics[name] for name in METRIC_NAMES])
  lines += [f'INFO:tensorflow:{line}' for line in log_format.eval_lines(step, metrics)]
  return '\n'.join(lines)


def _class_part(run):
  table = class_table(run)
  return table and f'AP of the classes, `{run.class_metric}`:\n\n{table}'


def _score_parts(run) -> Iterator[str]:
  """The last evaluation and, if it is another one, the best."""
  if not run.evaluations:
    yield 'Not evaluated.'
    return
  last, best = max(run.evaluations), run.best_step
  for step in dict.fromkeys(filter(None, (last, best))):
    names = [name for name, at in (('last', last), ('best', best)) if at == step]
    line = run.evaluations[step]
    conditions = ', '.join(
      words.format(line[key])
      for key, words in _CONDITIONS.items()
      if isinstance(line.get(key), int | float)
    )
    yield (
      f'Step {step:,}, the {" and ".join(names)} of {len(run.evaluations)} evaluations by '
      f'`{run.criterion}`, on `{line.get("split", "")}` ({conditions}). Figures are fractions of 1.'
    )
    yield f'```\n{score_block(run, step)}\n```'


def _data_items(run) -> Iterator[str]:
  pipeline = run.pipeline
  for field, reader in pipeline.readers.items():
    inputs = reader.tf_record_input_reader.input_path
    name = f'{field}: `{", ".join(inputs)}`'
    try:
      classes = pipeline.load_label_map(reader.label_map_path) or pipeline.model_classes
      found = describe_records(pipeline.input_files(inputs), classes.name_by_id if classes else {})
    except InputError as error:
      yield f'{name}: cannot be described now: {error}'
      continue
    boxes = [f'{class_name} {found.boxes[i]:,}' for i, class_name in found.names.items()]
    sizes = [f'{width}x{height}' for width, height in found.image_sizes]
    size = f'{sizes[0]}' if len(sizes) == 1 else f'{len(sizes)} sizes'
    yield (
      f'{name}: {found.num_images:,} images ({size}, width x height), {found.num_boxes:,} boxes of '
      f'{len(boxes)} classes: {listed(boxes, _MAX_NAMES)}'
    )


def _run_items(run) -> Iterator[str]:
  yield f'Seed: {run.config.train_config.seed}'
  yield f'Steps: {run.last_step:,}{_epochs(run)}'
  rates = run.train_curves.get('steps_per_sec')
  yield (
    f'Speed: {statistics.median(rates[1]):.2f} steps/s (median of the log)'
    if rates
    else (f'Speed: {_UNKNOWN}')
  )
  if not run.records:
    yield f'Time, hardware, versions, commit: {_UNKNOWN}'
    return
  last = run.records[-1]
  times = f', in {len(run.records)} runs' if len(run.records) > 1 else ''
  yield (
    f'Time: {run.seconds / 60:.1f} min{times}, start-up and evaluation included; begun '
    f'{run.records[0]["started"]}; {last["outcome"]}'
  )
  for label, key, text in (
    ('Hardware', 'hardware', hardware_text),
    ('Versions', 'versions', lambda v: ', '.join(f'{name} {number}' for name, number in v.items())),
  ):
    yield f'{label}: {"; then ".join(dict.fromkeys(text(record[key]) for record in run.records))}'
  yield f'Commit: {"; then ".join(dict.fromkeys(_commit(record) for record in run.records))}'


def hardware_text(hardware: dict) -> str:
  """Says what `machine.hardware` found."""
  gpus = ', '.join(hardware['gpus']) or 'no GPU'
  return f'{hardware["cores"]} cores of {hardware["cpu"]}, {hardware["memory_gb"]:g} GiB, {gpus}'


def _epochs(run):
  epochs = run.epochs(run.last_step)
  return '' if epochs is None else f' ({epochs:.1f} epochs of {run.num_train_images:,} images)'


def _commit(record):
  if record['commit'] is None:
    return 'not in a git repository'
  return f'{record["commit"]}{"" if record["is_clean"] else " and uncommitted changes"}'


def _commands(run):
  commands = dict.fromkeys(record['command'] for record in run.records)
  return '```\n{}\n```'.format('\n'.join(commands)) if commands else ''


def _caption(name):
  words = name.removeprefix('Loss_').removesuffix('.svg').replace('_', ' ')
  return _CAPTIONS.get(name, words.capitalize())
