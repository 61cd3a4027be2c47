import numpy as np

from ssd_tf import fields
from ssd_tf.report.class_statistics import measure_classes


def _example(size, boxes, classes, crowds=None):
  return {
    fields.ORIGINAL_SIZE: np.array(size, np.int32),
    fields.GROUNDTRUTH_BOXES: np.array(boxes, np.float32).reshape(-1, 4),
    fields.GROUNDTRUTH_CLASSES: np.array(classes, np.int32),
    fields.GROUNDTRUTH_IS_CROWD: np.array(crowds or [False] * len(classes)),
  }


def test_table():
  found = measure_classes(
    [
      # 100 high, 200 wide: 50 x 100 px (h x w); 20 x 20 px; no area; a crowd.
      _example(
        (100, 200),
        [[0, 0, 0.5, 0.5], [0.1, 0.1, 0.3, 0.2], [0.2, 0.2, 0.2, 0.4], [0, 0, 1, 1]],
        [1, 2, 2, 1],
        [False, False, False, True],
      ),
      _example((100, 100), [], []),
      # 40 high, 10 wide: 20 x 5 px twice, on the border.
      _example((40, 10), [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]], [1, 1]),
    ],
    num_classes=3,
  )
  assert found.num_images == 3
  assert found.boxes.tolist() == [3, 1, 0]
  assert found.images.tolist() == [2, 1, 0]
  # Class 1: sqrt(5000) = 70.711, sqrt(100) = 10 twice: mean 30.237. Class 2: 20.
  np.testing.assert_allclose(found.size, [(5000**0.5 + 20) / 3, 20, np.nan], rtol=1e-5)
  # Class 1: a quarter each. Class 2: .2 * .1.
  np.testing.assert_allclose(found.area_ratio, [0.25, 0.02, np.nan], rtol=1e-5)
  # Class 1: 2, 1/4, 1/4: (1/8)^(1/3) = 1/2. Class 2: 1.
  np.testing.assert_allclose(found.aspect_ratio, [0.5, 1, np.nan], rtol=1e-5)
