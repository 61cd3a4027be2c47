"""Runs a SavedModel by the C++ loader that TensorFlow Serving has, through TensorFlow's C API.

  python c_api_session.py SAVED_MODEL_DIR INPUT.npy OUTPUT.npz

No Python of TensorFlow's takes part but the protocol buffers, which name the tensors.
"""

import ctypes
import pathlib
import sys

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

# Of TF_DataType.
DATA_TYPES = {np.dtype(np.float32): 1, np.dtype(np.uint8): 4}


class Buffer(ctypes.Structure):
  _fields_ = [
    ('data', ctypes.c_void_p),
    ('length', ctypes.c_size_t),
    ('deallocator', ctypes.c_void_p),
  ]


class Output(ctypes.Structure):
  _fields_ = [('operation', ctypes.c_void_p), ('index', ctypes.c_int)]


def load_library():
  """libtensorflow_cc; every function that returns no number returns a pointer."""
  library = ctypes.CDLL(str(pathlib.Path(tf.__file__).parent / 'libtensorflow_cc.so.2'))
  for name in (
    *('TF_NewStatus', 'TF_NewGraph', 'TF_NewSessionOptions', 'TF_NewBuffer', 'TF_AllocateTensor'),
    *('TF_LoadSessionFromSavedModel', 'TF_TensorData', 'TF_GraphOperationByName'),
  ):
    getattr(library, name).restype = ctypes.c_void_p
  library.TF_Message.restype = ctypes.c_char_p
  library.TF_Dim.restype = ctypes.c_int64
  return library


def main(saved_model_dir, input_path, output_path):
  library = load_library()
  status = ctypes.c_void_p(library.TF_NewStatus())

  def check():
    if library.TF_GetCode(status):
      raise SystemExit(library.TF_Message(status).decode())

  graph = ctypes.c_void_p(library.TF_NewGraph())
  buffer = ctypes.cast(library.TF_NewBuffer(), ctypes.POINTER(Buffer))
  session = ctypes.c_void_p(
    library.TF_LoadSessionFromSavedModel(
      ctypes.c_void_p(library.TF_NewSessionOptions()),
      None,
      saved_model_dir.encode(),
      (ctypes.c_char_p * 1)(b'serve'),
      1,
      graph,
      buffer,
      status,
    )
  )
  check()
  meta_graph = meta_graph_pb2.MetaGraphDef.FromString(
    ctypes.string_at(buffer.contents.data, buffer.contents.length)
  )
  signature = meta_graph.signature_def['serving_default']

  def tensor_of(info):
    name, index = info.name.split(':')
    return Output(library.TF_GraphOperationByName(graph, name.encode()), int(index))

  images = np.load(input_path)
  shape = (ctypes.c_int64 * images.ndim)(*images.shape)
  given = ctypes.c_void_p(
    library.TF_AllocateTensor(
      DATA_TYPES[images.dtype], shape, images.ndim, ctypes.c_size_t(images.nbytes)
    )
  )
  ctypes.memmove(library.TF_TensorData(given), images.ctypes.data, images.nbytes)
  names = sorted(signature.outputs)
  outputs = (Output * len(names))(*(tensor_of(signature.outputs[name]) for name in names))
  values = (ctypes.c_void_p * len(names))()
  library.TF_SessionRun(
    session, None,
    (Output * 1)(tensor_of(signature.inputs['input_tensor'])), (ctypes.c_void_p * 1)(given), 1,
    outputs, values, len(names),
    None, 0, None, status,
  )  # fmt: skip
  check()
  found = {}
  for name, value in zip(names, map(ctypes.c_void_p, values), strict=True):
    assert library.TF_TensorType(value) == DATA_TYPES[np.dtype(np.float32)], name
    shape = [library.TF_Dim(value, i) for i in range(library.TF_NumDims(value))]
    data = ctypes.cast(library.TF_TensorData(value), ctypes.POINTER(ctypes.c_float))
    found[name] = np.ctypeslib.as_array(data, shape).copy()
  np.savez(output_path, **found)


if __name__ == '__main__':
  main(*sys.argv[1:])
