"""The wording of messages, as golden text; elsewhere tests look for fields and numbers.

After a change of wording, `PYTHONPATH=.:tests python tests/test_messages.py` writes
tests/testdata/messages/ anew: read the difference before you commit it.
"""

import contextlib
import os
import pathlib
import tempfile

import pytest
import tiny_project

from ssd_tf import builders
from ssd_tf.config import label_map
from ssd_tf.config.checks.fault import refuse
from ssd_tf.config.checks.whole_config import find_faults
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError

GOLDEN = tiny_project.TESTDATA / 'messages'
RATE = 'train_config.optimizer.momentum_optimizer.learning_rate'


def replace(name, old, new):
  """Changes a file of the tiny project, which is the working folder."""
  path = pathlib.Path(name)
  text = path.read_text()
  assert text.count(old) == 1
  path.write_text(text.replace(old, new))


def a_misspelled_field():
  replace('tiny.config', 'num_steps: 8', 'num_stepz: 8')
  Pipeline.load('tiny.config')


def a_misspelled_field_of_an_override():
  Pipeline.load('tiny.config', ['train_config.num_stepz=8'])


def an_override_without_a_value():
  Pipeline.load('tiny.config', ['train_config.num_steps'])


def a_value_of_another_kind():
  Pipeline.load('tiny.config', ['train_config.num_steps=many'])


def no_records():
  pathlib.Path('train.record').unlink()
  refuse(find_faults(Pipeline.load('tiny.config')), 'tiny.config')


def num_classes_below_the_label_map():
  refuse(find_faults(Pipeline.load('tiny.config', ['model.ssd.num_classes=2'])), 'tiny.config')


def numbers_out_of_range():
  changes = [
    'train_config.batch_size=0',
    f'{RATE}={{constant_learning_rate {{learning_rate: -1}}}}',
  ]
  builders.require_supported(Pipeline.load('tiny.config', changes).config)


def a_field_that_is_refused():
  changes = ['eval_config.eval_instance_masks=true']
  builders.require_supported(Pipeline.load('tiny.config', changes).config)


def one_id_for_two_names():
  label_map.parse("item { id: 1 name: 'a' }\nitem { id: 1 name: 'b' }", 'label_map.pbtxt')


def an_id_of_0():
  label_map.parse("item { id: 0 name: 'a' }", 'label_map.pbtxt')


FAULTS = (
  *(a_misspelled_field, a_misspelled_field_of_an_override, an_override_without_a_value),
  *(a_value_of_another_kind, no_records, num_classes_below_the_label_map, numbers_out_of_range),
  *(a_field_that_is_refused, one_id_for_two_names, an_id_of_0),
)


def message_of(fault, folder):
  """What the fault ends in, in a new tiny project in the folder."""
  tiny_project.make(pathlib.Path(folder))
  with working_folder(folder):
    try:
      fault()
    except InputError as error:
      return f'{error}\n'
  raise AssertionError(f'{fault.__name__}: nothing was refused')


@contextlib.contextmanager
def working_folder(folder):
  """As contextlib.chdir, which there is from Python 3.11 on."""
  before = os.getcwd()
  os.chdir(folder)
  try:
    yield
  finally:
    os.chdir(before)


@pytest.mark.parametrize('fault', FAULTS, ids=lambda fault: fault.__name__)
def test_message(fault, tmp_path):
  assert message_of(fault, tmp_path) == (GOLDEN / f'{fault.__name__}.txt').read_text()


def test_every_golden_message_is_provoked():
  assert {path.stem for path in GOLDEN.iterdir()} == {fault.__name__ for fault in FAULTS}


if __name__ == '__main__':
  for each in FAULTS:
    with tempfile.TemporaryDirectory() as place:
      (GOLDEN / f'{each.__name__}.txt').write_text(message_of(each, place))
