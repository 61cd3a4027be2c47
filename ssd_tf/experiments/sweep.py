"""Reads a sweep file: one config and a list of experiments, each with its changes to it.

JSON, since Python reads it by itself and a change is then written as --config_override has it:

  {
    "config": "ssd_tf/configs/ssd.config",
    "overrides": ["train_config.batch_size=4"],
    "flags": {"checkpoint_every_n": 100},
    "seeds": [0, 1],
    "test": ["eval_input_reader.tf_record_input_reader.input_path=data/test.record"],
    "experiments": [
      {"id": "01", "name": "from scratch", "purpose": "...", "overrides": [...]},
      {"id": "02", "name": "low rate", "like": "01", "overrides": [...], "seeds": [0]},
      {"id": "03", "name": "fine-tuned", "from": "01"},
      {"id": "04", "prepare": ["fill.py", "--model_dir={output_dir}/01_seed{seed}"]}
    ]
  }

`like` takes the overrides and flags of an experiment above, and its own come after them. `from`
starts from the best checkpoint (the last one where no best is kept) of an experiment above, of the
same seed; `best` is the best of those above by the mean over its seeds, among those that have that
seed and the same network. `prepare` is a Python script with its flags that runs before each
training, such as one that fills labels. `test` has the changes to the config by which the last and
the best checkpoint of each training are evaluated once it has ended, into its folder test. In
overrides and scripts' flags, {seed} and {output_dir} stand for those of the training. analysis and
notes are for the table.
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence

from ssd_tf.config.input_paths import resolve_path
from ssd_tf.errors import InputError, closest
from ssd_tf.files import json_file

BEST = 'best'
_ABOUT = ('name', 'purpose', 'analysis', 'notes')
# Flags of tools/model_main_tf2.py that do not change what is trained.
_FLAGS = (
  *('checkpoint_every_n', 'checkpoint_max_to_keep', 'log_every_n', 'num_logical_cpus'),
  'sample_1_of_n_eval_examples',
)
_TOP = {
  **{'config': str, 'overrides': list, 'flags': dict, 'seeds': list, 'test': list},
  'experiments': list,
}
_OF_EXPERIMENT = {
  **dict.fromkeys(('id', 'like', 'from', *_ABOUT), str),
  **{name: _TOP[name] for name in ('overrides', 'flags', 'seeds')},
  'prepare': list,
}


@dataclasses.dataclass(frozen=True)
class Experiment:
  """One experiment, with what it takes from the top of the file and from others.

  Attributes:
    about: id, name, purpose, analysis, notes.
    overrides: changes to the config, in order.
    flags: of the training's command, by name.
    seeds: one training each.
    source: the id of the experiment that it starts from; BEST; or '': from none.
    prepare: a Python script and its flags, to run before each training; empty: there is none.
  """

  about: Mapping[str, str]
  overrides: Sequence[str]
  flags: Mapping[str, int]
  seeds: Sequence[int]
  source: str
  prepare: Sequence[str]

  @property
  def id(self) -> str:
    """Its name in folders and in the table."""
    return self.about['id']


@dataclasses.dataclass(frozen=True)
class Sweep:
  """A sweep file.

  Attributes:
    config_path: the config that all experiments change.
    test_overrides: further changes, to evaluate on a test set; empty: it is not evaluated on.
  """

  path: str
  config_path: str
  test_overrides: Sequence[str]
  experiments: Sequence[Experiment]


def load(path: str) -> Sweep:
  """Reads a sweep file.

  Raises:
    InputError: the file is damaged, a name in it is unknown or of the wrong kind, an id is there
      twice, or an experiment builds on one that is not above it.
  """
  content = json_file.load(path)
  _check(content, _TOP, path)
  for name in ('config', 'experiments'):
    if not content.get(name):
      raise InputError(f'{path}: {name}: is missing')
  experiments = {}
  for index, entry in enumerate(content['experiments']):
    experiment = _experiment(entry, content, experiments, f'{path}: experiments[{index}]')
    experiments[experiment.id] = experiment
  try:
    config_path = resolve_path(content['config'], path)
  except InputError as error:
    raise InputError(f'{path}: config: {error}') from error
  return Sweep(path, config_path, content.get('test', []), list(experiments.values()))


def _experiment(entry, top, above, place):
  _check(entry, _OF_EXPERIMENT, place)
  name = entry.get('id', '')
  if not re.fullmatch(r'[\w.+-]+', name) or name in ('.', '..', BEST):
    raise InputError(
      f'{place}: id: is {name!r}: expected letters, digits, _ . + -, and not {BEST!r}; it becomes '
      'the name of a folder'
    )
  place = f'{place}, {name}'
  if name in above:
    raise InputError(f'{place}: id: {name!r} occurs twice')
  base = above.get(entry.get('like', ''))
  source = entry.get('from', '')
  for field, value, known in (('like', entry.get('like', ''), []), ('from', source, [BEST])):
    if value and value not in (*above, *known):
      raise InputError(
        f'{place}: {field}: is {value!r}: expected one of those above it: '
        f'{", ".join([*above, *known]) or "there is none"}'
      )
  if source == BEST and not above:
    raise InputError(f'{place}: from: is {BEST!r}, but there is no experiment above it')
  seeds = entry.get('seeds', top.get('seeds', [0]))
  if source in above and (missing := sorted(set(seeds) - set(above[source].seeds))):
    raise InputError(
      f'{place}: from: {source} has no seed {", ".join(map(str, missing))}: give both the same '
      'seeds'
    )
  flags = {**(base.flags if base else top.get('flags', {})), **entry.get('flags', {})}
  return Experiment(
    about={'id': name, **{field: entry.get(field, '') for field in _ABOUT}},
    overrides=[
      *(base.overrides if base else top.get('overrides', [])),
      *entry.get('overrides', []),
    ],
    flags=flags,
    seeds=seeds,
    source=source,
    prepare=entry.get('prepare', []),
  )


def _check(content, kinds, place):
  """The names of a JSON object, and the kinds of their values."""
  if not isinstance(content, dict):
    raise InputError(f'{place}: expected an object {{...}}, received {json.dumps(content)[:60]}')
  for name, value in content.items():
    if name not in kinds:
      raise InputError(f'{place}: unknown name "{name}": {closest(name, kinds)}')
    if not isinstance(value, kinds[name]):
      raise InputError(
        f'{place}: {name}: expected {_KINDS[kinds[name]]}, received {json.dumps(value)[:60]}'
      )
  for name, value in content.get('flags', {}).items():
    if name not in _FLAGS:
      raise InputError(f'{place}: flags: {name!r}: expected one of {", ".join(_FLAGS)}')
    if not _is_count(value):
      raise InputError(f'{place}: flags: {name}: expected a whole number, received {value!r}')
  for name in ('overrides', 'test', 'prepare'):
    for item in content.get(name, []):
      if not isinstance(item, str):
        raise InputError(f'{place}: {name}: expected texts, received {json.dumps(item)[:60]}')
  seeds = content.get('seeds', [0])
  if not seeds or not all(map(_is_count, seeds)) or len(set(seeds)) < len(seeds):
    raise InputError(
      f'{place}: seeds: expected different whole numbers, received {json.dumps(seeds)}'
    )


def _is_count(value):
  return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_KINDS = {str: 'a text', list: 'a list [...]', dict: 'an object {...}'}
