"""Which classes TFRecords hold: by id and by text, and how often."""

import collections
import dataclasses
from collections.abc import Sequence

from ssd_tf.data import record_files, tf_example


@dataclasses.dataclass
class ClassCounts:
  """The classes of the boxes in records: boxes and files by id, boxes by (id or None, text)."""

  num_records: int = 0
  boxes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  texts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  files: dict[int, set[str]] = dataclasses.field(
    default_factory=lambda: collections.defaultdict(set)
  )


def count_classes(paths: Sequence[str]) -> ClassCounts:
  """Counts the boxes of each class, without decoding pixels; refuses what is no annotated image."""
  counts = ClassCounts()
  for path, number, record in record_files.read_records(paths):
    annotation = tf_example.parse_example(record, f'{path}, record {number}')
    ids, texts = annotation.class_ids.tolist(), annotation.class_names
    counts.num_records += 1
    counts.boxes.update(ids)
    for class_id in set(ids):
      counts.files[class_id].add(path)
    if not ids:
      counts.texts.update((None, text) for text in texts)
    elif texts:
      counts.texts.update(zip(ids, texts, strict=True))
  return counts
