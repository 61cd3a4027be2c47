"""What every builder says when a config asks for something that is not there, or cannot be."""

import contextlib
from collections.abc import Iterator

from google.protobuf.message import Message

from ssd_tf.config.checks import single_fields
from ssd_tf.errors import InputError


def require_supported(message: Message, path: str = '') -> None:
  """Refuses fields that would have to change the result and do not, and numbers out of range.

  Args:
    message: a part of a pipeline.config.
    path: of that part, such as 'model'; '' for the whole config.

  Raises:
    InputError: lists all such fields.
  """
  faults = [
    f'{field}: {fault}'
    for field, fault in (
      *single_fields.out_of_range(message, path).items(),
      *single_fields.unsupported_fields(message, path),
    )
  ]
  if faults:
    raise InputError('\n'.join(faults))


def require_supported_model(config: Message) -> None:
  """As `require_supported`, for what evaluation and export use of a whole config.

  Args:
    config: a pipeline.config; its `model` and `graph_rewriter` are looked at.

  Raises:
    InputError: lists all fields that are not supported.
  """
  used = type(config)(model=config.model)
  if config.HasField('graph_rewriter'):
    used.graph_rewriter.CopyFrom(config.graph_rewriter)
  require_supported(used)


def chosen(message: Message, oneof: str, path: str, choices: tuple[str, ...]) -> str:
  """The field of a oneof that is set.

  Args:
    message: that has the oneof.
    oneof: its name.
    path: of the message in the config.
    choices: what is supported.

  Returns:
    One of the choices.

  Raises:
    InputError: none is set, or another one.
  """
  name = message.WhichOneof(oneof)
  if name not in choices:
    found = f'is {name}' if name else 'is not set'
    raise InputError(f'{path}: {found}; expected one of {", ".join(choices)}')
  return name


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
  """Says which part of a config it is that something cannot be made from.

  Put around what makes it: numbers that each are in their range may still not go together, which
  a layer or an optimizer says as a ValueError without the name of a field.

  Args:
    path: of the part.

  Raises:
    InputError: in place of a ValueError, TypeError or OverflowError.
  """
  try:
    yield
  except InputError:
    raise
  except (ValueError, TypeError, OverflowError) as error:
    cause = ' '.join(str(error).split())
    raise InputError(f'{path}: its values do not go together: {cause}') from error
