"""Writes the model of a pipeline.config for each --model_name, as text."""

import dataclasses
import math
import string


@dataclasses.dataclass(frozen=True)
class _Vgg:
  """A VGG SSD of SSD-Tensorflow; scales are those of the first anchor of each map, and one more."""

  side: int
  scales: tuple[float, ...]
  strides: tuple[int, ...]
  num_ratios: tuple[int, ...]


_VGG = {
  'ssd_300_vgg': _Vgg(
    300,
    (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05),
    (8, 16, 32, 64, 100, 300),
    (2, 4, 4, 4, 2, 2),
  ),
  'ssd_512_vgg': _Vgg(
    512,
    (0.04, 0.1, 0.26, 0.42, 0.58, 0.74, 0.9, 1.06),
    (8, 16, 32, 64, 128, 256, 512),
    (2, 4, 4, 4, 4, 2, 2),
  ),
}
_MOBILENET = {
  'ssd_300_mobilenet_v1': 'ssd_mobilenet_v1_keras',
  'ssd_300_mobilenet_v2': 'ssd_mobilenet_v2_keras',
}
MODELS = (*_VGG, *_MOBILENET)

_RATIOS = (2, 1 / 2, 3, 1 / 3)
_L2 = 'regularizer { l2_regularizer { weight: $weight_decay } }'
_VGG_EXTRACTOR = f"""
  type: "$model_name"
  conv_hyperparams {{ {_L2} activation: RELU }}
  override_base_feature_extractor_hyperparams: true
"""
_NORMAL = 'initializer { truncated_normal_initializer { stddev: 0.03 } } activation: RELU_6'
_MOBILENET_EXTRACTOR = f"""
  type: "$type"
  conv_hyperparams {{
    {_L2} {_NORMAL}
    batch_norm {{ decay: 0.97 center: true scale: true epsilon: 0.001 train: true }}
  }}
  override_base_feature_extractor_hyperparams: true
"""
_MOBILENET_ANCHORS = """
  ssd_anchor_generator {
    num_layers: 6 min_scale: 0.2 max_scale: 0.95
    aspect_ratios: [1.0, 2.0, 0.5, 3.0, 0.3333]
  }
"""
_MODEL = """
model {
  ssd {
    num_classes: $num_classes
    image_resizer { fixed_shape_resizer { height: $side width: $side } }
    feature_extractor { $extractor }
    box_coder {
      faster_rcnn_box_coder { y_scale: 10 x_scale: 10 height_scale: 5 width_scale: 5 }
    }
    matcher {
      argmax_matcher {
        matched_threshold: $match_threshold
        unmatched_threshold: $match_threshold
        force_match_for_each_row: $force_match
      }
    }
    similarity_calculator { iou_similarity {} }
    encode_background_as_zeros: false
    box_predictor {
      convolutional_box_predictor {
        conv_hyperparams { $predictor }
        kernel_size: $kernel_size
        use_dropout: false
      }
    }
    anchor_generator { $anchors }
    post_processing {
      batch_non_max_suppression {
        score_threshold: 0.01
        iou_threshold: 0.45
        max_detections_per_class: 200
        max_total_detections: 200
      }
      score_converter: SOFTMAX
    }
    $normalizer
    loss {
      localization_loss { weighted_smooth_l1 {} }
      classification_loss { weighted_softmax {} }
      hard_example_miner {
        num_hard_examples: 0
        iou_threshold: 1
        loss_type: CLASSIFICATION
        scope: $scope
        max_negatives_per_positive: $negative_ratio
        min_negatives_per_image: 0
      }
      localization_weight: $loss_alpha
    }
  }
}
"""


def model_text(
  model_name: str,
  *,
  num_classes: int,
  weight_decay: float,
  match_threshold: float,
  negative_ratio: int,
  loss_alpha: float,
  original_objective: bool = False,
) -> str:
  """Writes the `model` of a pipeline.config.

  With Caffe's objective: a groundtruth box also gets the anchor that overlaps it most; the hardest
  negatives are those of each image; losses are divided by the positives of the whole batch.

  Args:
    weight_decay: half of its square is added to the loss, of all kernels.
    original_objective: SSD-Tensorflow's in its place: no such anchor; the hardest negatives of the
      whole batch, and losses divided by its images; of SSD512, those of each feature map in the
      batch, and means.

  Source: SSD-Tensorflow's ssd_vgg_300 and ssd_vgg_512, for the anchors and thresholds; the
  MobileNets, which it has not, have the Object Detection API's anchors.
  """
  values = {
    'num_classes': num_classes,
    'weight_decay': f'{weight_decay:.9g}',
    'match_threshold': f'{match_threshold:.9g}',
    'negative_ratio': negative_ratio,
    'loss_alpha': f'{loss_alpha:.9g}',
    **_objective(model_name, original_objective),
  }
  if model_name in _VGG:
    vgg = _VGG[model_name]
    parts = {
      'side': vgg.side,
      'extractor': _VGG_EXTRACTOR,
      'predictor': _L2,
      'kernel_size': 3,
      'anchors': f'flexible_grid_anchor_generator {{ {" ".join(_grids(vgg))} }}',
    }
  else:
    parts = {
      'side': 300,
      'extractor': _MOBILENET_EXTRACTOR,
      'predictor': f'{_L2} {_NORMAL}',
      'kernel_size': 1,
      'anchors': _MOBILENET_ANCHORS,
    }
  whole = string.Template(_MODEL).safe_substitute(parts)
  return string.Template(whole).substitute(
    values, model_name=model_name, type=_MOBILENET.get(model_name)
  )


def _objective(model_name, original):
  by_matches = f'normalize_loss_by_num_matches: {"false" if original else "true"}'
  if not original:
    return {'force_match': 'true', 'scope': 'IMAGE', 'normalizer': by_matches}
  if model_name == 'ssd_512_vgg':
    return {'force_match': 'false', 'scope': 'SSD_TENSORFLOW_LAYER', 'normalizer': by_matches}
  by_images = f'{by_matches} normalize_loss_by_batch_size: true'
  return {'force_match': 'false', 'scope': 'SSD_TENSORFLOW', 'normalizer': by_images}


def _grids(vgg):
  """The anchors of each feature map: of each size s, next to it sqrt(s * next s), then ratios."""
  for i, (stride, num_ratios) in enumerate(zip(vgg.strides, vgg.num_ratios, strict=True)):
    size, next_size = (vgg.side * scale for scale in vgg.scales[i : i + 2])
    sizes = [size, math.sqrt(size * next_size), *[size] * num_ratios]
    ratios = [1, 1, *_RATIOS[:num_ratios]]
    sizes, ratios = (', '.join(f'{value:.8g}' for value in values) for values in (sizes, ratios))
    yield (
      f'anchor_grid {{ base_sizes: [{sizes}] aspect_ratios: [{ratios}] '
      f'height_stride: {stride} width_stride: {stride} '
      f'height_offset: {stride / 2:g} width_offset: {stride / 2:g} }}'
    )
