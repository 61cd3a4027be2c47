"""Runs a command's main: bad input ends in one clear line and a non-zero exit code."""

import os
import signal
import sys
import warnings
from collections.abc import Callable

from absl import app, flags

from ssd_tf.errors import ENDING_SIGNALS, InputError, Terminated, signal_of
from ssd_tf.files.failed_writes import explain

_HELP = ('--help', '-help', '-h', '-?')


def interrupt_when_told_to_end() -> None:
  """Lets SIGTERM and the loss of the terminal come as Ctrl-C does; what nohup ignores stays so."""
  for number in ENDING_SIGNALS[1:]:
    if signal.getsignal(number) is not signal.SIG_IGN:
      signal.signal(number, _terminate)


def run(main: Callable[[], None]) -> None:
  """Parses absl flags, then calls the `main` of a command; --help is that of its module.

  absl itself answers `--help`, and a misspelled flag with the closest known one. An `InputError`, a
  missing or unreadable file, a full disk, Ctrl-C and the signals above end in one line on stderr,
  signals with 128 and their number as the exit code; any other exception is a fault of the program
  and keeps its traceback.

  Args:
    main: the command's work; reads its flags from the module that it is of.
  """
  # The C++ side of TensorFlow greets with a page of its own; set before it is imported.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  # One of its dependencies tells of the years that it will support this Python for.
  python_version = '(?s).*You are using a (non-supported )?Python version'
  warnings.filterwarnings('ignore', python_version, category=FutureWarning)

  def guarded(argv):
    try:
      if len(argv) > 1:
        raise InputError(
          f'unexpected argument {argv[1]!r}: flags are written --name=value; see --help'
        )
      main()
    except InputError as error:
      _stop(str(error), 2)
    except BrokenPipeError:  # What read the output, such as `head`, has ended.
      os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # All of them: the class of TensorFlow's errors cannot be named without importing TensorFlow.
    except Exception as error:
      said = explain(error)
      if said is None and isinstance(error, OSError) and error.filename is not None:
        said = f'{error.filename}: {error.strerror}'
      if said is None:
        raise
      _stop(said, 2)
    except KeyboardInterrupt as interrupt:
      number = signal_of(interrupt)
      for each in ENDING_SIGNALS:  # Nothing is left to do: a second one ends the process at once.
        if signal.getsignal(each) is not signal.SIG_IGN:
          signal.signal(each, signal.SIG_DFL)
      how = 'interrupted' if number == signal.SIGINT else f'interrupted by {number.name}'
      _stop(how, 128 + number)

  _take_help_of(sys.modules[main.__module__])
  if any(argument in _HELP for argument in sys.argv[1:]):
    app.usage(shorthelp=True, writeto_stdout=True)
    return  # absl itself ends --help with 1.
  interrupt_when_told_to_end()
  app.run(guarded)


def _take_help_of(module):
  """Makes absl show a module's docstring and flags as those of the script that was started."""
  sys.modules['__main__'].__doc__ = module.__doc__
  for flag in flags.FLAGS.get_key_flags_for_module(module):
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def _terminate(number, _):
  raise Terminated(number)


def _stop(message, code):
  print(f'{os.path.basename(sys.argv[0])}: error: {message}', file=sys.stderr)
  sys.exit(code)
