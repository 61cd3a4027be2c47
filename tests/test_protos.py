import collections
import importlib.metadata
import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest
from google.protobuf import text_format

from ssd_tf.protos import (
  anchor_generator_pb2,
  box_predictor_pb2,
  eval_pb2,
  hyperparams_pb2,
  image_resizer_pb2,
  input_reader_pb2,
  losses_pb2,
  optimizer_pb2,
  pipeline_pb2,
  post_processing_pb2,
  preprocessor_pb2,
  ssd_pb2,
  string_int_label_map_pb2,
  target_assigner_pb2,
  train_pb2,
)

ROOT = pathlib.Path(__file__).resolve().parent.parent
TESTDATA = ROOT / 'tests' / 'testdata'
CONFIGS = sorted((TESTDATA / 'odapi_configs').glob('*.config'))


def test_generated_code_is_that_of_the_sources(tmp_path):
  # Another version of protoc writes other code.
  versions = [d.version for d in importlib.metadata.distributions(name='grpcio-tools')]
  if versions != ['1.66.2']:
    pytest.skip(f'cannot regenerate: expected grpcio-tools 1.66.2, found {versions or "none"}')
  spec = importlib.util.spec_from_file_location('compile_protos', ROOT / 'tools/compile_protos.py')
  compile_protos = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(compile_protos)
  compile_protos.generate(tmp_path)
  assert compile_protos.differences(tmp_path) == []


def test_every_source_has_generated_code_and_nothing_else_is_generated():
  sources = {path.stem for path in (ROOT / 'protos').glob('*.proto')}
  generated = {path.stem.removesuffix('_pb2') for path in (ROOT / 'ssd_tf/protos').glob('*_pb2.py')}
  assert sources == generated and len(sources) == 16


def test_the_schema_imports_without_tensorflow():
  code = 'import sys, ssd_tf.config.checks.whole_config; sys.exit("tensorflow" in sys.modules)'
  assert subprocess.run([sys.executable, '-c', code], cwd=ROOT).returncode == 0


def _walk(message, path, scalars, messages):
  """Counts (path, value) of what is set; a path with a value, and a message, once per config."""
  for field, value in message.ListFields():
    name = f'{path}.{field.name}' if path else field.name
    many = field.default_value == []
    for item in value if many else [value]:
      if field.message_type:
        messages.add(name)
        _walk(item, name, scalars, messages)
      elif field.enum_type:
        scalars.add((name, field.enum_type.values_by_number[item].name))
      else:
        scalars.add((name, str(item)))


def test_the_configs_of_the_object_detection_api_hold_the_values_it_read():
  """Golden: per path, in how many of its 30 configs the API's own protos read each value."""
  expected = json.loads((TESTDATA / 'odapi_config_fields.json').read_text())
  assert len(CONFIGS) == 30
  value_counts, message_counts = collections.defaultdict(collections.Counter), collections.Counter()
  for path in CONFIGS:
    config = pipeline_pb2.TrainEvalPipelineConfig()
    text_format.Parse(path.read_text(), config)
    scalars, messages = set(), set()
    _walk(config, '', scalars, messages)
    message_counts.update(messages)
    for name, value in scalars:
      value_counts[name][value] += 1
  assert message_counts == expected['message_fields']
  assert value_counts.keys() == expected['scalar_fields'].keys() and len(value_counts) == 154
  for name, counts in expected['scalar_fields'].items():
    assert counts.items() <= value_counts[name].items(), name
    # The golden lists at most 12 values of a path.
    assert len(counts) in (12, len(value_counts[name])), name


# (message, field, number, default), from the API's public .proto files.
FIELDS = [
  (pipeline_pb2.TrainEvalPipelineConfig, 'eval_input_reader', 5, []),
  (pipeline_pb2.DetectionModel, 'ssd', 2, None),
  (pipeline_pb2.Quantization, 'delay', 1, 500000),
  (ssd_pb2.Ssd, 'num_classes', 1, 0),
  (ssd_pb2.Ssd, 'normalize_loss_by_num_matches', 10, True),
  (ssd_pb2.Ssd, 'encode_background_as_zeros', 12, False),
  (ssd_pb2.Ssd, 'freeze_batchnorm', 16, False),
  (ssd_pb2.Ssd, 'add_background_class', 21, True),
  (ssd_pb2.SsdFeatureExtractor, 'min_depth', 3, 16),
  (ssd_pb2.SsdFeatureExtractor, 'fpn', 10, None),
  (ssd_pb2.SsdFeatureExtractor, 'bifpn', 19, None),
  (ssd_pb2.FeaturePyramidNetworks, 'additional_layer_depth', 3, 256),
  (image_resizer_pb2.FixedShapeResizer, 'height', 1, 300),
  (image_resizer_pb2.FixedShapeResizer, 'half_pixel_centers', 1000, False),
  (image_resizer_pb2.KeepAspectRatioResizer, 'max_dimension', 2, 1024),
  (image_resizer_pb2.KeepAspectRatioResizer, 'half_pixel_centers', 1000, False),
  (anchor_generator_pb2.SsdAnchorGenerator, 'max_scale', 3, 0.95),
  (anchor_generator_pb2.SsdAnchorGenerator, 'scales', 12, []),
  (anchor_generator_pb2.SsdAnchorGenerator, 'interpolated_scale_aspect_ratio', 13, 1.0),
  (anchor_generator_pb2.MultiscaleAnchorGenerator, 'scales_per_octave', 5, 2),
  (anchor_generator_pb2.FlexibleGridAnchorGenerator, 'normalize_coordinates', 2, True),
  (target_assigner_pb2.FasterRcnnBoxCoder, 'height_scale', 3, 5.0),
  (target_assigner_pb2.ArgMaxMatcher, 'negatives_lower_than_unmatched', 4, True),
  (target_assigner_pb2.RegionSimilarityCalculator, 'iou_similarity', 2, None),
  (box_predictor_pb2.ConvolutionalBoxPredictor, 'use_dropout', 5, True),
  (box_predictor_pb2.ConvolutionalBoxPredictor, 'kernel_size', 7, 1),
  (box_predictor_pb2.WeightSharedConvolutionalBoxPredictor, 'kernel_size', 7, 3),
  (box_predictor_pb2.WeightSharedConvolutionalBoxPredictor, 'use_depthwise', 14, False),
  (hyperparams_pb2.Hyperparams, 'activation', 4, 1),
  (hyperparams_pb2.Hyperparams, 'sync_batch_norm', 9, None),
  (hyperparams_pb2.BatchNorm, 'decay', 1, 0.999),
  (hyperparams_pb2.BatchNorm, 'epsilon', 4, 0.001),
  (losses_pb2.ClassificationLoss, 'weighted_sigmoid_focal', 4, None),
  (losses_pb2.SigmoidFocalClassificationLoss, 'alpha', 3, 0.0),
  (losses_pb2.HardExampleMiner, 'num_hard_examples', 1, 64),
  (losses_pb2.HardExampleMiner, 'iou_threshold', 2, 0.7),
  (post_processing_pb2.BatchNonMaxSuppression, 'iou_threshold', 2, 0.6),
  (post_processing_pb2.BatchNonMaxSuppression, 'max_total_detections', 5, 100),
  (optimizer_pb2.Optimizer, 'use_moving_average', 4, True),
  (optimizer_pb2.RMSPropOptimizer, 'epsilon', 4, 1.0),
  (optimizer_pb2.ExponentialDecayLearningRate, 'decay_steps', 2, 4000000),
  (optimizer_pb2.CosineDecayLearningRate, 'warmup_steps', 4, 10000),
  (train_pb2.TrainConfig, 'batch_size', 1, 32),
  (train_pb2.TrainConfig, 'keep_checkpoint_every_n_hours', 4, 10000.0),
  (train_pb2.TrainConfig, 'fine_tune_checkpoint_version', 28, 1),
  (train_pb2.TrainConfig, 'seed', 1000, 0),
  (train_pb2.TrainConfig, 'op_determinism', 1001, False),
  (preprocessor_pb2.PreprocessingStep, 'adjust_gamma', 39, None),
  (preprocessor_pb2.RandomHorizontalFlip, 'probability', 2, 0.5),
  (preprocessor_pb2.RandomCropImage, 'clip_boxes', 8, True),
  (preprocessor_pb2.SSDRandomCropOperation, 'random_coef', 7, 0.0),
  (input_reader_pb2.InputReader, 'max_number_of_boxes', 21, 100),
  (input_reader_pb2.InputReader, 'shuffle_buffer_size', 11, 2048),
  (input_reader_pb2.InputReader, 'frame_index', 32, -1),
  (eval_pb2.EvalConfig, 'batch_size', 25, 1),
  (eval_pb2.EvalConfig, 'skip_predictions_for_unlabeled_class', 33, False),
  (string_int_label_map_pb2.StringIntLabelMapItem, 'display_name', 3, ''),
]


@pytest.mark.parametrize(('message', 'name', 'number', 'default'), FIELDS)
def test_numbers_and_defaults_are_the_apis(message, name, number, default):
  field = message.DESCRIPTOR.fields_by_name[name]
  assert field.number == number
  value = field.default_value
  assert value == (pytest.approx(default) if isinstance(default, float) else default)


def test_only_our_own_fields_are_numbered_from_1000():
  own = []
  modules = (image_resizer_pb2, train_pb2, ssd_pb2, pipeline_pb2, losses_pb2, eval_pb2)
  own_modules = (input_reader_pb2, optimizer_pb2, target_assigner_pb2, preprocessor_pb2)
  for module in (*modules, *own_modules):
    for message in module.DESCRIPTOR.message_types_by_name.values():
      own += [f'{message.name}.{f.name}' for f in message.fields if f.number >= 1000]
  assert sorted(own) == [
    'AdamOptimizer.beta1',
    'AdamOptimizer.beta2',
    'ArgMaxMatcher.bipartite_first',
    'ClassificationLoss.weighted_softmax_focal',
    'CosineDecayLearningRate.cycle_decay',
    'CosineDecayLearningRate.cycle_growth',
    'CosineDecayLearningRate.cycle_steps',
    'FixedShapeResizer.half_pixel_centers',
    'HardExampleMiner.scope',
    'InputReader.class_map',
    'InputReader.labeled_class',
    'InputReader.sampling_weight',
    'KeepAspectRatioResizer.half_pixel_centers',
    'LearningRate.polynomial_decay_learning_rate',
    'Loss.partial_labels',
    'Optimizer.adadelta_optimizer',
    'Optimizer.adagrad_optimizer',
    'Optimizer.adamw_optimizer',
    'Optimizer.ftrl_optimizer',
    'Optimizer.sgd_optimizer',
    'PreprocessingStep.resize_random_interpolation',
    'PreprocessingStep.ssd_expand',
    'PreprocessingStep.ssd_patch_crop',
    'PreprocessingStep.ssd_photometric_distortion',
    'PreprocessingStep.ssd_tensorflow_color',
    'PreprocessingStep.ssd_tensorflow_crop',
    'Ssd.normalize_loss_by_batch_size',
    'Ssd.train_on_crowds',
    'SsdFeatureExtractor.l2_normalization_scale',
    'TrainConfig.best_metric',
    'TrainConfig.early_stopping',
    'TrainConfig.fine_tune_class_map',
    'TrainConfig.fine_tune_label_map_path',
    'TrainConfig.freeze',
    'TrainConfig.gradient_accumulation_steps',
    'TrainConfig.keep_best_checkpoint',
    'TrainConfig.multi_scale',
    'TrainConfig.op_determinism',
    'TrainConfig.precision',
    'TrainConfig.seed',
    'TrainConfig.stage',
    'TrainEvalPipelineConfig.label_map_path',
  ]


def test_preprocessing_steps_are_numbered_without_a_gap():
  numbers = [field.number for field in preprocessor_pb2.PreprocessingStep.DESCRIPTOR.fields]
  assert sorted(n for n in numbers if n < 1000) == list(range(1, 40))
