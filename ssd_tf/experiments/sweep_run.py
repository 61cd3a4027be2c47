"""Runs the experiments of a sweep one after another, each in a process of its own."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from ssd_tf.errors import InputError
from ssd_tf.experiments import experiment_tables
from ssd_tf.experiments.experiment_about import write_about
from ssd_tf.experiments.sweep import BEST, Sweep
from ssd_tf.experiments.sweep_job import Job, source_checkpoint


def run_sweep(
  sweep: Sweep, output_dir: str, command: Sequence[str], say: Callable[[str], None]
) -> list[str]:
  """Trains what is not trained yet, and writes the table of all.

  A training that ended before is left alone, one that was interrupted goes on. One that fails does
  not keep the others from running, but for those that start from it. Ctrl-C, or SIGTERM, stops the
  training that runs, which saves nothing but what it has saved already, and the sweep.

  Args:
    output_dir: gets a folder <id>_seed<seed> for each training, with its output in train.log, and
      the files of `experiment_tables.write_tables`.
    command: what trains, as `python tools/model_main_tf2.py`; its flags are appended.
    say: gets a line for each step.

  Returns:
    A line for each training that failed.

  Raises:
    InputError: an override or config is wrong, or a folder holds another training; before the first
      training starts.
  """
  jobs = [
    Job(sweep, experiment, seed, output_dir)
    for experiment in sweep.experiments
    for seed in experiment.seeds
  ]
  _check(jobs)
  failures = {}
  for number, job in enumerate(jobs, start=1):
    place = f'[{number}/{len(jobs)}] {job.name}'
    write_about(job.model_dir, job.experiment.about)
    if job.is_trained and not job.untested_steps:
      say(f'{place}: done before: {job.result()}')
      continue
    say(f'{place}: {job.experiment.about["name"]}{_time_left(jobs[number - 1 :], jobs)}')
    try:
      fault = _make(job, jobs, failures, command)
    except KeyboardInterrupt:
      say(f'{place}: interrupted; the same command resumes from its last checkpoint')
      raise
    if fault:
      failures[job.name] = fault
    say(f'{place}: {f"failed: {fault}" if fault else job.result()}')
  faults = [f'{name}: {fault}' for name, fault in failures.items()]
  runs = [job.run for job in jobs if job.run.has_config]
  for path in experiment_tables.write_tables(runs, output_dir, [f'Failed: {f}' for f in faults]):
    say(f'wrote {path}')
  return faults


def _check(jobs: Sequence[Job]) -> None:
  """Checks every training's config, and that no folder holds a training by another one."""
  faults = {}  # Each once, though all seeds of an experiment have it.
  for job in jobs:
    place = f'{job.sweep.path}: experiment {job.experiment.id}'
    try:
      config = job.check()
    except InputError as error:
      faults |= {f'{place}: {line}': None for line in str(error).splitlines()}
      continue
    if not config.train_config.num_steps:
      faults[f'{place}: train_config.num_steps: is 0, without end; set it'] = None
    if job.run.has_config and not job.fits(config):
      fault = 'holds a training by another config; delete it, or give the experiment another id'
      faults[f'{place}: {job.model_dir}: {fault}'] = None
  if faults:
    raise InputError('\n'.join(faults))


def _make(job, jobs, failures, command):
  """Trains and tests, as far as it is not done before; returns why it failed, or None."""
  fault = None
  if not job.is_trained:
    try:
      source = _source(job, jobs, failures) if job.experiment.source else None
      checkpoint = source_checkpoint(source.model_dir) if source else ''
    except InputError as error:
      return str(error)
    fault = job.train(command, checkpoint)
  return fault or job.test(command)


def _source(job: Job, jobs: Sequence[Job], failures: Mapping[str, str]) -> Job:
  """The training that one starts from."""
  source = job.experiment.source
  if source == BEST:
    source = _best_above(job, jobs)
  found = next(o for o in jobs if o.experiment.id == source and o.seed == job.seed)
  if found.name in failures:
    raise InputError(f'not run: {found.name}, which it starts from, failed')
  return found


def _best_above(job: Job, jobs: Sequence[Job]) -> str:
  """The id of the best experiment above by the mean over its seeds: with this seed and network."""
  model = job.load().config.model
  figures = {}
  for other in jobs[: jobs.index(job)]:
    is_other = other.experiment is not job.experiment and job.seed in other.experiment.seeds
    if not is_other or not other.is_trained:
      continue
    run = other.run
    if run.config.model == model and run.best_step is not None:
      figures.setdefault(other.experiment.id, []).append(run.figure(run.best_step))
  if not figures:
    raise InputError('not run: none above it with this seed and network is finished and evaluated')
  return max(figures, key=lambda name: statistics.mean(figures[name]))


def _time_left(ahead: Sequence[Job], jobs: Sequence[Job]) -> str:
  """How long the jobs ahead will take, by the mean of those that are finished."""
  done = [job.run.seconds for job in jobs if job.is_trained]
  if not done:
    return ''
  pending = sum(not job.is_trained for job in ahead)
  minutes = pending * statistics.mean(done) / 60
  return f'; about {minutes:.0f} min left for {pending}, by the mean of {len(done)} finished'
