"""Which fields of a pipeline.config are acted on; of the others, which change nothing here.

A field that is set, and neither acted on nor without effect, is refused: a training must not
silently differ from what its config says.
"""

from collections.abc import Iterator
from typing import NamedTuple

from google.protobuf.message import Message

# Message -> fields that builders and validation read. A message that is not listed is read whole.
_READ = {
  'TrainEvalPipelineConfig': (
    'model train_config train_input_reader eval_config eval_input_reader graph_rewriter '
    'label_map_path'
  ),
  'Ssd': (
    'num_classes image_resizer feature_extractor box_coder matcher similarity_calculator '
    'box_predictor anchor_generator post_processing normalize_loss_by_num_matches loss '
    'encode_background_as_zeros normalize_loc_loss_by_codesize freeze_batchnorm '
    'negative_class_weight train_on_crowds add_background_class normalize_loss_by_batch_size'
  ),
  'SsdFeatureExtractor': (
    'type depth_multiplier min_depth conv_hyperparams override_base_feature_extractor_hyperparams '
    'num_layers pad_to_multiple use_explicit_padding use_depthwise fpn l2_normalization_scale'
  ),
  'ImageResizer': 'fixed_shape_resizer keep_aspect_ratio_resizer',
  'Hyperparams': (
    'op regularizer initializer activation batch_norm sync_batch_norm group_norm force_use_bias'
  ),
  'BoxCoder': 'faster_rcnn_box_coder mean_stddev_box_coder square_box_coder',
  'BipartiteMatcher': '',
  'ArgMaxMatcher': (
    'matched_threshold unmatched_threshold ignore_thresholds negatives_lower_than_unmatched '
    'force_match_for_each_row bipartite_first'
  ),
  'BoxPredictor': 'convolutional_box_predictor weight_shared_convolutional_box_predictor',
  'ConvolutionalBoxPredictor': (
    'conv_hyperparams min_depth max_depth num_layers_before_predictor use_dropout '
    'dropout_keep_probability kernel_size box_code_size apply_sigmoid_to_scores '
    'class_prediction_bias_init use_depthwise'
  ),
  'WeightSharedConvolutionalBoxPredictor': (
    'conv_hyperparams depth num_layers_before_predictor kernel_size box_code_size '
    'class_prediction_bias_init use_dropout dropout_keep_probability share_prediction_tower '
    'use_depthwise score_converter box_encodings_clip_range'
  ),
  'AnchorGenerator': (
    'ssd_anchor_generator multiscale_anchor_generator flexible_grid_anchor_generator'
  ),
  'Loss': (
    'localization_loss classification_loss hard_example_miner classification_weight '
    'localization_weight partial_labels'
  ),
  'WeightedL2LocalizationLoss': '',
  'WeightedSmoothL1LocalizationLoss': 'delta',
  'ClassificationLoss': (
    'weighted_sigmoid weighted_softmax bootstrapped_sigmoid weighted_sigmoid_focal '
    'weighted_softmax_focal'
  ),
  'BootstrappedSigmoidClassificationLoss': 'alpha hard_bootstrap',
  'WeightedSigmoidClassificationLoss': '',
  'SigmoidFocalClassificationLoss': 'gamma alpha',
  'WeightedSoftmaxClassificationLoss': 'logit_scale',
  'BatchNonMaxSuppression': (
    'score_threshold iou_threshold max_detections_per_class max_total_detections '
    'use_class_agnostic_nms max_classes_per_detection soft_nms_sigma change_coordinate_frame '
    'use_hard_nms'
  ),
  'TrainConfig': (
    'batch_size data_augmentation_options optimizer gradient_clipping_by_norm '
    'fine_tune_checkpoint fine_tune_checkpoint_type num_steps '
    'fine_tune_checkpoint_version from_detection_checkpoint load_all_detection_checkpoint_vars '
    'fine_tune_class_map fine_tune_label_map_path freeze stage '
    'add_regularization_loss seed op_determinism bias_grad_multiplier freeze_variables '
    'update_trainable_variables keep_checkpoint_every_n_hours use_bfloat16 multi_scale '
    'best_metric keep_best_checkpoint early_stopping gradient_accumulation_steps precision'
  ),
  'GraphRewriter': '',
  'Quantization': '',
  'PreprocessingStep': (
    'random_horizontal_flip random_vertical_flip random_rotation90 random_self_concat_image '
    'random_crop_image random_crop_to_aspect_ratio ssd_random_crop '
    'ssd_random_crop_fixed_aspect_ratio random_crop_pad_image ssd_random_crop_pad '
    'ssd_random_crop_pad_fixed_aspect_ratio random_pad_image random_absolute_pad_image '
    'random_image_scale random_resize_method random_downscale_to_target_pixels resize_image '
    'random_square_crop_by_scale random_scale_crop_and_pad_to_square random_jitter_boxes '
    'normalize_image subtract_channel_mean random_pixel_value_scale random_jpeg_quality '
    'random_patch_gaussian random_black_patches random_adjust_brightness random_adjust_contrast '
    'random_adjust_hue random_adjust_saturation random_distort_color random_rgb_to_gray '
    'rgb_to_gray adjust_gamma drop_label_probabilistically remap_labels autoaugment_image '
    'ssd_photometric_distortion ssd_expand ssd_patch_crop resize_random_interpolation '
    'ssd_tensorflow_crop ssd_tensorflow_color'
  ),
  'NormalizeImage': 'original_minval original_maxval target_minval target_maxval',
  'SubtractChannelMean': 'means',
  'RandomPixelValueScale': 'minval maxval',
  'RandomJpegQuality': 'random_coef min_jpeg_quality max_jpeg_quality',
  'RandomPatchGaussian': (
    'random_coef min_patch_size max_patch_size min_gaussian_stddev max_gaussian_stddev'
  ),
  'RandomBlackPatches': 'max_black_patches probability size_to_image_ratio',
  'RandomAdjustBrightness': 'max_delta',
  'RandomAdjustContrast': 'min_delta max_delta',
  'RandomAdjustHue': 'max_delta',
  'RandomAdjustSaturation': 'min_delta max_delta',
  'RandomDistortColor': 'color_ordering',
  'RandomRGBtoGray': 'probability',
  'RGBtoGray': '',
  'AdjustGamma': 'gamma gain',
  'DropLabelProbabilistically': 'label drop_probability',
  'RemapLabels': 'original_labels new_label',
  'AutoAugmentImage': 'policy_name',
  'RandomHorizontalFlip': 'probability',
  'RandomVerticalFlip': 'probability',
  'RandomRotation90': 'probability',
  'RandomSelfConcatImage': 'concat_vertical_probability concat_horizontal_probability',
  'RandomCropImage': (
    'min_object_covered min_aspect_ratio max_aspect_ratio min_area max_area overlap_thresh '
    'random_coef clip_boxes'
  ),
  'RandomCropToAspectRatio': 'aspect_ratio overlap_thresh clip_boxes',
  'SSDRandomCrop': 'operations',
  'SSDRandomCropOperation': (
    'min_object_covered min_aspect_ratio max_aspect_ratio min_area max_area overlap_thresh '
    'random_coef clip_boxes'
  ),
  'SSDRandomCropFixedAspectRatio': 'operations aspect_ratio',
  'SSDRandomCropFixedAspectRatioOperation': (
    'min_object_covered min_area max_area overlap_thresh random_coef clip_boxes'
  ),
  'RandomCropPadImage': (
    'min_object_covered min_aspect_ratio max_aspect_ratio min_area max_area overlap_thresh '
    'random_coef min_padded_size_ratio max_padded_size_ratio pad_color clip_boxes'
  ),
  'SSDRandomCropPad': 'operations',
  'SSDRandomCropPadOperation': (
    'min_object_covered min_aspect_ratio max_aspect_ratio min_area max_area overlap_thresh '
    'random_coef min_padded_size_ratio max_padded_size_ratio pad_color_r pad_color_g pad_color_b '
    'clip_boxes'
  ),
  'SSDRandomCropPadFixedAspectRatio': (
    'operations aspect_ratio min_padded_size_ratio max_padded_size_ratio'
  ),
  'SSDRandomCropPadFixedAspectRatioOperation': (
    'min_object_covered min_aspect_ratio max_aspect_ratio min_area max_area overlap_thresh '
    'random_coef clip_boxes'
  ),
  'RandomPadImage': ('min_image_height min_image_width max_image_height max_image_width pad_color'),
  'RandomAbsolutePadImage': 'max_height_padding max_width_padding pad_color',
  'RandomImageScale': 'min_scale_ratio max_scale_ratio',
  'RandomResizeMethod': 'target_height target_width',
  'RandomDownscaleToTargetPixels': 'random_coef min_target_pixels max_target_pixels',
  'ResizeImage': 'new_height new_width method',
  'RandomSquareCropByScale': 'max_border scale_min scale_max num_scales',
  'RandomScaleCropAndPadToSquare': 'output_size scale_min scale_max',
  'RandomJitterBoxes': 'ratio jitter_mode',
  'Optimizer': (
    'rms_prop_optimizer momentum_optimizer adam_optimizer adamw_optimizer sgd_optimizer '
    'adadelta_optimizer adagrad_optimizer ftrl_optimizer use_moving_average moving_average_decay'
  ),
  'EvalConfig': (
    'num_visualizations metrics_set min_score_threshold max_num_boxes_to_visualize '
    'include_metrics_per_category all_metrics_per_category super_categories batch_size '
    'visualization_export_dir keep_image_id_for_visualization_export retain_original_images '
    'visualize_groundtruth_boxes groundtruth_box_visualization_color skip_scores skip_labels '
    'recall_lower_bound recall_upper_bound skip_predictions_for_unlabeled_class '
    'use_dummy_loss_in_eval export_path'
  ),
  'InputReader': (
    'label_map_path shuffle num_epochs num_readers tf_record_input_reader shuffle_buffer_size '
    'max_number_of_boxes sample_1_of_n_examples labeled_class class_map sampling_weight '
    'sample_from_datasets_weights'
  ),
}
# Why a field changes no result here -> message -> fields.
_WITHOUT_EFFECT = {
  'the network trains in float; a warning says so, and that export can quantize': {
    'GraphRewriter': 'quantization',
    'Quantization': 'delay weight_bits activation_bits symmetric',
  },
  'picks one of several ways to compute the same': {
    'Ssd': 'inplace_batchnorm_update',
    'ArgMaxMatcher': 'use_matmul_gather',
    'BipartiteMatcher': 'use_matmul_gather',
    'BatchNonMaxSuppression': (
      'use_static_shapes use_partitioned_nms use_combined_nms use_cpu_nms'
    ),
    'TrainConfig': 'unpad_groundtruth_tensors',
  },
  'losses are summed over anchors in any case': {
    'WeightedL2LocalizationLoss': 'anchorwise_output',
    'BootstrappedSigmoidClassificationLoss': 'anchorwise_output',
    'WeightedSmoothL1LocalizationLoss': 'anchorwise_output',
    'WeightedSigmoidClassificationLoss': 'anchorwise_output',
    'SigmoidFocalClassificationLoss': 'anchorwise_output',
    'WeightedSoftmaxClassificationLoss': 'anchorwise_output',
  },
  'only expected_loss_weights used it, which is refused': {
    'Loss': 'min_num_negative_samples desired_negative_sampling_ratio',
  },
  'the original does not read it either': {'Hyperparams': 'regularize_depthwise'},
  'the raw detections are in every export': {'Ssd': 'return_raw_detections_during_predict'},
  'there are no keypoints': {
    'RandomHorizontalFlip': 'keypoint_flip_permutation',
    'RandomVerticalFlip': 'keypoint_flip_permutation',
    'RandomRotation90': 'keypoint_rot_permutation',
  },
  'there are no masks': {'InputReader': 'mask_type load_instance_masks'},
  'there are no scores of several classes': {
    'PreprocessingStep': 'convert_class_logits_to_softmax',
    'InputReader': 'load_multiclass_scores',
  },
  'boxes stay normalized, as the network takes them': {
    'PreprocessingStep': 'scale_boxes_to_pixel_coordinates',
  },
  'the replicas of one process always step together': {
    'TrainConfig': 'sync_replicas startup_delay_steps replicas_to_aggregate',
  },
  'tf.data tunes its queues itself': {
    'TrainConfig': 'batch_queue_capacity num_batch_queue_threads prefetch_queue_capacity',
    'InputReader': (
      'queue_capacity min_after_dequeue filenames_shuffle_buffer_size prefetch_size '
      'num_parallel_map_calls read_block_length num_parallel_batches num_prefetch_batches'
    ),
  },
  'max_number_of_boxes of the input reader counts': {'TrainConfig': 'max_number_of_boxes'},
  'of no use to a training here': {
    'TrainConfig': (
      'retain_original_images run_fine_tune_checkpoint_dummy_computation summarize_gradients'
    ),
  },
  'every image of the set is evaluated, at each checkpoint': {
    'EvalConfig': 'num_examples eval_interval_secs max_evals',
  },
  'belongs to sessions and graphs': {'EvalConfig': 'save_graph eval_master'},
  'the averages are taken wherever the training kept them': {'EvalConfig': 'use_moving_averages'},
  'both names of a class are known': {'InputReader': 'use_display_name'},
  'source ids are always there': {'InputReader': 'include_source_id'},
  'a name for people': {'InputReader': 'name'},
  'training batches are full, an evaluation loses no image': {'InputReader': 'drop_remainder'},
}
# Message.field -> why it is refused and what to do, where there is more to say.
_NOT_ONE_SIZE = (
  'gives images of many sizes, but the network is built for one: take fixed_shape_resizer, or '
  'keep_aspect_ratio_resizer with pad_to_max_dimension: true'
)
_REFUSED = {
  'ImageResizer.identity_resizer': _NOT_ONE_SIZE,
  'ImageResizer.conditional_shape_resizer': _NOT_ONE_SIZE,
  'ImageResizer.pad_to_multiple_resizer': _NOT_ONE_SIZE,
  'Ssd.explicit_background_class': (
    'true is not supported: background is added to the classes of the label map; take background '
    'out of the label map, and this field out'
  ),
  'Ssd.use_confidences_as_targets': (
    'true is not supported: targets are 0 or 1; for boxes that are not sure, set '
    'image/object/weight in the records'
  ),
  'Ssd.implicit_example_weight': (
    'is not supported; for the weight of anchors without a box, set negative_class_weight'
  ),
  'Loss.expected_loss_weights': 'is not supported; take it out, which means NONE',
  'Loss.random_example_sampler': (
    'is not supported; hard_example_miner picks among the negatives, weighted_sigmoid_focal does '
    'without'
  ),
  'Loss.equalization_loss': (
    'is not supported; for classes that are not labeled everywhere, name those that are: '
    'labeled_class of the input reader'
  ),
  'TrainConfig.merge_multiple_label_boxes': (
    'true is not supported: boxes of one object with several labels stay boxes of their own, of '
    'which an anchor takes one; take it out'
  ),
  'TrainConfig.use_multiclass_scores': (
    'true is not supported: targets are the classes of the boxes, 0 or 1; take it out'
  ),
  'EvalConfig.ignore_groundtruth': (
    'true leaves nothing to measure; take it out, or see detections with tools/detect_images.py'
  ),
  'EvalConfig.eval_instance_masks': 'measures masks, of which SSD has none; take it out',
  'EvalConfig.parameterized_metric': 'measures keypoints, of which SSD has none; take it out',
  'EvalConfig.keypoint_edge': 'draws keypoints, of which SSD has none; take it out',
  'EvalConfig.force_no_resize': (
    'true is not supported: the network is built for the size of model.ssd.image_resizer; take it '
    'out'
  ),
  'EvalConfig.retain_original_image_additional_channels': (
    'true is not supported: images have three channels; take it out'
  ),
  **dict.fromkeys(
    (
      'InputReader.num_keypoints',
      'InputReader.keypoint_type_weight',
      'InputReader.load_keypoint_depth_features',
      'InputReader.load_dense_pose',
    ),
    'loads keypoints, of which SSD has none; take it out',
  ),
  **dict.fromkeys(
    (
      'InputReader.load_context_features',
      'InputReader.load_context_image_ids',
      'InputReader.input_type',
      'InputReader.frame_index',
      'InputReader.load_track_id',
    ),
    'is about sequences of images, which SSD does not see; take it out',
  ),
  'InputReader.external_input_reader': 'is not supported; take tf_record_input_reader',
  'InputReader.num_additional_channels': 'is not supported: images have three channels',
  'InputReader.expand_labels_hierarchy': (
    'is not supported; write the boxes of the classes above into the records'
  ),
  **dict.fromkeys(
    (
      'Ssd.mask_head_config',
      'ConvolutionalBoxPredictor.mask_head',
      'WeightSharedConvolutionalBoxPredictor.mask_head',
    ),
    'predicts masks, which is not supported; take it out',
  ),
  'SsdFeatureExtractor.replace_preprocessor_with_placeholder': (
    'is not supported; export with --input_type=float_image_tensor'
  ),
  'SsdFeatureExtractor.bifpn': 'belongs to EfficientDet, which is not supported; take fpn',
  'SsdFeatureExtractor.spaghettinet_arch_name': 'names a network that is not supported',
  'AnchorGenerator.grid_anchor_generator': (
    'is of Faster R-CNN: take ssd_anchor_generator, multiscale_anchor_generator or '
    'flexible_grid_anchor_generator'
  ),
  'ClassificationLoss.weighted_logits_softmax': (
    'learns from the logits of another network, which is not supported'
  ),
  **dict.fromkeys(
    (
      'ClassificationLoss.penalty_reduced_logistic_focal_loss',
      'ClassificationLoss.weighted_dice_classification_loss',
    ),
    'is of CenterNet and DeepMAC; take weighted_sigmoid_focal',
  ),
  'BoxCoder.keypoint_box_coder': 'codes keypoints, of which there are none here; take another',
}


def unsupported_fields(message: Message, prefix: str = '') -> Iterator[tuple[str, str]]:
  """Finds what a config sets and this package would not do.

  Args:
    message: a config or a part of it.
    prefix: the path of that part, such as 'model'.

  Yields:
    (path of the field, fault).
  """
  for path, fault, refused in _walk(message, prefix):
    if refused:
      yield path, fault


def ineffective_fields(message: Message, prefix: str = '') -> list[str]:
  """Lists the paths of fields that are set away from their default and change nothing here.

  Args:
    message: a config or a part of it.
    prefix: the path of that part.

  Returns:
    Field paths, without repeats.
  """
  return list(dict.fromkeys(path for path, _, refused in _walk(message, prefix) if not refused))


class Status(NamedTuple):
  """What becomes of a field.

  Attributes:
    kind: WORKS, NO_EFFECT or ERROR.
    note: why, where it does not work.
  """

  kind: str
  note: str = ''


WORKS, NO_EFFECT, ERROR = 'works', 'no effect', 'error'


def status(message: str, field: str) -> Status:
  """What becomes of a field of a config.

  Args:
    message: the name of its message, such as 'Ssd'.
    field: its name.

  Returns:
    The status; that of a message that is itself refused says nothing of its fields.
  """
  if message not in _READ or field in _READ[message].split():
    return Status(WORKS)
  if field in (reasons := _reasons(message)):
    return Status(NO_EFFECT, reasons[field])
  return Status(ERROR, _REFUSED.get(f'{message}.{field}', ''))


def _reasons(message):
  """Field -> why it has no effect."""
  return {
    field: why
    for why, messages in _WITHOUT_EFFECT.items()
    for field in messages.get(message, '').split()
  }


def _walk(message, prefix):
  kind = message.DESCRIPTOR.name
  read = _READ[kind].split() if kind in _READ else [f.name for f in message.DESCRIPTOR.fields]
  without_effect = _reasons(kind)
  for field, value in message.ListFields():
    path = f'{prefix}.{field.name}' if prefix else field.name
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    is_message = field.message_type is not None and not is_map
    if field.name in read:
      for item in _items(field, value) if is_message else ():
        yield from _walk(item, path)
    elif field.name in without_effect:
      if is_message or value != field.default_value:
        yield path, 'has no effect', False
    elif is_message or value != field.default_value:
      fault = f'is not supported yet; what is, of {kind}: {", ".join(read)}'
      yield path, _REFUSED.get(f'{kind}.{field.name}', fault), True


def _items(field, value):
  return value if hasattr(value, 'add') else [value]
