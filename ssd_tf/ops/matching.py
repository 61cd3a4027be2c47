"""Matches anchors to groundtruth boxes."""

import dataclasses
from typing import NamedTuple

import tensorflow as tf


class Match(NamedTuple):
  """What becomes of every anchor; it is unmatched where neither mask is True.

  Attributes:
    rows: i32[B, A], the groundtruth row of a matched anchor; without meaning elsewhere.
    matched_mask: bool[B, A].
    ignored_mask: bool[B, A], anchors that are neither positive nor negative.
  """

  rows: tf.Tensor
  matched_mask: tf.Tensor
  ignored_mask: tf.Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArgMaxMatcher:
  """Matches every anchor to the groundtruth box most similar to it.

  Attributes:
    matched_threshold: an anchor is matched from this similarity on; None: always, and then the
      other threshold and its reading are not looked at.
    unmatched_threshold: below it an anchor is unmatched; between the two it is ignored.
    negatives_lower_than_unmatched: False exchanges these last two: ignored below, unmatched
      between.
    force_match_for_each_row: every box also takes the anchor most similar to it, however low that
      similarity; of several boxes that want the same anchor the lowest row takes it.
    bipartite_first: every box also takes an anchor of its own, as `BipartiteMatcher` gives it; in
      place of `force_match_for_each_row`.

  Source: Liu et al., SSD, section 2.2 (matching strategy); the original's
  matchers/argmax_matcher.py; with `bipartite_first` the MultiBox loss layer of Caffe's SSD, and
  ssd_keras. Unlike all of them, a box that touches no anchor at all is not forced upon anchor 0.
  """

  matched_threshold: float | None
  unmatched_threshold: float
  negatives_lower_than_unmatched: bool
  force_match_for_each_row: bool
  bipartite_first: bool = False

  def __post_init__(self):
    if self.bipartite_first and self.force_match_for_each_row:
      raise ValueError(
        'bipartite_first: takes the place of force_match_for_each_row, and both are true; set one '
        'of them to false'
      )
    if self.matched_threshold is None:
      return
    if self.matched_threshold <= 0:
      raise ValueError(
        f'matched_threshold: is {self.matched_threshold:g}; expected more than 0, or boxes would '
        'match anchors that they do not touch'
      )
    if self.unmatched_threshold > self.matched_threshold:
      raise ValueError(
        f'unmatched_threshold: is {self.unmatched_threshold:g}; expected at most '
        f'matched_threshold, {self.matched_threshold:g}'
      )
    if not self.negatives_lower_than_unmatched and (
      self.unmatched_threshold == self.matched_threshold
    ):
      raise ValueError(
        'negatives_lower_than_unmatched: false leaves no anchor unmatched when matched_threshold '
        f'and unmatched_threshold are both {self.matched_threshold:g}; lower unmatched_threshold'
      )

  def match(
    self,
    similarity: tf.Tensor,
    row_mask: tf.Tensor,
    forcing_mask: tf.Tensor,
    least: float = 0.0,
  ) -> Match:
    """Returns the match of every anchor.

    Args:
      similarity: f32[B, N, A], N at least 1; of two equal rows the lower one is matched. Rows of
        padding hold `least`.
      row_mask: bool[B, N], False where the row is padding. In an image without rows every anchor
        is unmatched, whichever way the thresholds are read.
      forcing_mask: bool[B, N], the rows that `force_match_for_each_row` and `bipartite_first`
        speak of.
      least: the similarity of a box and an anchor that share nothing.

    Returns:
      The match; its `rows` are in [0, N).
    """
    similarity = tf.ensure_shape(similarity, [None, None, None])
    any_row = tf.reduce_any(row_mask, axis=1, keepdims=True)
    if self.matched_threshold is None:
      # So that anchors that share nothing with any box do not take a row of padding.
      similarity = tf.where(row_mask[..., tf.newaxis], similarity, float('-inf'))
    best = tf.reduce_max(similarity, axis=1)
    rows = tf.argmax(similarity, axis=1, output_type=tf.int32)
    if self.matched_threshold is None:
      matched_mask = tf.broadcast_to(any_row, tf.shape(best))
      ignored_mask = tf.zeros_like(matched_mask)
    else:
      matched_mask = best >= self.matched_threshold
      below_mask = best < self.unmatched_threshold
      ignored_mask = (
        ~(matched_mask | below_mask)
        if self.negatives_lower_than_unmatched
        else below_mask & any_row
      )
    if self.force_match_for_each_row or self.bipartite_first:
      force = _bipartite_rows if self.bipartite_first else _forced_rows
      forced_rows, forced_mask = force(similarity, forcing_mask, least)
      rows = tf.where(forced_mask, forced_rows, rows)
      matched_mask |= forced_mask
      ignored_mask &= ~forced_mask
    return Match(rows, matched_mask, ignored_mask)


@dataclasses.dataclass(frozen=True)
class BipartiteMatcher:
  """Matches every groundtruth box to one anchor of its own, the most similar pairs first.

  All other anchors are unmatched. Of equal pairs that of the lowest row comes first, then that of
  the lowest anchor.

  Source: the original's matchers/bipartite_matcher.py. Unlike it, a box that shares nothing with
  any anchor left for it gets none.
  """

  def match(
    self,
    similarity: tf.Tensor,
    row_mask: tf.Tensor,
    forcing_mask: tf.Tensor,
    least: float = 0.0,
  ) -> Match:
    """See `ArgMaxMatcher.match`; the rows of `forcing_mask` get an anchor."""
    del row_mask
    rows, matched_mask = _bipartite_rows(similarity, forcing_mask, least)
    return Match(rows, matched_mask, tf.zeros_like(matched_mask))


Matcher = ArgMaxMatcher | BipartiteMatcher


def _forced_rows(similarity, forcing_mask, least):
  """Returns i32[B, A], the row that takes each anchor for its own, and bool[B, A], if one does."""
  batch_size, num_rows, num_anchors = tf.unstack(tf.shape(similarity))
  anchors = tf.argmax(similarity, axis=2, output_type=tf.int32)
  touching_mask = tf.gather(similarity, anchors, batch_dims=2) > least
  # A row that forces nothing writes num_rows, which loses against every row in the minimum.
  rows = tf.where(forcing_mask & touching_mask, tf.range(num_rows), num_rows)
  images = tf.broadcast_to(tf.range(batch_size)[:, None], [batch_size, num_rows])
  forced_rows = tf.tensor_scatter_nd_min(
    tf.fill([batch_size, num_anchors], num_rows), tf.stack([images, anchors], axis=-1), rows
  )
  return forced_rows, forced_rows < num_rows


def _bipartite_rows(similarity, forcing_mask, least):
  """Returns as `_forced_rows`; each row takes an anchor of its own, best pairs first."""
  batch_size, num_rows, num_anchors = tf.unstack(tf.shape(similarity))
  # The other rows take at most so many anchors away that one of the first N is left.
  values, anchors = tf.math.top_k(similarity, tf.minimum(num_rows, num_anchors))
  nothing = tf.constant(float('-inf'))
  values = tf.where(forcing_mask[..., tf.newaxis] & (values > least), values, nothing)
  num_candidates = tf.shape(values)[2]
  images = tf.range(batch_size)

  def take_best(i, values, taken):
    best = tf.argmax(tf.reshape(values, [batch_size, -1]), axis=1, output_type=tf.int32)
    rows = best // num_candidates
    cell = tf.stack([images, rows, best % num_candidates], axis=-1)
    is_pair = tf.gather_nd(values, cell) > nothing
    anchor = tf.where(is_pair, tf.gather_nd(anchors, cell), -1)
    taken = tf.where(tf.range(num_anchors) == anchor[:, tf.newaxis], rows[:, tf.newaxis], taken)
    is_row = tf.range(num_rows) == rows[:, tf.newaxis]
    gone = is_row[..., tf.newaxis] | (anchors == anchor[:, tf.newaxis, tf.newaxis])
    return i + 1, tf.where(gone, nothing, values), taken

  taken = tf.fill([batch_size, num_anchors], -1)
  _, _, taken = tf.while_loop(lambda i, *_: i < num_rows, take_best, (0, values, taken))
  return tf.maximum(taken, 0), taken >= 0
