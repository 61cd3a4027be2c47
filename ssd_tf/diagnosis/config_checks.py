"""Checks the config itself, by what a training would refuse or warn of."""

from collections.abc import Iterator

from ssd_tf.diagnosis.finding import Finding
from ssd_tf.diagnosis.project import Project


def check(project: Project) -> Iterator[Finding]:
  """What a training by the config is refused for; as notes what it would warn of."""
  for refusal in project.refusals:
    yield Finding.error(
      'config',
      f'A training is refused: {refusal}.',
      f'Correct {refusal.split(": ")[0]} in {project.pipeline.path}, or by --config_override.',
      {'field': refusal.split(': ')[0]},
    )
  for warning in project.config_warnings:
    yield Finding.note('config', warning)
