"""Opens a checkpoint's file, verifies that it is whole, and reads it by name."""

import glob
import math
import os

import numpy as np
import tensorflow as tf

from ssd_tf.errors import InputError

OBJECT_GRAPH = '_CHECKPOINTABLE_OBJECT_GRAPH'
# What the names of variables end in where TF2 wrote the file.
VALUE = '/.ATTRIBUTES/VARIABLE_VALUE'
# What TensorFlow raises for bytes that are missing or wrong: OpError for most, IndexError for few.
_DAMAGE = (tf.errors.OpError, IndexError, RuntimeError)


class CheckpointDeleted(InputError):
  """A checkpoint was there when it was looked for, and is not when it is read."""


class CheckpointFile:
  """The tensors of a checkpoint; `shapes` is name -> shape."""

  def __init__(self, path: str):
    """Opens a checkpoint.

    Raises:
      CheckpointDeleted: it is not there any more.
      InputError: it is none, or a part of it is missing or too short.
    """
    self.path = path
    self._check_parts()
    try:
      self._reader = tf.train.load_checkpoint(path)
      shapes = self._reader.get_variable_to_shape_map()
    except (*_DAMAGE, ValueError) as error:
      self._check_not_deleted()
      raise InputError(
        f'{path}: cannot be read as a checkpoint ({str(error).splitlines()[0]}); give the prefix, '
        'such as model.ckpt or ckpt-0, of files that end in .index and .data-00000-of-00001'
      ) from error
    self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
    self._check_size()

  def read(self, name: str) -> np.ndarray:
    """The value of a tensor, whose checksum is compared.

    Raises:
      CheckpointDeleted: it is not there any more.
      InputError: the file is damaged there.
    """
    try:
      return self._reader.get_tensor(name)
    except _DAMAGE as error:
      self._check_not_deleted()
      raise InputError(
        f'{self.path}: is damaged or cut short at {name} ({str(error).splitlines()[0]}); download '
        'or copy it again'
      ) from error

  def _check_not_deleted(self):
    """A training deletes the index first: without it, whatever else is wrong is of no account."""
    if not (os.path.exists(f'{self.path}.index') or os.path.exists(self.path)):
      raise CheckpointDeleted(
        f'{self.path}: was deleted before it was read; a training deletes its older checkpoints '
        '(--checkpoint_max_to_keep says how many stay)'
      )

  def _check_parts(self):
    if not os.path.exists(f'{self.path}.index'):
      return  # A single file, as before TensorFlow 1.0, or nothing at all.
    parts = glob.glob(f'{glob.escape(self.path)}.data-?????-of-?????')
    expected = int(parts[0].rsplit('-', 1)[1]) if parts else 1
    if len(parts) < expected:
      self._check_not_deleted()
      raise InputError(
        f'{self.path}: {len(parts)} of {expected} files of values are there, beside '
        f'{os.path.basename(self.path)}.index; copy {self.path}.data-00000-of-{expected:05d} and '
        'all like it'
      )

  def _check_size(self):
    parts = glob.glob(f'{glob.escape(self.path)}.data-?????-of-?????')
    types = self._reader.get_variable_to_dtype_map()
    expected = sum(
      len(self.read(name)) if kind == tf.string else math.prod(self.shapes[name]) * kind.size
      for name, kind in types.items()
    )
    self._check_not_deleted()
    size = sum(os.path.getsize(part) for part in parts)
    if parts and size < expected:
      raise InputError(
        f'{self.path}: is cut short: its values take at least {expected} bytes, but '
        f'{os.path.basename(parts[0])} has {size}; download or copy it again'
      )
