"""Writes TFRecord files from annotated images: in parallel, in order, whole or not at all."""

import collections
import concurrent.futures
import dataclasses
import os
from collections.abc import Callable, Iterator
from typing import Any

import tqdm

from ssd_tf.data import box_validation, record_output
from ssd_tf.data.annotation import Annotation
from ssd_tf.data.source import Source
from ssd_tf.data.tf_example import encode_example
from ssd_tf.errors import InputError


@dataclasses.dataclass
class ConversionReport:
  """What a conversion wrote, fixed and left out.

  Attributes:
    num_input_boxes: of the images written; those that were left out, too.
    clipped: (file, box) of each box that reached outside its image.
    dropped: (file, box and reason) of each box without area, inverted or wholly outside.
    not_turned: file of each image written whose EXIF orientation was not applied.
    source_ids: of the images written, each once.
    repeated: source_id of each image written after another of the same one.
    skipped: (item, reason) of each input that could not be used; the reason names the file.
    remarks: (file, remark) of whatever else a source found odd.
    replaced: files of an earlier conversion of the same name that were removed.
  """

  num_images: int = 0
  num_boxes: int = 0
  num_images_without_objects: int = 0
  num_input_boxes: int = 0
  clipped: list[tuple[str, str]] = dataclasses.field(default_factory=list)
  dropped: list[tuple[str, str]] = dataclasses.field(default_factory=list)
  not_turned: list[str] = dataclasses.field(default_factory=list)
  source_ids: set[str] = dataclasses.field(default_factory=set, repr=False)
  repeated: list[str] = dataclasses.field(default_factory=list)
  skipped: list[tuple[str, str]] = dataclasses.field(default_factory=list)
  remarks: list[tuple[str, str]] = dataclasses.field(default_factory=list)
  replaced: list[str] = dataclasses.field(default_factory=list)

  def __str__(self):
    lines = [
      f'images written: {self.num_images} ({self.num_images_without_objects} without objects)',
      f'boxes written: {self.num_boxes}',
    ]
    for title, entries in (
      ('boxes clipped to the image', self.clipped),
      ('boxes dropped', self.dropped),
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
    if self.repeated:
      lines.append(
        f'warning: images written under a source_id that another has: {len(self.repeated)}, the '
        f'first is {self.repeated[0]}; training and evaluation count each. If a list names an '
        'image twice, remove one'
      )
    if self.replaced:
      lines.append(
        f'files of the earlier data set of this name removed: {len(self.replaced)} (from '
        f'{self.replaced[0]} to {self.replaced[-1]})'
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
    self.num_input_boxes += (
      len(annotation.boxes) + len(findings.dropped) + annotation.num_boxes_left_out
    )
    self.clipped += [(annotation.filename, text) for text in findings.clipped]
    self.dropped += [(annotation.filename, text) for text in findings.dropped]
    self.remarks += [(annotation.filename, text) for text in annotation.remarks]
    if annotation.exif_orientation != 1:
      self.not_turned.append(annotation.filename)
    if annotation.source_id in self.source_ids:
      self.repeated.append(annotation.source_id)
    self.source_ids.add(annotation.source_id)


def write_records(
  source: Source,
  output_path: str,
  *,
  num_shards: int = 1,
  num_workers: int | None = None,
  strict: bool = False,
  images_per_file: int | None = None,
  encode: Callable[[Annotation], bytes] = encode_example,
  show: Callable[[str], None] = print,
) -> ConversionReport:
  """Writes a source's images as records, round robin over the shards, in the items' order.

  Files appear under their names only when all is written, and replace what an earlier run wrote
  under the same name: a run that fails leaves none behind, nor touches earlier ones.

  Args:
    num_workers: threads; None: one for each processor.
    strict: stop at the first broken input, instead of skipping it.
    images_per_file: instead of num_shards: fill one file after the other, voc_000.tfrecord and so
      on for the output_path voc.tfrecord.
    show: is given the report as text, below the output_path.

  Raises:
    InputError: nothing to write, or no box though the input has some; the output cannot be
      written, or another process is writing it; with `strict`, the first broken input.
  """
  if images_per_file:
    output = record_output.numbered(output_path, max(1, -(-len(source.items) // images_per_file)))
  else:
    output = record_output.sharded(output_path, num_shards)
  report = ConversionReport(remarks=list(source.remarks))
  with output.open() as (write, removed):
    results = _in_order(source, encode, num_workers or os.cpu_count())
    # disable=None: no bar in a log file.
    bar = tqdm.tqdm(results, output_path, len(source.items), unit='image', disable=None)
    for item, result in bar:
      if isinstance(result, InputError):
        if strict:
          raise result
        report.skipped.append((str(item), str(result)))
        continue
      annotation, findings, serialized = result
      done = report.num_images
      write(done // images_per_file if images_per_file else done % num_shards, serialized)
      report.add(annotation, findings)
    _require_content(report, output_path, len(source.items))
  report.replaced = removed
  show(f'{output_path}\n{report}')
  return report


def _require_content(report, output_path, num_inputs):
  if not report.num_images:
    raise InputError(f'{output_path}: no image to write; {num_inputs} inputs\n{report}')
  # Of a file that was skipped it is not known how many boxes it has.
  if not report.num_boxes and (report.num_input_boxes or report.skipped):
    raise InputError(
      f'{output_path}: no box to write: {report.num_input_boxes} boxes of the input were left out, '
      f'{len(report.skipped)} files skipped; no file is written\n{report}'
    )


def convert(
  item: Any, read: Callable[[Any], Annotation], encode: Callable[[Annotation], bytes]
) -> tuple[Annotation, box_validation.BoxFindings, bytes] | InputError:
  """Makes the record of one image, with its valid boxes and findings; or says why it is broken."""
  try:
    annotation, findings = box_validation.validate_boxes(read(item))
    return annotation, findings, encode(annotation)
  except InputError as error:
    return error


def _in_order(source, encode, num_workers) -> Iterator[tuple[Any, Any]]:
  """Yields (item, what `convert` returns) in order; only a few wait in memory at a time."""
  # Threads, not processes: image codecs release the interpreter's lock, and TensorFlow does not
  # survive a fork.
  with concurrent.futures.ThreadPoolExecutor(num_workers) as executor:
    waiting = collections.deque()
    for item in source.items:
      waiting.append((item, executor.submit(convert, item, source.read, encode)))
      if len(waiting) >= 4 * num_workers:
        first, future = waiting.popleft()
        yield first, future.result()
    for item, future in waiting:
      yield item, future.result()
