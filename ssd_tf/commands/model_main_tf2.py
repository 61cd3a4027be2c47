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
from ssd_tf.commands.train_overrides import class_mappings, scale_sizes
from ssd_tf.errors import InputError

PIPELINE_CONFIG_PATH = flags.DEFINE_string(
  'pipeline_config_path', None, 'The pipeline.config.', required=True
)
MODEL_DIR = flags.DEFINE_string(
  'model_dir', None, 'Gets checkpoints, event files and results.', required=True
)
NUM_TRAIN_STEPS = flags.DEFINE_integer(
  'num_train_steps', None, 'Instead of train_config.num_steps.', lower_bound=1
)
CHECKPOINT_DIR = flags.DEFINE_string(
  'checkpoint_dir',
  None,
  'Evaluate only: a folder with checkpoints, or the prefix of one (also one of the Object '
  'Detection API); results go to model_dir.',
)
EVAL_TIMEOUT = flags.DEFINE_integer(
  'eval_timeout',
  3600,
  'Evaluate only: seconds to wait for a further checkpoint. Given explicitly, also for the first '
  'one; 0 evaluates the newest and ends.',
  lower_bound=0,
)
EVAL_ALL_CHECKPOINTS = flags.DEFINE_bool(
  'eval_all_checkpoints',
  False,
  'Evaluate only: every checkpoint in the folder, in the order of steps, and end; those that '
  'eval/metrics.jsonl of model_dir has already are not evaluated again.',
)
CHECKPOINT_EVERY_N = flags.DEFINE_integer(
  'checkpoint_every_n', 1000, 'Steps between checkpoints.', lower_bound=1
)
CHECKPOINT_MAX_TO_KEEP = flags.DEFINE_integer(
  'checkpoint_max_to_keep', 7, 'Older checkpoints are deleted.', lower_bound=1
)
LOG_EVERY_N = flags.DEFINE_integer(
  'log_every_n', 100, 'Steps between lines of the log and points of the curves.', lower_bound=1
)
EVALUATE = flags.DEFINE_bool('evaluate', True, 'Evaluate at each checkpoint while training.')
SAMPLE_EVAL = flags.DEFINE_integer(
  'sample_1_of_n_eval_examples', 1, 'Evaluate on every n-th example.', lower_bound=1
)
EVAL_ON_TRAIN_DATA = flags.DEFINE_bool(
  'eval_on_train_data', False, 'Evaluate only: on the training records.'
)
SAMPLE_EVAL_ON_TRAIN = flags.DEFINE_integer(
  'sample_1_of_n_eval_on_train_examples', 5, 'As above, with --eval_on_train_data.', lower_bound=1
)
NUM_LOGICAL_CPUS = flags.DEFINE_integer(
  'num_logical_cpus', 0, 'Try that many replicas on the CPU.', lower_bound=0
)
SEED = flags.DEFINE_integer('seed', None, 'Instead of train_config.seed.', lower_bound=0)
MULTI_SCALE = flags.DEFINE_list(
  'multi_scale',
  [],
  'Sizes of the input of which a training draws, as 256,320,384x512 (height x width); instead of '
  'train_config.multi_scale.size.',
)
MULTI_SCALE_STEPS = flags.DEFINE_integer(
  'multi_scale_steps',
  None,
  'Steps between draws; instead of train_config.multi_scale.steps_per_size.',
  lower_bound=1,
)
OP_DETERMINISM = flags.DEFINE_bool(
  'op_determinism',
  None,
  'The same bits on every run with the same seed; slower. Instead of train_config.op_determinism.',
)
FREEZE = flags.DEFINE_enum(
  'freeze',
  None,
  ['none', 'backbone', 'all_but_heads'],
  'What stays as it starts; instead of train_config.freeze.',
)
FREEZE_VARIABLES = flags.DEFINE_multi_string(
  'freeze_variables',
  None,
  'A regular expression: variables that stay as they start, besides. May be repeated; instead of '
  'train_config.freeze_variables.',
)
BEST_METRIC = flags.DEFINE_string(
  'best_metric',
  None,
  'Instead of train_config.best_metric: the metric of the checkpoint kept in the folder best of '
  'model_dir, and of early stopping; of those that begin with Loss/ the least is the best.',
)
EARLY_STOPPING_PATIENCE = flags.DEFINE_integer(
  'early_stopping_patience',
  None,
  'Stop after so many evaluations without a better one; instead of '
  'train_config.early_stopping.patience.',
  lower_bound=1,
)
GRADIENT_ACCUMULATION_STEPS = flags.DEFINE_integer(
  'gradient_accumulation_steps',
  None,
  'Batches that make one step together, in the memory of one; instead of '
  'train_config.gradient_accumulation_steps.',
  lower_bound=1,
)
PRECISION = flags.DEFINE_enum(
  'precision',
  None,
  ['float32', 'mixed_bfloat16', 'mixed_float16'],
  'The type that layers compute in; instead of train_config.precision and use_bfloat16.',
)
CONFIG_OVERRIDE = shared_flags.config_override()
CLASS_MAP = flags.DEFINE_multi_string(
  'class_map',
  [],
  'Classes of fine_tune_checkpoint to go on with: old=new, by name or id, separated by commas or '
  'repeated; instead of train_config.fine_tune_class_map. Old names are those of '
  'train_config.fine_tune_label_map_path.',
)
PRETRAINED_BACKBONE = flags.DEFINE_string(
  'pretrained_backbone',
  None,
  "Start from this backbone alone: imagenet (Keras applications' weights, which Keras downloads), "
  'or the path of a checkpoint or .h5 file; instead of train_config.fine_tune_checkpoint.',
)
# Flags of the Object Detection API's script that ask for nothing here, or for what is not there.
flags.DEFINE_bool('record_summaries', True, 'Accepted; summaries are always written.')
flags.DEFINE_string('tpu_name', None, 'Accepted, without effect.')
USE_TPU = flags.DEFINE_bool('use_tpu', False, 'Not supported.')
NUM_WORKERS = flags.DEFINE_integer('num_workers', 1, 'Only 1 is supported.', lower_bound=1)


# Flags that stand for a field of train_config: the field, and how the value is written there.
_FIELDS = (
  (NUM_TRAIN_STEPS, 'num_steps', json.dumps),
  (SEED, 'seed', json.dumps),
  (OP_DETERMINISM, 'op_determinism', json.dumps),
  (FREEZE, 'freeze', str.upper),
  (FREEZE_VARIABLES, 'freeze_variables', json.dumps),
  (BEST_METRIC, 'best_metric', json.dumps),
  (EARLY_STOPPING_PATIENCE, 'early_stopping.patience', json.dumps),
  (GRADIENT_ACCUMULATION_STEPS, 'gradient_accumulation_steps', json.dumps),
  (PRECISION, 'precision', str.upper),
  (CLASS_MAP, 'fine_tune_class_map', class_mappings),
  (MULTI_SCALE, 'multi_scale.size', scale_sizes),
  (MULTI_SCALE_STEPS, 'multi_scale.steps_per_size', json.dumps),
)


def main() -> None:
  """Reads the config and the flags over it, then trains or evaluates."""
  from ssd_tf.config.pipeline import Pipeline
  from ssd_tf.evaluation import log_format

  if USE_TPU.value or NUM_WORKERS.value > 1:
    raise InputError('--use_tpu and --num_workers above 1 are not supported: one machine, its GPUs')
  if EVAL_ALL_CHECKPOINTS.value and not CHECKPOINT_DIR.value:
    raise InputError('--eval_all_checkpoints: expected --checkpoint_dir, the folder, with it')
  pipeline = Pipeline.load(PIPELINE_CONFIG_PATH.value, _overrides())
  log_format.setup_logging()
  if CHECKPOINT_DIR.value:
    _evaluate(pipeline)
  else:
    _train(pipeline)


def _overrides():
  """The changes to the config: --config_override, then what other flags stand for."""
  overrides = [
    *CONFIG_OVERRIDE.value,
    *(
      f'train_config.{field}={as_text(flag.value)}'
      for flag, field, as_text in _FIELDS
      if flag.value not in (None, [])
    ),
  ]
  if PRECISION.value:
    overrides.append('train_config.use_bfloat16=false')
  if PRETRAINED_BACKBONE.value:
    overrides.append(f'train_config.fine_tune_checkpoint={json.dumps(PRETRAINED_BACKBONE.value)}')
    overrides.append('train_config.fine_tune_checkpoint_type="classification"')
  return overrides


def _train(pipeline) -> None:
  """Trains, with evaluation in between."""
  from ssd_tf.run.strategy import make_strategy
  from ssd_tf.run.train import train

  train(
    pipeline,
    MODEL_DIR.value,
    strategy=make_strategy(NUM_LOGICAL_CPUS.value),
    checkpoint_every_n=CHECKPOINT_EVERY_N.value,
    log_every_n=LOG_EVERY_N.value,
    checkpoint_max_to_keep=CHECKPOINT_MAX_TO_KEEP.value,
    evaluate=EVALUATE.value,
    sample_1_of_n_eval_examples=SAMPLE_EVAL.value,
  )


def _evaluate(pipeline) -> None:
  """Evaluates one checkpoint after the other."""
  from ssd_tf.run.evaluate import evaluate_all_checkpoints, evaluate_checkpoints
  from ssd_tf.run.evaluator import Options
  from ssd_tf.run.strategy import make_strategy

  on_train_data = EVAL_ON_TRAIN_DATA.value
  evaluate_them = evaluate_all_checkpoints
  if not EVAL_ALL_CHECKPOINTS.value:
    evaluate_them = functools.partial(
      evaluate_checkpoints,
      timeout=EVAL_TIMEOUT.value,
      wait_for_first=flags.FLAGS['eval_timeout'].present > 0 and EVAL_TIMEOUT.value > 0,
    )
  evaluate_them(
    pipeline,
    MODEL_DIR.value,
    CHECKPOINT_DIR.value,
    strategy=make_strategy(NUM_LOGICAL_CPUS.value),
    options=Options(
      sample_1_of_n=(SAMPLE_EVAL_ON_TRAIN if on_train_data else SAMPLE_EVAL).value,
      on_train_data=on_train_data,
    ),
  )
