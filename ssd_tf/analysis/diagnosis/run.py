"""A diagnosis: every check on one project, and what they found.

A check is a function (project) -> findings. What it cannot look at, because the config is at fault,
raises InputError in it: that is told, and the other checks go on.
"""

from collections.abc import Callable, Iterable, Sequence

from ssd_tf.analysis.diagnosis.finding import Finding
from ssd_tf.analysis.diagnosis.project import Project

Check = Callable[[Project], Iterable[Finding]]

# What is looked at -> the checks, in the order of the report.
GROUPS: dict[str, Sequence[Check]] = {
  'config': (),
  'data': (),
  'anchors': (),
  'start': (),
  'schedule': (),
  'evaluation': (),
  'model': (),
}
