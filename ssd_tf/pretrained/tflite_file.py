"""Reads weights of a TensorFlow Lite file as a checkpoint."""

import struct

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from ssd_tf.errors import InputError
from ssd_tf.pretrained import tflite_names

# Of the batch norms that a file's convolutions are folded with, by the API's configs.
_EPSILON = 0.001
_TYPES = {
  schema.TensorType.FLOAT32: np.float32,
  schema.TensorType.FLOAT16: np.float16,
  schema.TensorType.INT32: np.int32,
  schema.TensorType.UINT8: np.uint8,
  schema.TensorType.INT8: np.int8,
}
_CONVOLUTIONS = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D)
# What the reader of the format raises for bytes that are missing or wrong.
_DAMAGE = (struct.error, IndexError, TypeError, ValueError, AttributeError)


class TfliteFile:
  """The convolutions of a .tflite file that the Object Detection API or this project exported.

  Quantized values are multiplied out. A batch norm was folded into its convolution: it comes back
  as one that adds the bias alone (gamma 1, mean 0, variance 1 - 0.001, for the epsilon of 0.001).
  The heads and towers that feature maps share (FPN) are folded anew for each map, and not read.

  The file is read by the schema of its format that TensorFlow has: unlike its interpreter, that
  tells which bias belongs to which convolution, and needs none of the operations.

  Attributes:
    path: of the file.
    shapes: name -> shape; the names are those of the API's TF1 checkpoints where the file is of
      TF1, else of ours.
  """

  def __init__(self, path: str):
    """Reads a file.

    Args:
      path: of the file.

    Raises:
      InputError: it is no such file, is damaged, or holds no convolution of a known name.
    """
    self.path = path
    with open(path, 'rb') as file:
      content = file.read()
    if content[4:8] != b'TFL3':
      raise InputError(
        f'{path}: is no TensorFlow Lite file: expected TFL3 in its first bytes, received '
        f'{content[4:8]!r}; download or copy it again'
      )
    try:
      self._values = dict(_variables(schema.Model.GetRootAs(content, 0)))
    except _DAMAGE as error:
      raise InputError(
        f'{path}: is damaged or cut short ({error}); download or copy it again'
      ) from error
    if not self._values:
      raise InputError(
        f"{path}: has no convolution by a name of the Object Detection API's or of ours; expected "
        'an export of an SSD MobileNet'
      )
    self.shapes = {name: value.shape for name, value in self._values.items()}

  def read(self, name: str) -> np.ndarray:
    """The value of a variable, float32."""
    return self._values[name]


def _variables(model):
  """Yields (name, value) of every convolution that has a name."""
  graph = model.Subgraphs(0)
  operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]
  # Values of 16 bits are constants that an operation makes float32.
  sources = {
    op.Outputs(0): op.Inputs(0)
    for op in operators
    if _code(model, op) == schema.BuiltinOperator.DEQUANTIZE
  }

  def tensor(index):
    return graph.Tensors(sources.get(index, index))

  for op in operators:
    if _code(model, op) not in _CONVOLUTIONS:
      continue
    is_depthwise = _code(model, op) == schema.BuiltinOperator.DEPTHWISE_CONV_2D
    kernel = tensor(op.Inputs(1))
    names = [tensor.Name().decode() for tensor in (kernel, graph.Tensors(op.Outputs(0)))]
    layer = tflite_names.layer_of(names, is_depthwise)
    if layer is None:
      continue
    # Output filters come first there, last here; of a depthwise kernel that is 1.
    yield layer.kernel, _value(model, kernel).transpose(1, 2, 3, 0)
    has_bias = op.InputsLength() > 2 and op.Inputs(2) >= 0
    bias = _value(model, tensor(op.Inputs(2))) if has_bias else np.zeros(kernel.Shape(0), 'f4')
    if layer.bias:
      yield layer.bias, bias
    else:
      yield layer.norm_variable('beta'), bias
      yield layer.norm_variable('gamma'), np.ones_like(bias)
      yield layer.norm_variable('moving_mean'), np.zeros_like(bias)
      yield layer.norm_variable('moving_variance'), np.full_like(bias, 1.0 - _EPSILON)


def _code(model, operator):
  code = model.OperatorCodes(operator.OpcodeIndex())
  return max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # Older files have the latter alone.


def _value(model, tensor):
  """A constant, as float32."""
  kind = _TYPES.get(tensor.Type())
  if kind is None:
    raise ValueError(f'{tensor.Name().decode()} is of a type that no weights have')
  buffer = model.Buffers(tensor.Buffer()).DataAsNumpy()
  if isinstance(buffer, int):  # So the schema says that there is none.
    raise ValueError(f'{tensor.Name().decode()} has no values')
  value = buffer.view(kind).reshape(tensor.ShapeAsNumpy())
  quantization = tensor.Quantization()
  if np.issubdtype(kind, np.floating) or quantization is None or not quantization.ScaleLength():
    return value.astype(np.float32)
  axes = [1] * value.ndim
  if quantization.ScaleLength() > 1:
    axes[quantization.QuantizedDimension()] = -1
  scale = quantization.ScaleAsNumpy().astype(np.float64).reshape(axes)
  zero = quantization.ZeroPointAsNumpy().reshape(axes) if quantization.ZeroPointLength() else 0
  return ((value.astype(np.float64) - zero) * scale).astype(np.float32)
