"""Made-up evaluations of repeated trainings, their means by hand, and the curves drawn of them."""

import json
import shutil
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import tensorflow as tf

from ssd_tf.errors import InputError
from ssd_tf.experiments import comparison_plot, repeated_runs, run_comparison
from ssd_tf.experiments.comparable_evaluations import read_evaluations
from ssd_tf.run import evaluation_conditions
from ssd_tf.run.evaluation_log import EvaluationLog

_CLASS = 'DetectionBoxes_PerformanceByCategory/mAP/'


def _write(path, scores, **rest):
  """Writes a metrics.jsonl of {step: (AP, AP50, {class: AP})}."""
  path.parent.mkdir(parents=True, exist_ok=True)
  lines = []
  for step, (ap, ap50, *classes) in scores.items():
    metrics = {'DetectionBoxes_Precision/mAP': ap, 'DetectionBoxes_Precision/mAP@.50IOU': ap50}
    for name, value in (classes[0] if classes else {}).items():
      metrics[f'{_CLASS}{name}'] = value
    lines.append(json.dumps({'step': step, 'metrics': metrics, **rest}))
  path.write_text('\n'.join(lines) + '\n')


def _run(folder, name, validation, test=None):
  _write(folder / name / 'eval/metrics.jsonl', validation, split='val.record', images=200)
  if test:
    _write(folder / name / 'test/eval/metrics.jsonl', test, split='test.record', images=100)


def _write_losses(folder, name, losses, tag='Loss/total_loss'):
  writer = tf.summary.create_file_writer(str(folder / name / 'train'))
  with writer.as_default():
    for step, value in losses.items():
      tf.summary.scalar(tag, value, step)
  writer.close()


def _compare(folder, **flags):
  return run_comparison.compare_runs(f'{folder}/*_seed*', **flags)


@pytest.fixture
def experiment(tmp_path):
  """Three variants of two seeds, with test lines of the last and of the best checkpoint."""
  for name, last, best in [
    ('complete_seed0', (0.50, 0.70), None),
    ('complete_seed1', (0.60, 0.80), None),
    ('naive_seed0', (0.20, 0.40), (0.26, 0.46)),
    ('naive_seed1', (0.24, 0.44), None),
    ('masked_seed0', (0.41, 0.70), None),
    ('masked_seed1', (0.51, 0.71), None),
  ]:
    # On the validation set the best is the last, but for the run that has another.
    middle = (0.45, 0.5) if best else (0.1, 0.2)
    test = {1500: last, **({1000: best} if best else {})}
    _run(tmp_path, name, {1000: middle, 1500: (0.4, 0.5)}, test)
  return tmp_path


def test_tables_of_a_complete_experiment(experiment):
  """Deviations: of two values, their difference over the square root of 2.

  complete: .55, .1 / 1.4142 = .071. naive, last: .22 ± .028; best: (.26 + .24) / 2 = .25 ± .014.
  masked: .46 ± .071. Recovered of the means: (.46 - .22) / (.55 - .22) = 72.7%; by seed
  (.41 - .20) / .30 = 70.0% and (.51 - .24) / .36 = 75.0%: 72.5% ± 3.5%. AP50 (.705 - .42) / (.75 -
  .42) = 86.4%; by seed .30 / .30 = 100% and .27 / .36 = 75%: 87.5% ± 17.7%. Best: the naive one's
  are .25 and .45: AP .21 / .30 = 70.0%, seed 0 .15 / .24 = 62.5%; AP50 (.705 - .45) / .30 = 85.0%,
  seed 0 .24 / .24 = 100%.
  """
  assert _compare(experiment, naive='naive', complete='complete') == (
    'Mean ± sample standard deviation over n seeds, of the last checkpoint and of the best one '
    '(highest validation AP).\n'
    'Validation set: `val.record` (200 images).\n'
    'Test set: `test.record` (100 images).\n'
    '\n'
    '| variant | checkpoint | at step | split | n | AP | AP50 |\n'
    '| --- | --- | --- | --- | --- | --- | --- |\n'
    '| complete | last | 1500 | test | 2 | 0.550 ± 0.071 | 0.750 ± 0.071 |\n'
    '| complete | best | 1500 | test | 2 | 0.550 ± 0.071 | 0.750 ± 0.071 |\n'
    '| masked | last | 1500 | test | 2 | 0.460 ± 0.071 | 0.705 ± 0.007 |\n'
    '| masked | best | 1500 | test | 2 | 0.460 ± 0.071 | 0.705 ± 0.007 |\n'
    '| naive | last | 1500 | test | 2 | 0.220 ± 0.028 | 0.420 ± 0.028 |\n'
    '| naive | best | 1000, 1500 | test | 2 | 0.250 ± 0.014 | 0.450 ± 0.014 |\n'
    '\n'
    'Recovered share of the gap, (variant - naive) / (complete - naive): of the means, and mean ± '
    'sample standard deviation over the seeds that all three have.\n'
    '\n'
    '| variant | checkpoint | split '
    '| AP, of means | AP, by seed | AP50, of means | AP50, by seed |\n'
    '| --- | --- | --- | --- | --- | --- | --- |\n'
    '| masked | last | test | 72.7% | 72.5% ± 3.5% (n = 2) | 86.4% | 87.5% ± 17.7% (n = 2) |\n'
    '| masked | best | test | 70.0% | 68.8% ± 8.8% (n = 2) | 85.0% | 87.5% ± 17.7% (n = 2) |\n'
  )


def test_three_seeds_without_test_set_and_per_class(tmp_path):
  # .3, .4, .5: deviation .1. Class b: -1 in seed 2, no groundtruth: mean of .2 and .4, .2 / 1.4142.
  for seed, ap, classes in [(0, 0.3, (0.4, 0.2)), (1, 0.4, (0.4, 0.4)), (2, 0.5, (0.5, -1.0))]:
    _run(tmp_path, f'm_seed{seed}', {10: (ap, 0.6, dict(zip(('a|a', 'b'), classes, strict=True)))})
  text = _compare(tmp_path)
  assert '| m | last | 10 | validation | 3 | 0.400 ± 0.100 | 0.600 ± 0.000 |' in text
  assert '| AP of class | checkpoint | split | a\\|a | b |' in text
  assert '| m | best | validation | 0.433 ± 0.058 | 0.300 ± 0.141 (n = 2) |' in text
  assert 'no run has test/eval/metrics.jsonl: all figures are of the validation set' in text
  assert 'Recovered' not in text


def test_best_is_the_first_of_equal_ones_and_a_repeated_step_counts_once(tmp_path):
  _run(tmp_path, 'm_seed0', {30: (0.2, 0.2), 10: (0.3, 0.1), 20: (0.3, 0.2)})
  with (tmp_path / 'm_seed0/eval/metrics.jsonl').open('a') as file:
    # Restarted after step 20: the later line holds.
    line = {'DetectionBoxes_Precision/mAP': 0.25, 'DetectionBoxes_Precision/mAP@.50IOU': 0.5}
    rest = {'split': 'val.record', 'images': 200}
    file.write(json.dumps({'step': 30, 'metrics': line, **rest}) + '\n')
  text = _compare(tmp_path)
  assert '| m | last | 30 | validation | 1 | 0.250 | 0.500 |' in text
  assert '| m | best | 10 | validation | 1 | 0.300 | 0.100 |' in text


def test_how_losses_are_summed_is_no_other_condition_of_the_average_precision(tmp_path, caplog):
  for step, losses in ((100, {}), (200, {evaluation_conditions.LOSSES: 'summed'})):
    details = {'split': 'v', 'conditions': {'sample_1_of_n_examples': 1, **losses}}
    EvaluationLog(str(tmp_path)).append(step, {'AP': 0.5}, details)
  assert list(read_evaluations(str(tmp_path))) == [100, 200]
  assert not caplog.messages


def test_evaluations_under_other_conditions_are_left_out(tmp_path, caplog):
  _run(tmp_path, 'm_seed0', {100: (0.30, 0.5), 200: (0.32, 0.5)})
  path = tmp_path / 'm_seed0/eval/metrics.jsonl'
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  tries = [
    (100, 0.45, {'conditions': {'post_processing': 'iou_threshold: 0.9'}}),
    (200, 0.10, {'settings': {'select_top_k': 1}}),
  ]
  for step, ap, rest in tries:
    metrics = {'DetectionBoxes_Precision/mAP': ap, 'DetectionBoxes_Precision/mAP@.50IOU': ap}
    lines.append({**lines[0], 'step': step, 'metrics': metrics, **rest})
  path.write_text('\n'.join(map(json.dumps, lines)))
  found = read_evaluations(str(path.parent))
  assert {step: line['metrics'][repeated_runs.AP] for step, line in found.items()} == {
    100: 0.30,
    200: 0.32,
  }
  assert caplog.messages == [
    f'{path}: 2 evaluations under other conditions or settings than most, such as another '
    'post_processing, are left out.'
  ]


def test_what_is_missing_is_named(experiment):
  _run(experiment, 'masked_seed2', {1000: (0.33, 0.5)})  # The others made 1,500 steps.
  (experiment / 'masked_seed3').mkdir()
  (experiment / 'other_seedless').mkdir()
  (experiment / 'naive_seed1.log').write_text('a file, which a glob may match')
  lines = (experiment / 'naive_seed0/test/eval/metrics.jsonl').read_text().splitlines()
  (experiment / 'naive_seed0/test/eval/metrics.jsonl').write_text(lines[0])  # Of step 1,500.
  text = _compare(experiment)
  notes = text[text.index('Missing or to be kept in mind:') :].splitlines()[2:]
  assert notes == [
    f'- {experiment}/other_seedless: skipped, its name is not <variant>_seed<N>',
    '- complete: no run with seed 2, 3',
    '- naive: no run with seed 2, 3',
    '- masked_seed2: unfinished and left out of the figures, evaluated up to step 1000 of 1500 '
    '(validation AP 0.330)',
    '- masked_seed3: left out of the figures, eval/metrics.jsonl is missing or empty',
    '- naive_seed0: no test line of step 1000 (best), so that row is of the validation set',
  ]
  assert '| naive | last | 1500 | test | 2 | 0.220 ± 0.028 | 0.420 ± 0.028 |' in text
  # Not seed 1's test figure alone: .45 and .40.
  assert '| naive | best | 1000, 1500 | validation | 2 | 0.425 ± 0.035 | 0.500 ± 0.000 |' in text


def test_only_seeds_in_common_are_paired(experiment):
  shutil.rmtree(experiment / 'naive_seed0')
  text = _compare(experiment, naive='naive', complete='complete')
  # Of the means (.46 - .24) / (.55 - .24); seed 1: .27 / .36. AP50: .265 / .31, .27 / .36.
  assert '| masked | last | test | 71.0% | 75.0% (n = 1) | 85.5% | 75.0% (n = 1) |' in text


def test_splits_are_never_mixed(experiment):
  for seed in (0, 1):
    (experiment / f'naive_seed{seed}/test/eval/metrics.jsonl').unlink()
  text = _compare(experiment, naive='naive', complete='complete')
  assert '| naive | last | 1500 | validation | 2 | 0.400 ± 0.000 |' in text
  assert 'naive_seed1: no test line of step 1500 (best), so that row is of the valid' in text
  # All three on the validation set, where all score .4 in the end.
  assert '| masked | last | validation | - | - | - | - |' in text
  assert (
    'recovered share of masked, last, AP: none of the means, where complete is not above naive\n'
    in text
  )
  assert 'masked, last, AP: without seed 0, 1, where complete is not above naive\n' in text


def test_planned_steps_come_from_the_config(experiment):
  (experiment / 'masked_seed0/pipeline.config').write_text('train_config { num_steps: 2000 }')
  text = _compare(experiment)
  assert 'masked_seed0: unfinished and left out of the figures, evaluated up to step 1500' in text
  assert '| masked | last | 1500 | test | 1 | 0.510 | 0.710 |' in text


def test_other_or_partially_labeled_data_sets_are_named(experiment):
  path = experiment / 'masked_seed1/eval/metrics.jsonl'
  _write(path, {1500: (0.4, 0.5)}, split='b.record', images=9, labeled_pairs=5, pairs=18)
  text = _compare(experiment)
  assert 'not all runs have the same validation set, so that figures of different runs' in text
  assert '`val.record` (200 images); `b.record` (9 images)' in text
  assert '`b.record` (9 images): only 5 of 18 (image, class) pairs are labeled: AP on' in text


def test_recovered_share_needs_a_gap():
  share = run_comparison.recovered_share
  assert share({0: 0.3}, {0: 0.2}, {0: 0.4}) == (pytest.approx(0.5), {0: pytest.approx(0.5)})
  assert share({0: 0.1}, {0: 0.2}, {0: 0.4}) == (pytest.approx(-0.5), {0: pytest.approx(-0.5)})
  assert share({0: 0.3}, {0: 0.4}, {0: 0.4}) == (None, {})
  assert share({0: 0.3}, {1: 0.2}, {1: 0.4}) == (pytest.approx(0.5), {})
  assert share({}, {0: 0.2}, {0: 0.4}) == (None, {})


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('{"step": 10}', r'eval/metrics\.jsonl:1: expected a line .*delete the line'),
    ('[]', r"metrics\.jsonl:1: expected a line of JSON with step and metrics, received '\[\]'"),
    (
      '{"step": 1, "metrics": {}}',
      r'metrics\.jsonl: step 1: expected .*mAP@\.50IOU.*, received none',
    ),
  ],
)
def test_a_damaged_line_is_named(text, expected, tmp_path):
  _run(tmp_path, 'm_seed0', {10: (0.1, 0.2)})
  (tmp_path / 'm_seed0/eval/metrics.jsonl').write_text(text)
  with pytest.raises(InputError, match=expected):
    _compare(tmp_path)


def test_bad_input_is_named(experiment):
  for flags, expected in [
    ({'naive': 'naive'}, 'naive and complete: give both or neither'),
    ({'naive': 'naiv', 'complete': 'complete'}, "naive: no variant 'naiv'; .* masked, naive"),
    ({'plot_path': 'a.png'}, r"plot_path 'a\.png': expected .* \.svg"),
  ]:
    with pytest.raises(InputError, match=expected):
      _compare(experiment, **flags)
  with pytest.raises(InputError, match=r'model_dirs: .*/gone_\*: no such folder'):
    run_comparison.compare_runs(f'{experiment}/gone_*')
  with pytest.raises(InputError, match='expected folders named <variant>_seed<N>'):
    run_comparison.compare_runs(str(experiment))
  _run(experiment / 'again', 'naive_seed0', {10: (0.1, 0.2)})
  with pytest.raises(InputError, match="naive_seed0 are both variant 'naive', seed 0"):
    run_comparison.compare_runs(f'{experiment}/naive*,{experiment}/again/naive_seed0/')
  _write(experiment / 'naive_seed0/eval/metrics.jsonl', {1: (0.1, 0.2)}, split='a')
  with (experiment / 'naive_seed0/eval/metrics.jsonl').open('a') as file:
    file.write((experiment / 'naive_seed1/eval/metrics.jsonl').read_text())
  with pytest.raises(InputError, match=r'one data set, received `a`; `val.record` \(200 images\)'):
    _compare(experiment)


def test_order_is_as_given_and_seeds_are_numbers(experiment):
  _run(experiment, 'naive_seed10', {1500: (0.1, 0.2)})
  runs, _ = repeated_runs.read_runs(f'{experiment}/naive_seed*,{experiment}/complete_seed1')
  assert [run.name for run in runs] == [
    *('naive_seed0', 'naive_seed1', 'naive_seed10', 'complete_seed1')
  ]


def test_mean_curve_is_of_the_steps_that_all_have():
  first = np.array([10, 20, 30]), np.array([1.0, 2.0, 3.0])
  second = np.array([20, 30, 40]), np.array([4.0, 6.0, 8.0])
  steps, values = comparison_plot.mean_curve([first, second])
  np.testing.assert_array_equal(steps, [20, 30])
  np.testing.assert_array_equal(values, [3.0, 4.5])
  assert comparison_plot.mean_curve([])[0].size == 0
  assert comparison_plot.mean_curve([first, (np.array([5]), np.array([1.0]))])[1].size == 0


def test_svg_has_a_thin_line_for_each_run_and_a_thick_one_for_each_variant(experiment):
  for i, name in enumerate(('complete_seed0', 'complete_seed1', 'masked_seed0', 'naive_seed0')):
    _write_losses(experiment, name, {100: 4.0 + i, 200: 2.0, 300: 1.0})
  _write_losses(experiment, 'naive_seed1', {100: 0.1}, tag='learning_rate')
  first, second = experiment / 'new/a.svg', experiment / 'b.svg'
  text = _compare(experiment, plot_path=str(first))
  _compare(experiment, plot_path=str(second))
  assert first.read_bytes() == second.read_bytes()
  assert f'masked_seed1: no loss curve: {experiment}/masked_seed1/train: expected a folder' in text
  assert 'naive_seed1: no loss curve: ' in text and 'has no scalar Loss/total_loss' in text
  root = ElementTree.parse(first).getroot()
  texts = [element.text for element in root.iter('{http://www.w3.org/2000/svg}text')]
  assert {'training loss', 'validation mean average precision', 'step'} <= set(texts)
  variants = ['complete', 'masked', 'naive']
  assert [text for text in texts if text in variants] == variants  # One legend.
  # 4 runs have a loss, 6 an AP.
  assert first.read_text().count('stroke-opacity: 0.3') == 4 + 6


def test_svg_without_any_curve(tmp_path):
  (tmp_path / 'm_seed0').mkdir()
  text = _compare(tmp_path, plot_path=str(tmp_path / 'a.svg'))
  assert '| m | last |  | validation | 0 | - | - |' in text
  assert 'm_seed0: left out of the figures' in text and 'm_seed0: no loss curve' in text
  assert ElementTree.parse(tmp_path / 'a.svg').getroot().tag.endswith('svg')
