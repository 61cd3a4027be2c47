"""Whole trainings by the real command: best checkpoint, early stopping, accumulation, precision."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf

from ssd_tf.experiments import event_scalars
from ssd_tf.ops.size_draws import SizeDraws

SLOW_RATE = (
  '--config_override=train_config.optimizer.momentum_optimizer.learning_rate='
  '{constant_learning_rate {learning_rate: 0.005}}'
)
# Without normalization, larger weights keep the gradients alive down to the first layer.
FROZEN = (
  '--config_override=model.ssd.freeze_batchnorm=true',
  '--config_override=model.ssd.feature_extractor.conv_hyperparams.initializer='
  '{truncated_normal_initializer {stddev: 0.3}}',
)


def variables(checkpoint):
  reader = tf.train.load_checkpoint(str(checkpoint))
  names = reader.get_variable_to_shape_map()
  return {name: reader.get_tensor(name) for name in names if name.startswith(('model/', 'opt'))}


@pytest.mark.slow
def test_it_stops_early_and_the_best_evaluates_and_exports(tiny, train_tiny, run_tool):
  # The loss of an evaluation is never less by a million.
  flags = (
    '--best_metric=Loss/total_loss',
    '--early_stopping_patience=2',
    '--config_override=train_config.early_stopping.min_delta=1e6',
  )
  output = train_tiny(tiny, 'model', *flags)
  assert 'Stopped early at step 6: 2 evaluations without a Loss/total_loss better than' in output
  assert re.search(r'best: step \d, Loss/total_loss [\d.]+, in model/best; last: step 6', output)
  assert (tiny / 'model/ckpt-6.index').exists()
  again = train_tiny(tiny, 'model', *flags)
  assert 'Nothing to do: the training was stopped early at step 6: 2 evaluations' in again
  assert 'to continue, raise train_config.early_stopping.patience (2)' in again
  assert not (tiny / 'model/ckpt-8.index').exists()
  best = json.loads((tiny / 'model/best/best.json').read_text())
  lines = [json.loads(line) for line in (tiny / 'model/eval/metrics.jsonl').open()]
  assert [line['step'] for line in lines] == [2, 4, 6]
  least = min(lines, key=lambda line: line['metrics']['Loss/total_loss'])
  assert (best['step'], best['value']) == (least['step'], least['metrics']['Loss/total_loss'])
  kept, original = (
    variables(tiny / f'model/best/ckpt-{best["step"]}'),
    variables(tiny / f'model/ckpt-{best["step"]}'),
  )
  for name, value in original.items():
    np.testing.assert_array_equal(kept[name], value, err_msg=name)
  code, output = run_tool(
    tiny, 'model_main_tf2.py', '--pipeline_config_path=model/pipeline.config',
    '--model_dir=evaluated', '--checkpoint_dir=model/best', '--eval_timeout=0',
  )  # fmt: skip
  assert code == 0, output
  measured = json.loads((tiny / 'evaluated/eval/metrics.jsonl').read_text())
  assert measured['metrics']['Loss/total_loss'] == pytest.approx(best['value'], rel=1e-5)
  code, output = run_tool(
    tiny, 'exporter_main_v2.py', '--pipeline_config_path=model/pipeline.config',
    '--trained_checkpoint_dir=model/best', '--output_directory=exported',
  )  # fmt: skip
  assert code == 0, output
  assert (tiny / 'exported/saved_model/saved_model.pb').exists()


@pytest.mark.slow
def test_small_batches_on_two_replicas_make_the_weights_of_a_big_one(tiny, train_tiny):
  flags = ('--num_train_steps=3', '--noevaluate', SLOW_RATE, *FROZEN)
  flags += ('--config_override=train_config.gradient_clipping_by_norm=2',)
  train_tiny(tiny, 'big', *flags)
  small = (
    '--config_override=train_config.batch_size=2',
    '--gradient_accumulation_steps=2',
    '--num_logical_cpus=2',
  )
  # In two runs, the second of which has to find its place in the data.
  train_tiny(tiny, 'small', *flags, *small, '--num_train_steps=2')
  train_tiny(tiny, 'small', *flags, *small)
  start = variables(tiny / 'big/ckpt-0')
  big, small = variables(tiny / 'big/ckpt-3'), variables(tiny / 'small/ckpt-3')
  name = 'model/mobilenet_v1_conv_0/kernel/.ATTRIBUTES/VARIABLE_VALUE'
  assert np.abs(start[name] - big[name]).max() > 1e-5
  for name, value in big.items():
    np.testing.assert_allclose(
      small[name].astype(np.float64), value, rtol=0, atol=1e-6, err_msg=name
    )


@pytest.mark.slow
def test_float16_on_two_replicas_accumulates_goes_on_and_changes_to_float32(tiny, train_tiny):
  flags = ('--noevaluate', SLOW_RATE, '--config_override=train_config.batch_size=2')
  half = (
    '--precision=mixed_float16', '--gradient_accumulation_steps=2', '--num_logical_cpus=2',
    '--config_override=train_config.gradient_clipping_by_norm=2',
  )  # fmt: skip
  train_tiny(tiny, 'model', *flags, *half, '--num_train_steps=2')
  scale = tf.train.load_checkpoint(str(tiny / 'model/ckpt-2')).get_tensor(
    'loss_scale/scale/.ATTRIBUTES/VARIABLE_VALUE'
  )
  assert 0 < scale <= 2**15
  train_tiny(tiny, 'model', *flags, *half, '--num_train_steps=3')
  train_tiny(tiny, 'model', *flags, '--num_train_steps=4')
  before, after = variables(tiny / 'model/ckpt-3'), variables(tiny / 'model/ckpt-4')
  assert {value.dtype.name for value in after.values()} <= {'float32', 'int64'}
  assert any(np.abs(before[name] - after[name]).max() > 0 for name in before)
  assert all(np.isfinite(value).all() for value in after.values())


@pytest.mark.slow
def test_all_choices_together_go_on_and_evaluate_as_their_checkpoints_do(
  tiny, train_tiny, run_tool
):
  # With larger weights the gradients fit into float16 from the fourth step on at the latest; with
  # the config's own ones, nothing would move before the stage.
  flags = (
    SLOW_RATE, FROZEN[1],
    '--config_override=train_config.batch_size=2', '--gradient_accumulation_steps=2',
    '--precision=mixed_float16', '--multi_scale=64x96,96', '--multi_scale_steps=1',
    '--config_override=train_config.stage=[{first_step: 5 freeze: BACKBONE}]',
    '--config_override=train_config.optimizer.use_moving_average=true',
  )  # fmt: skip
  first = train_tiny(tiny, 'model', *flags, '--num_train_steps=6')
  assert 'Input sizes (height x width), drawn every 1 steps: ' in first
  assert 'Step 5: the stage of train_config.stage[0].' in first
  again = train_tiny(tiny, 'model', *flags, '--num_train_steps=8')
  assert 'Going on from model/ckpt-6 (step 6)' in again
  assert 'Step 6: the stage of train_config.stage[0].' in again
  # What is frozen from step 5 on stays; the heads go on.
  before, after = variables(tiny / 'model/ckpt-6'), variables(tiny / 'model/ckpt-8')
  moved = {name for name in before if np.abs(before[name] - after[name]).max() > 0}
  kernels = {name for name in moved if 'kernel' in name and name.startswith('model/')}
  assert kernels and not any('mobilenet_v1_conv' in name for name in kernels)
  assert all(np.isfinite(value).all() for value in after.values())
  start = variables(tiny / 'model/ckpt-4')
  name = 'model/mobilenet_v1_conv_0/kernel/.ATTRIBUTES/VARIABLE_VALUE'
  assert np.abs(start[name] - before[name]).max() > 0  # The fifth step still trains all.
  heights = event_scalars.read_scalars(str(tiny / 'model/train'))['input_height']
  draws = SizeDraws(((64, 96), (96, 96)), 1, seed=0)
  assert list(heights[0]) == [2, 4, 6, 8]
  assert list(heights[1]) == [draws.size(step - 1)[0] for step in (2, 4, 6, 8)]
  code, output = run_tool(
    tiny, 'model_main_tf2.py', '--pipeline_config_path=model/pipeline.config',
    '--model_dir=evaluated', '--checkpoint_dir=model', '--eval_all_checkpoints',
  )  # fmt: skip
  assert code == 0, output
  ours, later = (
    {line['step']: line['metrics'] for line in map(json.loads, path.open())}
    for path in (tiny / 'model/eval/metrics.jsonl', tiny / 'evaluated/eval/metrics.jsonl')
  )
  assert sorted(ours) == [2, 4, 6, 8]
  for step, metrics in ours.items():  # float16 would differ by about 1e-3.
    assert metrics == pytest.approx(later[step], rel=1e-5, abs=1e-6), step
