"""Trains and evaluates an SSD from a pipeline.config; with --checkpoint_dir, evaluates only.

python tools/model_main_tf2.py --pipeline_config_path=CONFIG --model_dir=DIR
python tools/model_main_tf2.py --pipeline_config_path=CONFIG --model_dir=DIR --checkpoint_dir=DIR
python tools/model_main_tf2.py --pipeline_config_path=CONFIG --model_dir=DIR --checkpoint_dir=DIR \
  --eval_all_checkpoints
"""

import functools
import json

from absl import flags

from ssd_tf.commands import shared_flags
from ssd_tf.commands.flag_values import class_mappings, scale_sizes
from ssd_tf.errors import InputError

FLAGS = flags.FLAGS
flags.DEFINE_string('pipeline_config_path', None, 'The pipeline.config.')
flags.DEFINE_string('model_dir', None, 'Folder to write checkpoints, event files and results to.')
flags.DEFINE_integer('num_train_steps', None, 'Overrides train_config.num_steps.', lower_bound=1)
flags.DEFINE_string(
  'checkpoint_dir',
  None,
  'Evaluate only: a folder with checkpoints, or the prefix of one (also one of the Object '
  'Detection API); results go to model_dir.',
)
flags.DEFINE_integer(
  'eval_timeout',
  3600,
  'Evaluate only: seconds to wait for a further checkpoint. Given explicitly, also for the first '
  'one; 0 evaluates the newest and ends.',
  lower_bound=0,
)
flags.DEFINE_bool(
  'eval_all_checkpoints',
  False,
  'Evaluate only: every checkpoint in the folder, in the order of steps, except those that '
  'eval/metrics.jsonl of model_dir already has; then exit.',
)
flags.DEFINE_integer('checkpoint_every_n', 1000, 'Steps between checkpoints.', lower_bound=1)
flags.DEFINE_integer('checkpoint_max_to_keep', 7, 'Older checkpoints are deleted.', lower_bound=1)
flags.DEFINE_integer(
  'log_every_n', 100, 'Steps between lines of the log and points of the curves.', lower_bound=1
)
flags.DEFINE_bool('evaluate', True, 'Evaluate at each checkpoint while training.')
flags.DEFINE_integer(
  'sample_1_of_n_eval_examples', 1, 'Evaluate on every n-th example.', lower_bound=1
)
flags.DEFINE_bool('eval_on_train_data', False, 'Evaluate only: on the training records.')
flags.DEFINE_integer(
  'sample_1_of_n_eval_on_train_examples', 5, 'As above, with --eval_on_train_data.', lower_bound=1
)
flags.DEFINE_integer(
  'num_logical_cpus',
  0,
  'Train on this many CPU replicas, to try replicas without GPUs.',
  lower_bound=0,
)
flags.DEFINE_integer('seed', None, 'Overrides train_config.seed.', lower_bound=0)
flags.DEFINE_list(
  'multi_scale',
  [],
  'Input sizes to draw from while training, as 256,320,384x512 (height x width); overrides '
  'train_config.multi_scale.size.',
)
flags.DEFINE_integer(
  'multi_scale_steps',
  None,
  'Steps between draws; instead of train_config.multi_scale.steps_per_size.',
  lower_bound=1,
)
flags.DEFINE_bool(
  'op_determinism',
  None,
  'The same bits on every run with the same seed; slower. Instead of train_config.op_determinism.',
)
flags.DEFINE_enum(
  'freeze',
  None,
  ['none', 'backbone', 'all_but_heads'],
  'Part of the network to freeze; overrides train_config.freeze.',
)
flags.DEFINE_multi_string(
  'freeze_variables',
  None,
  'Regular expression of further variables to freeze. May be repeated; overrides '
  'train_config.freeze_variables.',
)
flags.DEFINE_string(
  'best_metric',
  None,
  'Instead of train_config.best_metric: the metric of the checkpoint kept in the folder best of '
  'model_dir, and of early stopping; of metrics that begin with Loss/, lower is better.',
)
flags.DEFINE_integer(
  'early_stopping_patience',
  None,
  'Stop after this many evaluations without improvement; overrides '
  'train_config.early_stopping.patience.',
  lower_bound=1,
)
flags.DEFINE_integer(
  'gradient_accumulation_steps',
  None,
  'Batches to accumulate for each step, in the memory of one; overrides '
  'train_config.gradient_accumulation_steps.',
  lower_bound=1,
)
flags.DEFINE_enum(
  'precision',
  None,
  ['float32', 'mixed_bfloat16', 'mixed_float16'],
  'The type that layers compute in; instead of train_config.precision and use_bfloat16.',
)
shared_flags.config_override()
shared_flags.log_format('api')
flags.DEFINE_multi_string(
  'class_map',
  [],
  'Classes of fine_tune_checkpoint to keep: old=new, by name or id, separated by commas or '
  'repeated; overrides train_config.fine_tune_class_map. Old names are those of '
  'train_config.fine_tune_label_map_path.',
)
flags.DEFINE_string(
  'pretrained_backbone',
  None,
  "Start from this backbone alone: imagenet (Keras applications' weights, which Keras downloads), "
  'or the path of a checkpoint or .h5 file; instead of train_config.fine_tune_checkpoint.',
)
# Flags of the Object Detection API's script that ask for nothing here, or for what is not there.
flags.DEFINE_bool('record_summaries', True, 'Accepted; summaries are always written.')
flags.DEFINE_string('tpu_name', None, 'Accepted, without effect.')
flags.DEFINE_bool('use_tpu', False, 'Not supported.')
flags.DEFINE_integer('num_workers', 1, 'Only 1 is supported.', lower_bound=1)
flags.mark_flags_as_required(['pipeline_config_path', 'model_dir'])

# Flags that stand for a field of train_config: the field, and how the value is written there.
_FIELDS = {
  'seed': ('seed', json.dumps),
  'op_determinism': ('op_determinism', json.dumps),
  'freeze': ('freeze', str.upper),
  'freeze_variables': ('freeze_variables', json.dumps),
  'best_metric': ('best_metric', json.dumps),
  'early_stopping_patience': ('early_stopping.patience', json.dumps),
  'gradient_accumulation_steps': ('gradient_accumulation_steps', json.dumps),
  'precision': ('precision', str.upper),
  'class_map': ('fine_tune_class_map', class_mappings),
  'multi_scale': ('multi_scale.size', scale_sizes),
  'multi_scale_steps': ('multi_scale.steps_per_size', json.dumps),
}


def main() -> None:
  """Reads the config and the flags over it, then trains or evaluates."""
  from ssd_tf.config.pipeline import Pipeline
  from ssd_tf.evaluation import log_format

  if FLAGS.use_tpu or FLAGS.num_workers > 1:
    raise InputError('--use_tpu and --num_workers above 1 are not supported: one machine, its GPUs')
  if FLAGS.eval_all_checkpoints and not FLAGS.checkpoint_dir:
    raise InputError('--eval_all_checkpoints: expected --checkpoint_dir, the folder, with it')
  pipeline = Pipeline.load(FLAGS.pipeline_config_path, _overrides())
  log_format.setup_logging(FLAGS.log_format)
  shared_flags.set_num_train_steps(pipeline)
  if FLAGS.checkpoint_dir:
    _evaluate(pipeline)
  else:
    _train(pipeline)


def _overrides():
  """The changes to the config: --config_override, then what other flags stand for."""
  overrides = list(FLAGS.config_override)
  for name, value in shared_flags.values_of(*_FIELDS).items():
    if value not in (None, []):
      field, as_text = _FIELDS[name]
      overrides.append(f'train_config.{field}={as_text(value)}')
  if FLAGS.precision:
    overrides.append('train_config.use_bfloat16=false')
  if FLAGS.pretrained_backbone:
    overrides.append(f'train_config.fine_tune_checkpoint={json.dumps(FLAGS.pretrained_backbone)}')
    overrides.append('train_config.fine_tune_checkpoint_type="classification"')
  return overrides


def _train(pipeline) -> None:
  """Trains, with evaluation in between."""
  from ssd_tf.run.strategy import make_strategy
  from ssd_tf.run.train import train

  train(
    pipeline,
    FLAGS.model_dir,
    strategy=make_strategy(FLAGS.num_logical_cpus),
    **shared_flags.values_of(
      *('checkpoint_every_n', 'log_every_n', 'checkpoint_max_to_keep'),
      *('evaluate', 'sample_1_of_n_eval_examples'),
    ),
  )


def _evaluate(pipeline) -> None:
  """Evaluates one checkpoint after the other."""
  from ssd_tf.run.evaluate import evaluate_all_checkpoints, evaluate_checkpoints
  from ssd_tf.run.evaluator import Options
  from ssd_tf.run.strategy import make_strategy

  evaluate_them = evaluate_all_checkpoints
  if not FLAGS.eval_all_checkpoints:
    evaluate_them = functools.partial(
      evaluate_checkpoints,
      timeout=FLAGS.eval_timeout,
      wait_for_first=FLAGS['eval_timeout'].present > 0 and FLAGS.eval_timeout > 0,
    )
  evaluate_them(
    pipeline,
    FLAGS.model_dir,
    FLAGS.checkpoint_dir,
    strategy=make_strategy(FLAGS.num_logical_cpus),
    options=Options(
      sample_1_of_n=FLAGS.sample_1_of_n_eval_on_train_examples
      if FLAGS.eval_on_train_data
      else FLAGS.sample_1_of_n_eval_examples,
      on_train_data=FLAGS.eval_on_train_data,
    ),
  )
