"""Defines one training of a sweep: its folder, its config, and the commands that run it."""

import dataclasses
import os
from collections.abc import Sequence

from ssd_tf import builders
from ssd_tf.config.input_paths import find_checkpoint
from ssd_tf.config.pipeline import Pipeline, PipelineConfig
from ssd_tf.experiments.logged_command import run_logged
from ssd_tf.experiments.recorded_run import RecordedRun
from ssd_tf.experiments.sweep import Experiment, Sweep
from ssd_tf.run import best_checkpoint, run_json

# Of train_config: what a training starts from.
_SOURCE_FIELDS = (
  *('fine_tune_checkpoint', 'fine_tune_checkpoint_type', 'fine_tune_checkpoint_version'),
  *('fine_tune_class_map', 'fine_tune_label_map_path'),
)


@dataclasses.dataclass(frozen=True)
class Job:
  """One training of a sweep."""

  sweep: Sweep
  experiment: Experiment
  seed: int
  output_dir: str

  @property
  def name(self) -> str:
    """For messages."""
    return f'{self.experiment.id} seed {self.seed}'

  @property
  def model_dir(self) -> str:
    """Its folder, <id>_seed<seed>."""
    return os.path.join(self.output_dir, f'{self.experiment.id}_seed{self.seed}')

  @property
  def run(self) -> RecordedRun:
    """What its folder holds now."""
    return RecordedRun(self.model_dir)

  @property
  def is_trained(self) -> bool:
    """Whether the training came to its end."""
    return run_json.is_finished(self.model_dir)

  @property
  def untested_steps(self) -> list[int]:
    """Of its last and its best evaluation those that are to be tested and are not yet."""
    run = self.run
    if not self.sweep.test_overrides or not run.evaluations:
      return []
    return sorted({max(run.evaluations), run.best_step or 0} - {0, *run.test_evaluations})

  def load(self) -> Pipeline:
    """The sweep's config with the experiment's changes."""
    return Pipeline.load(self.sweep.config_path, self._filled(self.experiment.overrides))

  def check(self) -> PipelineConfig:
    """Loads and checks the config, but for what may not be there yet.

    Returns:
      It, without what the training starts from, if that is chosen later.

    Raises:
      InputError: all that is wrong with it, a line each.
    """
    pipeline = self.load()
    if self.experiment.source:
      _clear_source(pipeline.config)
    builders.check_config(pipeline, checking='eval' if self.experiment.prepare else 'all')
    return pipeline.config

  def fits(self, config: PipelineConfig) -> bool:
    """Whether the training in its folder is by a config, as `check` gives it."""
    expected = Pipeline(config, self.sweep.config_path).moved_to(self.model_dir).config
    saved = self.run.pipeline.moved_to(self.model_dir).config
    expected.train_config.seed = self.seed
    if self.experiment.source:
      _clear_source(expected)
      _clear_source(saved)
    return saved == expected

  def train(self, command: Sequence[str], checkpoint: str = '') -> str | None:
    """Prepares, unless the training has begun before, and trains; returns why it failed, or None.

    Args:
      command: what trains.
      checkpoint: the prefix of the one to start from; '': as the config says.
    """
    overrides = []
    if checkpoint:
      overrides = [
        f'train_config.fine_tune_checkpoint={checkpoint}',
        'train_config.fine_tune_checkpoint_type=full',
        'train_config.fine_tune_checkpoint_version=V2',
        # Its classes are the model's own.
        'train_config.fine_tune_class_map=[]',
        'train_config.fine_tune_label_map_path=',
      ]
    fault = None
    if self.experiment.prepare and not self.run.has_config:
      fault = self._run([command[0], *self._filled(self.experiment.prepare)])
    flags = [f'--{name}={value}' for name, value in self.experiment.flags.items()]
    return fault or self._run(
      [*self._arguments(command, overrides), f'--model_dir={self.model_dir}', *flags]
    )

  def test(self, command: Sequence[str]) -> str | None:
    """Evaluates the untested steps on the test set; returns why it failed, or None."""
    for step in self.untested_steps:
      # The best one may be kept in its own folder alone.
      prefixes = [os.path.join(self.model_dir, *f, f'ckpt-{step}') for f in ([], ['best'])]
      checkpoint = next((p for p in prefixes if os.path.exists(f'{p}.index')), prefixes[0])
      fault = self._run(
        [
          *self._arguments(command, self._filled(self.sweep.test_overrides)),
          f'--model_dir={os.path.join(self.model_dir, "test")}',
          f'--checkpoint_dir={checkpoint}',
        ]
      )
      if fault:
        return fault
    return None

  def result(self) -> str:
    """What came out, in words."""
    run = self.run
    if run.best_step is None:
      return 'ended, without an evaluation'
    seconds = '' if run.seconds is None else f', {run.seconds / 60:.1f} min'
    return f'best {run.metric} {run.figure(run.best_step):.3f} at step {run.best_step}{seconds}'

  def _filled(self, texts):
    """Texts of the sweep file, {seed} and {output_dir} replaced."""
    return [
      text.replace('{seed}', str(self.seed)).replace('{output_dir}', self.output_dir)
      for text in texts
    ]

  def _arguments(self, command, overrides):
    """The command with what training and testing have in common."""
    overrides = [*self._filled(self.experiment.overrides), *overrides]
    return [
      *command,
      f'--pipeline_config_path={self.sweep.config_path}',
      f'--seed={self.seed}',
      *(f'--config_override={override}' for override in overrides),
    ]

  def _run(self, arguments):
    return run_logged(arguments, os.path.join(self.model_dir, 'train.log'))


def source_checkpoint(model_dir: str) -> str:
  """The prefix of a training's best checkpoint, or of the last one where it keeps no best.

  Raises:
    InputError: there is none.
  """
  return best_checkpoint.find(model_dir) or find_checkpoint(model_dir)


def _clear_source(config):
  for field in _SOURCE_FIELDS:
    config.train_config.ClearField(field)
