"""Matchers on tables of similarities."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tf.ops import matching

EVERY_ANCHOR = matching.ArgMaxMatcher(
  matched_threshold=None,
  unmatched_threshold=0.5,
  negatives_lower_than_unmatched=True,
  force_match_for_each_row=False,
)
BIPARTITE = matching.BipartiteMatcher()


def match(matcher, similarity, row_mask=None, forcing_mask=None, **options):
  """i32[B, A]: the row of each anchor, -1 where it is unmatched."""
  similarity = tf.constant(similarity, tf.float32)
  rows = np.ones(similarity.shape[:2], bool)
  row_mask = rows if row_mask is None else np.array(row_mask)
  forcing_mask = row_mask if forcing_mask is None else np.array(forcing_mask)
  found = matcher.match(similarity, row_mask, forcing_mask, **options)
  assert not found.ignored_mask.numpy().any()
  return np.where(found.matched_mask, found.rows, -1)


def test_without_thresholds_every_anchor_takes_its_best_row():
  similarity = [[[0.1, 0.9, 0, 0.2], [0.3, 0.1, 0, 0.2]]]
  np.testing.assert_array_equal(match(EVERY_ANCHOR, similarity), [[1, 0, 0, 0]])


def test_without_thresholds_no_anchor_takes_padding():
  similarity = [[[0.0, 0, 0], [0.3, 0, 0]], [[0.0, 0, 0], [0, 0, 0]]]
  rows = match(EVERY_ANCHOR, similarity, [[False, True], [False, False]])
  np.testing.assert_array_equal(rows, [[1, 1, 1], [-1, -1, -1]])


def test_without_thresholds_a_row_still_forces():
  forcing = matching.ArgMaxMatcher(
    matched_threshold=None,
    unmatched_threshold=0.5,
    negatives_lower_than_unmatched=True,
    force_match_for_each_row=True,
  )
  np.testing.assert_array_equal(match(forcing, [[[0.9, 0.8], [0.2, 0.1]]]), [[0, 0]])
  np.testing.assert_array_equal(match(forcing, [[[0.9, 0.1], [0.8, 0.2]]]), [[0, 1]])
  np.testing.assert_array_equal(match(forcing, [[[0.9, 0.7], [0.8, 0.9]]]), [[0, 1]])


def test_bipartite_by_hand():
  # Row 1 and anchor 0 are the best pair, so that row 0 has to take anchor 2.
  similarity = [[[0.8, 0.1, 0.3], [0.9, 0.2, 0.1]]]
  np.testing.assert_array_equal(match(BIPARTITE, similarity), [[1, -1, 0]])
  # Equal pairs: the lowest row, then the lowest anchor.
  np.testing.assert_array_equal(match(BIPARTITE, [[[0.5, 0.5], [0.5, 0.5]]]), [[0, 1]])
  # What shares nothing is no pair; for distances all that are there are pairs.
  np.testing.assert_array_equal(match(BIPARTITE, [[[0.5, 0.0], [0.4, 0.0]]]), [[0, -1]])
  far = [[[-1.0, -9.0], [-2.0, -np.inf]]]
  np.testing.assert_array_equal(match(BIPARTITE, far, least=-np.inf), [[0, -1]])
  # More rows than anchors; a row that forces nothing.
  np.testing.assert_array_equal(match(BIPARTITE, [[[0.1], [0.3], [0.2]]]), [[1]])
  masked = match(BIPARTITE, [[[0.1], [0.3], [0.2]]], forcing_mask=[[True, False, True]])
  np.testing.assert_array_equal(masked, [[2]])


def greedy(similarity, row_mask):
  """The definition, in NumPy, of one image."""
  similarity = np.where(row_mask[:, None], similarity, 0)
  rows = np.full(similarity.shape[1], -1)
  while similarity.max() > 0:
    row, anchor = np.unravel_index(similarity.argmax(), similarity.shape)
    rows[anchor] = row
    similarity[row], similarity[:, anchor] = 0, 0
  return rows


@pytest.mark.parametrize('in_graph', [False, True])
def test_bipartite_is_greedy(in_graph):
  rng = np.random.default_rng(0)
  # Many ties, many zeros.
  similarity = np.maximum(rng.integers(-3, 6, [4, 7, 30]), 0).astype(np.float32)
  row_mask = rng.random([4, 7]) < 0.8
  row_mask[3] = False
  matcher = BIPARTITE
  if in_graph:
    graph = tf.function(
      lambda similarity, mask: BIPARTITE.match(similarity, mask, mask),
      input_signature=[tf.TensorSpec([None] * 3), tf.TensorSpec([None] * 2, tf.bool)],
    )
    found = graph(similarity, row_mask)
    rows = np.where(found.matched_mask, found.rows, -1)
  else:
    rows = match(matcher, similarity, row_mask)
  expected = [greedy(*image) for image in zip(similarity, row_mask, strict=True)]
  np.testing.assert_array_equal(rows, expected)


def bipartite_first(matched=0.5, unmatched=0.3):
  return matching.ArgMaxMatcher(
    matched_threshold=matched,
    unmatched_threshold=unmatched,
    negatives_lower_than_unmatched=True,
    force_match_for_each_row=False,
    bipartite_first=True,
  )


def test_bipartite_first_then_the_threshold():
  # Row 1 takes anchor 0, so that row 0 takes anchor 1, which row 1 overlaps more. Anchor 2 goes by
  # the threshold, 3 is ignored, 4 is unmatched.
  similarity = tf.constant([[[0.8, 0.2, 0.1, 0.1, 0], [0.9, 0.7, 0.6, 0.4, 0.1]]])
  rows = tf.ones([1, 2], tf.bool)
  found = bipartite_first().match(similarity, rows, rows)
  np.testing.assert_array_equal(np.where(found.matched_mask, found.rows, -1), [[1, 0, 1, -1, -1]])
  np.testing.assert_array_equal(found.ignored_mask, [[False, False, False, True, False]])
  # A row of weight 0 takes none of its own.
  found = bipartite_first().match(similarity, rows, tf.constant([[False, True]]))
  np.testing.assert_array_equal(np.where(found.matched_mask, found.rows, -1), [[1, 1, 1, -1, -1]])
  # A row that overlaps nothing takes none; nor does padding.
  similarity = tf.constant([[[0.6, 0.2], [0.0, 0.0]]])
  found = bipartite_first().match(similarity, rows, rows)
  np.testing.assert_array_equal(np.where(found.matched_mask, found.rows, -1), [[0, -1]])


def test_two_boxes_want_one_anchor():
  # Forced, the lower row takes it and the other has none; bipartite, each has one.
  similarity = [[[0.4, 0.1], [0.4, 0.2]]]
  forcing = matching.ArgMaxMatcher(
    matched_threshold=0.5,
    unmatched_threshold=0.5,
    negatives_lower_than_unmatched=True,
    force_match_for_each_row=True,
  )
  np.testing.assert_array_equal(match(forcing, similarity), [[0, -1]])
  np.testing.assert_array_equal(match(bipartite_first(unmatched=0.5), similarity), [[0, 1]])


def test_bipartite_first_takes_the_place_of_forcing():
  with pytest.raises(ValueError, match='bipartite_first: takes the place'):
    matching.ArgMaxMatcher(
      matched_threshold=0.5,
      unmatched_threshold=0.5,
      negatives_lower_than_unmatched=True,
      force_match_for_each_row=True,
      bipartite_first=True,
    )
