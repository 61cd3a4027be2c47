"""What a diagnosis found, as text and as JSON."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ssd_tf.diagnosis.finding import Finding, Severity

_ORDER = (*Severity,)  # Worst first.

Findings = Mapping[str, Sequence[Finding]]


def count_findings(findings: Findings) -> dict[Severity, int]:
  """Counts findings.

  Args:
    findings: by group.

  Returns:
    The number of each severity, worst first.
  """
  counts = collections.Counter(f.severity for group in findings.values() for f in group)
  return {severity: counts[severity] for severity in _ORDER}


def has_errors(findings: Findings) -> bool:
  """Whether there is an error among findings by group."""
  return count_findings(findings)[Severity.ERROR] > 0


def as_text(findings: Findings) -> str:
  """Writes findings by group, worst first, groups and findings alike; then a line with counts.

  Args:
    findings: by group; a group without any is left out.

  Returns:
    Lines.
  """
  lines = []
  groups = [(group, sorted(found, key=_rank)) for group, found in findings.items() if found]
  for group, found in sorted(groups, key=lambda item: _rank(item[1][0])):
    lines.append(group)
    for finding in found:
      lines.append(f'  {finding.severity.value}: {finding.check}: {finding.what}')
      if finding.remedy:
        lines.append(f'    -> {finding.remedy}')
    lines.append('')
  lines.append(counts_line(findings))
  return '\n'.join(lines)


def counts_line(findings: Findings) -> str:
  """E.g. '2 errors, 1 warning, 0 notes'."""
  counts = count_findings(findings)
  return ', '.join(f'{n} {severity.value}{"" if n == 1 else "s"}' for severity, n in counts.items())


def as_dict(findings: Findings, config_path: str) -> dict[str, Any]:
  """Everything, for a JSON file.

  Args:
    findings: by group.
    config_path: that was diagnosed.

  Returns:
    config, counts by severity, and findings in the order of the groups.
  """
  return {
    'config': config_path,
    'counts': {severity.value: n for severity, n in count_findings(findings).items()},
    'findings': [
      {
        'group': group,
        'check': finding.check,
        'severity': finding.severity.value,
        'what': finding.what,
        'remedy': finding.remedy,
        'numbers': _plain(finding.numbers),
      }
      for group, found in findings.items()
      for finding in found
    ],
  }


def _rank(finding):
  return _ORDER.index(finding.severity)


def _plain(value):
  """What JSON knows: no arrays, and null for what is not finite."""
  if isinstance(value, Mapping):
    return {str(key): _plain(item) for key, item in value.items()}
  if isinstance(value, np.ndarray | np.generic):
    return _plain(value.tolist())
  if isinstance(value, list | tuple):
    return [_plain(item) for item in value]
  if isinstance(value, float) and not np.isfinite(value):
    return None
  return value
