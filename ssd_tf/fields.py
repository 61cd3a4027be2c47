"""Defines the keys of every dict passed between packages, with shape, dtype and unit.

B batch per replica, n real boxes, N padded boxes, A anchors, K classes (ids 1..K; 0 is background),
D detections. Boxes are f32 [ymin, xmin, ymax, xmax], normalized to [0, 1] of the image, unless a
key says pixels.
"""

# An example (after decode) and a batch (after padding, with a leading B).
IMAGE = 'image'  # u8[h,w,3] decoded; f32[H,W,3] preprocessed
GROUNDTRUTH_BOXES = 'groundtruth_boxes'  # f32[n,4]
GROUNDTRUTH_CLASSES = 'groundtruth_classes'  # i32[n], 1..K; padding 0
GROUNDTRUTH_WEIGHTS = 'groundtruth_weights'  # f32[n]; padding 0
GROUNDTRUTH_IS_CROWD = 'groundtruth_is_crowd'  # bool[n]
GROUNDTRUTH_DIFFICULT = 'groundtruth_difficult'  # bool[n]
GROUNDTRUTH_GROUP_OF = 'groundtruth_group_of'  # bool[n]
GROUNDTRUTH_AREA = 'groundtruth_area'  # f32[n], px^2 of the original image
LABELED_CLASSES = 'labeled_classes'  # bool[K]: every instance of class i + 1 is annotated
SOURCE_ID = 'source_id'  # string
ORIGINAL_SIZE = 'original_size'  # i32[2]: (height, width) of the image as stored

# Added by preprocessing.
TRUE_SIZE = 'true_size'  # i32[2]: (height, width) of the part of the image that is not padding

# Added by batching.
GROUNDTRUTH_MASK = 'groundtruth_mask'  # bool[B,N]: False where the row is padding
EXAMPLE_MASK = 'example_mask'  # bool[B]: False where the example pads the last batch

# Every per-box key of an example: what a crop or a drop has to keep in step.
PER_BOX = (
  GROUNDTRUTH_BOXES,
  GROUNDTRUTH_CLASSES,
  GROUNDTRUTH_WEIGHTS,
  GROUNDTRUTH_IS_CROWD,
  GROUNDTRUTH_DIFFICULT,
  GROUNDTRUTH_GROUP_OF,
  GROUNDTRUTH_AREA,
)

# The model's outputs.
CLASS_LOGITS = 'class_logits'  # f32[B,A,K+1]; column 0 is background
BOX_ENCODINGS = 'box_encodings'  # f32[B,A,4]: (ty, tx, th, tw)

# Detections: rows past num_detections are 0.
DETECTION_BOXES = 'detection_boxes'  # f32[B,D,4]
DETECTION_SCORES = 'detection_scores'  # f32[B,D]
DETECTION_CLASSES = 'detection_classes'  # i32[B,D], 1..K
NUM_DETECTIONS = 'num_detections'  # i32[B]
DETECTION_MULTICLASS_SCORES = 'detection_multiclass_scores'  # f32[B,D,K+1]
DETECTION_ANCHOR_INDICES = 'detection_anchor_indices'  # i32[B,D]
RAW_DETECTION_BOXES = 'raw_detection_boxes'  # f32[B,A,4], before suppression
RAW_DETECTION_SCORES = 'raw_detection_scores'  # f32[B,A,K+1], before suppression

# The losses, as they are logged.
LOCALIZATION_LOSS = 'Loss/localization_loss'
CLASSIFICATION_LOSS = 'Loss/classification_loss'
REGULARIZATION_LOSS = 'Loss/regularization_loss'
TOTAL_LOSS = 'Loss/total_loss'
LOSSES = (LOCALIZATION_LOSS, CLASSIFICATION_LOSS, REGULARIZATION_LOSS, TOTAL_LOSS)
