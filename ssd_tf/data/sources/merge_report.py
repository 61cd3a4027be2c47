"""Reports a merge: per source, per class, names that clash, images that occur twice."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

_MAX_LISTED = 10


@dataclasses.dataclass
class SourceClass:
  """A class of a source, and what it becomes in the merged set; None: it is dropped.

  Attributes:
    kept: its boxes that have an area; of images that another source has too, not all are written.
    invalid: its boxes without area, inverted, not finite or outside, never written.
    labeled_images: images labeled for it.
    not_labeled: kept boxes in images that are not labeled for it, first in first_not_labeled.
  """

  name: str
  becomes: str | None
  kept: int = 0
  dropped: int = 0
  invalid: int = 0
  labeled_images: int = 0
  not_labeled: int = 0
  first_not_labeled: str = ''


@dataclasses.dataclass
class SourceReport:
  """A source: its images that can be read, those that say what they are labeled for, oddities."""

  name: str
  type: str
  classes: list[SourceClass]
  images: int = 0
  self_described: int = 0
  skipped: list[str] = dataclasses.field(default_factory=list)
  remarks: list[str] = dataclasses.field(default_factory=list)

  @property
  def renamed(self) -> int:
    """Boxes kept under another name."""
    return sum(entry.kept for entry in self.classes if entry.becomes != entry.name)

  def lines(self) -> list[str]:
    """The source as text."""
    kept, dropped = (sum(getattr(c, key) for c in self.classes) for key in ('kept', 'dropped'))
    found = [
      f'{self.name} ({self.type}): {self.images} images ({self.self_described} say themselves what '
      f'they are labeled for), {kept} boxes kept ({self.renamed} renamed), {dropped} dropped'
    ]
    for entry in self.classes:
      if entry.becomes is None:
        found.append(f'  {entry.name}: {entry.dropped} boxes dropped')
        continue
      onto = '' if entry.becomes == entry.name else f' -> {entry.becomes}'
      invalid = f' and {entry.invalid} of no use' if entry.invalid else ''
      found.append(
        f'  {entry.name}{onto}: {entry.kept} boxes{invalid}, '
        f'labeled in {entry.labeled_images} images'
      )
      if entry.not_labeled:
        found.append(
          f'    {entry.not_labeled} of the boxes are in images not labeled for it, the first of '
          f'them {entry.first_not_labeled}'
        )
    found += _listed('remarks', self.remarks, indent=2)
    return found + _listed('images skipped', self.skipped, indent=2)


@dataclasses.dataclass
class MergedClass:
  """A class of the merged set as written; sources: their names to their names of the class."""

  id: int
  name: str
  sources: dict[str, list[str]] = dataclasses.field(default_factory=dict)
  boxes: int = 0
  labeled_images: int = 0

  def __str__(self):
    origins = [
      source if names == [self.name] else f'{source} ({", ".join(names)})'
      for source, names in self.sources.items()
    ]
    return (
      f'{self.id} {self.name}: {self.boxes} boxes, labeled in {self.labeled_images} images, from '
      f'{", ".join(origins) or "no source"}'
    )


@dataclasses.dataclass(frozen=True)
class SimilarNames:
  """Two classes that may be one, and what to add to 'rename' of which sources if they are."""

  name: str
  like: str
  sources: Sequence[str]
  suggestion: Mapping[str, Mapping[str, str]]

  def __str__(self):
    places = '; '.join(
      f'in {source}, "rename": {{{", ".join(f"{old!r}: {new!r}" for old, new in pairs.items())}}}'
      for source, pairs in self.suggestion.items()
    ).replace("'", '"')
    return f'{self.name!r} is like {self.like!r}; if they are one class: {places}'


@dataclasses.dataclass
class DuplicateReport:
  """Images of which the same bytes occur more than once; each is written once.

  Attributes:
    within: 'first = other' of each further one in the same source.
    across: 'first = other' of each further one in another source.
    labeled_in_several: (image, class) pairs that more than one occurrence is labeled for.
    conflicts: those of them in which the boxes differ; the first source's are written.
    boxes_left_out: boxes of the further occurrences that were not taken.
    examples: the first conflicts.
  """

  within: list[str] = dataclasses.field(default_factory=list)
  across: list[str] = dataclasses.field(default_factory=list)
  labeled_in_several: int = 0
  conflicts: int = 0
  boxes_left_out: int = 0
  examples: list[str] = dataclasses.field(default_factory=list)

  def lines(self) -> list[str]:
    """Them as text."""
    found = _listed('the same image twice in one source', self.within)
    found += _listed('the same image in several sources', self.across)
    if self.within or self.across:
      found.append(
        f'classes labeled more than once in such an image: {self.labeled_in_several}, with '
        f'different boxes: {self.conflicts}; boxes left out: {self.boxes_left_out}'
      )
      found += [f'  {example}' for example in self.examples]
    return found


@dataclasses.dataclass
class MergeReport:
  """A merge.

  Attributes:
    same_name: classes that come from several sources: they are one.
    renamed_onto: a sentence for each rename onto a name that another class has.
    similar_names: classes whose names differ by case, plural or separator only.
    images: written, as are boxes and images_without_boxes.
  """

  sources: list[SourceReport]
  classes: list[MergedClass]
  same_name: list[str] = dataclasses.field(default_factory=list)
  renamed_onto: list[str] = dataclasses.field(default_factory=list)
  similar_names: list[SimilarNames] = dataclasses.field(default_factory=list)
  duplicates: DuplicateReport = dataclasses.field(default_factory=DuplicateReport)
  remarks: list[str] = dataclasses.field(default_factory=list)
  images: int = 0
  boxes: int = 0
  images_without_boxes: int = 0

  def __str__(self):
    lines = [f'sources: {len(self.sources)}']
    lines += [f'  {line}' for source in self.sources for line in source.lines()]
    lines += _listed('classes', self.classes, limit=None)
    lines += _listed('classes of one name in several sources: merged', self.same_name)
    lines += _listed('renamed onto a name that another class has', self.renamed_onto)
    lines += _listed('names that may mean the same class', self.similar_names)
    lines += self.duplicates.lines()
    lines += _listed('remarks', self.remarks)
    return '\n'.join(lines)

  def as_dict(self) -> dict[str, Any]:
    """Everything, for a JSON file."""
    return dataclasses.asdict(self)


def find_similar_names(classes: Sequence[MergedClass]) -> list[SimilarNames]:
  """Finds classes whose names are the same but for case, plural and separators."""
  first_of, found = {}, []
  for entry in classes:
    forms = _forms(entry.name)
    like = next((first_of[form] for form in forms if form in first_of), None)
    if like is not None:
      suggestion = {source: dict.fromkeys(names, like) for source, names in entry.sources.items()}
      found.append(SimilarNames(entry.name, like, list(entry.sources), suggestion))
    for form in forms:
      first_of.setdefault(form, entry.name)
  return found


def _forms(name):
  """The name without case and separators, and what it may be the plural of."""
  plain = re.sub(r'[\W_]+', '', name.casefold())
  singular = [plain.removesuffix('s'), plain.removesuffix('es')]
  if plain.endswith('ies'):
    singular.append(f'{plain[:-3]}y')
  return [form for form in dict.fromkeys((plain, *singular)) if form]


def _listed(title, entries, *, indent=0, limit=_MAX_LISTED):
  """A heading with its entries; nothing where there is none."""
  if not entries:
    return []
  lines = [f'{title}: {len(entries)}', *(f'  {entry}' for entry in entries[:limit])]
  if limit is not None and len(entries) > limit:
    lines.append(f'  and {len(entries) - limit} more')
  return [' ' * indent + line for line in lines]
