"""Reports what a checkpoint gave to a model: a table that accounts for every variable."""

import dataclasses
import re
from collections.abc import Iterator

from ssd_tf.pretrained.checkpoint_file import VALUE
from ssd_tf.pretrained.layer_groups import GROUPS, group_of

# Kinds of faults are shown as far as there is room for them; all of them are in `lines`.
_MAX_LINES_OF_A_KIND = 3


@dataclasses.dataclass(frozen=True)
class LoadReport:
  """What a checkpoint gave to a model, by variable path of the model.

  Attributes:
    kind: one of `checkpoint_kind`.
    loaded: path -> the checkpoint's name for it.
    mapped: those of `loaded` of which only the rows of some classes were taken.
    skipped: path -> why its value does not fit (shapes).
    missing: path -> the name that the checkpoint lacks.
    left: paths of the parts that were not asked for, which stay as they are.
    unused: names in the checkpoint that no variable of the model has.
    backbone_share: share of the backbone's values that loaded, 0 to 1.
    step: that the checkpoint was written at; None where it does not say.
    remedy: which config fits the checkpoint, if it is of another network; else ''.
  """

  path: str
  kind: str
  loaded: dict[str, str]
  mapped: list[str]
  skipped: dict[str, str]
  missing: dict[str, str]
  left: list[str]
  unused: list[str]
  backbone_share: float
  step: int | None = None
  remedy: str = ''

  def table(self) -> str:
    """The report as at most 15 lines: counts, then what did not load, alike ones in one line."""
    lines = [
      f'{len(self.loaded)} variables loaded, {len(self.skipped)} skipped, {len(self.missing)} '
      f'missing in the checkpoint, {len(self.unused)} unused of it; '
      f'{self.backbone_share:.1%} of the backbone loaded',
      f'  {"part":<20}  loaded  skipped  missing  left as it is',
    ]
    kinds = (self.loaded, self.skipped, self.missing, self.left)
    for group in GROUPS:
      counts = [sum(group_of(path) == group for path in kind) for kind in kinds]
      if any(counts):
        lines.append(f'  {group:<20}  {counts[0]:6}  {counts[1]:7}  {counts[2]:7}  {counts[3]:4}')
    lines += _alike('skipped', {path: f': {why}' for path, why in self.skipped.items()})
    lines += _alike('missing', {path: f' ({name})' for path, name in self.missing.items()})
    lines += _alike('unused', dict.fromkeys(self.unused, ''))
    return '\n'.join(lines)

  def faults(self, consequence: str = '') -> str:
    """One line: how many variables did not load, and the first of them."""
    faults = {**self.skipped, **dict.fromkeys(self.missing, 'is missing in the checkpoint')}
    name = min(faults, key=lambda name: ('kernel' not in name, name))
    return (
      f'{self.path}: {len(faults)} variables of the model did not load{consequence}; the first: '
      f'{name}: {faults[name]}{self.remedy and f"; {self.remedy}"}'
    )

  def lines(self) -> Iterator[str]:
    """Every variable in a line of its own."""
    for path, name in sorted(self.loaded.items()):
      rows = '  (rows of the mapped classes)' if path in self.mapped else ''
      yield f'loaded   {path} <- {name}{rows}'
    for path, why in sorted(self.skipped.items()):
      yield f'skipped  {path}: {why}'
    for path, name in sorted(self.missing.items()):
      yield f'missing  {path} ({name})'
    for path in sorted(self.left):
      yield f'left     {path}'
    for name in sorted(self.unused):
      yield f'unused   {name}'


def _alike(kind, details):
  """Lines for names that differ in numbers and in the last part only: the first, and a count."""
  alike = {}
  for name in sorted(details, key=lambda name: ('kernel' not in name, name)):
    layer = name.removesuffix(VALUE).rpartition('/')[0] or name
    alike.setdefault(re.sub(r'\d+', '*', layer), []).append(name)
  lines = []
  for names in list(alike.values())[:_MAX_LINES_OF_A_KIND]:
    more = f', and {len(names) - 1} like it' if len(names) > 1 else ''
    lines.append(f'  {kind:<7}  {names[0]}{details[names[0]]}{more}')
  others = list(alike.values())[_MAX_LINES_OF_A_KIND:]
  if others:
    lines[-1] += f'; {sum(map(len, others))} others'
  return lines
