"""Runs a command with its output in a log file, and says why it failed."""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Sequence

from ssd_tf.errors import signal_of

_SECONDS_TO_STOP = 60
_LOG_TAIL_BYTES = 65536


def run_logged(arguments: Sequence[str], log_path: str) -> str | None:
  """Runs a command to its end, or stops it when this process is told to stop.

  Args:
    log_path: the file that its output is added to.

  Returns:
    Why it failed; None if it did not.

  Raises:
    KeyboardInterrupt: this process was told to stop, and so the command was.
  """
  with open(log_path, 'a+b') as log:
    if log.tell() and (log.seek(-1, os.SEEK_END), log.read())[1] != b'\n':
      log.write(b'\n')  # A killed training left half a line.
      log.flush()
    # What a shell has in the background ignores Ctrl-C, and what that starts would, too.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    # In a session of its own: Ctrl-C comes to it once, from here.
    process = subprocess.Popen(
      arguments, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    signal.signal(signal.SIGINT, handler)
    try:
      code = process.wait()
    except KeyboardInterrupt as interrupt:
      process.send_signal(signal_of(interrupt))
      with contextlib.suppress(subprocess.TimeoutExpired):  # It is killed below.
        process.wait(_SECONDS_TO_STOP)
      raise
    finally:
      if process.poll() is None:
        process.kill()
        process.wait()
  return f'{last_error(log_path)} (exit code {code}; {log_path})' if code else None


def last_error(log_path: str) -> str:
  """The last line of a log that tells of an error; without one, its last line."""
  with open(log_path, 'rb') as file:
    file.seek(max(0, os.path.getsize(log_path) - _LOG_TAIL_BYTES))
    lines = file.read().decode('utf-8', 'replace').splitlines()
  lines = [line.strip() for line in lines if line.strip()]
  errors = [line for line in lines if re.search(r'error\b', line, re.IGNORECASE)]
  return (errors or lines or ['no output'])[-1]
