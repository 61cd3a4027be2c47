"""Defines flags that several commands have."""

from typing import Any

from absl import flags

flags.disclaim_key_flags()  # Each is a flag of the command that asks for it, also in its --help.


def config_override() -> None:
  """Defines --config_override, the changes to a pipeline.config."""
  flags.DEFINE_multi_string(
    'config_override', [], 'A change to the config: train_config.batch_size=4. May be repeated.'
  )


def pipeline_config(description: str = 'The pipeline.config.') -> None:
  """Defines --pipeline_config_path, and --config_override."""
  flags.DEFINE_string('pipeline_config_path', None, description)
  config_override()


def load_pipeline():
  """Reads the `Pipeline` of these two flags."""
  from ssd_tf.config.pipeline import Pipeline

  return Pipeline.load(flags.FLAGS.pipeline_config_path, flags.FLAGS.config_override)


def log_format(default: str) -> None:
  """Defines --log_format, what a training shows on the console."""
  flags.DEFINE_enum(
    'log_format',
    default,
    ['api', 'short', 'both'],
    "What the console shows: the Object Detection API's lines; a line for each interval and a "
    "block for each evaluation; or both. train.log has the API's lines in any case.",
  )


def set_num_train_steps(pipeline) -> None:
  """Gives a `Pipeline` the length of --num_train_steps; tells what becomes of its schedule."""
  from ssd_tf.config.training_length import set_num_steps
  from ssd_tf.evaluation import log_format as log

  num_steps = flags.FLAGS['num_train_steps'].value
  if num_steps and (stretched := set_num_steps(pipeline.config, num_steps)):
    log.tell('--num_train_steps: %s', stretched)


def num_workers() -> None:
  """Defines --num_workers, of a converter."""
  flags.DEFINE_integer(
    'num_workers', None, 'Number of threads; default: the number of processors.', lower_bound=1
  )


def writing_records(
  broken: str, num_shards: int | None = 1, num_shards_help: str = 'Files to write.'
) -> None:
  """Defines --num_shards, --num_workers and --strict, of a converter.

  Args:
    broken: what ends the conversion with --strict, such as 'image or XML file'.
    num_shards: the default.
    num_shards_help: the help of it.
  """
  flags.DEFINE_integer('num_shards', num_shards, num_shards_help, lower_bound=1)
  num_workers()
  flags.DEFINE_bool('strict', False, f'Stop at the first broken {broken}.')


def write_records(source, output_path: str, **options) -> None:
  """Writes a `Source` by the flags of `writing_records`; options: others instead of a flag's."""
  from ssd_tf.data import record_writer

  options = {**values_of('num_shards', 'num_workers', 'strict'), **options}
  record_writer.write_records(source, output_path, **options)


def values_of(*names: str) -> dict[str, Any]:
  """The values of flags, by their names."""
  return {name: flags.FLAGS[name].value for name in names}
