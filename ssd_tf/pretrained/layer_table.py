"""Maps our variables to another framework's layer names by a table, and back."""

import dataclasses
from collections.abc import Mapping

import keras


@dataclasses.dataclass(frozen=True)
class LayerTable:
  """The words of another stack: our layer -> theirs, and our last part of a path -> theirs.

  Parts of paths, such as kernel, that are not in `leaves` are the same there.
  """

  layers: Mapping[str, str]
  leaves: Mapping[str, str] = dataclasses.field(default_factory=dict)

  def names(self, model: keras.Model, scope: str = '') -> dict[str, str]:
    """Maps the variable paths of a model to their names in a checkpoint.

    Args:
      scope: that all names begin with, with its slash.

    Returns:
      {'class_head_0/kernel': 'ssd_300_vgg/block4_box/conv_cls/weights', ...}; the path itself where
      there is no such layer, as for heads in a classification model.
    """
    names = {}
    for variable in model.variables:
      layer, _, leaf = variable.path.rpartition('/')
      names[variable.path] = variable.path
      if layer in self.layers:
        names[variable.path] = f'{scope}{self.layers[layer]}/{self.leaves.get(leaf, leaf)}'
    return names

  def our_path(self, name: str) -> str | None:
    """Our path of a variable of theirs, whatever scope its name begins with; None: of none."""
    layers = {theirs: ours for ours, theirs in self.layers.items()}
    leaves = {theirs: ours for ours, theirs in self.leaves.items()}
    layer, _, leaf = name.rpartition('/')
    while layer:
      if layer in layers:
        return f'{layers[layer]}/{leaves.get(leaf, leaf)}'
      layer = layer.partition('/')[2]
    return None


def vgg_16_layers(theirs: str) -> dict[str, str]:
  """The thirteen convolutions of VGG-16: our layer -> theirs.

  Args:
    theirs: the name there, with {stage} 1 to 5 and {i} from 1 within a stage.
  """
  return {
    f'vgg_16_conv{stage}_{i}': theirs.format(stage=stage, i=i)
    for stage, num_convs in enumerate((2, 2, 3, 3, 3), 1)
    for i in range(1, num_convs + 1)
  }
