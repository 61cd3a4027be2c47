"""Projects with one fault each, for the tests of a diagnosis."""

import dataclasses

import numpy as np
import tiny_project

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.diagnosis.project import Project


def images(num_images, seed=0, **changes):
  """Annotated images with 1 or 2 boxes each; the odd ones have 2."""
  rng = np.random.default_rng(seed)
  found = [tiny_project.annotation(i, rng, num_boxes=1 + i % 2) for i in range(num_images)]
  return [
    dataclasses.replace(image, source_id=f'{seed}-{i}', **changes) for i, image in enumerate(found)
  ]


def project(folder, train=None, evaluation=None, overrides=(), **options):
  """The tiny project with other records, or another config."""
  tiny_project.make(folder)
  for name, given in (('train', train), ('eval', evaluation)):
    if given is not None:
      tiny_project.write_records(folder / f'{name}.record', given)
  path = str(folder / 'tiny.config')
  return Project(Pipeline.load(path, overrides), **options)


def only(findings, check):
  """The one finding of a check."""
  found = [finding for finding in findings if finding.check == check]
  assert len(found) == 1, [*findings]
  return found[0]
