"""Builds the target assigner from the config's `model.ssd`."""

from ssd_tf.builders.message_fields import chosen, values_of
from ssd_tf.config.checks.fault import explained
from ssd_tf.ops import box_coder as box_coders
from ssd_tf.ops import matching, similarity
from ssd_tf.ops.target_assigner import TargetAssigner
from ssd_tf.protos import ssd_pb2

_CODERS = {
  'faster_rcnn_box_coder': box_coders.FasterRCNNBoxCoder,
  'mean_stddev_box_coder': box_coders.MeanStddevBoxCoder,
  'square_box_coder': box_coders.SquareBoxCoder,
}


def build_box_coder(ssd: ssd_pb2.Ssd) -> box_coders.BoxCoder:
  """Builds what turns boxes into encodings and back."""
  path = 'model.ssd.box_coder'
  kind = chosen(ssd.box_coder, 'box_coder_oneof', path, tuple(_CODERS))
  return _CODERS[kind](**values_of(getattr(ssd.box_coder, kind)))


def code_size(ssd: ssd_pb2.Ssd) -> int:
  """How many numbers the box coder makes of a box; 4 where it is not set, as for most."""
  kind = ssd.box_coder.WhichOneof('box_coder_oneof')
  return _CODERS.get(kind, box_coders.FasterRCNNBoxCoder).code_size


def build_target_assigner(ssd: ssd_pb2.Ssd, box_coder: box_coders.BoxCoder) -> TargetAssigner:
  """Builds what assigns targets to anchors."""
  return TargetAssigner(
    matcher=_matcher(ssd),
    box_coder=box_coder,
    box_similarity=_similarity(ssd.similarity_calculator),
    negative_class_weight=ssd.negative_class_weight,
    train_on_crowds=ssd.train_on_crowds,
  )


def _matcher(ssd):
  path = 'model.ssd.matcher'
  kinds = ('argmax_matcher', 'bipartite_matcher')
  if chosen(ssd.matcher, 'matcher_oneof', path, kinds) == 'bipartite_matcher':
    return matching.BipartiteMatcher()
  values = ssd.matcher.argmax_matcher
  with explained(f'{path}.argmax_matcher'):
    return matching.ArgMaxMatcher(
      matched_threshold=None if values.ignore_thresholds else values.matched_threshold,
      unmatched_threshold=values.unmatched_threshold,
      negatives_lower_than_unmatched=values.negatives_lower_than_unmatched,
      force_match_for_each_row=values.force_match_for_each_row,
      bipartite_first=values.bipartite_first,
    )


def _similarity(calculator):
  kinds = {
    'iou_similarity': lambda _: similarity.IOU,
    'ioa_similarity': lambda _: similarity.IOA,
    'neg_sq_dist_similarity': lambda _: similarity.NEGATIVE_SQUARED_DISTANCE,
    'thresholded_iou_similarity': lambda values: similarity.thresholded_iou(values.iou_threshold),
  }
  path = 'model.ssd.similarity_calculator'
  kind = chosen(calculator, 'region_similarity', path, tuple(kinds))
  return kinds[kind](getattr(calculator, kind))
