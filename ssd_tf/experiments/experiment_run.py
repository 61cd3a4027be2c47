"""A training as an experiment: its folder's config, figures and records, and what it is for."""

import dataclasses
import functools
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ssd_tf import plots
from ssd_tf.config.pipeline import Pipeline, PipelineConfig
from ssd_tf.data import record_files
from ssd_tf.errors import InputError
from ssd_tf.experiments.repeated_runs import read_evaluations
from ssd_tf.fields import TOTAL_LOSS
from ssd_tf.files import json_file
from ssd_tf.files.atomic_file import write_json
from ssd_tf.run import record

ABOUT_FIELDS = ('id', 'name', 'purpose', 'analysis', 'notes')
_SEEDED = re.compile(r'(?P<id>.+)_seed\d+')
# Of COCO's metrics and of VOC's; a name of a class may itself have a slash.
_OF_CLASS = re.compile(r'(?P<prefix>\w+)_PerformanceByCategory/(?:mAP|AP@[\d.]+IOU)/(?P<name>.+)')
_MEAN = re.compile(r'(?P<prefix>\w+)_Precision/mAP.*')


@dataclasses.dataclass(frozen=True)
class ExperimentRun:
  """One training.

  Attributes:
    model_dir: where it lies.
    config: its pipeline.config.
    evaluations: lines of eval/metrics.jsonl by step, ascending; empty: there are none.
    records: of run.json, of each time that it ran; empty: it was trained before there was one.
    about: id, name, purpose, analysis, notes: of experiment.json; the id, if that has none, is the
      folder's name without _seed<N>. Missing ones are ''.
  """

  model_dir: str
  config: PipelineConfig
  evaluations: Mapping[int, Mapping[str, Any]]
  records: Sequence[Mapping[str, Any]]
  about: Mapping[str, str]

  @property
  def pipeline(self) -> Pipeline:
    """The config, with the file that it was read from, for relative paths in it."""
    return Pipeline(self.config, original_config_path(self.model_dir, self.records))

  @property
  def seconds(self) -> float | None:
    """How long it ran in all; None where that is not recorded."""
    return sum(record['seconds'] for record in self.records) if self.records else None

  @property
  def metric(self) -> str:
    """The name of the figure that tells how good it is: the first of the metrics set."""
    line = next(iter(self.evaluations.values()), {'metrics': {'': 0}})
    return next(iter(line['metrics']))

  @property
  def last_step(self) -> int:
    """The last step that is known of."""
    return max([*self.evaluations, *(r['last_step'] for r in self.records)], default=0)

  @property
  def best_step(self) -> int | None:
    """The evaluated step of the highest figure, the first of equal ones; None: there is none."""
    figures = {step: self.figure(step) for step in self.evaluations}
    known = {step: value for step, value in figures.items() if value is not None}
    return max(known, key=known.get, default=None)

  @functools.cached_property
  def class_metric(self) -> str | None:
    """The mean AP whose classes are told apart: `metric`, else the first such; None: none is."""
    names = dict.fromkeys(name for line in self.evaluations.values() for name in line['metrics'])
    prefixes = {match['prefix'] for name in names if (match := _OF_CLASS.fullmatch(name))}
    means = filter(None, map(_MEAN.fullmatch, (self.metric, *names)))
    return next((match[0] for match in means if match['prefix'] in prefixes), None)

  def figure(self, step: int, metric: str | None = None) -> float | None:
    """The metric, or another one, at a step; None for -1 or nan, no groundtruth."""
    value = self.evaluations[step]['metrics'].get(metric or self.metric, -1)
    return value if value >= 0 else None

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
  def train_curves(self) -> dict[str, tuple]:
    """The scalars of train/ as `plots.read_scalars` gives them; empty where there are none."""
    try:
      return plots.read_scalars(os.path.join(self.model_dir, 'train'))
    except InputError:
      return {}

  @property
  def losses(self) -> tuple[float, float] | None:
    """Total loss of the training at the first and at the last logged step; None without a log."""
    if TOTAL_LOSS not in self.train_curves:
      return None
    values = self.train_curves[TOTAL_LOSS][1]
    return float(values[0]), float(values[-1])


def read_run(model_dir: str, about: Mapping[str, str] | None = None) -> ExperimentRun:
  """Reads the folder of a training.

  Args:
    model_dir: holds pipeline.config; eval/metrics.jsonl, run.json and experiment.json if they are
      there.
    about: said instead of what experiment.json says.

  Returns:
    The run; event files and data sets are read when they are asked for.

  Raises:
    InputError: there is no pipeline.config, or a file is damaged.
  """
  config_path = os.path.join(model_dir, 'pipeline.config')
  if not os.path.isfile(config_path):
    raise InputError(
      f'model_dir {model_dir}: expected the folder of a training; it has no pipeline.config'
    )
  about = {**read_about(model_dir), **(about or {})}
  name = os.path.basename(os.path.normpath(model_dir))
  match = _SEEDED.fullmatch(name)
  return ExperimentRun(
    model_dir=model_dir,
    config=Pipeline.load(config_path).config,
    evaluations=read_evaluations(os.path.join(model_dir, 'eval')),
    records=record.read(model_dir),
    about={**about, 'id': about['id'] or (match['id'] if match else name)},
  )


def original_config_path(model_dir: str, records: Sequence[Mapping[str, Any]]) -> str:
  """Where the config of a training was read from, for relative paths in it.

  Args:
    model_dir: of the training.
    records: of its run.json.

  Returns:
    The path as the last run was given it, from the folder that it was called from; that of
    model_dir's pipeline.config where there is no record, or no such folder on this machine.
  """
  if records:
    path = os.path.join(records[-1].get('folder', ''), records[-1]['config_path'])
    if os.path.isdir(os.path.dirname(path) or '.'):
      return path
  return os.path.join(model_dir, 'pipeline.config')


def read_about(model_dir: str) -> dict[str, str]:
  """What a training's experiment.json says, '' for what it does not say.

  Raises:
    InputError: it is no JSON of texts by the names ABOUT_FIELDS.
  """
  path = os.path.join(model_dir, 'experiment.json')
  about = {}
  if os.path.exists(path):
    about = json_file.load(path)
    if not isinstance(about, dict) or not all(
      name in ABOUT_FIELDS and isinstance(value, str) for name, value in about.items()
    ):
      raise InputError(
        f'{path}: expected {{"name": "..."}}, with texts by the names {", ".join(ABOUT_FIELDS)}'
      )
  return {name: about.get(name, '') for name in ABOUT_FIELDS}


def write_about(model_dir: str, about: Mapping[str, str]) -> None:
  """Writes experiment.json; what is '' in `about` stays as it is in the file."""
  merged = {**read_about(model_dir), **{name: text for name, text in about.items() if text}}
  os.makedirs(model_dir, exist_ok=True)
  write_json(os.path.join(model_dir, 'experiment.json'), merged)
