"""Fills the unlabeled (image, class) cells of partially labeled records with a model's boxes."""

import collections
import dataclasses
from collections.abc import Sequence

import tensorflow as tf
from absl import logging
from tqdm import tqdm

from ssd_tf.config import label_map
from ssd_tf.config.input_paths import find_checkpoint
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.data import record_check, record_output, record_writer
from ssd_tf.data.source import Source
from ssd_tf.errors import InputError
from ssd_tf.files import json_file
from ssd_tf.inference.records import RecordDetector, read_annotations
from ssd_tf.pseudo_labels import class_thresholds
from ssd_tf.pseudo_labels.filled_images import FilledImages
from ssd_tf.pseudo_labels.filling import human_part
from ssd_tf.run.start import build_restored


def pseudo_label(
  pipeline: Pipeline,
  checkpoint: str,
  *,
  input_paths: Sequence[str],
  validation_paths: Sequence[str],
  output_path: str,
  strategy: tf.distribute.Strategy,
  rules: class_thresholds.Rules,
  label_map_path: str | None = None,
  labeled_by_default: Sequence[str] = (),
  report_path: str | None = None,
  num_shards: int = 1,
  batch_size: int = 8,
) -> dict:
  """Fills the (image, class) cells that are not labeled; writes records and returns a report.

  Args:
    validation_paths: TFRecord files with boxes by people, of whose images thresholds come; those of
      a detector do not count.
    label_map_path: of all these records and of the model; None: that of the eval_input_reader.
    labeled_by_default: names of the classes labeled in those of the input's images whose records do
      not say; empty: all.
    report_path: gets the report as JSON; None: output_path and '.report.json'.

  Raises:
    InputError: config, checkpoint, label map or records are at fault; the model was made for other
      classes; every cell is labeled; no class can be filled (the report is written nevertheless).
  """
  report_path = report_path or f'{output_path}.report.json'
  path = find_checkpoint(checkpoint)
  names = _class_names(pipeline, label_map_path)
  default = _ids(labeled_by_default, names) or set(names)
  output = record_output.sharded(output_path, num_shards)
  output.require_apart_from([*input_paths, *validation_paths])
  _check_records('input', input_paths, pipeline.config, names, default)
  _check_records('validation', validation_paths, pipeline.config, names, set(names))
  unlabeled, num_images = _count_unlabeled(input_paths, names, default)
  with strategy.scope():
    detector = build_restored(pipeline, path)
  records = RecordDetector(detector, names, strategy, batch_size)

  # disable=None: no bar in a log file.
  detected = tqdm(records.detect(validation_paths), 'validation', unit='image', disable=None)
  tallies = class_thresholds.tally_matches(detected, set(names))
  thresholds, classes = _choose(tallies, rules, names, unlabeled)
  report = {
    'checkpoint': path,
    'input': list(input_paths),
    'validation': list(validation_paths),
    'output': list(output.paths),
    'rules': dataclasses.asdict(rules),
    'images': num_images,
    'images_filled': 0,
    'classes': classes,
  }
  if thresholds:
    filled = FilledImages(
      records.detect(input_paths), num_images, thresholds, default, names, rules.max_overlap
    )
    source = Source(names, filled, read=lambda annotation: annotation)
    record_writer.write_records(source, output_path, num_shards=num_shards, strict=True)
    report['images_filled'] = filled.num_filled
    for class_id, counts in filled.counts.items():
      classes[class_id].update(counts)
  json_file.write(report_path, report)
  if not thresholds:
    reasons = '; '.join(f'{c["name"]}: {c["not_filled"]}' for c in classes.values())
    raise InputError(f'no class can be filled: {reasons}; the figures are in {report_path}')
  return report


def _choose(tallies, rules, names, unlabeled):
  """({class id: ScoreThresholds} of the classes to fill, {class id: what the report says})."""
  thresholds, classes = {}, {}
  for class_id, name in names.items():
    chosen, found = class_thresholds.choose(tallies[class_id], rules)
    if not unlabeled[class_id]:
      found['not_filled'] = 'every image is labeled for it'
    elif chosen:
      thresholds[class_id] = chosen
    classes[class_id] = {'name': name, 'unlabeled_images': unlabeled[class_id], **found}
    logging.info('%s: %s', name, found.get('not_filled') or _describe(chosen))
  return thresholds, classes


def _describe(chosen):
  high, low = (
    f'{score:.3f} (precision {at["precision"]:.3f}, recall {at["recall"]:.3f})'
    for score, at in ((chosen.high, chosen.at_high), (chosen.low, chosen.at_low))
  )
  return f'boxes from score {high} on, ignored from {low} on'


def _class_names(pipeline, label_map_path):
  """Names by class id, of the one label map that records and model share."""
  classes = pipeline.model_classes
  readers = pipeline.config.eval_input_reader
  if not label_map_path and readers and readers[0].label_map_path:
    label_map_path = pipeline.resolve(readers[0].label_map_path)
  if not label_map_path:
    raise pipeline.error('eval_input_reader.label_map_path', 'is not set; give --label_map_path')
  labels = label_map.load(label_map_path)
  names = labels.name_by_id
  num_classes = pipeline.config.model.ssd.num_classes
  if classes is not None and classes.name_by_id != names:
    raise InputError(
      f'{label_map_path}: the records are to hold the ids of the model, which are '
      f'{classes.name_by_id} by {pipeline.path}, but this label map has {names}; convert the '
      'records with the label map of the model (tools/merge_datasets.py --label_map_path does so), '
      'and give that'
    )
  message = (
    f'{label_map_path}: its greatest id is {labels.num_classes}, but {pipeline.path} has '
    f'model.ssd.num_classes: {num_classes}; is it the label map that the model was trained with?'
  )
  if labels.num_classes > num_classes:
    raise InputError(message)
  if labels.num_classes < num_classes:
    logging.warning('%s', message)
  return names


def _ids(class_names, names):
  ids = {name: class_id for class_id, name in names.items()}
  unknown = sorted(set(class_names) - set(ids))
  if unknown:
    raise InputError(
      f'--labeled_class: the label map has no class {", ".join(unknown)}; it has {", ".join(ids)}'
    )
  return {ids[name] for name in class_names}


def _check_records(what, paths, config, names, default):
  num_classes = config.model.ssd.num_classes
  summary = record_check.check_records(paths, num_classes, names, labeled_by_default=default)
  logging.info('%s: %s', what, summary)
  for warning in summary.warnings:
    logging.warning('%s: %s', what, warning)


def _count_unlabeled(paths, names, default):
  """({class id: images not labeled for it}, images)."""
  unlabeled, num_images = collections.Counter(), 0
  for annotation in read_annotations(paths, names):
    labeled = human_part(annotation).labeled_class_ids(default)
    unlabeled.update(set(names) - labeled)
    num_images += 1
  if not unlabeled:
    raise InputError(
      f'{", ".join(paths)}: all {num_images} images are labeled for all {len(names)} classes, so '
      'there is nothing to fill; where records lack image/class/labeled_classes, name the classes '
      'that they are labeled for by --labeled_class'
    )
  return unlabeled, num_images
