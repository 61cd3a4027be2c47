"""Compares the class names of a source with those of the label map."""

import difflib
from collections.abc import Mapping

from ssd_tf.errors import InputError


def require_known(found: Mapping[str, str], name_to_id: Mapping[str, int], elsewhere: str) -> None:
  """Refuses class names that the label map lacks, all of them at once.

  Args:
    found: for each name that occurs, how often and where, such as '3 boxes, first in a.xml'.
    elsewhere: what else can be fixed, such as 'the XML files'.
  """
  lines = []
  for name, occurrence in found.items():
    if name not in name_to_id:
      close = difflib.get_close_matches(name, name_to_id, n=1, cutoff=0.75)
      hint = f'; did you mean {close[0]!r}?' if close else ''
      lines.append(f'  {name!r}: {occurrence}{hint}')
  if lines:
    raise InputError(
      f'{len(lines)} class names are not in the label map, which has {", ".join(name_to_id)}; '
      f'add them there or fix {elsewhere}; nothing was written:\n' + '\n'.join(lines)
    )
