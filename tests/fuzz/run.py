r"""Tries seeded mutations of every kind of input.

PYTHONPATH=tests python -m fuzz.run --count=10000
PYTHONPATH=tests python -m fuzz.run --kind=coco --number=1234

Success or the project's own error is right; any other exception, a hang, unbounded memory, or
something accepted that makes no sense is a failure. --count is the number of inputs of all kinds
together. The second command tries one input again, and shows what the project prints.
"""

import argparse
import collections
import concurrent.futures
import os
import sys
import threading
from collections.abc import Mapping

import tqdm
from fuzz import inputs
from fuzz.kinds import KINDS, Kind
from fuzz.workers import Outcome, Worker

_CHUNK = 50


def reproduce(name: str, number: int) -> str:
  """The command that tries one input again."""
  return f'PYTHONPATH=tests python -m fuzz.run --kind={name} --number={number}'


def try_all(kinds: Mapping[str, Kind], count: int, jobs: int) -> dict[str, list[Outcome]]:
  """Tries inputs of several kinds, in several processes, and prints each failure as it comes.

  Args:
    kinds: by name.
    count: inputs of each.
    jobs: processes.

  Returns:
    The outcomes, by the name of the kind and in the order of their numbers.
  """
  local, workers = threading.local(), []

  def try_chunk(name, start):
    if not hasattr(local, 'worker'):
      local.worker = Worker()
      workers.append(local.worker)
    numbers = range(start, min(start + _CHUNK, count))
    tried = list(local.worker.try_inputs(name, kinds[name], numbers))
    for outcome in tried:
      if outcome.verdict == 'failed':
        last = outcome.text.strip().splitlines()[-1]
        print(f'{reproduce(name, outcome.number)}\n  {last}', flush=True)
    return tried

  outcomes = {name: [] for name in kinds}
  with concurrent.futures.ThreadPoolExecutor(jobs) as executor:
    chunks = [(name, start) for name in kinds for start in range(0, count, _CHUNK)]
    results = executor.map(lambda chunk: try_chunk(*chunk), chunks)
    # disable=None: no bar in a log file.
    bar = tqdm.tqdm(results, 'inputs', len(chunks), unit=f' times {_CHUNK}', disable=None)
    for (name, _), tried in zip(chunks, bar, strict=True):
      outcomes[name] += tried
  for worker in workers:
    worker.close()
  return outcomes


def write_failures(outcomes: Mapping[str, list[Outcome]], folder: str) -> None:
  """Leaves the files of each input that failed in a folder of its own, error.txt among them."""
  for name, tried in outcomes.items():
    for outcome in tried:
      if outcome.verdict == 'failed':
        place = os.path.join(folder, f'{name}_{outcome.number}')
        os.makedirs(place, exist_ok=True)
        inputs.write(KINDS[name], name, outcome.number, place)
        with open(os.path.join(place, 'error.txt'), 'w', encoding='utf-8') as file:
          file.write(f'{reproduce(name, outcome.number)}\n{outcome.text}\n')


def table(outcomes: Mapping[str, list[Outcome]]) -> str:
  """How many inputs of each kind were tried, refused, accepted, and how many failed."""
  counts = {
    name: collections.Counter(outcome.verdict for outcome in tried)
    for name, tried in outcomes.items()
  }
  counts['total'] = sum(counts.values(), collections.Counter())
  lines = [f'{"kind":12}{"tried":>8}{"refused":>9}{"accepted":>10}{"failed":>8}']
  for name, count in counts.items():
    row = (count.total(), count['refused'], count['accepted'], count['failed'])
    lines.append('{:12}{:8}{:9}{:10}{:8}'.format(name, *row))
  return '\n'.join(lines)


def _try_one(name, number):
  worker = Worker(is_quiet=False)
  (outcome,) = worker.try_inputs(name, KINDS[name], [number])
  worker.close()
  print(f'{outcome.verdict}: {outcome.text}')
  return outcome.verdict == 'failed'


def main() -> int:
  """Parses the flags, tries, reports; 1 if an input failed."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--kind', choices=KINDS, action='append', help='Default: all.')
  parser.add_argument('--count', type=int, default=10_000, help='Inputs, of all kinds together.')
  parser.add_argument('--number', type=int, help='Try this input of the kind alone.')
  parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='Processes.')
  parser.add_argument('--failures', default='build/fuzz', help='Gets the inputs that failed.')
  args = parser.parse_args()
  kinds = {name: KINDS[name] for name in args.kind or KINDS}
  if args.number is not None:
    return max(_try_one(name, args.number) for name in kinds)
  outcomes = try_all(kinds, -(-args.count // len(kinds)), args.jobs)
  write_failures(outcomes, args.failures)
  print(table(outcomes))
  failed = any(outcome.verdict == 'failed' for tried in outcomes.values() for outcome in tried)
  if failed:
    print(f'The inputs that failed, and their errors: {args.failures}')
  return int(failed)


if __name__ == '__main__':
  sys.exit(main())
