"""Writes TFRecord files from annotated images: in parallel, in order, whole or not at all."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf
import tqdm

from ssd_tf.data import box_validation
from ssd_tf.data.tf_example import Annotation, encode_example
from ssd_tf.errors import InputError


@dataclasses.dataclass
class ConversionReport:
  """What a conversion wrote, mended and left out.

  Attributes:
    num_images: written.
    num_boxes: written.
    num_images_without_objects: written, without any box.
    clipped: (file, box) of each box that reached outside its image.
    dropped: (file, box) of each box without area, inverted, not finite or wholly outside.
    not_turned: file of each image written whose EXIF orientation was not applied.
    skipped: (item, reason) of each input that could not be used; the reason names the file.
    remarks: (file, remark) of whatever else a source found odd.
  """

  num_images: int = 0
  num_boxes: int = 0
  num_images_without_objects: int = 0
  clipped: list[tuple[str, str]] = dataclasses.field(default_factory=list)
  dropped: list[tuple[str, str]] = dataclasses.field(default_factory=list)
  not_turned: list[str] = dataclasses.field(default_factory=list)
  skipped: list[tuple[str, str]] = dataclasses.field(default_factory=list)
  remarks: list[tuple[str, str]] = dataclasses.field(default_factory=list)

  def __str__(self):
    lines = [
      f'images written: {self.num_images} ({self.num_images_without_objects} without objects)',
      f'boxes written: {self.num_boxes}',
    ]
    for title, entries in (
      ('boxes clipped to the image', self.clipped),
      ('boxes dropped (no area, inverted or outside)', self.dropped),
      ('remarks', self.remarks),
    ):
      lines.append(f'{title}: {len(entries)}')
      lines += [f'  {name}: {text}' for name, text in entries]
    if self.not_turned:
      lines.append(
        f'warning: EXIF orientation not applied: {len(self.not_turned)} images, the first is '
        f'{self.not_turned[0]}; their boxes are taken as pixels of the images as stored. If they '
        'were drawn on the images as viewers turn them, turn the files before converting them'
      )
    # A reason names its file already: often another than the item, such as an XML's image.
    lines.append(f'files skipped: {len(self.skipped)}')
    lines += [f'  {reason}' for _, reason in self.skipped]
    return '\n'.join(lines)

  def add(self, annotation: Annotation, findings: box_validation.BoxFindings) -> None:
    """Counts one written image."""
    self.num_images += 1
    self.num_boxes += len(annotation.boxes)
    self.num_images_without_objects += not len(annotation.boxes)
    self.clipped += [(annotation.filename, text) for text in findings.clipped]
    self.dropped += [(annotation.filename, text) for text in findings.dropped]
    self.remarks += [(annotation.filename, text) for text in annotation.remarks]
    if annotation.exif_orientation != 1:
      self.not_turned.append(annotation.filename)


def shard_paths(output_path: str, num_shards: int) -> list[str]:
  """Names the files of a sharded data set: the path itself, or path-00000-of-00010 and so on."""
  if num_shards < 1:
    raise InputError(f'num_shards is {num_shards}; expected at least 1')
  if num_shards == 1:
    return [output_path]
  return [f'{output_path}-{i:05d}-of-{num_shards:05d}' for i in range(num_shards)]


def write_records(
  items: Sequence[Any],
  convert: Callable[[Any], Annotation],
  output_path: str,
  *,
  num_shards: int = 1,
  num_workers: int | None = None,
  strict: bool = False,
  remarks: Sequence[tuple[str, str]] = (),
  images_per_file: int | None = None,
  encode: Callable[[Annotation], bytes] = encode_example,
) -> ConversionReport:
  """Converts items to records and writes them, round robin over the shards, in the items' order.

  Files appear under their names only when all is written: a run that fails leaves none behind, nor
  touches those of an earlier run.

  Args:
    items: whatever `convert` takes.
    convert: makes the annotation of one item, boxes as they were annotated; called in threads.
      Raises InputError, naming the file, where the input is broken.
    output_path: the record file; several shards add their number to it.
    num_shards: at least 1.
    num_workers: threads; None: one for each processor.
    strict: stop at the first broken input, instead of skipping it.
    remarks: (file, remark) to report besides those of the images.
    images_per_file: instead of num_shards: fill one file after the other; output_path then has a
      place for their number, from 0, as `voc_%03d.tfrecord`.
    encode: makes the record of an annotation.

  Returns:
    The report; it is printed, too.

  Raises:
    InputError: nothing to write; the output cannot be written; with `strict`, the first broken
      input.
  """
  if images_per_file:
    num_shards = max(1, -(-len(items) // images_per_file))
    paths = [output_path % i for i in range(num_shards)]
  else:
    paths = shard_paths(output_path, num_shards)
  report = ConversionReport(remarks=list(remarks))
  with _whole_files(paths, keep_empty=not images_per_file) as writers:
    results = _in_order(items, convert, encode, num_workers or os.cpu_count())
    # disable=None: no bar in a log file.
    bar = tqdm.tqdm(results, output_path, len(items), unit='image', disable=None)
    for item, result in bar:
      if isinstance(result, InputError):
        if strict:
          raise result
        report.skipped.append((str(item), str(result)))
        continue
      annotation, findings, serialized = result
      done = report.num_images
      writers[done // images_per_file if images_per_file else done % num_shards].write(serialized)
      report.add(annotation, findings)
    if not report.num_images:
      raise InputError(f'{output_path}: no image to write; {len(items)} inputs\n{report}')
  print(f'{output_path}\n{report}')
  return report


@contextlib.contextmanager
def _whole_files(paths, keep_empty):
  directory = os.path.dirname(paths[0])
  if directory:
    os.makedirs(directory, exist_ok=True)
  for path in paths:
    if os.path.isdir(path):
      raise InputError(f'{path}: is a folder; expected the name of a file to write')
  temporary = [f'{path}.tmp' for path in paths]
  try:
    with contextlib.ExitStack() as stack:
      yield [stack.enter_context(tf.io.TFRecordWriter(path)) for path in temporary]
    for source, path in zip(temporary, paths, strict=True):
      if keep_empty or os.path.getsize(source):
        os.replace(source, path)
  finally:
    for path in temporary:
      if os.path.exists(path):
        os.remove(path)


def _in_order(items, convert, encode, num_workers) -> Iterator[tuple[Any, Any]]:
  """Yields (item, result or InputError) in order; only a few results wait in memory at a time."""

  def work(item):
    try:
      annotation, findings = box_validation.validate_boxes(convert(item))
      return annotation, findings, encode(annotation)
    except InputError as error:
      return error

  # Threads, not processes: image codecs release the interpreter's lock, and TensorFlow does not
  # survive a fork.
  with concurrent.futures.ThreadPoolExecutor(num_workers) as executor:
    waiting = collections.deque()
    for item in items:
      waiting.append((item, executor.submit(work, item)))
      if len(waiting) >= 4 * num_workers:
        first, future = waiting.popleft()
        yield first, future.result()
    for item, future in waiting:
      yield item, future.result()
