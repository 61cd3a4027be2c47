"""Formats the findings of a diagnosis as text and as JSON."""

import collections
from collections.abc import Sequence
from typing import Any

from ssd_tf.diagnosis.finding import Finding, Severity

_ORDER = (*Severity,)  # Worst first.


def has_errors(findings: Sequence[Finding]) -> bool:
  """Whether there is an error among findings."""
  return any(finding.severity is Severity.ERROR for finding in findings)


def as_text(findings: Sequence[Finding]) -> str:
  """Writes findings by group, worst first, groups and findings alike; then a line with counts."""
  groups = collections.defaultdict(list)
  for finding in sorted(findings, key=lambda finding: _ORDER.index(finding.severity)):
    groups[finding.group].append(finding)
  lines = []
  for group, found in groups.items():
    lines.append(group)
    for finding in found:
      lines.append(f'  {finding.severity.value}: {finding.check}: {finding.what}')
      if finding.remedy:
        lines.append(f'    -> {finding.remedy}')
    lines.append('')
  counts = (f'{n} {name}{"" if n == 1 else "s"}' for name, n in _counts(findings).items())
  return '\n'.join([*lines, ', '.join(counts)])


def as_dict(findings: Sequence[Finding]) -> dict[str, Any]:
  """Counts by severity, and findings in their order, for a JSON file."""
  return {
    'counts': _counts(findings),
    'findings': [
      {'group': finding.group, **vars(finding), 'severity': finding.severity.value}
      for finding in findings
    ],
  }


def _counts(findings):
  """The number of each severity, worst first."""
  counts = collections.Counter(finding.severity for finding in findings)
  return {severity.value: counts[severity] for severity in _ORDER}
