"""The box coder against the original's numbers and its own inverse."""

import pathlib

import numpy as np
import pytest

from ssd_tf.ops import box_coder

GOLDENS = np.load(pathlib.Path(__file__).parents[1] / 'testdata/odapi/b_box_coder.npz')
CODER = box_coder.FasterRCNNBoxCoder(y_scale=10, x_scale=10, height_scale=5, width_scale=5)


def test_encode_equals_the_original():
  # Rows 0 to 2: a box that is all zero, a box without height, an anchor without area.
  encoded = CODER.encode(GOLDENS['boxes'], GOLDENS['anchors'])
  np.testing.assert_allclose(encoded, GOLDENS['encoded'], rtol=1e-5, atol=1e-5)


def test_decode_equals_the_original():
  decoded = CODER.decode(GOLDENS['decode_in'], GOLDENS['anchors'])
  np.testing.assert_allclose(decoded, GOLDENS['decoded'], rtol=1e-5, atol=1e-6)


def test_round_trip():
  encoded = CODER.encode(GOLDENS['boxes'], GOLDENS['anchors'])
  decoded = CODER.decode(encoded, GOLDENS['anchors'])
  np.testing.assert_allclose(decoded, GOLDENS['decoded_encoded'], atol=1e-6)
  np.testing.assert_allclose(decoded[3:], GOLDENS['boxes'][3:], atol=1e-6)


def test_each_scale_reaches_its_own_coordinate():
  coder = box_coder.FasterRCNNBoxCoder(y_scale=1, x_scale=2, height_scale=3, width_scale=4)
  anchor = np.float32([[0, 0, 0.5, 0.25]])
  # Center (.25, .125) to (.5, .25): .25/.5 and 2 * .125/.25; sides to 1 and .5: log 2 twice.
  box = np.float32([[[0, 0, 1, 0.5]]])
  expected = [[[0.5, 1, 3 * np.log(2), 4 * np.log(2)]]]
  np.testing.assert_allclose(coder.encode(box, anchor), expected, rtol=1e-6)
  np.testing.assert_allclose(coder.decode(np.float32(expected), anchor), box, atol=1e-6)


def test_wrong_shape_is_named():
  with pytest.raises(ValueError, match='box_encodings: expected'):
    CODER.decode(np.zeros([2, 5], np.float32), GOLDENS['anchors'][:2])


def test_mean_stddev_by_hand():
  coder = box_coder.MeanStddevBoxCoder(stddev=0.5)
  anchor, box = np.float32([[0.25, 0.5, 0.5, 0.75]]), np.float32([[0.5, 0.5, 0.75, 0.5]])
  codes = coder.encode(box, anchor)
  np.testing.assert_allclose(codes, [[0.5, 0, 0.5, -0.5]])
  np.testing.assert_allclose(coder.decode(codes, anchor), box)


def test_square_by_hand():
  coder = box_coder.SquareBoxCoder(y_scale=10, x_scale=20, length_scale=5)
  # Anchor: center (.25, .5), .25 x 1, so la = .5. Box: center (.5, .25), 1 x .25, l = .5.
  anchor, box = np.float32([[0.125, 0, 0.375, 1]]), np.float32([[0, 0.125, 1, 0.375]])
  codes = coder.encode(box, anchor)
  np.testing.assert_allclose(codes, [[10 * 0.25 / 0.5, 20 * -0.25 / 0.5, 0]], atol=1e-5)
  # It comes back as the square of its area.
  np.testing.assert_allclose(coder.decode(codes, anchor), [[0.25, 0, 0.75, 0.5]], atol=1e-6)
  twice = coder.encode(np.float32([[-0.25, -0.5, 0.75, 0.5]]), anchor)
  np.testing.assert_allclose(twice, [[0, -20, 5 * np.log(2)]], atol=1e-5)


@pytest.mark.parametrize(
  'coder',
  [
    box_coder.MeanStddevBoxCoder(stddev=0.01),
    box_coder.SquareBoxCoder(y_scale=10, x_scale=10, length_scale=5),
  ],
)
def test_other_coders_decode_what_they_encode(coder):
  boxes = GOLDENS['boxes']
  codes = coder.encode(boxes, GOLDENS['anchors'])
  assert codes.shape == (200, coder.code_size)
  decoded = coder.decode(codes, GOLDENS['anchors']).numpy()
  assert np.isfinite(codes).all() and np.isfinite(decoded).all()
  if coder.code_size == 4:
    np.testing.assert_allclose(decoded, boxes, atol=1e-5)
    return
  # Rows 0 to 2 have no area.
  centers = [(b[:, :2] + b[:, 2:])[3:] / 2 for b in (decoded, boxes)]
  np.testing.assert_allclose(*centers, atol=1e-5)
  sizes = [(b[:, 2:] - b[:, :2])[3:] for b in (decoded, boxes)]
  np.testing.assert_allclose(
    sizes[0], np.sqrt(sizes[1].prod(axis=1))[:, None].repeat(2, 1), atol=1e-5
  )


def test_wrong_length_of_a_square_code_is_named():
  coder = box_coder.SquareBoxCoder(y_scale=10, x_scale=10, length_scale=5)
  with pytest.raises(ValueError, match=r'box_encodings: expected shape \[..., 3\]'):
    coder.decode(np.zeros([2, 4], np.float32), GOLDENS['anchors'][:2])
