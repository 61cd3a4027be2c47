"""Determines to which part of an SSD a variable belongs, for loading a checkpoint in parts."""

import re

BACKBONE = 'backbone'
FEATURE_MAPS = 'feature maps'
BOX_HEADS = 'box heads and towers'
CLASS_HEADS = 'class heads'
GROUPS = (BACKBONE, FEATURE_MAPS, BOX_HEADS, CLASS_HEADS)
_PATTERNS = (
  (FEATURE_MAPS, r'feature_map_|conv4_3_norm/|block\d+_conv\dx\d'),
  (CLASS_HEADS, r'class_(head|tower)'),
  (BOX_HEADS, r'(box|box_encoding|prediction)_(head|tower)'),
)


def group_of(path: str) -> str:
  """The part of the network, one of GROUPS, that a variable of this path belongs to."""
  for group, pattern in _PATTERNS:
    if re.match(pattern, path):
      return group
  return BACKBONE


def holds_class_rows(path: str) -> bool:
  """Whether the last axis of a variable of this path is anchors times (classes + 1)."""
  layer, leaf = path.rsplit('/', 1)
  is_last = re.fullmatch(r'class_head(_\d+)?', layer)
  return bool(is_last) and leaf in ('kernel', 'pointwise_kernel', 'bias')
