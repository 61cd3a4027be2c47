"""One training at a time in a model_dir."""

import contextlib
import fcntl
import functools
import inspect
import os
from collections.abc import Callable, Iterator

from absl import logging

from ssd_tf.errors import InputError

_NAME = '.training_lock'


def one_at_a_time(train: Callable) -> Callable:
  """Decorates what trains in its argument `model_dir`: a second one beside it is refused.

  Both would write the same checkpoints and logs: as when a sweep whose terminal was lost is started
  again while its training goes on.

  Args:
    train: with a parameter `model_dir`; the folder is made.

  Returns:
    The same, which may raise InputError; see `hold`.
  """
  parameters = inspect.signature(train)

  @functools.wraps(train)
  def train_alone(*args, **kwargs):
    with hold(parameters.bind(*args, **kwargs).arguments['model_dir']):
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
  with open(os.path.join(model_dir, _NAME), 'a+', encoding='utf-8') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      file.seek(0)
      holder = file.read().strip() or 'unknown'
      raise InputError(
        f'model_dir: another training is at work in {model_dir} (process {holder}): wait for it or '
        'stop it, or give another --model_dir'
      ) from error
    except OSError as error:  # A file system without locks.
      logging.warning('%s cannot be locked (%s): see that no other training runs in it.',
                      model_dir, error.strerror)  # fmt: skip
    else:
      file.truncate(0)
      file.write(f'{os.getpid()} on {os.uname().nodename}')
      file.flush()
    yield
