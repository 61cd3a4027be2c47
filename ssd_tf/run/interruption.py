"""Ends a training by a signal: the first once nothing is lost, a second at once."""

import contextlib
import signal
import threading
from collections.abc import Iterator

import tensorflow as tf

from ssd_tf.errors import ENDING_SIGNALS, Terminated
from ssd_tf.evaluation import log_format
from ssd_tf.run.checkpoints import step_in_name


class HeldSignals:
  """Holds the first signal back that would end the process, for as long as this is entered.

  After it, the handlers are those from before, so that a second one ends the process at once. What
  is ignored, such as SIGHUP under nohup, stays ignored; outside of the main thread, which alone may
  set handlers, nothing is held back.

  Attributes:
    received: the signal that was held back; None: none was.
  """

  def __init__(self):
    self.received: signal.Signals | None = None
    self._handlers = {}

  def __enter__(self):
    if threading.current_thread() is threading.main_thread():
      for number in ENDING_SIGNALS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
          self._handlers[number] = signal.signal(number, self._hold_back)
    return self

  def __exit__(self, *_):
    self._restore()

  def raise_received(self) -> None:
    """Ends the process as the signal would have, if there was one.

    Raises:
      KeyboardInterrupt: Ctrl-C, or `Terminated`.
    """
    if self.received is not None:
      is_ctrl_c = self.received == signal.SIGINT
      raise KeyboardInterrupt if is_ctrl_c else Terminated(self.received)

  def _hold_back(self, number, _):
    self.received = signal.Signals(number)
    self._restore()

  def _restore(self):
    for number, handler in self._handlers.items():
      signal.signal(number, handler)
    self._handlers = {}


@contextlib.contextmanager
def telling_where_to_go_on(model_dir: str) -> Iterator[None]:
  """Says what an interrupted training resumes from."""
  try:
    yield
  except KeyboardInterrupt:
    if (last := tf.train.latest_checkpoint(model_dir)) is not None:
      step = step_in_name(last)
      log_format.tell(
        'Interrupted. Step %d is saved in %s; the same command resumes from there.', step, last
      )
    raise
