"""Defines an annotated image, and the table of its boxes' fields that all code loops over.

To record something else of every box takes one more attribute of `Annotation` made by `_of_box`:
reading and writing, checks, filtering, merging and dropping of labels go by BOX_FIELDS.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from ssd_tf import fields
from ssd_tf.data import labeled_classes

BOX_SIDES = ('ymin', 'xmin', 'ymax', 'xmax')
_KINDS = {
  bool: 'int64_list',
  np.int64: 'int64_list',
  np.float32: 'float_list',
  str: 'bytes_list',
}


@dataclasses.dataclass(frozen=True)
class BoxField:
  """Something that an image's annotation may say of each of its boxes.

  Attributes:
    dtype: bool, np.int64, np.float32 or str.
    default: of every box where the image's annotation does not say.
    is_box_area: instead of default, it is the box's own area, px^2.
    is_always_written: records have it, the default where the annotation does not say.
    example_key: of `fields`, what training and evaluation are given; None: they do not read it.
    ssd_tensorflow_key: the feature where SSD-Tensorflow has it under another.
  """

  name: str
  key: str
  dtype: type
  default: Any = None
  is_box_area: bool = False
  is_required: bool = False
  is_always_written: bool = False
  is_amount: bool = False
  example_key: str | None = None
  ssd_tensorflow_key: str | None = None

  @property
  def kind(self) -> str:
    """The list of a tf.train.Feature that holds the values."""
    return _KINDS[self.dtype]

  def collect(self, values: Sequence[Any]) -> np.ndarray | list[str]:
    """Values of boxes as an `Annotation` has them: a list of texts, or an array."""
    return list(values) if self.dtype is str else np.asarray(values, self.dtype)


def _of_box(key, dtype, **options):
  row = {'key': f'image/object/{key}', 'dtype': dtype, **options}
  if options.get('is_required'):
    return dataclasses.field(metadata={'box': row})
  return dataclasses.field(default=None, metadata={'box': row})


def _flag(key, **options):
  return _of_box(key, bool, default=False, is_always_written=True, **options)


def _of_image(key):
  return dataclasses.field(default=None, metadata={'image': key})


@dataclasses.dataclass
class Annotation:
  """One image with its groundtruth, as a source gives it; n boxes. None means not recorded.

  Attributes:
    source_id: what the evaluation calls the image; unique in a data set.
    boxes: f32[n,4], normalized [ymin, xmin, ymax, xmax].
    class_ids: i64[n], 1..K.
    difficult: bool[n]; None means all False, as for truncated, is_crowd and group_of.
    area: f32[n] of the objects (not of their boxes, where masks are known), px^2; None: the boxes'.
    weights: f32[n]; None means all 1.
    views: n poses such as 'Frontal'.
    sources: who made each box, such as 'human' or 'pseudo'.
    scores: f32[n], of the detector that made the box, 1 for people's.
    labeled_classes: ids of the classes of which every instance in the image is annotated; None:
      see the next three, and where they are None too, all classes.
    verified_present: ids of classes known to be in the image.
    verified_absent: ids of classes known not to be in the image.
    not_exhaustive: ids of classes of which some instances may lack a box.
    human_labeled_classes: ids of the classes labeled before a detector's boxes filled others.
    remarks: what a converter has to tell about this image; reported, as the next two, not written.
    num_boxes_left_out: of the input, besides `boxes`.
    exif_orientation: of the image, if the boxes are not on the pixels as viewers turn them by it;
      see `image_files.EncodedImage`.
  """

  encoded: bytes
  format: str
  height: int
  width: int
  filename: str
  source_id: str
  boxes: np.ndarray
  class_ids: np.ndarray = _of_box(
    'class/label',
    np.int64,
    is_required=True,
    example_key=fields.GROUNDTRUTH_CLASSES,
    ssd_tensorflow_key='image/object/bbox/label',
  )
  class_names: Sequence[str] = _of_box(
    'class/text', str, is_required=True, ssd_tensorflow_key='image/object/bbox/label_text'
  )
  difficult: np.ndarray | None = _flag(
    'difficult',
    example_key=fields.GROUNDTRUTH_DIFFICULT,
    ssd_tensorflow_key='image/object/bbox/difficult',
  )
  truncated: np.ndarray | None = _flag(
    'truncated', ssd_tensorflow_key='image/object/bbox/truncated'
  )
  is_crowd: np.ndarray | None = _flag('is_crowd', example_key=fields.GROUNDTRUTH_IS_CROWD)
  group_of: np.ndarray | None = _flag('group_of', example_key=fields.GROUNDTRUTH_GROUP_OF)
  area: np.ndarray | None = _of_box(
    'area', np.float32, is_box_area=True, is_amount=True, example_key=fields.GROUNDTRUTH_AREA
  )
  weights: np.ndarray | None = _of_box(
    'weight', np.float32, default=1.0, is_amount=True, example_key=fields.GROUNDTRUTH_WEIGHTS
  )
  views: Sequence[str] | None = _of_box('view', str, default='')
  sources: Sequence[str] | None = _of_box('source', str, default='human')
  scores: np.ndarray | None = _of_box('score', np.float32, default=1.0)
  # The first key is ours; the second is the Object Detection API's and Open Images', the next two
  # are LVIS', the last is ours.
  labeled_classes: Sequence[int] | None = _of_image('image/class/labeled_classes')
  verified_present: Sequence[int] | None = _of_image('image/class/label')
  verified_absent: Sequence[int] | None = _of_image('image/neg_category_ids')
  not_exhaustive: Sequence[int] | None = _of_image('image/not_exhaustive_category_ids')
  human_labeled_classes: Sequence[int] | None = _of_image('image/class/human_labeled_classes')
  remarks: Sequence[str] = ()
  num_boxes_left_out: int = 0
  exif_orientation: int = 1

  def values(self, field: BoxField) -> Sequence[Any]:
    """What is said of each of the n boxes, or what holds where nothing is."""
    values = getattr(self, field.name)
    if values is not None:
      return values
    if field.is_box_area:
      ymin, xmin, ymax, xmax = self.boxes.reshape(-1, 4).T
      return (ymax - ymin) * (xmax - xmin) * self.height * self.width
    return [field.default] * len(self.boxes)

  def select(self, keep: np.ndarray) -> 'Annotation':
    """The annotation with the boxes where `keep` is True; classes of the image unchanged."""
    return dataclasses.replace(self, **concatenate([(self, np.flatnonzero(keep))]))

  def with_class_ids(self, names: Mapping[int, str]) -> 'Annotation':
    """Where there are class texts only, with their ids; 0 for one that is no name."""
    if len(self.class_ids):
      return self
    ids = {name: class_id for class_id, name in names.items()}
    class_ids = np.array([ids.get(text, 0) for text in self.class_names], np.int64)
    return dataclasses.replace(self, class_ids=class_ids)

  def relabeled(self, labeled: Collection[int], human: Collection[int] | None) -> 'Annotation':
    """With other labeled classes, of which people labeled some; the list decides alone then."""
    return dataclasses.replace(
      self,
      labeled_classes=sorted(labeled),
      human_labeled_classes=None if human is None else sorted(human),
      verified_present=None,
      verified_absent=None,
      not_exhaustive=None,
    )

  def labeled_class_ids(self, default: Collection[int]) -> set[int]:
    """The classes labeled in the image; `default` where the record does not say."""
    verified = None
    if self.verified_present is not None or self.verified_absent is not None:
      verified = {*(self.verified_present or ()), *(self.verified_absent or ())}
    group_of = np.zeros(len(self.boxes), bool) if self.group_of is None else self.group_of
    class_ids = np.asarray(self.class_ids, np.int64)
    return labeled_classes.labeled_class_ids(
      explicit=self.labeled_classes,
      verified=verified,
      not_exhaustive=self.not_exhaustive or (),
      group_of=class_ids[group_of].tolist(),
      boxes=class_ids.tolist(),
      default=default,
    )


# All that may be said of a box, and attribute to feature of the lists of class ids of an image.
BOX_FIELDS = tuple(
  BoxField(field.name, **field.metadata['box'])
  for field in dataclasses.fields(Annotation)
  if 'box' in field.metadata
)
IMAGE_CLASSES = {
  field.name: field.metadata['image']
  for field in dataclasses.fields(Annotation)
  if 'image' in field.metadata
}


def concatenate(parts: Sequence[tuple[Annotation, np.ndarray]]) -> dict[str, Any]:
  """Takes boxes, by row numbers, from annotations, with what at least one of them says of each."""
  boxes = [np.asarray(part.boxes, np.float32).reshape(-1, 4)[rows] for part, rows in parts]
  found = {'boxes': np.concatenate(boxes)}
  for field in BOX_FIELDS:
    if all(getattr(part, field.name) is None for part, _ in parts):
      continue
    chosen = []
    for part, rows in parts:
      values = part.values(field)
      chosen += [values[row] for row in rows]
    found[field.name] = field.collect(chosen)
  return found
