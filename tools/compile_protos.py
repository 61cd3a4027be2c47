"""Generates ssd_tf/protos/*_pb2.py from protos/*.proto.

  python -m venv .venv-protoc    # of its own: grpcio-tools brings an older protobuf
  .venv-protoc/bin/pip install absl-py grpcio-tools==1.66.2
  PYTHONPATH=. .venv-protoc/bin/python tools/compile_protos.py

The version is fixed: generated code refuses a protobuf older than itself, and this protoc (5.27) is
older than the protobuf that TensorFlow 2.20 asks for (5.28). With --check nothing is written, and
the exit code is not 0 if the committed files differ from what would be generated.
"""

import importlib.util
import pathlib
import subprocess
import sys
import tempfile

from absl import flags

from ssd_tf.commands import command_line
from ssd_tf.errors import InputError

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = 'ssd_tf/protos'

_CHECK = flags.DEFINE_boolean('check', False, 'Only compare with the committed files.')


def generate(output_dir: pathlib.Path) -> None:
  """Compiles every protos/*.proto into `output_dir`/ssd_tf/protos.

  The sources lie in protos/ but are compiled under the virtual folder ssd_tf/protos, so that the
  generated files import one another as `from ssd_tf.protos import x_pb2`.

  Args:
    output_dir: an existing folder.

  Raises:
    InputError: grpcio-tools is not installed, or protoc rejects a source (it says why on stderr).
  """
  if importlib.util.find_spec('grpc_tools') is None:
    raise InputError('grpcio-tools is missing: pip install grpcio-tools==1.66.2')
  sources = sorted(f'{PACKAGE}/{path.name}' for path in (ROOT / 'protos').glob('*.proto'))
  # In a process of its own: its compiled part crashes where TensorFlow is loaded too.
  done = subprocess.run(
    [
      sys.executable,
      '-m',
      'grpc_tools.protoc',
      f'-I{PACKAGE}={ROOT / "protos"}',
      f'--python_out={output_dir}',
      *sources,
    ],
    check=False,
  )
  if done.returncode:
    raise InputError(f'protoc failed with code {done.returncode}; its message is above')


def differences(generated_dir: pathlib.Path) -> list[str]:
  """Names the generated files that the committed ones lack, differ from, or have too many of.

  Args:
    generated_dir: where `generate` wrote to.

  Returns:
    Sorted file names, such as ['ssd_pb2.py']; empty if all are equal.
  """
  committed, generated = (
    {path.name: path.read_bytes() for path in (root / PACKAGE).glob('*_pb2.py')}
    for root in (ROOT, generated_dir)
  )
  names = committed.keys() | generated.keys()
  return sorted(name for name in names if committed.get(name) != generated.get(name))


def main() -> None:
  """Writes or, with --check, compares."""
  if not _CHECK.value:
    generate(ROOT)
    return
  with tempfile.TemporaryDirectory() as folder:
    generate(pathlib.Path(folder))
    stale = differences(pathlib.Path(folder))
  if stale:
    raise InputError(f'{", ".join(stale)} differ from protos/: run tools/compile_protos.py')


if __name__ == '__main__':
  command_line.run(main)
