"""Changes the length of a training, and of the learning rate schedule with it."""

from ssd_tf.protos import pipeline_pb2


def set_num_steps(config: pipeline_pb2.TrainEvalPipelineConfig, num_steps: int) -> str:
  """Sets train_config.num_steps, and stretches a cosine schedule that had the same length.

  The warm-up, and the steps at the highest rate after it, keep their share of the training.

  Returns:
    What became of the schedule, in one line; '' where it stays as it is.
  """
  settings = config.train_config
  before, settings.num_steps = settings.num_steps, num_steps
  kind = settings.optimizer.WhichOneof('optimizer')
  rate = getattr(settings.optimizer, kind).learning_rate if kind else None
  if rate is None or rate.WhichOneof('learning_rate') != 'cosine_decay_learning_rate':
    return ''
  cosine = rate.cosine_decay_learning_rate
  if cosine.total_steps != before or num_steps == before or cosine.cycle_steps:
    return ''
  share = num_steps / before
  cosine.total_steps = num_steps
  cosine.warmup_steps = round(cosine.warmup_steps * share)
  if cosine.hold_base_rate_steps:
    cosine.hold_base_rate_steps = round(cosine.hold_base_rate_steps * share)
  return (
    f'The learning rate schedule has {num_steps} steps, as the training, instead of {before}; '
    f'{cosine.warmup_steps} of them are the warm-up.'
  )
