"""Checks that go wrong in every way a check can, for the test of the workers."""

import os
import threading

from ssd_tf.errors import InputError


def accept(folder: str) -> None:
  """Accepts an input whose file is there."""
  assert os.path.getsize(os.path.join(folder, 'classes.txt'))


def refuse(folder: str) -> None:
  """Refuses every input."""
  raise InputError(f'{folder}: expected another file')


def fail(folder: str) -> None:
  """Meets what the project did not expect."""
  raise KeyError('image_id')


def exit_quietly(folder: str) -> None:
  """Ends the process as if all were well."""
  os._exit(0)


def crash(folder: str) -> None:
  """Dies as C code does."""
  os.abort()


def wait(folder: str) -> None:
  """Waits for what does not come."""
  threading.Event().wait()


def compute(folder: str) -> None:
  """Computes for long, and accepts."""
  sum(range(30_000_000))


def allocate(folder: str) -> None:
  """Takes all the memory it gets."""
  held = []
  for _ in range(64):
    held.append(bytearray(2**26))
