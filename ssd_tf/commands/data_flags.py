"""Defines the flags of the commands that begin with a user's data."""

import os

from absl import flags

from ssd_tf.commands import shared_flags

flags.disclaim_key_flags()  # Each is a flag of the command that asks for it, also in its --help.

# That shape a pipeline.config.
_WISHES = ('model', 'weights', 'num_train_steps', 'batch_size', 'learning_rate', 'config_override')


def define_conversion() -> None:
  """Defines the flags of the data and its split."""
  flags.DEFINE_string(
    'data',
    None,
    'A folder, or file, of annotated images: a VOCdevkit, images and XML files, COCO JSON, YOLO '
    'with data.yaml, CSV, or TFRecords with a label map. The format is found out.',
  )
  flags.DEFINE_string(
    'label_map_path', None, 'The classes and their ids (pbtxt, or a name on each line).'
  )
  flags.DEFINE_float(
    'validation_share',
    0.2,
    'Share of the images for validation, unless the data has its own validation part.',
    lower_bound=0.01,
    upper_bound=0.99,
  )
  flags.DEFINE_integer('seed', 0, 'Seed of the split and of the training.', lower_bound=0)


def define() -> None:
  """Defines these, and those that shape a config."""
  define_conversion()
  flags.DEFINE_string('model', None, 'One of `ssd-tf init --list`.')
  flags.DEFINE_string(
    'weights', None, 'Initial weights: one of `ssd-tf weights`, a checkpoint, or none.'
  )
  flags.DEFINE_integer('num_train_steps', None, 'Length of the training in steps.', lower_bound=1)
  flags.DEFINE_integer('batch_size', None, 'Images per step.', lower_bound=1)
  flags.DEFINE_float('learning_rate', None, 'The highest learning rate.', lower_bound=0)
  shared_flags.config_override()


def given_wishes() -> list[str]:
  """The flags among those that shape a config which the user gave."""
  return [name for name in _WISHES if flags.FLAGS[name].present]


def start(config_path: str):
  """Prepares the data and writes the config; prints every choice with the flag that changes it.

  Args:
    config_path: the file to write.

  Returns:
    The `Pipeline`.
  """
  from ssd_tf.project import recipe, start
  from ssd_tf.run import machine

  values = flags.FLAGS
  here = machine.hardware()
  project = start.start_project(
    values.data,
    config_path,
    recipe.Wishes(
      model=values.model or recipe.MODEL,
      weights=values.weights,
      num_steps=values.num_train_steps,
      batch_size=values.batch_size,
      learning_rate=values.learning_rate,
      changes=[f'train_config.seed={values.seed}', *values.config_override],
    ),
    recipe.Machine(here['memory_gb'], len(here['gpus'])),
    label_map_path=values.label_map_path,
    validation_share=values.validation_share,
    seed=values.seed,
  )
  print()
  width = min(76, max(len(choice.value) for choice in project.choices))
  for choice in project.choices:
    print(f'{choice.what:<13}  {choice.value:<{width}}  {choice.flag}')
  print(f'{"config":<13}  {os.path.relpath(config_path)}\n')
  for remark in project.remarks:
    print(f'Note: {remark}')
  return project.pipeline
