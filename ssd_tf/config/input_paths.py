"""Resolves the files that a config names: working directory or config's folder, globs, shards."""

import glob
import os
import re
from collections.abc import Sequence

from ssd_tf.errors import InputError

_OTHER_FORMATS = {
  '.keras': 'a Keras model',
  '.pb': 'a frozen graph or SavedModel',
  '.onnx': 'an ONNX model',
  '.pt': 'a PyTorch model',
  '.pth': 'a PyTorch model',
  '.npz': 'an archive of NumPy arrays',
  '.tar': 'an archive to be unpacked (tar xf)',
  '.tar.gz': 'an archive to be unpacked (tar xzf)',
  '.tgz': 'an archive to be unpacked (tar xzf)',
  '.zip': 'an archive to be unpacked (unzip)',
}
IMAGENET = 'imagenet'  # In place of a checkpoint: what Keras has of the model's backbone.
NAMED_WEIGHTS = ('starter:', 'zoo:')  # What the names of `pretrained.named_weights` begin with.


def resolve_path(path: str, beside: str | os.PathLike = '') -> str:
  """Finds a file, folder or checkpoint prefix, which exists if its `.index` file does.

  A relative path is looked for from the working directory, as the Object Detection API does, then
  from the folder of the config file that it stands in; one that begins with a dot, as `seen_from`
  writes them, from the latter first.
  """
  candidates = _candidates(path, beside)
  for candidate in candidates:
    if os.path.exists(candidate) or os.path.exists(f'{candidate}.index'):
      return candidate
  raise InputError(f'no such file or folder: {" or ".join(candidates)}; is it misspelled?')


def seen_from(folder: str | os.PathLike, path: str, beside: str | os.PathLike = '') -> str:
  """A path of a config as a config in another folder has to have it: `../../data/train.record`.

  It may also be a checkpoint's prefix, a glob or a count of shards. What is in neither place is
  taken to be in the first one. What is absolute, or stands for itself, stays as it is.
  """
  if not path or path == IMAGENET or path.startswith((os.sep, '~', *NAMED_WEIGHTS)):
    return path
  candidates = _candidates(path, beside)
  candidate = next(filter(_stands_for_something, candidates), candidates[0])
  parent, name = os.path.split(candidate.rstrip(os.sep))
  file = os.path.join(os.path.realpath(parent), name)
  relative = os.path.relpath(file, os.path.realpath(folder))
  return relative if relative.startswith(os.pardir) else os.path.join(os.curdir, relative)


def _stands_for_something(path):
  shards = re.sub(r'@\d+$', '-?????-of-?????', path)
  return any(map(os.path.exists, (path, f'{path}.index'))) or bool(glob.glob(shards))


def find_checkpoint(path: str, beside: str | os.PathLike = '') -> str:
  """Finds a checkpoint by what users call it.

  Args:
    path: a prefix (ckpt-0, model.ckpt), or one of its files (ckpt-0.index,
      ckpt-0.data-00000-of-00001), or an .h5 file of Keras's, or a .tflite file; or a folder: of
      several checkpoints in it the newest is taken; of one that a model zoo or an export made, that
      in its folder `checkpoint`. `~` is the home. `imagenet`, `starter:NAME` and `zoo:NAME` stand
      for themselves.

  Raises:
    InputError: there is none; for what looks like one but is another format, which.
  """
  if path == IMAGENET or path.startswith(NAMED_WEIGHTS):
    return path
  path = os.path.expanduser(path)
  prefix = re.sub(r'\.(index|meta|data-\d{5}-of-\d{5})$', '', path)
  for candidate in _candidates(prefix, beside):
    if os.path.exists(f'{candidate}.index'):
      _refuse_variables_of_saved_model(os.path.dirname(candidate))
      return candidate
    if os.path.isdir(candidate):
      return _newest_in(candidate)
    _refuse_values_alone(glob.glob(f'{glob.escape(candidate)}.data-?????-of-?????'))
  candidates = _candidates(path, beside)
  for candidate in candidates:
    if os.path.isfile(candidate):
      return _single_file(candidate)
  raise InputError(f'no such file or folder: {" or ".join(candidates)}; is it misspelled?')


def expand_input_paths(
  paths: Sequence[str],
  beside: str | os.PathLike = '',
) -> list[str]:
  """Expands input paths to the files they stand for, in their order, those of one path sorted.

  Args:
    paths: each a file, a glob (`train*.record`, `train.record-?????-of-00010`) or a count of shards
      (`train.record@10`, which is the same ten).

  Raises:
    InputError: a path stands for no file, for fewer shards than it says, or for two data sets of
      one name.
  """
  return [file for path in paths for file in _expand(path, beside)]


def _newest_in(folder):
  """The prefix of the newest checkpoint in a folder."""
  names = os.listdir(folder)
  prefixes = [name.removesuffix('.index') for name in names if name.endswith('.index')]
  if prefixes:
    _refuse_variables_of_saved_model(folder)
    return os.path.join(folder, _named_newest(folder, prefixes) or max(prefixes, key=_number))
  if os.path.isdir(os.path.join(folder, 'checkpoint')):
    return _newest_in(os.path.join(folder, 'checkpoint'))
  _refuse_saved_model(folder)
  for name in sorted(names):
    if name.endswith(tuple(_OTHER_FORMATS)):
      _single_file(os.path.join(folder, name))
  _refuse_values_alone(glob.glob(os.path.join(glob.escape(folder), '*.data-?????-of-?????')))
  weights = sorted(name for name in names if name.endswith(('.h5', '.hdf5', '.tflite')))
  if weights:
    raise InputError(
      f'the folder {folder} holds files of weights ({", ".join(weights[:3])}): give one of them'
    )
  raise InputError(f'the folder {folder} holds no checkpoint: expected a file ending in .index')


def _named_newest(folder, prefixes):
  """What the file `checkpoint` says, if it is still there; the folder may have been moved."""
  try:
    # Bytes that are not UTF-8 name no file that is here.
    with open(os.path.join(folder, 'checkpoint'), encoding='utf-8', errors='replace') as file:
      named = re.search(r'^model_checkpoint_path: "(.*)"', file.read(), re.MULTILINE)
  except FileNotFoundError:
    return None
  name = os.path.basename(named[1]) if named else None
  return name if name in prefixes else None


def _number(prefix):
  """Order of checkpoints: by their step, which a copy keeps; those without one first."""
  number = re.search(r'-(\d+)$', prefix)
  return (int(number[1]) if number else -1, prefix)


def _refuse_saved_model(folder):
  if os.path.exists(os.path.join(folder, 'saved_model.pb')):
    raise InputError(
      f'{folder} is a SavedModel, a finished detector, not a checkpoint to load into a model; take '
      'the checkpoint that it was exported from, often in the folder checkpoint beside it'
    )


def _refuse_values_alone(files):
  if files:
    raise InputError(f'{files[0]} is there, but its .index file is not: copy both')


def _refuse_variables_of_saved_model(folder):
  folder = os.path.abspath(folder)
  if os.path.basename(folder) == 'variables':
    _refuse_saved_model(os.path.dirname(folder))


def _single_file(path):
  """A checkpoint in one file, as before TensorFlow 1.0; other formats have their own endings."""
  for ending, what in _OTHER_FORMATS.items():
    if path.endswith(ending):
      raise InputError(
        f'{path} is {what}, not a checkpoint: expected the prefix of files ending in .index and '
        '.data-00000-of-00001'
      )
  return path


def _expand(path, beside):
  count = re.fullmatch(r'(.+)@(\d+)', path)
  pattern = f'{count[1]}-?????-of-{int(count[2]):05d}' if count else path
  # A name is taken as it is before it is taken as a pattern: [ and @ may be part of it.
  for candidate in _candidates(path, beside):
    if os.path.isfile(candidate):
      return [candidate]
  candidates = _candidates(pattern, beside)
  for candidate in candidates:
    if files := sorted(file for file in glob.glob(candidate) if os.path.isfile(file)):
      _check_shards(candidate, files)
      _check_one_set(candidate, files)
      return files
  hint = ': it is a folder, name its files, as in *.record' if os.path.isdir(candidates[0]) else ''
  raise InputError(f'no file matches {" or ".join(candidates)}{hint}')


def _check_shards(pattern, files):
  """Half a data set must not pass for the whole of it."""
  total = re.search(r'[?*]-of-(\d{5})', pattern)
  if not total:
    return
  present = {int(shard[1]) for file in files if (shard := re.search(r'-(\d{5})-of-', file))}
  missing = sorted(set(range(int(total[1]))) - present)
  if missing:
    raise InputError(
      f'{len(missing)} of {int(total[1])} shards of {pattern} are missing, the first of them'
      f' {missing[0]:05d}-of-{total[1]}'
    )


def _check_one_set(pattern, files):
  """An earlier data set, of another number of files, must not be read as part of a later one."""
  first = {}
  for file in files:
    shard = re.fullmatch(r'(.+)-\d{5}-of-(\d{5})', file)
    name, total = shard.groups() if shard else (file, '')
    other_total, other = first.setdefault(name, (total, file))
    if total != other_total:
      raise InputError(
        f'{pattern} matches two data sets of one name, such as {other} and {file}: remove the older'
        ' one, or name the files of one, as in train.record@10'
      )


def _candidates(path, beside):
  places = [path, os.path.join(os.path.dirname(beside), path)]
  if path.startswith(('./', '../')):
    places.reverse()
  return list(dict.fromkeys(places))
