"""Computes the metrics of a trained detector on its validation data.

ssd-tf evaluate --model=runs/mine

It evaluates the newest checkpoint, or the one that --checkpoint names. The figures go to the
console, to eval/metrics.jsonl of the model's folder, and to TensorBoard.
"""

from absl import flags

from ssd_tf.commands import model_flags

FLAGS = flags.FLAGS
model_flags.define()
flags.DEFINE_bool('on_train_data', False, 'Evaluate on the training records instead.')
flags.DEFINE_integer('sample_1_of_n', 1, 'Evaluate on every n-th image.', lower_bound=1)


def main() -> None:
  """Evaluates one checkpoint."""
  pipeline = model_flags.load_pipeline()
  from ssd_tf.evaluation import log_format
  from ssd_tf.run.evaluate import evaluate_checkpoints
  from ssd_tf.run.evaluator import Options
  from ssd_tf.run.strategy import make_strategy

  log_format.setup_logging(log_format.SHORT)
  evaluate_checkpoints(
    pipeline,
    FLAGS.model,
    FLAGS.checkpoint or FLAGS.model,
    strategy=make_strategy(),
    options=Options(sample_1_of_n=FLAGS.sample_1_of_n, on_train_data=FLAGS.on_train_data),
  )
