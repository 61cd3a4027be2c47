"""Some hundred mutations of every kind of input; `make fuzz` tries 10,000."""

import pytest
from fuzz import inputs, kinds, run, workers

# The same numbers as in `make fuzz`, which goes on from there.
NUM_INPUTS = 120


@pytest.fixture(scope='module')
def worker():
  """One process for all kinds: to import TensorFlow takes longer than a hundred inputs."""
  worker = workers.Worker()
  yield worker
  worker.close()


@pytest.mark.parametrize('name', kinds.KINDS)
def test_mutated_input_is_read_rightly_or_refused(name, worker):
  kind = kinds.KINDS[name]
  outcomes = list(worker.try_inputs(name, kind, range(NUM_INPUTS)))
  failed = [outcome for outcome in outcomes if outcome.verdict == 'failed']
  told = '\n'.join(f'{run.reproduce(name, outcome.number)}\n{outcome.text}' for outcome in failed)
  assert not failed, f'{len(failed)} inputs failed:\n{told}'
  assert [outcome.number for outcome in outcomes] == list(range(NUM_INPUTS))
  # The seeds themselves are right, and the mutations neither leave them so nor ruin them all; but
  # the checksums of a record file find every one.
  seeds, mutated = outcomes[: len(kind.variants)], outcomes[len(kind.variants) :]
  assert all(outcome.verdict == 'accepted' for outcome in seeds), seeds
  verdicts = [outcome.verdict for outcome in mutated]
  assert name == 'record_file' or verdicts.count('accepted') >= NUM_INPUTS // 50, verdicts
  assert verdicts.count('refused') >= NUM_INPUTS // 10, verdicts


def test_input_is_made_again_by_its_number(tmp_path):
  for name, kind in kinds.KINDS.items():
    number, made = 60, []
    for folder in ('once', 'again'):
      inputs.write(kind, name, number, str(tmp_path / name / folder))
      files = [path for path in (tmp_path / name / folder).rglob('*') if path.is_file()]
      made.append({path.name: path.read_bytes() for path in files})
    assert made[0] and made[0] == made[1], name


def test_every_target_of_a_kind_is_a_file_of_it():
  for name, kind in kinds.KINDS.items():
    assert {*kind.targets} <= {path for files in kind.variants for path in files}, name


@pytest.mark.parametrize(
  ('check', 'verdict', 'told'),
  [
    ('accept', 'accepted', ''),
    ('refuse', 'refused', 'expected another file'),
    ('fail', 'failed', "KeyError: 'image_id'"),
    ('exit_quietly', 'failed', 'exit code 0'),
    ('crash', 'failed', 'exit code -6'),
    ('wait', 'failed', 'no answer within 3 seconds'),
    ('compute', 'failed', 'seconds; accepted'),
    ('allocate', 'failed', 'MemoryError'),
  ],
)
def test_worker_tells_what_came_of_an_input(check, verdict, told):
  kind = kinds.Kind(f'fuzz.planted.{check}', [{'classes.txt': 'classes.txt'}], ['classes.txt'])
  wait_seconds = 3 if check == 'wait' else 120
  limits = workers.Limits(cpu_seconds=0.2, wait_seconds=wait_seconds, memory_bytes=2**30)
  worker = workers.Worker(limits)
  outcomes = list(worker.try_inputs('planted', kind, [5]))
  worker.close()
  assert [(outcome.number, outcome.verdict) for outcome in outcomes] == [(5, verdict)]
  assert told in outcomes[0].text, outcomes


def test_worker_that_died_is_started_again():
  worker, files = workers.Worker(), [{'classes.txt': 'classes.txt'}]
  verdicts = []
  for check in ('crash', 'accept'):
    kind = kinds.Kind(f'fuzz.planted.{check}', files, ['classes.txt'])
    verdicts.append([outcome.verdict for outcome in worker.try_inputs('planted', kind, [0, 0])])
  worker.close()
  assert verdicts == [['failed', 'failed'], ['accepted', 'accepted']]
