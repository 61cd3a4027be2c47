"""Two configs are compared field by field."""

from google.protobuf import text_format

from ssd_tf.config.config_differences import differences
from ssd_tf.protos import pipeline_pb2

OLD = """
model {ssd {num_classes: 3 feature_extractor {type: "a"}}}
train_config {batch_size: 8 seed: 1 optimizer {momentum_optimizer {
  learning_rate {constant_learning_rate {learning_rate: 0.1}}}}}
train_input_reader {tf_record_input_reader {input_path: "a.record"}}
"""
NEW = """
model {ssd {num_classes: 3 feature_extractor {type: "b"}}}
train_config {batch_size: 4 seed: 1 freeze: BACKBONE optimizer {sgd_optimizer {}}}
train_input_reader {tf_record_input_reader {input_path: "b.record"}}
train_input_reader {tf_record_input_reader {input_path: "c.record"}}
eval_config {batch_size: 2}
"""


def parsed(text):
  return text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig())


def test_each_field_that_differs_is_told_with_both_values():
  assert list(differences(parsed(OLD), parsed(OLD))) == []
  found = dict(line.split(': ', 1) for line in differences(parsed(OLD), parsed(NEW)))
  assert found['model.ssd.feature_extractor.type'] == "'a' -> 'b'"
  assert found['train_config.batch_size'] == '8 -> 4'
  assert found['train_config.freeze'] == 'NONE -> BACKBONE'
  momentum = found['train_config.optimizer.momentum_optimizer']
  assert momentum.startswith('{learning_rate {') and momentum.endswith('... -> none')
  assert found['train_config.optimizer.sgd_optimizer'] == 'none -> {}'
  assert found['train_input_reader'].startswith('[{tf_record_input_reader {') and (
    '"b.record"' in found['train_input_reader']
  )
  assert found['eval_config'] == 'none -> {batch_size: 2}'
  assert len(found) == 7
