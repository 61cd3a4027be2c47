"""Reads a training from its folder: config, metrics, curves, times, and what it is for."""

import dataclasses
import functools
import glob
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ssd_tf.config.pipeline import Pipeline, PipelineConfig
from ssd_tf.errors import InputError
from ssd_tf.experiments.comparable_evaluations import read_evaluations
from ssd_tf.experiments.event_scalars import Curve, curve_of, has_events, read_scalars
from ssd_tf.experiments.experiment_about import read_about
from ssd_tf.fields import TOTAL_LOSS
from ssd_tf.run.best_metric import Criterion, is_figure, value_of
from ssd_tf.run.evaluation_log import EvaluationLog

_SEEDED = re.compile(r'(?P<variant>.+)_seed(?P<seed>\d+)')
# Of COCO's metrics and of VOC's; a name of a class may itself have a slash.
_OF_CLASS = re.compile(r'(?P<prefix>\w+)_PerformanceByCategory/(?:mAP|AP@[\d.]+IOU)/(?P<name>.+)')
_MEAN = re.compile(r'(?P<prefix>\w+)_Precision/mAP.*')


@dataclasses.dataclass(frozen=True)
class RecordedRun:
  """One training; each file of its folder is read when it is first asked for.

  Attributes:
    model_dir: the folder.
    said: what is said of the training instead of what its experiment.json says.
  """

  model_dir: str
  said: Mapping[str, str] = dataclasses.field(default_factory=dict)

  @property
  def name(self) -> str:
    """The folder's name."""
    return os.path.basename(os.path.normpath(self.model_dir))

  @property
  def variant(self) -> str:
    """What the trainings with several seeds have in common: the name without _seed<N>."""
    match = _SEEDED.fullmatch(self.name)
    return match['variant'] if match else self.name

  @property
  def seed_in_name(self) -> int | None:
    """N of a folder <variant>_seed<N>; None: it is named otherwise."""
    match = _SEEDED.fullmatch(self.name)
    return int(match['seed']) if match else None

  @functools.cached_property
  def about(self) -> dict[str, str]:
    """The texts of `experiment_about`; the id, where none is said, is the variant."""
    about = {**read_about(self.model_dir), **self.said}
    return {**about, 'id': about['id'] or self.variant}

  @property
  def has_config(self) -> bool:
    """Whether the folder has a pipeline.config."""
    return os.path.isfile(os.path.join(self.model_dir, 'pipeline.config'))

  @functools.cached_property
  def config(self) -> PipelineConfig:
    """The saved pipeline.config; without one, an InputError."""
    if not self.has_config:
      raise InputError(
        f'model_dir {self.model_dir}: expected the folder of a training; it has no pipeline.config'
      )
    return Pipeline.load(os.path.join(self.model_dir, 'pipeline.config')).config

  @property
  def config_path(self) -> str:
    """Where the config was read from, for relative paths in it.

    That of the saved config, whose paths are those from model_dir. For the older one of a run that
    saved them as they were given: the path as the last run was given it, from the folder that it
    was called from, if that is on this machine.
    """
    if self.records and not self._has_moved_paths:
      path = os.path.join(self.records[-1].get('folder', ''), self.records[-1]['config_path'])
      if os.path.isdir(os.path.dirname(path) or '.'):
        return path
    return os.path.join(self.model_dir, 'pipeline.config')

  @property
  def _has_moved_paths(self):
    """Whether the saved config was written by `Pipeline.moved_to`."""
    readers = Pipeline(self.config, '').readers.values() if self.has_config else ()
    paths = [path for reader in readers for path in reader.tf_record_input_reader.input_path]
    return any(path.startswith(('./', '../')) for path in paths)

  @functools.cached_property
  def pipeline(self) -> Pipeline:
    """The config, with the file that it was read from."""
    return Pipeline(self.config, self.config_path)

  @functools.cached_property
  def records(self) -> list[dict[str, Any]]:
    """Of run.json, of each time that it ran; empty: it was trained before there was one."""
    from ssd_tf.run import run_json  # TensorFlow, which a comparison does without.

    return run_json.read(self.model_dir)

  @property
  def seconds(self) -> float | None:
    """How long it ran in all; None where that is not recorded."""
    return sum(record['seconds'] for record in self.records) if self.records else None

  @property
  def last_step(self) -> int:
    """The last step that is known of."""
    return max([*self.evaluations, *(r['last_step'] for r in self.records)], default=0)

  @functools.cached_property
  def evaluations(self) -> dict[int, dict[str, Any]]:
    """The comparable lines of eval/metrics.jsonl by step, ascending."""
    return read_evaluations(os.path.join(self.model_dir, 'eval'))

  @functools.cached_property
  def test_evaluations(self) -> dict[int, dict[str, Any]]:
    """Those of test/eval/metrics.jsonl: of some of its checkpoints on a test set."""
    return read_evaluations(os.path.join(self.model_dir, 'test', 'eval'))

  @property
  def metric(self) -> str:
    """The name of the figure that tells how good it is: the first of the metrics set."""
    line = next(iter(self.evaluations.values()), {'metrics': {'': 0}})
    return next(iter(line['metrics']))

  @property
  def criterion(self) -> str:
    """The metric by which the training keeps its best checkpoint."""
    wanted = self.config.train_config.best_metric if self.has_config else ''
    return wanted or self.metric

  @functools.cached_property
  def best_step(self) -> int | None:
    """The step that the training's best checkpoint is of, by `criterion`; None: there is none.

    Of equal ones it is the first; -1, no groundtruth, and nan do not count.
    """
    criterion, best = Criterion(self.criterion, {}), None
    values = {step: self.figure(step, self.criterion) for step in self.evaluations}
    for step, value in values.items():
      if value is not None and criterion.is_better(value, values.get(best)):
        best = step
    return best

  def figure(self, step: int, metric: str | None = None) -> float | None:
    """The metric, or another one, at a step; None for -1 or nan, no groundtruth."""
    value = value_of(metric or self.metric, self.evaluations[step]['metrics'])
    return value if value is not None and is_figure(value) else None

  @functools.cached_property
  def class_metric(self) -> str | None:
    """The mean AP whose classes are told apart: `metric`, else the first such; None: none is."""
    names = dict.fromkeys(name for line in self.evaluations.values() for name in line['metrics'])
    prefixes = {match['prefix'] for name in names if (match := _OF_CLASS.fullmatch(name))}
    means = filter(None, map(_MEAN.fullmatch, (self.metric, *names)))
    return next((match[0] for match in means if match['prefix'] in prefixes), None)

  def class_figures(self, step: int) -> dict[str, float]:
    """AP of each class at a step, by `class_metric`; empty where classes are not told apart."""
    if self.class_metric is None:
      return {}
    prefix = _MEAN.fullmatch(self.class_metric)['prefix']
    return {
      match['name']: value
      for name, value in self.evaluations[step]['metrics'].items()
      if (match := _OF_CLASS.fullmatch(name)) and match['prefix'] == prefix
    }

  def epochs(self, step: int) -> float | None:
    """How often each training image has been seen at a step; None where it cannot be told."""
    settings = self.config.train_config
    per_step = settings.batch_size * settings.gradient_accumulation_steps
    return step * per_step / self.num_train_images if self.num_train_images else None

  @functools.cached_property
  def num_train_images(self) -> int | None:
    """The records that are trained on; None where the files are not there any more."""
    from ssd_tf.data import record_files  # As above.

    num_images = 0
    try:
      for reader in self.config.train_input_reader:
        paths = self.pipeline.input_files(reader.tf_record_input_reader.input_path)
        num_records = sum(map(record_files.count_records, paths))
        num_images += -(-num_records // max(1, reader.sample_1_of_n_examples))
    except InputError:
      return None
    return num_images

  @functools.cached_property
  def train_curves(self) -> dict[str, Curve]:
    """The scalars of train/ by name; empty where there are no event files."""
    train_dir = os.path.join(self.model_dir, 'train')
    return read_scalars(train_dir) if has_events(train_dir) else {}

  @property
  def losses(self) -> tuple[float, float] | None:
    """Total loss of the training at the first and at the last logged step; None without a log."""
    if TOTAL_LOSS not in self.train_curves:
      return None
    values = self.train_curves[TOTAL_LOSS][1]
    return float(values[0]), float(values[-1])

  def evaluation_curves(self, split: str) -> dict[str, Curve]:
    """The metrics of the evaluations on a data set over the steps, by name.

    Args:
      split: the data set, as in metrics.jsonl. Where that file has no evaluation of it, the event
        files are read, of which other stacks leave nothing else.
    """
    eval_dir = os.path.join(self.model_dir, 'eval')
    points = {}
    for step, line in EvaluationLog(eval_dir).comparable({'split': split}).items():
      for name, value in line['metrics'].items():
        points.setdefault(name, {})[step] = value
    if points:
      return {name: curve_of(values) for name, values in points.items()}
    return read_scalars(eval_dir) if has_events(eval_dir) else {}


def find_runs(model_dirs: Iterable[str]) -> list[RecordedRun]:
  """Finds trainings.

  Args:
    model_dirs: folders or globs; files that a glob matches are skipped.

  Raises:
    InputError: a path stands for no folder.
  """
  folders = []
  for path in filter(None, model_dirs):
    found = [path] if os.path.isdir(path) else sorted(filter(os.path.isdir, glob.glob(path)))
    if not found:
      raise InputError(f'model_dirs: {path}: no such folder')
    folders += map(os.path.normpath, found)
  return [RecordedRun(folder) for folder in dict.fromkeys(folders)]
