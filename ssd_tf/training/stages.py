"""Defines a training in stages: which variables train from which step on."""

import bisect
from collections.abc import Sequence

from absl import logging

from ssd_tf.errors import InputError
from ssd_tf.training.variable_selection import Stage, VariableSelector


class Stages:
  """Sets what trains at the step that a training is at.

  Optimizer and moving average are made for the variables of all stages together, so that a
  checkpoint of any stage has the same variables, and a training goes on from it in any stage. While
  a variable is frozen, its slots stay as they are: what is released starts with a velocity of 0.

  Attributes:
    variables: that train in any stage, in the model's order.

  Raises:
    InputError: a stage names nothing, or leaves nothing to train; tells of all stages.
  """

  def __init__(self, selector: VariableSelector, stages: Sequence[Stage]):
    self._selector = selector
    self._fields = [stage.field for stage in stages]
    self._first_steps = [stage.first_step for stage in stages]
    self._selections = _selections(selector, stages)
    self._current = None
    paths = frozenset().union(*(selection.paths for selection in self._selections))
    self.variables = [v for v in selector.variables if v.path in paths]
    self.borders = tuple(self._first_steps[1:])

  def enter(self, step: int) -> bool:
    """Sets what trains at a step; returns whether that is new, so that the step is traced anew."""
    stage = bisect.bisect_right(self._first_steps, step) - 1
    if stage == self._current:
      return False
    if self.borders:
      logging.info('Step %d: the stage of %s.', step, self._fields[stage])
    self._selector.apply(self._selections[stage])
    self._current = stage
    return True


def _selections(selector, stages):
  selections, faults = [], []
  for stage in stages:
    try:
      selections.append(selector.select(stage))
    except InputError as error:
      faults.append(str(error))
  if faults:
    raise InputError('\n'.join(faults))
  return selections
