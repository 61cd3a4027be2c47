"""Worker processes that try inputs, and may die or hang over one."""

import collections
import dataclasses
import importlib
import logging
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator

from fuzz import inputs
from fuzz.kinds import Kind

# For the imports.
_START_SECONDS = 600


@dataclasses.dataclass(frozen=True)
class Limits:
  """What an input may take.

  Attributes:
    cpu_seconds: of the processor, as the machine may be busy otherwise; most take milliseconds.
    wait_seconds: without an answer for so long, the worker waits for something that does not come.
    memory_bytes: beyond what a worker has after its imports. Pillow's own limit is 0.5 GiB of
      pixels.
  """

  cpu_seconds: float = 10
  wait_seconds: float = 120
  memory_bytes: int = 2**31


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What came of an input.

  Attributes:
    number: of the input.
    verdict: 'accepted', 'refused' or 'failed'.
    text: the error's message; of a failure, the traceback.
  """

  number: int
  verdict: str
  text: str = ''


class Worker:
  """A process that tries inputs; started when it is needed, and again when it has died."""

  def __init__(self, limits: Limits = Limits(), is_quiet: bool = True):
    """Starts nothing yet.

    Args:
      limits: of an input.
      is_quiet: whether what the project prints is thrown away.
    """
    self._limits, self._is_quiet = limits, is_quiet
    self._process = self._connection = self._scratch = None

  def try_inputs(self, name: str, kind: Kind, numbers: Iterable[int]) -> Iterator[Outcome]:
    """Tries inputs of a kind.

    Args:
      name: of the kind.
      kind: it.
      numbers: of the inputs.

    Yields:
      The outcome of each, in their order.
    """
    waiting = collections.deque(numbers)
    while waiting:
      self._start()
      self._connection.send((name, kind, list(waiting)))
      if self._answer(_START_SECONDS) != 'ready':
        raise RuntimeError(f'the worker does not start: {self._end()}')
      while waiting and self._process is not None:
        number = waiting.popleft()
        if (answer := self._answer(self._limits.wait_seconds)) is None:
          yield Outcome(number, 'failed', self._end())
        else:
          yield Outcome(number, *answer)

  def close(self) -> None:
    """Ends the process."""
    if self._process is not None:
      self._end()

  def _start(self):
    if self._process is not None:
      return
    context = multiprocessing.get_context('spawn')
    self._connection, theirs = context.Pipe()
    # Here, since a process that dies leaves its files.
    self._scratch = tempfile.TemporaryDirectory(prefix='fuzz_')
    args = (theirs, self._limits, self._is_quiet, self._scratch.name)
    self._process = context.Process(target=_work, args=args)
    self._process.start()
    theirs.close()

  def _answer(self, seconds):
    try:
      return self._connection.recv() if self._connection.poll(seconds) else None
    except (EOFError, ConnectionError):
      return None

  def _end(self):
    """Ends the process and returns how it was, for the report."""
    self._connection.close()
    self._process.join(1)
    is_alive = self._process.is_alive()
    self._process.kill()
    self._process.join()
    self._scratch.cleanup()
    code, self._process = self._process.exitcode, None
    if is_alive:
      return f'no answer within {self._limits.wait_seconds} seconds'
    return f'the process died: exit code {code}'


def _work(connection, limits, is_quiet, scratch):
  """The process: says 'ready', then (verdict, text) of each input, for what it is asked."""
  os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
  os.environ['CUDA_VISIBLE_DEVICES'] = ''
  if is_quiet:
    logging.disable()
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
  while True:
    try:
      name, kind, numbers = connection.recv()
    except EOFError:
      return
    check = _check_of(kind, limits.memory_bytes)
    connection.send('ready')
    for number in numbers:
      start = time.process_time()
      verdict, text = _try(check, kind, name, number, scratch)
      if (seconds := time.process_time() - start) > limits.cpu_seconds:
        verdict, text = 'failed', f'{seconds:.1f} seconds; {verdict}: {text}'
      connection.send((verdict, text))


def _check_of(kind, memory_bytes):
  module, _, function = kind.check.rpartition('.')
  is_new = module not in sys.modules
  check = getattr(importlib.import_module(module), function)
  if is_new and sys.platform == 'linux':  # Elsewhere there is no limit that would do.
    with open('/proc/self/status', encoding='ascii') as file:
      used = next(int(line.split()[1]) * 1024 for line in file if line.startswith('VmData'))
    resource.setrlimit(resource.RLIMIT_DATA, (used + memory_bytes,) * 2)
  return check


def _try(check, kind, name, number, scratch):
  from ssd_tf.errors import InputError

  try:
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
      inputs.write(kind, name, number, folder)
      check(folder)
    return 'accepted', ''
  except InputError as error:
    return 'refused', str(error)
  except BaseException:  # Whatever it is, it belongs into the report.
    return 'failed', traceback.format_exc()
