"""The data sets of a merge, opened as their plans say."""

import dataclasses
from collections.abc import Mapping

from ssd_tf.data.source import Source
from ssd_tf.data.sources import formats, merge_plan
from ssd_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class Part:
  """One data set of a merge, and what the merge makes of it."""

  plan: merge_plan.SourcePlan
  source: Source


def open_part(plan: merge_plan.SourcePlan, names: Mapping[int, str] | None = None) -> Part:
  """Opens a data set of a merge, with the label map that its plan may name.

  Raises:
    InputError: it has no image, or is broken; labeled_class, rename or drop of the plan names a
      class that it has not. Names the plan and the source.
  """
  try:
    source = formats.open_source(plan.type, plan.options, names)
  except InputError as error:
    raise InputError(f'{plan.place}: {error}') from error
  if not source.items:
    raise InputError(f'{plan.place}: the source has no image')
  plan.check_class_names([*source.names.values()])
  return Part(plan, source)
