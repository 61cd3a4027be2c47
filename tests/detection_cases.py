"""Groundtruth and detections that tests of metrics share, given in pixels."""

import numpy as np

from ssd_tf import fields

HEIGHT, WIDTH = 100, 200
CATEGORIES = [(1, 'cat'), (2, 'dog')]
A = np.array([0, 0, 20, 20])  # On the border.
B = np.array([40, 100, 90, 180])
TINY = np.array([50, 50, 51, 52])


def batch_of(images, num_classes=2):
  """(batch, detections) of images with groundtruth and detections in pixels.

  Each is (groundtruth: [(box, class, 'difficult', 'group_of' or '')], detections: [(box, class,
  score)]), and, if not every class is labeled, the ids of those that are.
  """
  n = max(len(image[0]) for image in images) + 1
  d = max(len(image[1]) for image in images) + 1
  size = np.array([HEIGHT, WIDTH, HEIGHT, WIDTH], np.float64)
  b = len(images)
  batch = {
    fields.GROUNDTRUTH_BOXES: np.full((b, n, 4), 0.5, np.float32),
    fields.GROUNDTRUTH_CLASSES: np.zeros((b, n), np.int32),
    fields.GROUNDTRUTH_MASK: np.zeros((b, n), bool),
    fields.GROUNDTRUTH_IS_CROWD: np.zeros((b, n), bool),
    fields.GROUNDTRUTH_DIFFICULT: np.zeros((b, n), bool),
    fields.GROUNDTRUTH_GROUP_OF: np.zeros((b, n), bool),
    fields.GROUNDTRUTH_AREA: np.zeros((b, n), np.float32),
    fields.ORIGINAL_SIZE: np.tile(np.array([[HEIGHT, WIDTH]], np.int32), [b, 1]),
    fields.SOURCE_ID: np.array([f'{i}'.encode() for i in range(b)], object),
    fields.EXAMPLE_MASK: np.ones(b, bool),
    fields.LABELED_CLASSES: np.ones((b, num_classes), bool),
  }
  detections = {
    fields.DETECTION_BOXES: np.zeros((b, d, 4), np.float32),
    fields.DETECTION_SCORES: np.ones((b, d), np.float32),  # Past the count, not to be read.
    fields.DETECTION_CLASSES: np.ones((b, d), np.int32),
    fields.NUM_DETECTIONS: np.array([len(image[1]) for image in images], np.int32),
  }
  for i, (groundtruth, found, *labeled) in enumerate(images):
    for j, (box, class_id, flag) in enumerate(groundtruth):
      batch[fields.GROUNDTRUTH_BOXES][i, j] = box / size
      batch[fields.GROUNDTRUTH_CLASSES][i, j] = class_id
      batch[fields.GROUNDTRUTH_MASK][i, j] = True
      if flag:
        batch[f'groundtruth_{flag}'][i, j] = True
    for j, (box, class_id, score) in enumerate(found):
      detections[fields.DETECTION_BOXES][i, j] = box / size
      detections[fields.DETECTION_CLASSES][i, j] = class_id
      detections[fields.DETECTION_SCORES][i, j] = score
    if labeled:
      batch[fields.LABELED_CLASSES][i] = np.isin(np.arange(num_classes) + 1, labeled[0])
  return batch, detections


def balancap_batch(golden, with_difficult):
  """balancap's 8 images as batch and detections; classes 1 to 4, 30 detections of each."""
  batch_size, n = golden['gt_labels'].shape
  batch, detections = batch_of([([], [])] * batch_size, num_classes=4)
  real = golden['gt_labels'] > 0
  batch |= {
    fields.GROUNDTRUTH_BOXES: golden['gt_boxes_yxyx'],
    fields.GROUNDTRUTH_CLASSES: golden['gt_labels'],
    fields.GROUNDTRUTH_MASK: real,
    fields.GROUNDTRUTH_DIFFICULT: real & (golden['gt_difficult'] > 0) & with_difficult,
  }
  batch |= {
    key: np.zeros((batch_size, n), bool)
    for key in (fields.GROUNDTRUTH_IS_CROWD, fields.GROUNDTRUTH_GROUP_OF)
  }
  batch[fields.GROUNDTRUTH_AREA] = np.zeros((batch_size, n))
  scores = golden['scores'].transpose(1, 0, 2).reshape(batch_size, -1)
  detections = {
    fields.DETECTION_BOXES: golden['boxes_yxyx'].transpose(1, 0, 2, 3).reshape(batch_size, -1, 4),
    # Its scores up to 1e-4 are padding; they come last, and change no AP.
    fields.DETECTION_SCORES: scores,
    fields.DETECTION_CLASSES: np.where(scores > 1e-4, np.arange(1, 5).repeat(30), 5),
    fields.NUM_DETECTIONS: np.full(batch_size, scores.shape[1]),
  }
  return batch, detections
