"""Selects the variables that train: freeze, freeze_variables, update_trainable_variables."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import keras
import numpy as np
from absl import logging

from ssd_tf.errors import InputError


class Stage(NamedTuple):
  """What a stage of a training leaves as it finds it, from first_step on.

  Attributes:
    field: of the config that describes it.
    frozen_groups: parts of the network that do not train.
    update_trainable_variables: patterns of those that train; none: all.
    freeze_variables: patterns of those that do not, among them.
  """

  first_step: int = 0
  field: str = 'train_config'
  frozen_groups: Sequence[str] = ()
  update_trainable_variables: Sequence[str] = ()
  freeze_variables: Sequence[str] = ()


class Selection(NamedTuple):
  """The paths of the variables that train, and parts of the network that stay as they are.

  The latter even where nothing in them would train: a batch norm without gamma and beta.
  """

  paths: frozenset[str]
  frozen_groups: tuple[str, ...] = ()


class VariableSelector:
  """Chooses among the variables that a model has to train, once or from stage to stage.

  A pattern may match anywhere in a name (`re.search`). It is read over the original's names: of an
  SSD with VGG-16 those of SSD-Tensorflow, such as ssd_300_vgg/block8/conv3x3/weights, else those of
  the Object Detection API, such as FeatureExtractor/MobilenetV2/Conv_1/weights. It is read over
  those of the model's own variables, such as mobilenet_v2_conv_1/kernel, if it matches none there.

  A frozen variable gets no update. A layer all of whose trainable variables are frozen stays in
  inference mode, so that a batch norm keeps its moving statistics.

  Attributes:
    variables: what there is to train, whatever is selected.

  Source: the Object Detection API's model_main, which first includes and then excludes by
  `re.search`. (Its older train.py takes `re.match`.) Its TF2 scripts ignore both fields.
  """

  def __init__(
    self,
    model: keras.Model,
    *,
    group_of: Callable[[str], str] = lambda path: 'network',
    api_names: Mapping[str, str] | None = None,
  ):
    self.variables = list(model.trainable_variables)
    self._names = {v.path: (api_names or {}).get(v.path, v.path) for v in self.variables}
    self._layers = [layer for layer in model.layers if layer.trainable and layer.variables]
    self._group_of = group_of

  def select(self, stage: Stage) -> Selection:
    """Chooses; the model does not change yet.

    Raises:
      InputError: a pattern matches nothing, or nothing is left to train.
    """
    kept, field = set(self._names), stage.field
    if patterns := stage.update_trainable_variables:
      kept = self._matching(patterns, f'{field}.update_trainable_variables')
    kept -= self._matching(stage.freeze_variables, f'{field}.freeze_variables')
    kept = {path for path in kept if self._group_of(path) not in stage.frozen_groups}
    if not kept:
      raise InputError(
        f'{field}.freeze, freeze_variables, update_trainable_variables: leave no variable to train'
      )
    return Selection(frozenset(kept), tuple(stage.frozen_groups))

  def apply(self, selection: Selection) -> None:
    """Sets what of the model trains from now on, and logs how much that is."""
    for layer in self._layers:
      # Trainable also says that a batch norm is to use the statistics of the batch.
      layer.trainable = self._trains(layer, selection)
      for variable in layer.variables:
        if variable.path in self._names:
          variable.trainable = variable.path in selection.paths
    trained = [v for v in self.variables if v.path in selection.paths]
    logging.info(
      'Training %d of %d variables, %s of %s parameters%s.',
      len(trained), len(self.variables), _num_parameters(trained), _num_parameters(self.variables),
      f'; frozen: {self._frozen(selection.paths)}' if len(trained) < len(self.variables) else '',
    )  # fmt: skip

  def _trains(self, layer, selection):
    choices = {v.path for v in layer.variables} & self._names.keys()
    if choices:
      return bool(choices & selection.paths)
    return not all(self._group_of(v.path) in selection.frozen_groups for v in layer.variables)

  def _frozen(self, kept: Collection[str]):
    """'backbone 81 of 81, feature maps 0 of 6', in the order of the network."""
    counts = {}
    for path in self._names:
      frozen, total = counts.get(self._group_of(path), (0, 0))
      counts[self._group_of(path)] = (frozen + (path not in kept), total + 1)
    return ', '.join(f'{group} {frozen} of {n}' for group, (frozen, n) in counts.items())

  def _matching(self, patterns, field):
    """The paths that any of the patterns matches."""
    found = set()
    for i, pattern in enumerate(patterns):
      matching = {path for path, name in self._names.items() if re.search(pattern, name)}
      matching = matching or {path for path in self._names if re.search(pattern, path)}
      if not matching:
        raise InputError(f'{field}[{i}]: {pattern!r} matches no trainable variable; {self._some()}')
      logging.info('%s: variables that %r matches: %d.', field, pattern, len(matching))
      found |= matching
    return found

  def _some(self):
    every = max(1, len(self._names) // 4)
    some = [f'{name} (here {path})' for path, name in list(self._names.items())[::every]]
    scopes = dict.fromkeys('/'.join(name.split('/')[:2]) for name in self._names.values())
    return f'names are {", ".join(some)}; they begin with {", ".join(scopes)}'


def _num_parameters(variables):
  return f'{sum(int(np.prod(v.shape)) for v in variables):,}'
