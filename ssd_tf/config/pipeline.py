"""Holds a pipeline.config together with the path that it is from; every other package takes it."""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping, Sequence

from absl import logging

from ssd_tf.config import input_paths, overrides, reader_classes, text_proto
from ssd_tf.config import label_map as label_maps
from ssd_tf.errors import InputError
from ssd_tf.files import text_file
from ssd_tf.protos import input_reader_pb2, pipeline_pb2

PipelineConfig = pipeline_pb2.TrainEvalPipelineConfig


@dataclasses.dataclass(frozen=True, eq=False)
class Pipeline:
  """A config and its file, which its relative paths and its errors go by.

  Attributes:
    config: the message; not to be changed, since classes are looked up once. For another config
      there is `with_config`.
  """

  config: PipelineConfig
  path: str

  @classmethod
  def load(cls, path: str | os.PathLike, changes: Sequence[str] = ()) -> 'Pipeline':
    """Reads a config, then makes changes to it, see `overrides.apply`.

    Args:
      path: the file, or a folder in which it is named pipeline.config.

    Raises:
      InputError: the text or a change is wrong: line, column, field and closest known field.
    """
    config = PipelineConfig()
    if os.path.isdir(path):
      path = os.path.join(path, 'pipeline.config')
    # The Object Detection API lets a later value win, so that files that repeat a field exist.
    text_proto.parse(text_file.read(path), path, config, allow_repeats=True)
    overrides.apply(config, changes)
    return cls(config, os.fspath(path))

  def with_config(self, config: PipelineConfig) -> 'Pipeline':
    """Another config, as if it were from the same file."""
    return dataclasses.replace(self, config=config)

  def copy_config(self) -> PipelineConfig:
    """A copy of the config, which may be changed."""
    copy = PipelineConfig()
    copy.CopyFrom(self.config)
    return copy

  def moved_to(self, folder: str | os.PathLike) -> 'Pipeline':
    """The config as it has to read in another folder.

    Relative paths are those from there, so that they stand for the same from any working directory,
    and also after folder and data were moved together.
    """
    config = self.copy_config()

    def move(message, *names):
      for name in names:
        if path := getattr(message, name):
          setattr(message, name, input_paths.seen_from(folder, path, self.path))

    move(config, 'label_map_path')
    move(config.train_config, 'fine_tune_checkpoint', 'fine_tune_label_map_path')
    for reader in reader_classes.named_readers(config).values():
      move(reader, 'label_map_path')
      paths = reader.tf_record_input_reader.input_path
      paths[:] = [input_paths.seen_from(folder, path, self.path) for path in paths]
    return Pipeline(config, os.path.join(folder, 'pipeline.config'))

  def save(self, path: str | os.PathLike) -> str:
    """Writes the config to a file, or as pipeline.config into a folder; returns the file's path."""
    if os.path.isdir(path):
      path = os.path.join(path, 'pipeline.config')
    text_proto.write(self.config, path)
    return os.fspath(path)

  def error(self, field: str, text: str) -> InputError:
    """What to raise where a field is at fault."""
    return InputError(f'{self.path}: {field}: {text}')

  @contextlib.contextmanager
  def naming_errors(self) -> Iterator[None]:
    """Puts the file before messages that name a field."""
    try:
      yield
    except InputError as error:
      message, path = str(error), str(self.path)
      if message.startswith(path):
        raise
      raise InputError(f'{path}: {message}') from error

  def resolve(self, path: str) -> str:
    """The path as it exists of a file or folder; see `input_paths.resolve_path`."""
    return input_paths.resolve_path(path, self.path)

  def find_checkpoint(self, path: str) -> str:
    """The prefix or file of a checkpoint; see `input_paths.find_checkpoint`."""
    return input_paths.find_checkpoint(path, self.path)

  def input_files(self, paths: Sequence[str]) -> list[str]:
    """The files that input paths stand for; see `input_paths.expand_input_paths`."""
    return input_paths.expand_input_paths(paths, self.path)

  def load_label_map(self, path: str, field: str = '') -> label_maps.LabelMap | None:
    """Reads a label map that the config names, in a field for the errors; None without a path."""
    try:
      return label_maps.load(self.resolve(path)) if path else None
    except InputError as error:
      if not field:
        raise
      lines = (f'{field}: {line}' for line in str(error).split('\n'))
      raise InputError('\n'.join(lines)) from error

  @property
  def readers(self) -> dict[str, input_reader_pb2.InputReader]:
    """Every reader by its field, such as 'train_input_reader[1]'; those of the training first."""
    return reader_classes.named_readers(self.config)

  def used_readers(self, is_training: bool) -> dict[str, input_reader_pb2.InputReader]:
    """Every reader that trains, or the one that is evaluated, which is the first, by its field."""
    kind = 'train' if is_training else 'eval'
    readers = {field: r for field, r in self.readers.items() if field.startswith(kind)}
    return readers if is_training else dict(list(readers.items())[:1])

  @functools.cached_property
  def model_classes(self) -> label_maps.LabelMap | None:
    """The classes of the model; None if no reader has a label map."""
    if self.config.label_map_path:
      return self.load_label_map(self.config.label_map_path, 'label_map_path')
    return reader_classes.merge_classes(
      [
        (field, reader, self._own_label_map(field))
        for field, reader in self._defining_readers().items()
      ]
    )

  @functools.cached_property
  def class_names(self) -> Mapping[int, str]:
    """Names for people by class id, of the model's classes; 'class 7' without a label map."""
    classes = self.model_classes
    if classes is None:
      return {i: f'class {i}' for i in range(1, self.config.model.ssd.num_classes + 1)}
    return dict(zip(classes.ids, classes.display_names, strict=True))

  def classes(self, field: str) -> reader_classes.ReaderClasses:
    """What a reader's records call the model's classes, by its field; see `relate_classes`."""
    if field not in self._classes:
      reader = self.readers[field]
      own = self._own_label_map(field)
      if own is None and len(self.config.train_input_reader) > 1:
        raise InputError(f'{field}.label_map_path: {reader_classes.NEEDS_NAMES}')
      self._classes[field] = reader_classes.relate_classes(
        field, reader, own, own and self.model_classes, self.config.model.ssd.num_classes
      )
    return self._classes[field]

  @functools.cached_property
  def _classes(self):
    return {}

  def _own_label_map(self, field):
    return self.load_label_map(self.readers[field].label_map_path, f'{field}.label_map_path')

  def _defining_readers(self):
    """The training readers; where their files are not at hand, as in an evaluation, the others."""
    readers = {field: reader for field, reader in self.readers.items() if reader.label_map_path}
    training = {field: r for field, r in readers.items() if field.startswith('train')}
    evaluation = {field: r for field, r in readers.items() if field.startswith('eval')}
    for field, reader in training.items():
      try:
        self.resolve(reader.label_map_path)
      except InputError as error:
        if len(training) > 1 or reader.class_map or not evaluation:
          raise InputError(
            f'{field}.label_map_path: {error}; where the training data is not at hand, put the '
            'label map that an export has beside it at the top of the config, as label_map_path'
          ) from error
        logging.warning(
          '%s.label_map_path: %s; the classes are taken from %s, whose ids have to be the same.',
          field, error, next(iter(evaluation)),
        )  # fmt: skip
        return evaluation
    return training or evaluation
