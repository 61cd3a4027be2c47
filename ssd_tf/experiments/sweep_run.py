"""Runs the experiments of a sweep one after another, each in a process of its own."""

import contextlib
import dataclasses
import os
import re
import signal
import statistics
import subprocess
from collections.abc import Callable, Sequence

from ssd_tf import builders
from ssd_tf.config.input_paths import find_checkpoint
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError, signal_of
from ssd_tf.experiments import experiment_tables
from ssd_tf.experiments.experiment_run import read_run, write_about
from ssd_tf.experiments.sweep import BEST, Experiment, Sweep
from ssd_tf.run import best_checkpoint, record

_SECONDS_TO_STOP = 60
_LOG_TAIL_BYTES = 65536
# Of train_config: what a training starts from.
_SOURCE_FIELDS = (
  *('fine_tune_checkpoint', 'fine_tune_checkpoint_type', 'fine_tune_checkpoint_version'),
  *('fine_tune_class_map', 'fine_tune_label_map_path'),
)


@dataclasses.dataclass(frozen=True)
class Job:
  """One training of a sweep.

  Attributes:
    experiment: what it is of.
    seed: of it.
    model_dir: its folder, <id>_seed<seed>.
  """

  experiment: Experiment
  seed: int
  model_dir: str

  @property
  def name(self) -> str:
    """For messages."""
    return f'{self.experiment.id} seed {self.seed}'


def run_sweep(
  sweep: Sweep,
  output_dir: str,
  command: Sequence[str],
  say: Callable[[str], None] = print,
) -> list[str]:
  """Trains what is not trained yet, and writes the table of all.

  A training that ended before is left alone, one that was interrupted goes on. One that fails does
  not keep the others from running, but for those that start from it. Ctrl-C, or SIGTERM, stops the
  training that runs, which saves nothing but what it has saved already, and the sweep.

  Args:
    sweep: the experiments.
    output_dir: gets a folder <id>_seed<seed> for each training, with its output in train.log, and
      the files of `experiment_tables.write_tables`.
    command: what trains, as `python tools/model_main_tf2.py`; its flags are appended.
    say: gets a line for each step.

  Returns:
    A line for each training that failed.

  Raises:
    InputError: an override or config is wrong, or a folder holds another training; before the first
      training starts.
    KeyboardInterrupt: it was stopped.
  """
  jobs = [
    Job(experiment, seed, os.path.join(output_dir, f'{experiment.id}_seed{seed}'))
    for experiment in sweep.experiments
    for seed in experiment.seeds
  ]
  check(sweep, jobs)
  failures = {}
  for number, job in enumerate(jobs, start=1):
    place = f'[{number}/{len(jobs)}] {job.name}'
    write_about(job.model_dir, job.experiment.about)
    if record.is_finished(job.model_dir):
      say(f'{place}: done before: {_result(job)}')
      continue
    say(f'{place}: {job.experiment.about["name"]}{_time_left(jobs[number - 1 :], jobs)}')
    try:
      fault = _train(sweep, job, jobs, failures, command)
    except KeyboardInterrupt:
      say(f'{place}: interrupted; the same command goes on from its last checkpoint')
      raise
    if fault:
      failures[job.name] = fault
    say(f'{place}: {f"failed: {fault}" if fault else _result(job)}')
  faults = [f'{name}: {fault}' for name, fault in failures.items()]
  runs = [read_run(job.model_dir) for job in jobs if _has_config(job)]
  for path in experiment_tables.write_tables(runs, output_dir, [f'Failed: {f}' for f in faults]):
    say(f'wrote {path}')
  return faults


def check(sweep: Sweep, jobs: Sequence[Job]) -> None:
  """Checks every experiment's config, and that no folder holds a training by another one.

  Args:
    sweep: the experiments.
    jobs: their trainings.

  Raises:
    InputError: all that is wrong, a line each, with the id of the experiment.
  """
  faults = []
  for experiment in sweep.experiments:
    place = f'{sweep.path}: experiment {experiment.id}'
    try:
      pipeline = Pipeline.load(sweep.config_path, experiment.overrides)
      config = pipeline.config
      if experiment.source:
        for field in _SOURCE_FIELDS:  # The checkpoint may not be there yet.
          config.train_config.ClearField(field)
      builders.check_config(pipeline)
    except InputError as error:
      faults += [f'{place}: {line}' for line in str(error).splitlines()]
      continue
    if not config.train_config.num_steps:
      faults.append(f'{place}: train_config.num_steps: is 0, for ever; set it')
    faults += [
      f'{place}: {job.model_dir}: holds a training by another config; delete it, or give the '
      'experiment another id'
      for job in jobs
      if job.experiment is experiment and _has_config(job) and not _fits(job, config)
    ]
  if faults:
    raise InputError('\n'.join(faults))


def source_checkpoint(model_dir: str) -> str:
  """The best checkpoint of a training, or the last one where it keeps no best.

  Args:
    model_dir: of the training.

  Returns:
    Its prefix.

  Raises:
    InputError: there is none.
  """
  return best_checkpoint.find(model_dir) or find_checkpoint(model_dir)


def last_error(log_path: str) -> str:
  """The last line of a log that tells of an error; without one, its last line."""
  with open(log_path, 'rb') as file:
    file.seek(max(0, os.path.getsize(log_path) - _LOG_TAIL_BYTES))
    lines = file.read().decode('utf-8', 'replace').splitlines()
  lines = [line.strip() for line in lines if line.strip()]
  errors = [line for line in lines if re.search(r'error\b', line, re.IGNORECASE)]
  return (errors or lines or ['no output'])[-1]


def _has_config(job):
  return os.path.exists(os.path.join(job.model_dir, 'pipeline.config'))


def _fits(job, config):
  """Whether the training in a folder is by this config; what it starts from may be chosen later."""
  saved = Pipeline.load(os.path.join(job.model_dir, 'pipeline.config')).config
  expected = type(config)()
  expected.CopyFrom(config)
  expected.train_config.seed = job.seed
  if job.experiment.source:
    for each in (expected, saved):
      for field in _SOURCE_FIELDS:
        each.train_config.ClearField(field)
  return saved == expected


def _train(sweep, job, jobs, failures, command):
  """Trains; returns why it failed, or None."""
  overrides = list(job.experiment.overrides)
  if job.experiment.source:
    try:
      source = _source(sweep, job, jobs, failures)
      checkpoint = source_checkpoint(source.model_dir)
    except InputError as error:
      return str(error)
    overrides += [
      f'train_config.fine_tune_checkpoint={checkpoint}',
      'train_config.fine_tune_checkpoint_type=full',
      'train_config.fine_tune_checkpoint_version=V2',
      # Its classes are the model's own.
      'train_config.fine_tune_class_map=[]',
      'train_config.fine_tune_label_map_path=',
    ]
  log_path = os.path.join(job.model_dir, 'train.log')
  arguments = [
    *command,
    f'--pipeline_config_path={sweep.config_path}',
    f'--model_dir={job.model_dir}',
    f'--seed={job.seed}',
    *(f'--{name}={value}' for name, value in job.experiment.flags.items()),
    *(f'--config_override={override}' for override in overrides),
  ]
  code = _run(arguments, log_path)
  return f'{last_error(log_path)} (exit code {code}; {log_path})' if code else None


def _run(arguments, log_path):
  """Runs a command to its end, or stops it when this process is told to stop."""
  with open(log_path, 'a+b') as log:
    if log.tell() and (log.seek(-1, os.SEEK_END), log.read())[1] != b'\n':
      log.write(b'\n')  # A killed training left half a line.
      log.flush()
    # What a shell has in the background ignores Ctrl-C, and what that starts would, too.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    # In a session of its own: Ctrl-C comes to it once, from here.
    process = subprocess.Popen(
      arguments, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    signal.signal(signal.SIGINT, handler)
    try:
      return process.wait()
    except KeyboardInterrupt as interrupt:
      process.send_signal(signal_of(interrupt))
      with contextlib.suppress(subprocess.TimeoutExpired):  # It is killed below.
        process.wait(_SECONDS_TO_STOP)
      raise
    finally:
      if process.poll() is None:
        process.kill()
        process.wait()


def _source(sweep, job, jobs, failures):
  """The training that one starts from."""
  source = job.experiment.source
  if source == BEST:
    source = _best_above(sweep, job, jobs)
  found = next(o for o in jobs if o.experiment.id == source and o.seed == job.seed)
  if found.name in failures:
    raise InputError(f'not run: {found.name}, which it starts from, failed')
  return found


def _best_above(sweep, job, jobs):
  """The id of the best experiment above by the mean over its seeds: with this seed and network."""
  model = Pipeline.load(sweep.config_path, job.experiment.overrides).config.model
  figures = {}
  for other in jobs[: jobs.index(job)]:
    if job.seed not in other.experiment.seeds or other.experiment is job.experiment:
      continue
    if not record.is_finished(other.model_dir):
      continue
    run = read_run(other.model_dir)
    if run.config.model == model and run.best_step is not None:
      figures.setdefault(other.experiment.id, []).append(run.figure(run.best_step))
  if not figures:
    raise InputError('not run: none above it with this seed and network is finished and evaluated')
  return max(figures, key=lambda name: statistics.mean(figures[name]))


def _result(job):
  run = read_run(job.model_dir) if _has_config(job) else None
  if run is None or run.best_step is None:
    return 'ended, without an evaluation'
  seconds = '' if run.seconds is None else f', {run.seconds / 60:.1f} min'
  return f'best {run.metric} {run.figure(run.best_step):.3f} at step {run.best_step}{seconds}'


def _time_left(ahead, jobs):
  """How long the jobs ahead will take, by the mean of those that are finished."""
  done = [
    sum(entry['seconds'] for entry in record.read(job.model_dir))
    for job in jobs
    if record.is_finished(job.model_dir)
  ]
  if not done:
    return ''
  pending = sum(not record.is_finished(job.model_dir) for job in ahead)
  minutes = pending * statistics.mean(done) / 60
  return f'; about {minutes:.0f} min left for {pending}, by the mean of {len(done)} finished'
