"""Defines what an evaluation depends on besides the weights, and whether two are comparable.

A line of metrics.jsonl has three entries of this: `split`, the data set; `settings` of the command
that asked for the evaluation, if it has any; and `conditions`, what the config says.
"""

import re
from collections.abc import Mapping
from typing import Any

from google.protobuf import text_format

from ssd_tf.config.pipeline import PipelineConfig

LOSSES = 'losses'  # Of the conditions, the one that changes losses alone.
# Fields of EvalConfig that no figure depends on: of batches, pictures, files, and more figures.
_WITHOUT_EFFECT = (
  *('batch_size', 'eval_interval_secs', 'eval_master', 'export_path', 'save_graph'),
  *('include_metrics_per_category', 'all_metrics_per_category'),
  *('num_visualizations', 'visualization_export_dir', 'keep_image_id_for_visualization_export'),
  *('min_score_threshold', 'max_num_boxes_to_visualize', 'skip_scores', 'skip_labels'),
  *('visualize_groundtruth_boxes', 'groundtruth_box_visualization_color'),
  *('retain_original_images', 'retain_original_image_additional_channels'),
)


def conditions_of(config: PipelineConfig, sample_1_of_n: int = 1) -> dict[str, int | str]:
  """The conditions of an evaluation."""
  eval_config = type(config.eval_config)()
  eval_config.CopyFrom(config.eval_config)
  for field in _WITHOUT_EFFECT:
    eval_config.ClearField(field)
  parts = {'eval_config': eval_config, 'post_processing': config.model.ssd.post_processing}
  texts = {name: text_format.MessageToString(p, as_one_line=True) for name, p in parts.items()}
  # Evaluations of an earlier version lack this entry: their losses are means over the batches.
  losses = {LOSSES: 'summed over the data set, divided once'}
  return {'sample_1_of_n_examples': sample_1_of_n, **texts, **losses}


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any], *, losses: bool = True) -> str:
  """The names, separated by commas, in which an evaluation differs from those wanted; '' for none.

  Args:
    wanted: split, settings, conditions; of these the settings are compared also if they are missing
      here, the others are not.
    found: the same of the evaluation; other entries do not count.
    losses: whether its losses are to be compared; other figures may be where the losses may not.
  """
  wanted = {'settings': {}, **wanted}
  first, second = _flat(wanted), _flat({name: found.get(name) or {} for name in wanted})
  names = [name for name in first | second if not _is_same(first.get(name), second.get(name), name)]
  return ', '.join(name for name in names if losses or name != LOSSES)


def _is_same(first, second, name):
  if name != 'split' or not (first and second):
    return first == second
  paths = [split.split(', ') for split in (first, second)]
  return len(paths[0]) == len(paths[1]) and all(map(_is_same_file, *paths))


def _is_same_file(first, second):
  """Whether one path ends with the other: the config in a model_dir names a file from there."""
  short, long = sorted((re.sub(r'^(\.{1,2}/)+', '', path) for path in (first, second)), key=len)
  return f'/{long}'.endswith(f'/{short}')


def _flat(entries):
  flat = {}
  for name, value in entries.items():
    flat |= _flat(value) if isinstance(value, Mapping) else {name: value}
  return flat
