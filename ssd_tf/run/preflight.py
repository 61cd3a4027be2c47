"""Checks what can be checked before a training begins."""

from absl import logging

from ssd_tf import builders
from ssd_tf.config.checks import by_schema
from ssd_tf.config.pipeline import Pipeline, PipelineConfig
from ssd_tf.errors import InputError
from ssd_tf.run import best_metric


def check(pipeline: Pipeline, num_replicas: int, evaluate: bool) -> str:
  """Refuses what would fail, or train wrongly, later; warns of what is not done as the config says.

  Returns the metric that the best checkpoint and early stopping go by; '' without evaluations.
  """
  checking = 'all' if evaluate else 'train'
  builders.check_config(pipeline, num_replicas, checking)
  with pipeline.naming_errors():
    metric = choose_metric(pipeline, evaluate)
    builders.check_records(pipeline, is_training=True)
    if evaluate:
      builders.check_records(pipeline, is_training=False)
  warn_of_differences(pipeline.config)
  return metric


def choose_metric(pipeline: Pipeline, evaluate: bool) -> str:
  """The metric that choices by evaluations go by; refuses such choices without evaluations."""
  settings = pipeline.config.train_config
  if evaluate:
    names = builders.metric_names(pipeline)
    return best_metric.resolve_metric(settings.best_metric, names)
  if settings.HasField('early_stopping'):
    raise InputError(
      'train_config.early_stopping: needs evaluations while training, but --noevaluate leaves them '
      'out; remove one of the two'
    )
  if settings.best_metric:
    logging.warning(
      '%s: nothing is evaluated while training (--noevaluate), so no best checkpoint is kept.',
      best_metric.FIELD,
    )
  return ''


def warn_of_differences(config: PipelineConfig) -> None:
  """Says once what a config sets that is not done, or not as it says."""
  without_effect = by_schema.ineffective_fields(config)
  if without_effect:
    logging.info('Fields that are set and change nothing here: %s', ', '.join(without_effect))
  kind = config.model.ssd.image_resizer.WhichOneof('image_resizer_oneof')
  resizer = config.model.ssd.image_resizer.keep_aspect_ratio_resizer
  if kind == 'keep_aspect_ratio_resizer' and not resizer.pad_to_max_dimension:
    logging.warning(
      'model.ssd.image_resizer.keep_aspect_ratio_resizer.pad_to_max_dimension: is false, but the '
      'network is built for one size: images are padded to %d x %d below and to the right all the '
      'same; detections are of the image alone.',
      resizer.max_dimension,
      resizer.max_dimension,
    )
  settings = config.train_config
  fields = ('freeze', 'freeze_variables', 'update_trainable_variables')
  freezing = [field for field in fields if getattr(settings, field)]
  if freezing and not settings.fine_tune_checkpoint:
    logging.warning(
      'train_config.%s: keeps weights as they start, and nothing is loaded: without '
      'train_config.fine_tune_checkpoint they stay random%s.',
      freezing[0],
      f' until step {settings.stage[0].first_step}' if settings.stage else '',
    )
  if config.graph_rewriter.HasField('quantization'):
    logging.warning(
      'graph_rewriter.quantization: this trains in float and simulates no quantization; export to '
      'a quantized TFLite file to have the trained weights quantized then.'
    )
