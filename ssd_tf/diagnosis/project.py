"""Holds what the checks of a diagnosis look at; each part is loaded once, on first use."""

import functools
from collections.abc import Mapping, Sequence

from ssd_tf import builders
from ssd_tf.config.checks import by_schema
from ssd_tf.config.input_paths import find_checkpoint
from ssd_tf.config.label_map import LabelMap
from ssd_tf.config.pipeline import Pipeline, PipelineConfig
from ssd_tf.data.record_check import MAX_RECORDS, RecordSummary
from ssd_tf.diagnosis.collected_warnings import CollectedWarnings
from ssd_tf.diagnosis.start import TrainingStart
from ssd_tf.errors import InputError
from ssd_tf.groundtruth.reading import read_reader_table
from ssd_tf.groundtruth.table import GroundtruthTable


class Project:
  """A config with all that it names.

  The config may be one that a training would refuse: then what cannot be made of it raises
  InputError, and the faults themselves are in `refusals`. A check need not catch that: `run` tells
  what could not be checked.

  Attributes:
    pipeline: the config as it was loaded, but for numbers out of their range, which are the nearest
      within.
    trained_checkpoint: prefix of the checkpoint that is to be diagnosed, by --checkpoint or
      --model_dir; None: there was none given.
    max_records: of a reader, that its table and its summary are of.
    max_images: that are decoded.
    overfit_steps: limit of the steps of the check that trains; 0: it does not.
  """

  def __init__(
    self,
    pipeline: Pipeline,
    *,
    checkpoint: str | None = None,
    max_records: int = MAX_RECORDS,
    max_images: int = 500,
    overfit_steps: int = 0,
  ):
    """Keeps the config with its numbers within their ranges, and as it was given for `refusals`.

    Args:
      checkpoint: a checkpoint or a folder, of which the newest is taken; None: not trained yet.

    Raises:
      InputError: there is no such checkpoint.
    """
    self._as_given = pipeline
    # All but the refusals go on with numbers that can be computed with.
    self.pipeline = pipeline.with_config(by_schema.within_range(pipeline.config))
    self.trained_checkpoint = find_checkpoint(checkpoint) if checkpoint else None
    self.max_records = max_records
    self.max_images = max_images
    self.overfit_steps = overfit_steps

  @property
  def config(self) -> PipelineConfig:
    """That of the pipeline."""
    return self.pipeline.config

  @property
  def refusals(self) -> Sequence[str]:
    """What a training by the config would be refused for, 'field: fault' each."""
    return self._refusals_and_warnings[0]

  @property
  def config_warnings(self) -> Sequence[str]:
    """What a training by the config would warn of, before it looks at records."""
    return self._refusals_and_warnings[1]

  @functools.cached_property
  def _refusals_and_warnings(self):
    with CollectedWarnings() as warnings:
      try:
        builders.check_config(self._as_given, checking=self._readers_used)
      except InputError as error:
        return self.faults(str(error)), warnings.lines
    return [], [self.faults(line)[0] for line in warnings.lines]

  def faults(self, text: str) -> list[str]:
    """The lines of a message, without the path of the config."""
    return [line.removeprefix(f'{self.pipeline.path}: ') for line in text.split('\n')]

  @property
  def images_per_step(self) -> int:
    """Of the whole batch of an update."""
    # What is 0 is refused, which the checks of the config tell.
    settings = self.config.train_config
    return max(1, settings.batch_size * settings.gradient_accumulation_steps)

  @property
  def training_fields(self) -> Sequence[str]:
    """Of the training readers, such as 'train_input_reader[1]'."""
    return list(self.pipeline.used_readers(is_training=True))

  @property
  def evaluation_fields(self) -> Sequence[str]:
    """Of the reader that an evaluation reads, the first one; empty without one."""
    return list(self.pipeline.used_readers(is_training=False))

  @property
  def fields(self) -> Sequence[str]:
    """Of the training readers, then of the evaluation's."""
    return [*self.training_fields, *self.evaluation_fields]

  @functools.cache  # noqa: B019 (a project lives as long as its diagnosis)
  def label_map(self, field: str) -> LabelMap | None:
    """The label map of a reader; None without one."""
    return self.pipeline.load_label_map(self.pipeline.readers[field].label_map_path)

  @functools.cache  # noqa: B019 (a project lives as long as its diagnosis)
  def paths(self, field: str) -> Sequence[str]:
    """The files of a reader."""
    inputs = self.pipeline.readers[field].tf_record_input_reader.input_path
    return self.pipeline.input_files(inputs)

  @functools.cache  # noqa: B019 (a project lives as long as its diagnosis)
  def table(self, field: str) -> GroundtruthTable:
    """The groundtruth of a reader."""
    return read_reader_table(self.pipeline, field, max_records=self.max_records, skips_faulty=True)

  @functools.cache  # noqa: B019 (a project lives as long as its diagnosis)
  def summaries(self, is_training: bool) -> Mapping[str, RecordSummary]:
    """What a look through the records found, by field of the training's or evaluation's readers."""
    return builders.survey_records(
      self.pipeline, is_training=is_training, max_records=self.max_records
    )

  @functools.cached_property
  def start(self) -> TrainingStart:
    """The network before the first step of the training."""
    return TrainingStart(self.pipeline)

  @property
  def _readers_used(self):
    # Without one the config is trained with --noevaluate, as train_ssd_network.py does.
    return 'all' if self.config.eval_input_reader else 'train'
