"""Any number in any field of a config: the check lets it pass, or tells of it by its path."""

import random
import resource

import pytest
import tiny_project

from ssd_tf import builders
from ssd_tf.config import schema
from ssd_tf.config.pipeline import Pipeline, PipelineConfig
from ssd_tf.errors import InputError

ROOT = PipelineConfig
_MAX_BYTES = 3 << 30  # That the whole file may take, TensorFlow's own included.


def places(descriptor, path=()):
  """Yields the field descriptors that lead from the whole config to each number acted on."""
  for field in descriptor.fields:
    if schema.status_of(field).kind != schema.WORKS:
      continue
    if field.cpp_type in schema.NUMBER_TYPES:
      yield (*path, field)
    elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
      yield from places(field.message_type, (*path, field))


def huge(field):
  sizes = {
    field.CPPTYPE_INT32: 2**31 - 1,
    field.CPPTYPE_UINT32: 2**32 - 1,
    field.CPPTYPE_FLOAT: 1e38,
  }
  return sizes[field.cpp_type]


def numbers(field):
  """What to try in a field."""
  yield from (0, huge(field))
  if field.cpp_type != field.CPPTYPE_UINT32:
    yield -1
  if field.cpp_type == field.CPPTYPE_FLOAT:
    yield from (float('nan'), float('inf'), 1e-38)


def put(message, fields, value):
  """Sets a number deep within a message; returns its path."""
  names = []
  *parents, leaf = fields
  for field in parents:
    child = getattr(message, field.name)
    if hasattr(child, 'add'):
      if not child:
        child.add()
      child = child[0]
    else:
      child.SetInParent()
    names.append(f'{field.name}[0]' if hasattr(getattr(message, field.name), 'add') else field.name)
    message = child
  if hasattr(getattr(message, leaf.name), 'append'):
    getattr(message, leaf.name)[:] = [value]
    return '.'.join([*names, f'{leaf.name}[0]'])
  setattr(message, leaf.name, value)
  return '.'.join([*names, leaf.name])


CASES = [
  pytest.param(fields, value, id=f'{".".join(field.name for field in fields)}={value:g}')
  for fields in places(ROOT.DESCRIPTOR)
  for value in numbers(fields[-1])
]
FEW = random.Random(0).sample(CASES, 150)


@pytest.fixture(scope='module')
def project(tmp_path_factory):
  """With a bound on memory: what wants more than that fails, and takes nothing from others."""
  folder = tmp_path_factory.mktemp('project')
  tiny_project.make(folder)
  loaded = Pipeline.load(folder / 'tiny.config').config
  builders.build_detector(loaded.model, is_training=True)  # So that TensorFlow has what it needs.
  with open('/proc/self/statm') as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
  limits = resource.getrlimit(resource.RLIMIT_AS)
  resource.setrlimit(resource.RLIMIT_AS, (used + _MAX_BYTES, limits[1]))
  yield folder
  resource.setrlimit(resource.RLIMIT_AS, limits)


def check(project, fields, value, *, building):
  path = str(project / 'tiny.config')
  loaded = Pipeline.load(path).config
  place = put(loaded, fields, value)
  is_wrong = value not in schema.range_of(fields[-1])
  try:
    builders.check_config(Pipeline(loaded, path))
    assert not is_wrong
    if building:
      builders.build_detector(loaded.model, is_training=True)
  except InputError as error:
    lines = str(error).split('\n')
    assert not is_wrong or f'{path}: {place}: is ' in str(error)
    assert sum(place in line for line in lines) <= 1 or not is_wrong  # It is told once.


@pytest.mark.parametrize(('fields', 'value'), FEW)
def test_some_numbers(project, fields, value):
  check(project, fields, value, building=False)


@pytest.mark.slow
@pytest.mark.parametrize(('fields', 'value'), CASES)
def test_all_numbers(project, fields, value):
  # Of the rest, all that is made before the first record is made by the check.
  check(project, fields, value, building=fields[0].name == 'model')
