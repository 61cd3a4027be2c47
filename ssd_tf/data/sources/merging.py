"""Merges data sets with different classes; each image keeps the set of classes it is labeled for.

The sources are read twice: once for digests and counts, and once to write. Between the two no image
and no box stays in memory.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import difflib
import hashlib
import operator
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import tqdm

from ssd_tf.data import box_validation, record_output, record_writer
from ssd_tf.data.annotation import Annotation
from ssd_tf.data.source import Source
from ssd_tf.data.sources import formats, merge_images, merge_plan
from ssd_tf.data.sources.merge_report import (
  MergedClass,
  MergeReport,
  SourceClass,
  SourceReport,
  find_similar_names,
)
from ssd_tf.errors import InputError

_MAX_EXAMPLES = 10


@dataclasses.dataclass(frozen=True)
class Part:
  """One data set of a merge, and what the merge makes of it."""

  plan: merge_plan.SourcePlan
  source: Source


def open_part(plan: merge_plan.SourcePlan, names: Mapping[int, str] | None = None) -> Part:
  """Opens a data set of a merge; an error names the plan and the source.

  Raises:
    InputError: it has no image, or is broken; its plan names a class that it has not.
  """
  try:
    source = formats.open_source(plan.type, plan.options, names)
  except InputError as error:
    raise InputError(f'{plan.place}: {error}') from error
  if not source.items:
    raise InputError(f'{plan.place}: the source has no image')
  plan.check_class_names([*source.names.values()])
  return Part(plan, source)


@dataclasses.dataclass
class _MergedImage:
  """An image to write: where it occurs, as (number of the source, item), in the sources' order."""

  source_id: str
  places: list[tuple[int, Any]]

  def __str__(self):
    return self.source_id


@dataclasses.dataclass(frozen=True)
class _Seen:
  """What the first reading keeps of an image; classes by the source's ids."""

  digest: bytes
  source_id: str
  labeled: frozenset[int]
  is_self_described: bool
  boxes: collections.Counter
  invalid: collections.Counter
  other_texts: collections.Counter  # (text, class id) of boxes whose text is not the class's name.


def merge(
  parts: Sequence[Part],
  output_path: str,
  *,
  name_to_id: Mapping[str, int] | None = None,
  num_shards: int = 1,
  num_workers: int | None = None,
  strict: bool = False,
) -> MergeReport:
  """Writes several data sets as one.

  An image whose bytes occur more than once is written once, see `merge_images.unite`. Every record
  says which classes its image is labeled for; its source_id is "<source's name>/<its own id>".

  Args:
    parts: in the order of classes and images; of two that say different things, the first counts.
    name_to_id: the merged set's label map; None: ids from 1, in the order of first appearance.
    strict: stop at the first broken image file, instead of leaving it out. A broken record always
      stops it: it tells of a wrong label map or a failed conversion.

  Returns:
    The report; its classes are the label map to write.

  Raises:
    InputError: a class is not in name_to_id; no class is left, or none is labeled in any image; a
      source has no image that can be read; the output would overwrite a source.
  """
  record_output.sharded(output_path, num_shards).require_apart_from(
    path for part in parts for path in part.source.files
  )
  report = _plan_classes(parts, name_to_id)
  images = _scan(parts, report, num_workers or os.cpu_count(), strict)
  _check_labeled(report)
  names = {entry.id: entry.name for entry in report.classes}
  written = record_writer.write_records(
    Source(names, images, _Reader(parts, report).read),
    output_path,
    num_shards=num_shards,
    num_workers=num_workers,
    strict=strict,
  )
  report.images, report.boxes = written.num_images, written.num_boxes
  report.images_without_boxes = written.num_images_without_objects
  report.duplicates.examples.sort()  # Threads finish in any order.
  for entry in report.classes:
    if not entry.labeled_images:
      report.remarks.append(
        f'no image is labeled for {entry.name!r}: a detector gets no negatives for it'
      )
  return report


def _plan_classes(parts, name_to_id):
  """The report with all classes and what their names tell; nothing is counted yet."""
  by_id = sorted((name_to_id or {}).items(), key=operator.itemgetter(1))
  merged = {name: MergedClass(class_id, name) for name, class_id in by_id}
  for part in parts:
    plan = part.plan
    for name in part.source.names.values():
      becomes = plan.becomes(name)
      if becomes is None:
        continue
      if name_to_id is not None and becomes not in merged:
        close = difflib.get_close_matches(becomes, merged, n=1)
        hint = f', such as {close[0]!r}' if close else ''
        raise InputError(
          f'{plan.place}: class {becomes!r} is not in the label map: rename it to one that '
          f'is{hint}, drop it, or add it there'
        )
      entry = merged.setdefault(becomes, MergedClass(len(merged) + 1, becomes))
      entry.sources.setdefault(plan.name, []).append(name)
  if not any(entry.sources for entry in merged.values()):
    raise InputError('no class is left: every source drops all of its classes, or has none')
  report = MergeReport([_source_report(part) for part in parts], list(merged.values()))
  for entry in report.classes:
    if len(entry.sources) > 1:
      report.same_name.append(f'{entry.name!r}: {", ".join(entry.sources)}')
  report.renamed_onto = _renamed_onto(parts, merged)
  report.similar_names = find_similar_names(report.classes)
  return report


def _source_report(part):
  plan = part.plan
  classes = [SourceClass(name, plan.becomes(name)) for name in part.source.names.values()]
  remarks = [f'{file}: {remark}' for file, remark in part.source.remarks]
  report = SourceReport(plan.name, plan.type, classes, remarks=remarks)
  if plan.labeled_class is not None and not plan.labeled_class:
    report.remarks.append('labeled_class is []: its images are labeled for no class')
  if all(entry.becomes is None for entry in classes):
    report.remarks.append('no class of it is kept: its images are labeled for nothing')
  return report


def _renamed_onto(parts, merged):
  lines = []
  for plan in (part.plan for part in parts):
    for old, new in plan.rename.items():
      others = [
        f'{name} ({", ".join(n for n in names if (name, n) != (plan.name, old))})'
        for name, names in merged[new].sources.items()
        if (name, names) != (plan.name, [old])
      ]
      if others:
        origins = ', '.join(others)
        lines.append(f'{plan.name}: {old!r} -> {new!r}, which comes from {origins}')
  return lines


def _scan(parts, report, num_workers, strict):
  """Reads every image once; returns those to write, each once, and counts into the report."""
  by_digest, source_ids = {}, set()
  for number, (part, found) in enumerate(zip(parts, report.sources, strict=True)):
    plan, names = part.plan, part.source.names
    classes = dict(zip(names, found.classes, strict=True))
    other_texts = collections.Counter()
    for item, seen in _examined(part, num_workers):
      if isinstance(seen, InputError):
        if strict or plan.type == 'tfrecord':
          raise InputError(f'{plan.place}: {seen}') from seen
        found.skipped.append(str(seen))
        continue
      source_id = f'{plan.name}/{seen.source_id}'
      found.images += 1
      found.self_described += seen.is_self_described
      _count(classes, source_id, seen)
      other_texts += seen.other_texts
      image = by_digest.get(seen.digest)
      if image is not None:
        same = any(other == number for other, _ in image.places)
        duplicates = report.duplicates.within if same else report.duplicates.across
        duplicates.append(f'{image.source_id} = {source_id}')
        image.places.append((number, item))
        continue
      by_digest[seen.digest] = _MergedImage(
        _unique(source_id, source_ids, found.remarks), [(number, item)]
      )
    if not found.images:
      raise InputError(f'{plan.place}: none of its images can be read: {found.skipped[0]}')
    for (text, class_id), count in other_texts.items():
      found.remarks.append(
        f'{count} boxes have the class text {text!r} and the id {class_id}, which is '
        f'{names[class_id]!r} in the label map: the id counts'
      )
  return list(by_digest.values())


def _unique(source_id, source_ids, remarks):
  name, number = source_id, 2
  while name in source_ids:
    name, number = f'{source_id}#{number}', number + 1
  if name != source_id:
    remarks.append(f'{source_id} is the id of two different images: the second becomes {name}')
  source_ids.add(name)
  return name


def _examined(part, num_workers):
  """Yields (item, _Seen or InputError) in order."""
  source, labeled = part.source, _labeled_by_default(part)

  def work(item):
    try:
      return _examine(item, source.read(item), source.names, labeled)
    except InputError as error:
      return error

  with (
    concurrent.futures.ThreadPoolExecutor(num_workers) as executor,
    contextlib.closing(executor.map(work, source.items)) as results,
  ):
    bar = tqdm.tqdm(results, part.plan.name, len(source.items), unit='image', disable=None)
    yield from zip(source.items, bar, strict=True)


def _labeled_by_default(part):
  wanted = part.plan.labeled_class
  return [i for i, name in part.source.names.items() if wanted is None or name in wanted]


def _examine(item, annotation, names, labeled_by_default):
  labeled = annotation.labeled_class_ids(labeled_by_default)
  class_ids = annotation.class_ids.tolist()
  for what, ids in (('boxes of', class_ids), ('labeled for', labeled)):
    if unknown := sorted(set(ids) - names.keys()):
      known = f'{min(names)} to {max(names)}' if names else 'none'
      raise InputError(
        f'{item} ({annotation.source_id!r}): {what} class ids {unknown}; the source has {known}'
      )
  said = (annotation.labeled_classes, annotation.verified_present, annotation.verified_absent)
  valid = collections.Counter(box_validation.validate_boxes(annotation)[0].class_ids.tolist())
  pairs = zip(annotation.class_names, class_ids, strict=True)
  digest = hashlib.sha256(annotation.encoded)
  return _Seen(
    digest.digest(),
    annotation.source_id or digest.hexdigest()[:16],
    frozenset(labeled),
    any(entry is not None for entry in said),
    valid,
    collections.Counter(class_ids) - valid,
    collections.Counter((text, i) for text, i in pairs if text != names[i]),
  )


def _count(classes, source_id, seen):
  """Adds an image to the source's classes, which are given by their ids."""
  for class_id in seen.labeled:
    classes[class_id].labeled_images += 1
  for class_id, count in seen.invalid.items():
    classes[class_id].invalid += count
  for class_id, count in seen.boxes.items():
    entry = classes[class_id]
    if entry.becomes is None:
      entry.dropped += count
      continue
    entry.kept += count
    if class_id not in seen.labeled:
      entry.not_labeled += count
      entry.first_not_labeled = entry.first_not_labeled or source_id


def _check_labeled(report):
  classes = [entry for source in report.sources for entry in source.classes]
  if not any(entry.labeled_images for entry in classes if entry.becomes is not None):
    raise InputError(
      'no image is labeled for any class that is kept; see labeled_class in the plan, and what the '
      'records say themselves'
    )


class _Reader:
  """Reads each image to write from all its sources, and counts into the report; for threads."""

  def __init__(self, parts: Sequence[Part], report: MergeReport):
    self._sources = [part.source for part in parts]
    self._report = report
    self._by_id = {entry.id: entry for entry in report.classes}
    self._names = {entry.id: entry.name for entry in report.classes}
    name_to_id = {entry.name: entry.id for entry in report.classes}
    self._tables = [
      {
        class_id: name_to_id[becomes]
        for class_id, name in part.source.names.items()
        if (becomes := part.plan.becomes(name)) is not None
      }
      for part in parts
    ]
    self._labeled = [_labeled_by_default(part) for part in parts]
    self._lock = threading.Lock()

  def read(self, image: _MergedImage) -> Annotation:
    """Reads the image wherever it occurs, and unites what is said of it."""
    annotation, findings = merge_images.unite(
      [
        merge_images.map_classes(
          self._sources[k].read(item), self._tables[k], self._names, self._labeled[k]
        )
        for k, item in image.places
      ]
    )
    written = box_validation.validate_boxes(annotation)[0]
    duplicates = self._report.duplicates
    with self._lock:
      for class_id in written.class_ids.tolist():
        self._by_id[class_id].boxes += 1
      for class_id in written.labeled_classes:
        self._by_id[class_id].labeled_images += 1
      duplicates.labeled_in_several += len(findings.labeled_in_several)
      duplicates.conflicts += len(findings.differing)
      duplicates.boxes_left_out += findings.num_boxes_left_out
      if findings.differing and len(duplicates.examples) < _MAX_EXAMPLES:
        names = ', '.join(self._names[class_id] for class_id in findings.differing)
        duplicates.examples.append(f'{image.source_id}: {names}')
    return dataclasses.replace(annotation, source_id=image.source_id)
