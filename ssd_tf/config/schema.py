"""Reads from the schema whether a field has an effect, and which numbers it may have.

These are options of the fields in protos/*.proto, see protos/field_options.proto.
"""

import dataclasses
import functools
import math
import re
from typing import NamedTuple

from google.protobuf.descriptor import FieldDescriptor

from ssd_tf.protos import field_options_pb2, post_processing_pb2, ssd_pb2

NUMBER_TYPES = (
  *(FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE),
  *(FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64),
  *(FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64),
)
WORKS, NO_EFFECT, ERROR = 'works', 'no effect', 'error'


class Status(NamedTuple):
  """What becomes of a field: WORKS, NO_EFFECT or ERROR, and why, where it does not work."""

  kind: str
  note: str = ''


def status_of(field: FieldDescriptor) -> Status:
  """What becomes of a field; of the fields of a message that is refused itself it says nothing."""
  options = field.GetOptions()
  if options.HasExtension(field_options_pb2.no_effect):
    return Status(NO_EFFECT, options.Extensions[field_options_pb2.no_effect])
  if options.HasExtension(field_options_pb2.refused):
    return Status(ERROR, options.Extensions[field_options_pb2.refused])
  return Status(WORKS)


@dataclasses.dataclass(frozen=True)
class Range:
  """The finite numbers that a field may have.

  A number outside of its range trains something else than it seems to, or fails much later: without
  a boxes' maximum above 0 there are no boxes to learn from, and a billion classes take all memory
  there is.

  Attributes:
    max_count: how many a repeated field may have.
  """

  low: float = -math.inf
  high: float = math.inf
  has_low: bool = False
  has_high: bool = False
  max_count: int = field_options_pb2.max_count.default_value

  def __contains__(self, number: float) -> bool:
    is_above = self.low < number or (self.has_low and number == self.low)
    is_below = number < self.high or (self.has_high and number == self.high)
    return is_above and is_below and math.isfinite(number)

  def __str__(self):
    if self.has_low and self.has_high:
      return f'{self.low} to {self.high}'
    bounds = []
    if math.isfinite(self.low):
      bounds.append(f'{self.low} or more' if self.has_low else f'more than {self.low}')
    if math.isfinite(self.high):
      bounds.append(f'{"at most" if self.has_high else "less than"} {self.high}')
    return ' and '.join(bounds) or 'a finite number'

  def nearest(self, number: float, default: float) -> float:
    """A number of the range: the closest one, else the default, else the next whole one."""
    closest = max(self.low, min(self.high, number)) if math.isfinite(number) else default
    return next(n for n in (closest, default, self.low, self.low + 1) if n in self)


def has_range(field: FieldDescriptor) -> bool:
  """Whether the schema says which numbers a field may have."""
  return field.GetOptions().HasExtension(field_options_pb2.range)


@functools.cache
def range_of(field: FieldDescriptor) -> Range:
  """The numbers that a field may have; any finite ones where the schema does not say."""
  extensions = field.GetOptions().Extensions
  interval = extensions[field_options_pb2.range] or '(-inf, inf)'
  low, high = re.fullmatch(r'[\[(](\S+), (\S+)[\])]', interval).groups()
  return Range(
    _number(low),
    _number(high),
    has_low=interval[0] == '[',
    has_high=interval[-1] == ']',
    max_count=extensions[field_options_pb2.max_count],
  )


def not_below(field: FieldDescriptor) -> str:
  """The field of the same message whose number may not be more than this one's; '' for none."""
  return field.GetOptions().Extensions[field_options_pb2.not_below]


def _number(text):
  return int(text) if text.lstrip('-').isdigit() else float(text)


def _most(descriptor, name):
  return range_of(descriptor.fields_by_name[name]).high


MAX_CLASSES = _most(ssd_pb2.Ssd.DESCRIPTOR, 'num_classes')
MAX_DETECTIONS = _most(
  post_processing_pb2.BatchNonMaxSuppression.DESCRIPTOR, 'max_total_detections'
)
