import numpy as np

from ssd_tf.data import box_validation
from ssd_tf.data.annotation import Annotation

NAN = float('nan')
# The image is 100 high, 200 wide.
CASES = (
  # name, box, kept as (None: dropped), said to be clipped
  ('plain', [0.1, 0.2, 0.5, 0.6], [0.1, 0.2, 0.5, 0.6], False),
  ('border', [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], False),
  ('rounding', [0.0, 0.0, 1.0000001, 1.0], [0.0, 0.0, 1.0, 1.0], False),
  ('tiny', [0.5, 0.5, 0.501, 0.501], [0.5, 0.5, 0.501, 0.501], False),
  ('over', [-0.1, 0.9, 0.5, 1.3], [0.0, 0.9, 0.5, 1.0], True),
  ('zero', [0.3, 0.4, 0.3, 0.6], None, False),
  ('inverted', [0.3, 0.6, 0.5, 0.4], None, False),
  ('inverted across the border', [0.3, 1.2, 0.5, 0.9], None, False),
  ('outside', [1.1, 0.2, 1.4, 0.6], None, False),
  ('nan', [0.1, NAN, 0.5, 0.6], None, False),
  ('infinite', [0.1, 0.2, float('inf'), 0.6], None, False),
)


def annotation(names, boxes, **fields):
  n = len(boxes)
  return Annotation(
    b'', 'png', 100, 200, 'a.png', 'a', np.float32(boxes), np.arange(1, n + 1), names, **fields
  )


def test_each_box_is_kept_clipped_or_dropped():
  names = [case[0] for case in CASES]
  kept, findings = box_validation.validate_boxes(
    annotation(
      names,
      [case[1] for case in CASES],
      area=np.arange(len(CASES), dtype=np.float32),
      is_crowd=np.arange(len(CASES)) % 2 == 1,
      views=list(reversed(names)),
    )
  )
  rows = [i for i, case in enumerate(CASES) if case[2] is not None]
  np.testing.assert_array_equal(kept.boxes, np.float32([CASES[i][2] for i in rows]))
  assert list(kept.class_names) == [names[i] for i in rows]
  np.testing.assert_array_equal(kept.class_ids, np.add(rows, 1))
  np.testing.assert_array_equal(kept.area, rows)
  np.testing.assert_array_equal(kept.is_crowd, [i % 2 == 1 for i in rows])
  assert kept.views == [names[-1 - i] for i in rows]
  assert kept.weights is None
  # .9 * 200 = 180, -.1 * 100 = -10, 1.3 * 200 = 260, .5 * 100 = 50.
  assert findings.clipped == ['over xmin 180, ymin -10, xmax 260, ymax 50']
  assert len(findings.dropped) == 6
  assert findings.dropped[0] == 'zero xmin 80, ymin 30, xmax 120, ymax 30: no area'


def test_no_boxes():
  kept, findings = box_validation.validate_boxes(annotation([], np.zeros([0, 4])))
  assert kept.boxes.shape == (0, 4)
  assert not findings.clipped and not findings.dropped
