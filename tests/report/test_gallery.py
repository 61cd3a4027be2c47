import numpy as np
from PIL import Image

from ssd_tf import fields
from ssd_tf.evaluation.error_analysis import judge
from ssd_tf.evaluation.image_results import ImageResult
from ssd_tf.report import gallery

NAMES = {1: 'cat', 2: 'dog'}
LEFT, RIGHT_SIDE, BELOW = [0, 0, 0.4, 0.4], [0, 0.6, 0.4, 1], [0.6, 0, 1, 0.4]


def _image(source_id, groundtruth, detections):
  """groundtruth: (box, class); detections: (box, class, score)."""
  n = len(groundtruth)
  return ImageResult(
    source_id=source_id,
    height=30,
    width=50,
    groundtruth_boxes=np.array([b for b, _ in groundtruth], np.float32).reshape(-1, 4),
    groundtruth_classes=np.array([c for _, c in groundtruth], np.int32),
    **{name: np.zeros(n, bool) for name in ('is_crowd', 'is_difficult', 'is_group_of')},
    area=np.zeros(n, np.float32),
    labeled=np.ones(2, bool),
    boxes=np.array([b for b, _, _ in detections], np.float32).reshape(-1, 4),
    scores=np.array([s for _, _, s in detections], np.float32),
    classes=np.array([c for _, c, _ in detections], np.int32),
  )


IMAGES = [
  _image('right', [(LEFT, 1)], [(LEFT, 1, 0.9)]),
  # Found, and .8 + .6 of false ones.
  _image('two false', [(LEFT, 1)], [(LEFT, 1, 0.9), (BELOW, 2, 0.8), (LEFT, 1, 0.6)]),
  # Two cats missed, one dog of another class on the third: 3 missed + .7; what is below the
  # threshold finds nothing.
  _image(
    'missed',
    [(LEFT, 1), (RIGHT_SIDE, 1), (BELOW, 1)],
    [(BELOW, 2, 0.7), (LEFT, 1, 0.3)],
  ),
  _image('empty', [], []),
  _image('one missed', [(LEFT, 2)], []),
]


def _judged():
  return [judge(image, score_threshold=0.5) for image in IMAGES]


def test_worst_first_and_none_without_error():
  costs = [gallery.error_cost(image) for image in _judged()]
  np.testing.assert_allclose(costs, [0, 1.4, 3.7, 0, 1], rtol=1e-6)
  assert gallery.worst_images(_judged(), 9) == [2, 1, 4]
  assert gallery.worst_images(_judged(), 2) == [2, 1]
  assert gallery.worst_images(_judged(), 0) == []


def test_pictures_are_of_these_images(tmp_path):
  grays = [20, 60, 100, 140, 180]
  examples = [{fields.IMAGE: np.full((30, 50, 3), gray, np.uint8)} for gray in grays]
  found = gallery.draw_gallery(
    examples, _judged(), NAMES, str(tmp_path), score_threshold=0.5, max_images=3
  )
  assert [picture.source_id for picture in found] == ['missed', 'two false', 'one missed']
  assert [picture.missed for picture in found] == ['cat (3)', '', 'dog']
  assert [list(picture.wrong) for picture in found] == [
    ['dog 0.70 (class)'],
    ['dog 0.80 (background)', 'cat 0.60 (duplicate)'],
    [],
  ]
  assert [picture.path for picture in found] == [
    str(tmp_path / f'worst_0{i}.jpg') for i in (1, 2, 3)
  ]
  for picture, gray in zip(found, (100, 60, 180), strict=True):
    pixels = np.asarray(Image.open(picture.path))
    # Enlarged 8 times to 400 x 240, twice beside each other; the last pixel lies in no box.
    assert pixels.shape[1] == 805 and 240 < pixels.shape[0] < 270
    assert np.abs(pixels[-3, -3].astype(int) - gray).max() <= 3


def test_no_image_is_read_where_none_is_drawn(tmp_path):
  def examples():
    raise AssertionError('read')
    yield

  found = gallery.draw_gallery(
    examples(), _judged()[:1], NAMES, str(tmp_path), score_threshold=0.5, max_images=5
  )
  assert found == []
