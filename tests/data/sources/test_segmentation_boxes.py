import numpy as np
import pytest
from pycocotools import mask as coco_masks

from ssd_tf.data.sources import segmentation_boxes


@pytest.mark.parametrize(
  ('segmentation', 'box'),
  [
    ([[6, 4, 30, 4, 30, 20]], (6, 4, 24, 16)),
    # Two parts of one object; the box is around both.
    ([[6, 4, 30, 4, 30, 20], [2.5, 10, 3, 40, 4, 12]], (2.5, 4, 27.5, 36)),
    ([6, 4, 30, 4, 30, 20], (6, 4, 24, 16)),
    (['6', '4', '30', '4', '30', '20'], (6, 4, 24, 16)),
    # 3 rows, 4 columns: 4 times 0, then row 1 and 2 of column 1.
    ({'size': [3, 4], 'counts': [4, 2, 6]}, (1, 1, 1, 2)),
    # Row 2 of column 0 and row 0 of column 1.
    ({'size': [3, 4], 'counts': [2, 2, 8]}, (0, 0, 2, 3)),
  ],
)
def test_boxes_of_polygons_and_run_lengths(segmentation, box):
  assert segmentation_boxes.box_of(segmentation) == box


@pytest.mark.parametrize(
  'segmentation',
  [
    *(None, [], [[]], {}, 'polygon', 7, [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]], [[1, 2] * 3, 7]),
    *([[1, 2, 3, 4, 5, float('nan')]], [[1, 2, 3, 4, 5, 1e999]], [[1, 2, 3, 4, 5, None]]),
    {'size': [3, 4], 'counts': [12]},
    {'size': [3, 4], 'counts': [4, 2, 5]},
    {'size': [0, 4], 'counts': []},
    {'size': [3, 4], 'counts': [-1, 2, 11]},
    {'size': [3, 4, 1], 'counts': [4, 2, 6]},
    {'size': '34', 'counts': [4, 2, 6]},
    {'size': [3, 4], 'counts': 'é'},
    {'size': [3, 4], 'counts': '42o'},  # The last number goes on.
    {'size': [3, 4]},
  ],
)
def test_what_is_no_segmentation_has_no_box(segmentation):
  assert segmentation_boxes.box_of(segmentation) is None


def test_masks_have_the_box_of_the_coco_api():
  rng = np.random.default_rng(0)
  for density in (0.02, 0.1, 0.5, 0.95):
    for height, width in ((1, 7), (9, 1), (37, 50), (200, 300)):
      mask = np.asfortranarray(rng.random([height, width]) < density, np.uint8)
      mask[rng.integers(height), rng.integers(width)] = 1
      runs = coco_masks.encode(mask)
      text = {'size': [height, width], 'counts': runs['counts'].decode()}
      rows, columns = np.nonzero(mask)
      x, y = columns.min(), rows.min()
      box = (x, y, columns.max() - x + 1, rows.max() - y + 1)
      assert segmentation_boxes.box_of(text) == box == tuple(coco_masks.toBbox(runs))
      changes = np.flatnonzero(np.diff(mask.ravel(order='F'), prepend=0)).tolist()
      counts = np.diff([0, *changes, mask.size]).tolist()
      assert segmentation_boxes.box_of({**text, 'counts': counts}) == box
