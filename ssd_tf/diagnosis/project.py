"""What the checks of a diagnosis look at; each part is made when it is first asked for, once."""

import functools
from collections.abc import Mapping, Sequence

import tensorflow as tf

from ssd_tf import builders
from ssd_tf.config import field_ranges
from ssd_tf.config.input_paths import find_checkpoint
from ssd_tf.config.label_map import LabelMap
from ssd_tf.config.pipeline import Pipeline, PipelineConfig
from ssd_tf.data.record_check import MAX_RECORDS, RecordSummary
from ssd_tf.detector import Detector
from ssd_tf.diagnosis.collected_warnings import CollectedWarnings
from ssd_tf.errors import InputError
from ssd_tf.groundtruth.groundtruth_table import GroundtruthTable, read_table

_BATCH_SIZE = 8
_SHUFFLE_BUFFER_SIZE = 64


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
  """

  def __init__(
    self,
    pipeline: Pipeline,
    *,
    checkpoint: str | None = None,
    max_records: int = MAX_RECORDS,
    max_images: int = 500,
  ):
    """Makes a project.

    Args:
      pipeline: the config.
      checkpoint: a checkpoint or a folder, of which the newest is taken; None: not trained yet.
      max_records: of a reader, read without decoding the images.
      max_images: decoded, of a reader.

    Raises:
      InputError: there is no such checkpoint.
    """
    self._as_given = pipeline
    # All but the refusals go on with numbers that can be computed with.
    self.pipeline = pipeline.with_config(field_ranges.within_range(pipeline.config))
    self.trained_checkpoint = find_checkpoint(checkpoint) if checkpoint else None
    self.max_records = max_records
    self.max_images = max_images

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
        lines = [line.removeprefix(f'{self.pipeline.path}: ') for line in str(error).split('\n')]
        return lines, warnings.lines
    return [], [line.removeprefix(f'{self.pipeline.path}: ') for line in warnings.lines]

  @property
  def num_classes(self) -> int:
    """K of the model."""
    return self.config.model.ssd.num_classes

  @functools.cached_property
  def class_names(self) -> Mapping[int, str]:
    """Names by class id, of the model's classes.

    Raises:
      InputError: a label map is at fault.
    """
    return self.pipeline.class_names

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

  def reader(self, field: str):
    """The reader of a field."""
    return self.pipeline.readers[field]

  @functools.cache  # noqa: B019 (a project lives as long as its diagnosis)
  def label_map(self, field: str) -> LabelMap | None:
    """The label map of a reader; None without one.

    Raises:
      InputError: it is not there, or at fault.
    """
    return self.pipeline.load_label_map(self.reader(field).label_map_path)

  @functools.cache  # noqa: B019 (a project lives as long as its diagnosis)
  def paths(self, field: str) -> Sequence[str]:
    """The files of a reader.

    Raises:
      InputError: there is none.
    """
    return self.pipeline.input_files(self.reader(field).tf_record_input_reader.input_path)

  @functools.cache  # noqa: B019 (a project lives as long as its diagnosis)
  def table(self, field: str) -> GroundtruthTable:
    """The groundtruth of a reader.

    Raises:
      InputError: its files or classes are at fault.
    """
    classes = self.pipeline.classes(field)
    return read_table(self.paths(field), classes, self.num_classes, self.max_records)

  @functools.cache  # noqa: B019 (a project lives as long as its diagnosis)
  def summaries(self, is_training: bool) -> Mapping[str, RecordSummary]:
    """What a look through the records of the training readers, or the evaluation's, found.

    Returns:
      Summaries by field; see `data.record_check`.

    Raises:
      InputError: a reader is not as it should be, or a file is damaged or holds no record.
    """
    return builders.survey_records(
      self.pipeline, is_training=is_training, max_records=self.max_records
    )

  @functools.cached_property
  def training_detector(self) -> Detector:
    """The detector at its random start, batch norms trained.

    Raises:
      InputError: the config is at fault.
    """
    return builders.build_detector(self.config.model, is_training=True)

  @functools.cached_property
  def training_batch(self) -> dict[str, tf.Tensor]:
    """The first training batch, augmented, of at most 8 examples.

    Raises:
      InputError: the config or a record is at fault.
    """
    pipeline = self.pipeline.with_config(self._with_small_batches())
    with builders.explained_record_errors(pipeline, training=True, evaluation=False):
      return next(iter(builders.build_train_dataset(pipeline, self.training_detector)))

  @property
  def _readers_used(self):
    # Without one the config is trained with --noevaluate, as train_ssd_network.py does.
    return 'all' if self.config.eval_input_reader else 'train'

  def _with_small_batches(self):
    small = self.pipeline.copy_config()
    small.train_config.batch_size = min(_BATCH_SIZE, small.train_config.batch_size)
    for reader in small.train_input_reader:
      reader.shuffle_buffer_size = min(_SHUFFLE_BUFFER_SIZE, reader.shuffle_buffer_size)
    return small
