"""Defines what opening the annotations of a user's folder returns, whatever their format."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ssd_tf.config.label_map import LabelMap
from ssd_tf.data.source import Source


class Opened(NamedTuple):
  """A data set, opened.

  Attributes:
    parts: 'train', 'val' and 'test' as far as it tells them apart; else one of any of these names.
    remarks: what else the user should know, a sentence each.
    folders: from which images or labels are read; more than the folder that was given, perhaps.
    labels: the label map that it has of its own.
  """

  parts: Mapping[str, Source]
  remarks: Sequence[str] = ()
  folders: Sequence[str] = ()
  labels: LabelMap | None = None
