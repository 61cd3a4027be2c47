"""What a pipeline.config says against itself and against the files it names."""

import re
from collections.abc import Iterator

from absl import logging

from ssd_tf.config.checks import single_fields
from ssd_tf.config.pipeline import Pipeline, PipelineConfig
from ssd_tf.errors import InputError

# Of train_config.fine_tune_checkpoint_type; `run.starting` has what each loads.
CHECKPOINT_TYPES = ('classification', 'detection', 'fine_tune', 'full')


def validate(pipeline: Pipeline, num_replicas: int = 1, checking: str = 'all') -> None:
  """Checks what a config says against itself and against the files it names; reads no records.

  Where the classes are fewer than num_classes, or the training shorter than its warm-up, this
  warns.

  Args:
    pipeline: the config.
    num_replicas: how many devices share a batch.
    checking: 'train', 'eval' or 'all': the part of the config that will be used.

  Raises:
    InputError: all that is wrong, one `path: field: fault` per line.
    ValueError: `checking` is none of the three.
  """
  if checking not in ('train', 'eval', 'all'):
    raise ValueError(f"checking is {checking!r}: expected 'train', 'eval' or 'all'")
  told = single_fields.out_of_range(used_part(pipeline.config, checking))
  config = single_fields.within_range(pipeline.config)
  if config is not pipeline.config:
    pipeline = pipeline.with_config(config)
  faults = []
  if not pipeline.config.model.HasField('ssd'):
    faults.append(('model', 'there is no ssd { ... } in it'))
  if checking != 'eval':
    faults += _train_faults(pipeline, num_replicas)
  if checking != 'train':
    faults += _eval_faults(pipeline)
  lines = [f'{field}: {fault}' for field, fault in told.items()]
  lines += [
    line
    for line in (f'{field}: {fault}' for field, fault in faults)
    if not any(single_fields.is_about(line, field) for field in told)
  ]
  if lines:
    # Two readers with the same label map find the same fault.
    raise InputError('\n'.join(f'{pipeline.path}: {line}' for line in dict.fromkeys(lines)))


def used_part(config: PipelineConfig, checking: str, training: bool = True) -> PipelineConfig:
  """The part of a config that will be used, so that mistakes in the rest need not be fixed.

  Args:
    config: as `load` returns it.
    checking: as of `validate`.
    training: whether it will be trained by, not only evaluated.

  Returns:
    A copy without the rest.
  """
  used = PipelineConfig()
  used.CopyFrom(config)
  if checking == 'eval' or not training:
    used.ClearField('train_config')
  for kind in ('train', 'eval'):
    if checking not in (kind, 'all'):
      used.ClearField(f'{kind}_input_reader')
  return used


def _train_faults(pipeline, num_replicas) -> Iterator[tuple[str, str]]:
  """Yields (field, fault), as do the functions below."""
  config, train = pipeline.config, pipeline.config.train_config
  if train.batch_size % num_replicas:
    yield (
      'train_config.batch_size',
      f'is {train.batch_size}: it is that of all replicas together, so it has to be a multiple of'
      f' their number, {num_replicas}',
    )
  yield from _pattern_faults('train_config', train)
  yield from _stage_faults(train)
  yield from _schedule_faults(train)
  if train.fine_tune_checkpoint:
    try:
      pipeline.find_checkpoint(train.fine_tune_checkpoint)
    except InputError as error:
      yield 'train_config.fine_tune_checkpoint', str(error)
  if train.fine_tune_checkpoint_type not in ('', *CHECKPOINT_TYPES):
    yield (
      'train_config.fine_tune_checkpoint_type',
      f'is {train.fine_tune_checkpoint_type!r}: expected one of {", ".join(CHECKPOINT_TYPES)}',
    )
  if not config.train_input_reader:
    yield 'train_input_reader', 'there is none: add one with a label map and an input path'
  for field, reader in pipeline.used_readers(is_training=True).items():
    yield from _reader_faults(pipeline, reader, field)
  weights = [reader.sampling_weight for reader in config.train_input_reader]
  is_mixed = any(reader.sample_from_datasets_weights for reader in config.train_input_reader)
  needed = any(weights) or (is_mixed and len(weights) > 1)
  if needed and not all(weight > 0 for weight in weights):
    alternative = ', since one has sample_from_datasets_weights' if is_mixed else ', or in none'
    yield (
      'train_input_reader.sampling_weight',
      f'is {", ".join(f"{weight:g}" for weight in weights)}: set it in every reader, to more than'
      f' 0{alternative}',
    )


def _pattern_faults(field, train):
  """Of train_config, or of one of its stages."""
  for name in ('freeze_variables', 'update_trainable_variables'):
    for index, pattern in enumerate(getattr(train, name)):
      try:
        re.compile(pattern)
      except re.error as error:
        yield f'{field}.{name}[{index}]', f'{pattern!r} is no regular expression: {error}'


def _stage_faults(train):
  before = 0
  for index, stage in enumerate(train.stage):
    field = f'train_config.stage[{index}]'
    if stage.first_step <= before:
      expected = (
        f'more than {before}, where the stage before it begins'
        if index
        else '1 or more; of the steps before the first stage, train_config itself says what trains'
      )
      yield f'{field}.first_step', f'is {stage.first_step}: expected {expected}'
    elif 0 < train.num_steps <= stage.first_step:
      yield (
        f'{field}.first_step',
        f'is {stage.first_step}: the training ends before, at train_config.num_steps'
        f' {train.num_steps}; take the stage out, or raise num_steps',
      )
    before = stage.first_step
    yield from _pattern_faults(field, stage)


def _eval_faults(pipeline):
  if not pipeline.config.eval_input_reader:
    yield 'eval_input_reader', 'there is none: add one with a label map and an input path'
  for index, reader in enumerate(pipeline.config.eval_input_reader):
    field = f'eval_input_reader[{index}]'
    if not reader.label_map_path:
      yield f'{field}.label_map_path', 'is empty: evaluation needs the names of the classes'
    yield from _reader_faults(pipeline, reader, field)


def _reader_faults(pipeline, reader, field):
  if reader.label_map_path:
    try:
      pipeline.load_label_map(reader.label_map_path)
    except InputError as error:
      yield f'{field}.label_map_path', str(error)
    else:
      yield from _class_faults(pipeline, reader, field)
  inputs = reader.tf_record_input_reader.input_path
  if not inputs:
    yield f'{field}.tf_record_input_reader.input_path', 'is empty: name the TFRecord files'
  for pattern in inputs:
    try:
      pipeline.input_files([pattern])
    except InputError as error:
      yield f'{field}.tf_record_input_reader.input_path', str(error)
  weights = reader.sample_from_datasets_weights
  if weights and len(weights) != len(inputs):
    yield (
      f'{field}.sample_from_datasets_weights',
      f'is [{", ".join(f"{weight:g}" for weight in weights)}]: expected a number above 0 for each'
      f' of the {len(inputs)} input_path',
    )
  if reader.num_epochs and field.startswith('train'):
    logging.warning(
      '%s: %s.num_epochs: is %d, but the records are repeated until train_config.num_steps.',
      pipeline.path,
      field,
      reader.num_epochs,
    )
  elif weights and not field.startswith('train'):
    logging.warning(
      '%s: %s.sample_from_datasets_weights: does not count, evaluation reads each example once.',
      pipeline.path,
      field,
    )


def _class_faults(pipeline, reader, field):
  config = pipeline.config
  num_classes = config.model.ssd.num_classes
  if not num_classes:
    return  # There is no model.
  try:
    classes = pipeline.model_classes
    pipeline.classes(field)
  except InputError as error:
    yield tuple(str(error).split(': ', 1))
    return
  is_merged = len(config.train_input_reader) > 1 and not config.label_map_path
  train_map = config.train_input_reader[0].label_map_path if config.train_input_reader else ''
  named = config.label_map_path or train_map or reader.label_map_path
  named = 'the label maps of all train_input_reader together' if is_merged else named
  if classes.num_classes > num_classes:
    hint = (
      f'the classes are {", ".join(classes.names)}; set it to {classes.num_classes}, or rename or '
      'drop classes by class_map'
      if is_merged
      else f'set it to {classes.num_classes}, or give the classes the ids 1 to {num_classes}'
    )
    yield (
      'model.ssd.num_classes',
      f'is {num_classes}, but {named} has id {classes.num_classes}'
      f' ({classes.name_of(classes.num_classes)!r}): objects of ids above {num_classes} would be'
      f' lost; {hint}',
    )
  elif len(classes.ids) < num_classes:
    logging.warning(
      '%s: model.ssd.num_classes: is %d, but %s names %d classes.',
      pipeline.path,
      num_classes,
      named,
      len(classes.ids),
    )


def _schedule_faults(train):
  """A learning rate that ends inside its warm-up, or that is 0 before its steps are over."""
  rates = [
    (stage.first_step, f'train_config.stage[{index}].learning_rate', stage.learning_rate)
    for index, stage in enumerate(train.stage)
    if stage.HasField('learning_rate')
  ]
  optimizer = train.optimizer.WhichOneof('optimizer')
  if optimizer is not None:  # Which there are is for those to say who build them.
    field = f'train_config.optimizer.{optimizer}.learning_rate'
    rates.insert(0, (0, field, getattr(train.optimizer, optimizer).learning_rate))
  ends = [*(first for first, *_ in rates), train.num_steps][1:]
  for (first, field, rate), end in zip(rates, ends, strict=True):
    steps = max(end - first, 0)
    within = f'its part of the training, {steps} steps (see train_config.stage), ends within it'
    lasts = f'it is for {steps} steps (see train_config.stage)'
    if steps == train.num_steps:
      within = f'the training ends within it, at train_config.num_steps {steps}'
      lasts = f'train_config.num_steps is {steps}'
    yield from _rate_faults(rate, field, steps, within, lasts)


def _rate_faults(rate, field, num_steps, within, lasts):
  """Of a learning rate for so many steps, 0 for no end; the rest are words for that."""
  kind = rate.WhichOneof('learning_rate')
  field = f'{field}.{kind}'
  if kind == 'cosine_decay_learning_rate':
    yield from _cosine_faults(rate.cosine_decay_learning_rate, field, num_steps, within, lasts)
  elif kind == 'exponential_decay_learning_rate':
    burnin_steps = rate.exponential_decay_learning_rate.burnin_steps
    if 0 < num_steps <= burnin_steps:
      yield f'{field}.burnin_steps', f'is {burnin_steps}: {within}'


def _cosine_faults(cosine, field, num_steps, within, lasts):
  if cosine.warmup_steps >= cosine.total_steps:
    yield (
      f'{field}.warmup_steps',
      f'is {cosine.warmup_steps}: the schedule ends within it, at total_steps {cosine.total_steps}',
    )
  if cosine.warmup_steps and cosine.warmup_learning_rate > cosine.learning_rate_base:
    yield (
      f'{field}.warmup_learning_rate',
      f'is {cosine.warmup_learning_rate:g}: it has to be at most learning_rate_base,'
      f' {cosine.learning_rate_base:g}',
    )
  if cosine.total_steps < num_steps:
    yield (
      f'{field}.total_steps',
      f'is {cosine.total_steps}: the learning rate is 0 from there on, but {lasts}; set both alike',
    )
  elif 0 < num_steps <= cosine.warmup_steps:
    logging.warning('%s.warmup_steps: is %d: %s.', field, cosine.warmup_steps, within)
