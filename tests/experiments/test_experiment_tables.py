"""Cells of the tables of experiments, of folders made by hand."""

import csv

import experiment_folder as folder
import pytest

from ssd_tf.errors import InputError
from ssd_tf.experiments import experiment_about, experiment_tables
from ssd_tf.experiments.recorded_run import RecordedRun
from ssd_tf.run.evaluation_log import EvaluationLog


@pytest.fixture
def runs(tiny, monkeypatch):
  """Experiment 01 with two seeds, 02 unfinished: batch 4 of 10 images, so 2.5 steps an epoch."""
  monkeypatch.chdir(tiny)
  for name, seed, best, losses in (
    ('01_seed0', 0, 0.30, {1: 8.0, 20: 2.0}),
    ('01_seed1', 1, 0.20, {1: 6.0, 20: 1.0}),
  ):
    path = tiny / 'runs' / name
    folder.write_config(path, overrides=[f'train_config.seed={seed}'])
    folder.write_losses(path, losses)
    # The best is not the last, nor the later one of two equal ones.
    step = 10 if seed == 0 else 5
    evaluations = {5: (0.1, {}), 10: (best, {}), 20: (0.15, {})}
    folder.write_evaluations(path, {**evaluations, step: (best, {}), 10: (best, {})})
    folder.write_record(path, (60, 8, 'interrupted'), (120, 20, 'finished'))
    folder.write_about(path, id='01', name='from | scratch', purpose='see', analysis='slow\nrise')
  path = tiny / 'runs/02_seed0'
  folder.write_config(path)
  folder.write_record(path, (90, 3, 'failed: the loss is not finite'))
  names = ('01_seed0', '01_seed1', '02_seed0')
  return [RecordedRun(str(tiny / 'runs' / name)) for name in names]


def test_table_of_experiments(runs):
  """Time: (60 + 120) / 60 = 3 minutes each. Epochs: 20 * 4 / 10 = 8; best 10 * 4 / 10 = 4 and 2.

  Loss: 2 and 1, mean 1.5, deviation 1 / sqrt(2) = .707. mAP: .30 and .20: .25, .1 / sqrt(2) = .071.
  """
  assert experiment_tables.experiment_table(runs).splitlines() == [
    '| ID | Time | Name | Epoch | Loss | Best mAP/epoch | Purpose | Analysis | Notes |',
    '| --- | --- | --- | --- | --- | --- | --- | --- | --- |',
    '| 01 | 2026-03-01, 3.0 + 3.0 min | from \\| scratch | 8.0 | 1.500 ± 0.707 '
    '| 0.250 ± 0.071/4.0, 2.0 | see | slow rise |  |',
    '| 02 | 2026-03-01, 1.5 min |  | 1.2 | - | - |  |  '
    '| seed 0, step 3: failed: the loss is not finite |',
  ]


def test_files_hold_every_run_unrounded(runs, tmp_path):
  paths = experiment_tables.write_tables(runs, str(tmp_path / 'out'), ['Failed: 02 seed 0: x'])
  assert [path.rpartition('/')[2] for path in paths] == ['experiments.md', 'experiments.csv']
  text = (tmp_path / 'out/experiments.md').read_text()
  assert 'Best mAP is `DetectionBoxes_Precision/mAP` on the validation set, a fraction of 1' in text
  assert '|\n\n- Failed: 02 seed 0: x\n' in text
  # 8 and 6: the deviation is sqrt(2). 02 has logged nothing.
  assert '.\n\n- Start loss of 01: 7.000 ± 1.414\n\n| ID |' in text
  with open(paths[1], newline='') as file:
    first, second, third = csv.DictReader(file)
  expected = {
    'id': '01',
    'seed': '0',
    'started': '2026-03-01T10:00:00Z',
    'seconds': '180',
    'steps': '20',
    'epochs': '8.0',
    'first_loss': '8.0',
    'last_loss': '2.0',
    'best': '0.3',
    'best_step': '10',
    'best_epoch': '4.0',
    'last': '0.15',
    'last_step': '20',
    'outcome': 'finished',
    'analysis': 'slow\nrise',
  }
  assert expected == {name: first[name] for name in expected}
  assert (second['seed'], second['best_step'], second['best']) == ('1', '5', '0.2')
  assert (third['best'], third['last_loss'], third['steps']) == ('', '', '3')


@pytest.mark.parametrize(
  ('overrides', 'best'),
  [([], 5), (['train_config.best_metric=Loss/total_loss'], 10)],
)
def test_the_best_step_is_that_of_the_checkpoint_that_the_training_keeps(overrides, best, tiny):
  folder.write_config(tiny / 'run', tiny / 'tiny.config', overrides)
  # Of equal losses the first; the last is no figure.
  for step, figure, loss in (
    (5, 0.4, 1.0),
    (10, 0.3, 0.5),
    (15, 0.2, 0.5),
    (20, -1.0, float('nan')),
  ):
    folder.write_evaluations(tiny / 'run', {step: (figure, {})}, {'Loss/total_loss': loss})
  run = RecordedRun(str(tiny / 'run'))
  row = experiment_tables.experiment_row(run)
  assert (row['best_step'], row['best']) == (best, {5: 0.4, 10: 0.3}[best])
  text = experiment_tables.describe_experiments([run])
  assert ('The best evaluation is that by `Loss/total_loss`' in text) == (best == 10)


def test_classes_over_steps(tiny, monkeypatch):
  """As SSD300's log has them: rows are classes, columns steps, the last row the mean."""
  monkeypatch.chdir(tiny)
  folder.write_config(tiny / 'run')
  evaluations = {
    500: (0.35, {'cat': 0.5, 'a/c': 0.2, 'rare': -1.0}),
    20000: (0.6874, {'cat': 0.75, 'a/c': 0.6248, 'rare': -1.0}),
  }
  folder.write_evaluations(tiny / 'run', evaluations)
  run = RecordedRun(str(tiny / 'run'))
  assert experiment_tables.class_table(run).splitlines() == [
    '|  | Steps | 500 | 20k |',
    '| --- | --- | --- | --- |',
    '| cat | AP | 0.500 | 0.750 |',
    '| a/c | AP | 0.200 | 0.625 |',
    '| rare | AP | - | - |',
    '|  | **mAP** | **0.350** | **0.687** |',
  ]
  paths = experiment_tables.write_tables([run], str(tiny / 'out'))
  assert (tiny / 'out/run_classes.csv').read_text() == (
    'class,500,20000\ncat,0.5,0.75\na/c,0.2,0.6248\nrare,,\nmAP,0.35,0.6874\n'
  )
  assert paths[-1] == str(tiny / 'out/run_classes.csv')


VOC = 'PascalBoxes_Precision/mAP@0.5IOU'
OF_VOC = {VOC: 0.6} | {
  f'PascalBoxes_PerformanceByCategory/AP@0.5IOU/{name}': 0.6 for name in ('cat', 'b')
}


@pytest.mark.parametrize(
  ('of_coco', 'metric', 'lines'),
  [
    # Both tell their classes apart: the first of metrics_set counts.
    (
      {'cat': 0.2, 'a/c': 0.4},
      'DetectionBoxes_Precision/mAP',
      ['cat | AP | 0.200', 'a/c | AP | 0.400', ' | **mAP** | **0.300**'],
    ),
    # COCO's mean has no classes: rows and mean are VOC's.
    ({}, VOC, ['cat | AP | 0.600', 'b | AP | 0.600', ' | **mAP** | **0.600**']),
  ],
)
def test_classes_and_mean_are_of_one_metric(tiny, of_coco, metric, lines):
  folder.write_config(tiny / 'run', tiny / 'tiny.config')
  folder.write_evaluations(tiny / 'run', {500: (0.3, of_coco)}, OF_VOC)
  run = RecordedRun(str(tiny / 'run'))
  assert (run.metric, run.class_metric) == ('DetectionBoxes_Precision/mAP', metric)
  assert experiment_tables.class_table(run).splitlines()[2:] == [f'| {line} |' for line in lines]
  assert f'/run, `{metric}`\n' in experiment_tables.describe_experiments([run])


def test_classes_of_voc_alone_and_none(tiny):
  folder.write_config(tiny / 'run', tiny / 'tiny.config')
  run = RecordedRun(str(tiny / 'run'))
  assert experiment_tables.class_rows(run) == []
  EvaluationLog(str(tiny / 'run/eval')).append(500, OF_VOC, {'split': 'eval.record'})
  run = RecordedRun(str(tiny / 'run'))
  assert run.metric == run.class_metric == VOC
  assert experiment_tables.class_rows(run) == [
    ['class', 500], ['cat', 0.6], ['b', 0.6], ['mAP', 0.6]
  ]  # fmt: skip


def test_files_are_found_from_another_folder(tiny, tmp_path_factory, monkeypatch):
  model_dir = tmp_path_factory.mktemp('models') / 'run'
  folder.write_config(model_dir, tiny / 'tiny.config')
  folder.write_record(model_dir, (60, 8, 'finished'), folder=str(tiny))
  monkeypatch.chdir(model_dir.parent)
  run = RecordedRun('run')
  assert (run.pipeline.path, run.num_train_images) == (str(tiny / 'tiny.config'), 10)
  # Copied from another machine: what lies beside the saved config.
  folder.write_record(model_dir, (60, 8, 'finished'), folder='/no/such/folder')
  assert RecordedRun('run').pipeline.path == 'run/pipeline.config'


def test_epochs_are_of_the_images_that_readers_take(tiny, monkeypatch):
  # Of 10 records each fourth, rounded up: 3; and of 5 all.
  monkeypatch.chdir(tiny)
  override = (
    'train_input_reader=[{sample_1_of_n_examples: 4 tf_record_input_reader {input_path: '
    '"train.record"}}, {tf_record_input_reader {input_path: "eval.record"}}]'
  )
  folder.write_config(tiny / 'run', overrides=[override])
  run = RecordedRun('run')
  assert run.num_train_images == 3 + 5
  assert run.epochs(5) == pytest.approx(5 * 4 / 8)


def test_epochs_are_unknown_without_the_records_and_count_accumulated_batches(tiny, monkeypatch):
  monkeypatch.chdir(tiny)
  folder.write_config(tiny / 'run', overrides=['train_config.gradient_accumulation_steps=3'])
  assert RecordedRun('run').epochs(5) == pytest.approx(5 * 4 * 3 / 10)
  (tiny / 'train.record').unlink()
  run = RecordedRun('run')
  assert run.epochs(5) is None and run.best_step is None
  row = experiment_tables.experiment_row(run)
  assert (row['id'], row['epochs'], row['seconds'], row['best']) == ('run', None, None, None)


def test_what_experiment_json_may_hold(tiny, monkeypatch):
  monkeypatch.chdir(tiny)
  folder.write_config(tiny / 'a_seed3')
  assert RecordedRun('a_seed3').about['id'] == 'a'
  experiment_about.write_about('a_seed3', {'name': 'first', 'notes': 'old'})
  experiment_about.write_about('a_seed3', {'name': 'second', 'notes': ''})
  about = RecordedRun('a_seed3', {'purpose': 'why'}).about
  assert (about['name'], about['notes'], about['purpose']) == ('second', 'old', 'why')
  with pytest.raises(TypeError):  # What fails half way leaves the file as it was.
    experiment_about.write_about('a_seed3', {'name': 'third', 'notes': object()})
  assert experiment_about.read_about('a_seed3')['name'] == 'second'
  for text, fault in (('{"name": 3}', 'expected {"name": "..."}'), ('{', 'broken JSON')):
    (tiny / 'a_seed3/experiment.json').write_text(text)
    with pytest.raises(InputError, match=r'experiment\.json: ' + fault):
      _ = RecordedRun('a_seed3').about
  with pytest.raises(InputError, match='model_dir .: expected the folder of a training; it has no'):
    _ = RecordedRun('.').config
