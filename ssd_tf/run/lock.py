"""Allows one training at a time in a model_dir."""

import contextlib
import os
from collections.abc import Callable, Iterator

from ssd_tf.errors import InputError
from ssd_tf.files import file_lock

_NAME = '.training_lock'


@contextlib.contextmanager
def hold(model_dir: str) -> Iterator[Callable[[], None]]:
  """Keeps other trainings out of a folder, until left or until the process ends, however it does.

  Both would write the same checkpoints and logs. The file `.training_lock` in the folder, which is
  made if it is not there, tells who holds it.

  Yields:
    What checks that it is still the same folder, before something is written to it: raises an
    InputError if it was deleted, or belongs to another training now. Else half of a training would
    lie there as if it were a whole one, or beside the files of another.
  """
  os.makedirs(model_dir, exist_ok=True)
  path = os.path.join(model_dir, _NAME)

  def check():
    if not file_lock.is_held(path):
      raise deleted(model_dir)

  busy = f'model_dir: another training is at work in {model_dir}'
  with file_lock.hold(path, busy, 'give another --model_dir'):
    yield check


def deleted(model_dir: str) -> InputError:
  """The error that ends a training whose folder was deleted."""
  return InputError(
    f'model_dir: {model_dir} was deleted, emptied or replaced while the training ran, so the '
    'training ended and wrote nothing more there; start it again, or move the folder back and '
    'resume'
  )
