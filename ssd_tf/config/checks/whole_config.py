"""Finds all faults of a config at once, before records are read or a network is built."""

from collections.abc import Callable, Iterable

from ssd_tf.config.checks import by_schema, readers, training
from ssd_tf.config.checks.fault import Fault, explained, faults_of
from ssd_tf.config.pipeline import Pipeline, PipelineConfig
from ssd_tf.errors import InputError

# The path of a part, and what raises an InputError or a ValueError where the part is at fault.
Trial = tuple[str, Callable[[], object]]


def find_faults(
  pipeline: Pipeline,
  num_replicas: int = 1,
  checking: str = 'all',
  *,
  is_training: bool = True,
  trials: Callable[[PipelineConfig], Iterable[Trial]] = lambda config: (),
) -> list[Fault]:
  """Checks what a config says against the schema, itself and the files it names; reads no records.

  Where the classes are fewer than num_classes, or the training is shorter than its warm-up, this
  warns. Of a number out of its range only this is reported.

  Args:
    checking: 'train', 'eval' or 'all': the readers that will be used.
    trials: gives what is tried besides, of a config whose numbers all are within their ranges.
  """
  if checking not in ('train', 'eval', 'all'):
    raise ValueError(f"checking is {checking!r}: expected 'train', 'eval' or 'all'")
  told = by_schema.out_of_range(_used_part(pipeline.config, checking, is_training))
  # All the rest looks at a config that can be built, as far as its numbers go.
  config = by_schema.within_range(pipeline.config)
  if config is not pipeline.config:
    pipeline = pipeline.with_config(config)
  others = []
  if not config.model.HasField('ssd'):
    others.append(Fault('model', 'there is no ssd { ... } in it'))
  if checking != 'eval':
    others += [*training.training_faults(pipeline, num_replicas)]
    others += [*readers.training_reader_faults(pipeline)]
  if checking != 'train':
    others += [*readers.evaluation_reader_faults(pipeline)]
  used = config if is_training else by_schema.model_part(config)
  others += [*by_schema.out_of_order(used), *by_schema.unsupported_fields(used)]
  for path, trial in trials(config):
    try:
      with explained(path):
        trial()
    except InputError as error:
      others += faults_of(error)
  others = [fault for fault in others if not any(_is_about(fault, number) for number in told)]
  return list(dict.fromkeys([*told, *others]))  # Two readers with one label map find the same.


def _used_part(config, checking, is_training):
  """A copy without the rest, so that mistakes in it need not be fixed."""
  used = PipelineConfig()
  used.CopyFrom(config)
  if checking == 'eval' or not is_training:
    used.ClearField('train_config')
  for kind in ('train', 'eval'):
    if checking not in (kind, 'all'):
      used.ClearField(f'{kind}_input_reader')
  return used


def _is_about(fault, number):
  """Whether a fault of the config within its ranges comes from a number already reported."""
  parent, _, name = number.field.rpartition('.')
  line = str(fault)
  return number.field in line or (line.startswith(f'{parent}.') and name in line)
