"""Makes a pipeline.config from a user's data: records, settings and, where needed, anchors."""

import dataclasses
import os
from collections.abc import Sequence

from ssd_tf.anchors import dataset as anchors
from ssd_tf.config import label_map as label_maps
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.project import recipe, records
from ssd_tf.project.recipe import Choice, Machine, Wishes

_MAX_MISSED = 0.1  # Of the boxes, by stock anchors.


@dataclasses.dataclass(frozen=True)
class Project:
  """A training that is ready to begin.

  Attributes:
    pipeline: its config, which is written.
    choices: what was chosen, the data first.
    remarks: what the user should know about the data, a sentence each.
  """

  pipeline: Pipeline
  choices: Sequence[Choice]
  remarks: Sequence[str]


def start_project(
  data: str,
  config_path: str,
  wishes: Wishes,
  machine: Machine,
  *,
  label_map_path: str | None = None,
  validation_share: float = 0.2,
  seed: int = 0,
) -> Project:
  """Prepares a data set and composes the config of its training.

  Args:
    data: folder or file, see `data_set.find`.
    config_path: the file to write; records go into the folder records beside it.

  Raises:
    InputError: the data set or a wish is at fault.
  """
  folder = os.path.join(os.path.dirname(os.path.abspath(config_path)), 'records')
  prepared = records.prepare(
    data,
    folder,
    label_map_path=label_map_path,
    validation_share=validation_share,
    seed=seed,
  )
  pipeline, choices = recipe.compose(prepared, wishes, machine, config_path)
  pipeline, choice = _with_fitting_anchors(pipeline)
  pipeline.save(config_path)
  return Project(pipeline, [*_describe(prepared), *choices, choice], prepared.remarks)


def _with_fitting_anchors(pipeline) -> tuple[Pipeline, Choice]:
  """Anchors of the data set where those of the stock config miss too many boxes."""
  flag = '--config_override=model.ssd.anchor_generator={...}'
  found = anchors.find_anchors(pipeline)
  overlaps = found.rows()[0]
  stock = f'{overlaps.stock.recall:.0%} of the boxes overlap one by {found.threshold:g} or more'
  if 1 - overlaps.stock.recall <= _MAX_MISSED or overlaps.found.recall <= overlaps.stock.recall:
    return pipeline, Choice('anchors', f'as they are: {stock}', flag)
  value = f"the data set's own: {overlaps.found.recall:.0%} instead of {stock}"
  return pipeline.with_config(found.config), Choice('anchors', value, flag)


def _describe(prepared) -> Sequence[Choice]:
  names = label_maps.load(prepared.label_map_path).display_name_by_id.values()
  shown = ', '.join(list(names)[:8]) + (', ...' if len(names) > 8 else '')
  parts = {'train': 'train', 'val': 'validate', 'test': 'test'}
  images = ', '.join(f'{n} {parts[part]}' for part, n in prepared.num_images.items())
  how = 'split by a seed, each class in the same share' if prepared.is_split else 'as in the data'
  total = f'{sum(prepared.num_boxes.values())} boxes in {sum(prepared.num_images.values())} images'
  return [
    Choice('data', f'{prepared.format} in {prepared.place}: {total}', '--data'),
    Choice('classes', f'{len(names)}: {shown}', '--label_map_path'),
    Choice('images', f'{images} ({how})', '--validation_share'),
  ]
