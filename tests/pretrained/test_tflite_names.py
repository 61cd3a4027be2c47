import pytest

from ssd_tf.pretrained.tflite_names import layer_of

V1 = 'FeatureExtractor/MobilenetV1/'
V2 = 'FeatureExtractor/MobilenetV2/'
TF2 = 'ssd_mobile_net_v2_keras_feature_extractor/model/'


@pytest.mark.parametrize(
  ('names', 'is_depthwise', 'kernel', 'bias'),
  [
    # TF1: the kernel's name, with and without the scope that occurs twice.
    (
      [f'{V1}MobilenetV1/Conv2d_0/weights_quant/FakeQuantWithMinMaxVars', 'x'],
      False, f'{V1}Conv2d_0/weights', None,
    ),
    ([f'{V1}Conv2d_3_depthwise/depthwise_weights'], True,
     f'{V1}Conv2d_3_depthwise/depthwise_weights', None),
    # TF1: where the converter named the kernel itself, the output's name.
    (['Const_12', f'{V2}MobilenetV2/expanded_conv_4/project/add_fold'], False,
     f'{V2}expanded_conv_4/project/weights', None),
    # The scope `depthwise` is no operation.
    (['Const', f'{V2}expanded_conv/depthwise/Relu6'], True,
     f'{V2}expanded_conv/depthwise/depthwise_weights', None),
    (['Const', f'{V2}expanded_conv/depthwise/depthwise'], True,
     f'{V2}expanded_conv/depthwise/depthwise_weights', None),
    (['Const', f'{V2}layer_19_2_Conv2d_2_3x3_s2_512_depthwise/depthwise'], True,
     f'{V2}layer_19_2_Conv2d_2_3x3_s2_512_depthwise/depthwise_weights', None),
    (['BoxPredictor_0/ClassPredictor/BiasAdd'], False,
     'BoxPredictor_0/ClassPredictor/weights', 'BoxPredictor_0/ClassPredictor/biases'),
    (['BoxPredictor_5/BoxEncodingPredictor/weights'], False,
     'BoxPredictor_5/BoxEncodingPredictor/weights', 'BoxPredictor_5/BoxEncodingPredictor/biases'),
    (['BoxPredictor_5/BoxEncodingPredictor_depthwise/Relu6'], True,
     'BoxPredictor_5/BoxEncodingPredictor_depthwise/depthwise_weights', None),
    (['FeatureExtractor/MobilenetV3/expanded_conv_3/squeeze_excite/Conv_1/BiasAdd'], False,
     'FeatureExtractor/MobilenetV3/expanded_conv_3/squeeze_excite/Conv_1/weights',
     'FeatureExtractor/MobilenetV3/expanded_conv_3/squeeze_excite/Conv_1/biases'),
  ],
)  # fmt: skip
def test_layers_of_tf1(names, is_depthwise, kernel, bias):
  layer = layer_of(names, is_depthwise)
  assert (layer.kernel, layer.bias) == (kernel, bias)
  assert layer.norm_variable('beta') == f'{kernel.rsplit("/", 1)[0]}/BatchNorm/beta'


@pytest.mark.parametrize(
  ('names', 'is_depthwise', 'ours', 'has_bias'),
  [
    # TF2: of the joined names, the first that is a layer; others of the same values follow.
    (
      [f'{TF2}bn_Conv1/FusedBatchNormV3;{TF2}expanded_conv_depthwise/depthwise;{TF2}Conv1/Conv2D'],
      False, 'mobilenet_v2_conv_0', False,
    ),
    (['Const', f'{TF2}Conv1_relu/Relu6;{TF2}bn_Conv1/FusedBatchNormV3'], False,
     'mobilenet_v2_conv_0', False),
    ([f'{TF2}expanded_conv_depthwise/depthwise'], True, 'mobilenet_v2_block_0_depthwise', False),
    ([f'{TF2}block_16_project_BN/FusedBatchNormV3'], False, 'mobilenet_v2_block_16_project', False),
    (['ssd_mobile_net_v1_keras_feature_extractor/model/conv_pw_13_bn/FusedBatchNormV3'], False,
     'mobilenet_v1_block_13_pointwise', False),
    (['BoxPredictor/ConvolutionalBoxHead_0/BoxEncodingPredictor/BiasAdd;BoxPredictor/'
      'ConvolutionalBoxHead_0/BoxEncodingPredictor/Conv2D'], False, 'box_encoding_head_0', True),
    (['BoxPredictor/ConvolutionalClassHead_3/ClassPredictor/Conv2D'], False, 'class_head_3', True),
    (['BoxPredictor/ConvolutionalClassHead_3/ClassPredictor_depthwise/depthwise'], True,
     'class_head_3_depthwise', False),
    (['FeatureMaps/layer_19_1_Conv2d_2_1x1_256_conv/Conv2D'], False,
     'feature_map_2_squeeze', False),
    (['FeatureMaps/layer_19_2_Conv2d_5_3x3_s2_128_batchnorm/FusedBatchNormV3'], False,
     'feature_map_5_expand', False),
    (['FeatureMaps/layer_19_2_Conv2d_5_3x3_s2_128_depthwise_conv/depthwise'], True,
     'feature_map_5_depthwise', False),
    # Ours, whose scopes Keras numbers where a network is called again.
    (['ssd_mobilenet_v1/class_head_1/convolution'], False, 'class_head_1', True),
    (['ssd_mobilenet_v1_1/class_head_1_1/convolution'], False, 'class_head_1', True),
    (['arith.constant', 'ssd_mobilenet_v3_large_1/mobilenet_v3_large_block_3_squeeze_1/BiasAdd'],
     False, 'mobilenet_v3_large_block_3_squeeze', True),
    (['ssd_mobilenet_v2_1/feature_map_2_expand_activation_1/Relu6'], False,
     'feature_map_2_expand', False),
  ],
)  # fmt: skip
def test_layers_of_tf2_and_ours(names, is_depthwise, ours, has_bias):
  layer = layer_of(names, is_depthwise)
  value = '/.ATTRIBUTES/VARIABLE_VALUE'
  assert layer.kernel == f'model/{ours}/kernel{value}'
  assert layer.bias == (f'model/{ours}/bias{value}' if has_bias else None)
  assert layer.norm_variable('gamma') == f'model/{ours}_batch_norm/gamma{value}'


@pytest.mark.parametrize(
  'name',
  [
    *('Const', 'MobilenetV1/Logits/Conv2d_1c_1x1/weights', 'resnet/conv1/Conv2D', ''),
    # Feature maps share these, each with a batch norm of its own: no kernel of theirs is left.
    'WeightSharedConvolutionalBoxPredictor/ClassPredictor/weights',
    'WeightSharedConvolutionalBoxPredictor/BoxPredictionTower/conv2d_0/Conv2D',
  ],
)
def test_what_is_no_layer_of_an_ssd(name):
  assert layer_of([name], False) is None
