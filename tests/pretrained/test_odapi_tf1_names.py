"""Names in TF1 checkpoints of the extractors that only TF1 had."""

import pathlib

import pytest

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.pretrained import odapi_tf1

CONFIGS = pathlib.Path(__file__).parents[1] / 'testdata/odapi_configs'
V3 = 'FeatureExtractor/MobilenetV3'
V1 = 'FeatureExtractor/MobilenetV1'
TOWER = 'WeightSharedConvolutionalBoxPredictor/PredictionTower/conv2d_0'


# Names as the graphs of the published models have them.
@pytest.mark.parametrize(
  ('config_name', 'expected'),
  [
    (
      'ssdlite_mobilenet_v3_large_320x320_coco',
      {
        'mobilenet_v3_large_conv_0/kernel': f'{V3}/Conv/weights',
        'mobilenet_v3_large_block_0_depthwise/kernel': (
          f'{V3}/expanded_conv/depthwise/depthwise_weights'
        ),
        'mobilenet_v3_large_block_12_expand_batch_norm/gamma': (
          f'{V3}/expanded_conv_12/expand/BatchNorm/gamma'
        ),
        'mobilenet_v3_large_block_14_squeeze/bias': (
          f'{V3}/expanded_conv_14/squeeze_excite/Conv/biases'
        ),
        'mobilenet_v3_large_block_14_excite/kernel': (
          f'{V3}/expanded_conv_14/squeeze_excite/Conv_1/weights'
        ),
        'mobilenet_v3_large_conv_1/kernel': f'{V3}/Conv_1/weights',
        'feature_map_2_squeeze/kernel': f'{V3}/layer_17_1_Conv2d_2_1x1_256/weights',
        'feature_map_2_depthwise/kernel': (
          f'{V3}/layer_17_2_Conv2d_2_3x3_s2_512_depthwise/depthwise_weights'
        ),
        'feature_map_5_expand/kernel': f'{V3}/layer_17_2_Conv2d_5_3x3_s2_128/weights',
      },
    ),
    (
      'ssdlite_mobilenet_v3_small_320x320_coco',
      {
        'mobilenet_v3_small_block_0_squeeze/kernel': (
          f'{V3}/expanded_conv/squeeze_excite/Conv/weights'
        ),
        'mobilenet_v3_small_block_0_excite/bias': (
          f'{V3}/expanded_conv/squeeze_excite/Conv_1/biases'
        ),
        'mobilenet_v3_small_block_10_project/kernel': f'{V3}/expanded_conv_10/project/weights',
        'feature_map_3_squeeze/kernel': f'{V3}/layer_13_1_Conv2d_3_1x1_128/weights',
      },
    ),
    (
      'ssd_mobilenet_v1_ppn_shared_box_predictor_300x300_coco14_sync',
      {
        'mobilenet_v1_block_11_pointwise/kernel': f'{V1}/Conv2d_11_pointwise/weights',
        'prediction_tower_0/kernel': f'{TOWER}/weights',
        'prediction_tower_0_level_5_batch_norm/beta': f'{TOWER}/BatchNorm/feature_5/beta',
      },
    ),
    (
      'embedded_ssd_mobilenet_v1_coco',
      {
        # 256 / 2 / 8, and 256 / 8.
        'feature_map_4_squeeze/kernel': f'{V1}/Conv2d_13_pointwise_1_Conv2d_4_1x1_16/weights',
        'feature_map_4_expand/kernel': f'{V1}/Conv2d_13_pointwise_2_Conv2d_4_2x2_s2_32/weights',
      },
    ),
  ],
)
def test_names(config_name, expected):
  model = builders.build_model(Pipeline.load(CONFIGS / f'{config_name}.config').config.model, False)
  names = odapi_tf1.checkpoint_names(model)
  assert expected.items() <= names.items()
  assert len(set(names.values())) == len(names) == len(model.variables)
  assert [path for path, name in names.items() if path == name] == []
