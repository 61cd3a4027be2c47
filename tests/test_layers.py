"""Imports point down only; read from the sources, so that those inside functions count too."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]

EVERYWHERE = ('errors', 'files', 'fields')
# Each package or module of ssd_tf -> what it may import of ssd_tf besides itself and EVERYWHERE.
# Each imports only what stands above it here, so that there are no circles between packages.
LAYERS = {
  'errors': (),
  'files': (),
  'fields': (),
  'protos': (),
  'plots': (),
  'config': ('protos',),
  'ops': (),
  'models': (),
  'pretrained': ('models',),
  'data': ('ops.boxes',),
  'evaluation': ('ops.boxes',),
  'detector': ('ops',),
  'training': ('ops', 'models', 'evaluation', 'detector'),
  'groundtruth': ('config', 'data', 'plots'),
  'builders': (
    *('protos', 'config', 'ops', 'models', 'pretrained', 'data', 'evaluation', 'detector'),
    *('training', 'groundtruth'),
  ),
}
_BUILT = (*(name for name in LAYERS if name != 'protos'),)
LAYERS |= {
  'run': _BUILT,
  'ssd_tensorflow': ('config', 'data', 'pretrained', 'run'),
  'inference': (*_BUILT, 'run'),
  'exporting': (*_BUILT, 'run'),
  'pseudo_labels': (*_BUILT, 'run', 'inference'),
  'anchors': _BUILT,
  'diagnosis': (*_BUILT, 'run', 'anchors'),
  'project': (*_BUILT, 'data.sources', 'run', 'exporting', 'inference', 'anchors'),
  'experiments': (*_BUILT, 'run'),
  'report': (*_BUILT, 'run', 'experiments'),
}
LAYERS['api'] = (*_BUILT, 'run', 'exporting', 'project')
LAYERS['ssd_tf'] = ('errors', 'models', 'inference', 'api')  # The package itself.
LAYERS['commands'] = (*LAYERS, 'data.sources')
LAYERS['__main__'] = ('commands',)
LAYERS['tools'] = ('commands',)
LAYERS['tools.benchmarks'] = tuple(LAYERS)
# Modules that only those named may import, also where LAYERS lets their package through.
ONLY_FOR = {
  'protos': ('protos', 'config', 'builders'),
  'data.sources': ('data.sources', 'project', 'commands'),
}
# Packages from outside that only those named may import.
OUTSIDE_ONLY_FOR = {
  'tensorflow': (
    *('ops', 'data', 'pretrained', 'evaluation', 'detector', 'training', 'builders', 'run'),
    *('inference', 'exporting', 'pseudo_labels', 'anchors', 'diagnosis'),
    *('models.normalization', 'models.dropout'),  # The fused kernel; the number of the replica.
    'ssd_tensorflow.clones',  # A strategy of several logical CPUs.
    'tools.benchmarks',
  ),
  'keras': (
    *('models', 'pretrained', 'detector', 'training', 'builders', 'run', 'inference', 'diagnosis'),
    'tools.benchmarks',
  ),
  'orbit': ('training', 'run'),
  'tf_keras': ('tools.benchmarks',),  # What is measured against; never beside Keras 3.
  'object_detection': (),
}


def read_imports(root):
  """{module: imported modules} of ssd_tf/ and tools/ below root; of ssd_tf without that prefix."""
  files = {}
  for path in sorted([*root.glob('ssd_tf/**/*.py'), *root.glob('tools/**/*.py')]):
    parts = path.relative_to(root).with_suffix('').parts
    parts = parts[:-1] if parts[-1] == '__init__' else parts
    files['.'.join(parts)] = path
  found = {}
  for name, path in files.items():
    names = [n for node in ast.walk(ast.parse(path.read_text())) for n in _names(node, files)]
    found[name.removeprefix('ssd_tf.')] = [
      n.removeprefix('ssd_tf.') if n in files else n for n in names
    ]
  return found


def _names(node, files):
  if isinstance(node, ast.Import):
    return [alias.name for alias in node.names]
  if not isinstance(node, ast.ImportFrom):
    return []
  if node.level:
    return [f'{"." * node.level}{node.module or ""}']
  # `from a import b`: b is a module, or a name inside a.
  inside = [f'{node.module}.{alias.name}' for alias in node.names]
  return [name if name in files else node.module for name in inside]


def _is_within(module, packages):
  return any(module == p or module.startswith(f'{p}.') for p in packages)


def violations(root):
  """A line for each import that points up or sideways, and for each circle of imports."""
  imports = read_imports(root)
  lines = []
  for module, targets in imports.items():
    layer = max((name for name in LAYERS if _is_within(module, [name])), key=len, default=None)
    if layer is None:
      lines.append(f'{module} is in no layer')
      continue
    for target in targets:
      if target.startswith('.'):
        lines.append(f'{module} imports {target}: relative')
      elif target.startswith('ssd_tf.'):
        lines.append(f'{module} imports {target}, which is not there')
      elif target in imports:
        allowed = _is_within(target, (*EVERYWHERE, layer, *LAYERS[layer]))
        if not allowed or not _may(module, target, ONLY_FOR):
          lines.append(f'{module} imports {target}')
      elif not _may(module, target, OUTSIDE_ONLY_FOR):
        lines.append(f'{module} imports {target}')
  return lines + [f'circle: {" -> ".join(circle)}' for circle in _circles(imports)]


def _may(module, target, rules):
  return all(
    _is_within(module, importers) for name, importers in rules.items() if _is_within(target, [name])
  )


def _circles(imports):
  """The circles that a walk from each module meets, each once."""
  done, circles = set(), []

  def walk(module, path):
    if module in path:
      circles.append([*path[path.index(module) :], module])
    elif module not in done:
      for target in imports[module]:
        if target in imports:
          walk(target, [*path, module])
      done.add(module)

  for module in imports:
    walk(module, [])
  return circles


def test_imports_point_down_only():
  assert violations(ROOT) == []


def test_layers_stand_in_order():
  names = list(LAYERS)
  for name, below in LAYERS.items():
    assert {other.partition('.')[0] for other in below} <= set(names[: names.index(name)]), name


def test_what_is_checked_is_all_there_is():
  checked = read_imports(ROOT)
  assert {'config.pipeline', 'ops.boxes', 'run.train', 'commands.model_main_tf2'} <= set(checked)
  assert 'run.train' in checked['commands.model_main_tf2']  # Inside a function.
  packages = {p.parent.name for p in ROOT.glob('ssd_tf/*/__init__.py')}
  assert packages == {layer for layer in LAYERS if (ROOT / 'ssd_tf' / layer).is_dir()}


SOUND = {
  'ssd_tf/__init__.py': '',
  'ssd_tf/errors.py': '',
  'ssd_tf/fields.py': '',
  'ssd_tf/config/__init__.py': '',
  'ssd_tf/config/pipeline.py': 'from ssd_tf.protos import ssd_pb2',
  'ssd_tf/protos/__init__.py': '',
  'ssd_tf/protos/ssd_pb2.py': '',
  'ssd_tf/ops/__init__.py': '',
  'ssd_tf/ops/boxes.py': 'import tensorflow as tf',
  'ssd_tf/ops/losses.py': 'from ssd_tf.ops import boxes\nfrom ssd_tf.errors import InputError',
  'ssd_tf/data/__init__.py': '',
  'ssd_tf/data/crop.py': 'from ssd_tf.ops.boxes import iou\nfrom ssd_tf import fields',
  'ssd_tf/models/__init__.py': '',
  'ssd_tf/models/net.py': 'import keras',
  'ssd_tf/training/__init__.py': '',
  'ssd_tf/training/trainer.py': 'from ssd_tf.ops import losses',
  'ssd_tf/builders/__init__.py': 'from ssd_tf.protos import ssd_pb2\nfrom ssd_tf.ops import losses',
  'ssd_tf/run/__init__.py': '',
  'ssd_tf/run/train.py': 'from ssd_tf import builders\nfrom ssd_tf.training import trainer',
  'ssd_tf/commands/__init__.py': '',
  'ssd_tf/commands/train.py': 'def main():\n  from ssd_tf.run import train',
  'tools/train.py': 'from ssd_tf.commands import train',
}


@pytest.mark.parametrize(
  ('file', 'source', 'found'),
  [
    ('ssd_tf/fields.py', '', []),
    ('ssd_tf/ops/boxes.py', 'from ssd_tf import fields', []),
    (
      'ssd_tf/ops/boxes.py',
      'from ssd_tf.data import crop',
      ['ops.boxes imports data.crop', 'circle: ops.boxes -> data.crop -> ops.boxes'],
    ),
    ('ssd_tf/data/crop.py', 'from ssd_tf.ops import losses', ['data.crop imports ops.losses']),
    ('ssd_tf/data/crop.py', 'import ssd_tf.ops.losses', ['data.crop imports ops.losses']),
    (
      'ssd_tf/data/crop.py',
      'import ssd_tf.config.pipeline as c',
      ['data.crop imports config.pipeline'],
    ),
    ('ssd_tf/data/crop.py', 'from . import other', ['data.crop imports .: relative']),
    (
      'ssd_tf/commands/train.py',
      'def main():\n  from ssd_tf.run.gone import train',
      ['commands.train imports ssd_tf.run.gone, which is not there'],
    ),
    (
      'ssd_tf/training/trainer.py',
      'def f():\n  if True:\n    from ssd_tf.protos.ssd_pb2 import Ssd',
      ['training.trainer imports protos.ssd_pb2'],
    ),
    (
      'ssd_tf/training/trainer.py',
      'from ssd_tf import builders',
      ['training.trainer imports builders'],
    ),
    (
      'ssd_tf/run/train.py',
      'from ssd_tf.protos import ssd_pb2',
      ['run.train imports protos.ssd_pb2'],
    ),
    (
      'ssd_tf/builders/__init__.py',
      'from ssd_tf.run import train',
      ['builders imports run.train', 'circle: builders -> run.train -> builders'],
    ),
    ('ssd_tf/models/net.py', 'import tensorflow as tf', ['models.net imports tensorflow']),
    ('ssd_tf/models/net.py', 'from tf_keras import layers', ['models.net imports tf_keras']),
    (
      'ssd_tf/config/pipeline.py',
      'import tensorflow.io',
      ['config.pipeline imports tensorflow.io'],
    ),
    (
      'ssd_tf/commands/train.py',
      'import tensorflow as tf',
      ['commands.train imports tensorflow'],
    ),
    ('tools/train.py', 'from ssd_tf import fields', []),
    ('tools/train.py', 'from ssd_tf.ops import boxes', ['tools.train imports ops.boxes']),
    ('tools/benchmarks/step.py', 'import tensorflow as tf\nimport tf_keras', []),
    ('ssd_tf/utils.py', '', ['utils is in no layer']),
    (
      'ssd_tf/ops/boxes.py',
      'from ssd_tf.ops import losses',
      ['circle: ops.losses -> ops.boxes -> ops.losses'],
    ),
  ],
)
def test_a_planted_violation_is_found(file, source, found, tmp_path):
  for name, text in {**SOUND, file: source}.items():
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
  assert violations(tmp_path) == found
