"""Defines a data set whose images are read one by one, which every format becomes."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ssd_tf.data.annotation import Annotation


@dataclasses.dataclass(frozen=True)
class Source:
  """A data set, opened; one of `sources.formats` can be pickled, and so can each of its items.

  Attributes:
    items: one for each image, small: what `read` takes; `str()` of one names it.
    read: item -> annotation, boxes as they were annotated, class ids by `names`; in any order, by
      several threads or processes. Raises InputError, naming the file, where the input is broken.
    remarks: (file, remark) of irregularities of the data set as a whole.
    files: that are read besides the images, and must not be overwritten meanwhile.
  """

  names: Mapping[int, str]
  items: Sequence[Any]
  read: Callable[[Any], Annotation]
  remarks: Sequence[tuple[str, str]] = ()
  files: Sequence[str] = ()

  @property
  def name_to_id(self) -> dict[str, int]:
    """Its classes, name to id."""
    return {name: class_id for class_id, name in self.names.items()}
