"""One training at a time in a model_dir."""

import contextlib
import functools
import inspect
import os
from collections.abc import Callable, Iterator

from ssd_tf.errors import InputError
from ssd_tf.files import file_lock
from ssd_tf.run.checkpoints import telling_last_checkpoint

_NAME = '.training_lock'


def one_at_a_time(train: Callable) -> Callable:
  """Decorates what trains in its argument `model_dir`: a second one beside it is refused.

  Both would write the same checkpoints and logs: as when a sweep whose terminal was lost is started
  again while its training goes on.

  Args:
    train: with a parameter `model_dir`; the folder is made.

  Returns:
    The same, which may raise InputError: see `hold`, and `checkpoints.telling_last_checkpoint`.
  """
  parameters = inspect.signature(train)

  @functools.wraps(train)
  def train_alone(*args, **kwargs):
    model_dir = parameters.bind(*args, **kwargs).arguments['model_dir']
    with telling_last_checkpoint(model_dir), hold(model_dir):
      return train(*args, **kwargs)

  return train_alone


@contextlib.contextmanager
def hold(model_dir: str) -> Iterator[None]:
  """Keeps other trainings out of a folder, until left or until the process ends, however it does.

  Args:
    model_dir: is made if it is not there; the file `.training_lock` in it tells who holds it.

  Raises:
    InputError: another training holds it.
  """
  os.makedirs(model_dir, exist_ok=True)
  path = os.path.join(model_dir, _NAME)
  busy = f'model_dir: another training is at work in {model_dir}'
  with file_lock.hold(path, busy, 'give another --model_dir'):
    yield


def check_held(model_dir: str) -> None:
  """Checks that a folder is still the one that `hold` was entered for.

  What is written to a path makes its folders where they are missing: half of a training would lie
  there as if it were a whole one, or beside the files of another.

  Args:
    model_dir: as `hold` was given it.

  Raises:
    InputError: it was deleted, or belongs to another training now.
  """
  if not file_lock.is_held(os.path.join(model_dir, _NAME)):
    raise deleted(model_dir)


def deleted(model_dir: str) -> InputError:
  """The error that ends a training whose folder was deleted."""
  return InputError(
    f'model_dir: {model_dir} was deleted, emptied or replaced while the training ran, so the '
    'training ended and wrote nothing more there; start it again, or move the folder back and go on'
  )
