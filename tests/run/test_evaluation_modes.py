"""Evaluation as eval_config and the command's flags ask for it, in this process where it can be."""

import json
import os
import re
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
import tiny_project
from PIL import Image

from ssd_tf import builders
from ssd_tf.config.checks import by_schema
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.run import checkpoints
from ssd_tf.run.evaluate import evaluate_all_checkpoints, evaluate_checkpoints
from ssd_tf.run.evaluator import Options

STRATEGY = tf.distribute.get_strategy()
PER_CLASS = [f'AP@0.5IOU/{name}' for name in tiny_project.NAMES]


@pytest.fixture
def project(tiny, monkeypatch):
  """The tiny project as the working folder, with a checkpoint in model/."""
  monkeypatch.chdir(tiny)
  tiny_project.write_checkpoint(tiny)
  return tiny


def evaluate(*overrides, model_dir='out', checkpoint_dir='model', **kwargs):
  loaded = Pipeline.load('tiny.config', list(overrides)).config
  return evaluate_checkpoints(
    Pipeline(loaded, 'tiny.config'), model_dir, checkpoint_dir, strategy=STRATEGY, **kwargs
  )


def eval_config(*fields):
  return [f'eval_config.{field}' for field in fields]


def lines_of(model_dir):
  return [json.loads(line) for line in (model_dir / 'eval/metrics.jsonl').read_text().splitlines()]


def tags(folder):
  return {
    value.tag: event.step
    for path in sorted(folder.glob('events*'))
    for event in tf.compat.v1.train.summary_iterator(str(path))
    for value in event.summary.value
  }


def test_tags_metrics_and_log_lines_are_a_superset_of_the_originals(project):
  records = tiny_project.annotations(12, seed=3)
  tiny_project.write_records(project / 'eval.record', records)
  metrics = evaluate()
  ours = tags(project / 'out/eval')
  golden = json.loads((tiny_project.TESTDATA / 'odapi/eval_tags.json').read_text())
  assert set(golden) <= set(ours)  # Ten pictures among them.
  assert set(ours.values()) == {0}
  log = (tiny_project.TESTDATA / 'odapi_log_lines.txt').read_text()
  theirs = re.findall(r'^INFO:tensorflow:\t\+ (.*): -?\d+\.\d{6}$', log, re.MULTILINE)
  assert list(metrics) == theirs  # The order too.
  [line] = lines_of(project / 'out')
  assert line['metrics'] == metrics
  assert (line['images'], line['split'], line['max_detections']) == (12, 'eval.record', 100)


def test_every_set_of_metrics_at_once(project):
  names = json.dumps([*builders.metrics.METRICS, 'pascal_voc_detection_metrics'])
  metrics = evaluate(
    *eval_config(
      'num_visualizations=0',
      f'metrics_set={names}',
      'recall_upper_bound=0.5',
      'include_metrics_per_category=true',
    )
  )
  expected = [
    *(f'DetectionBoxes_PerformanceByCategory/mAP/{name}' for name in tiny_project.NAMES),
    *('PascalBoxes_Precision/mAP@0.5IOU', 'WeightedPascalBoxes_Precision/mAP@0.5IOU'),
    'PrecisionAtRecallBoxes_Precision/mAP@0.5IOU@[0.0,0.5]Recall',
    *('OpenImagesV2_Precision/mAP@0.5IOU', 'OpenImagesDetectionChallenge_Precision/mAP@0.5IOU'),
    *(
      f'{prefix}_PerformanceByCategory/{name}'
      for prefix in ('PascalBoxes', 'OpenImagesV2', 'OpenImagesDetectionChallenge')
      for name in PER_CLASS
    ),
    'DetectionBoxes_Precision/mAP',
  ]
  assert set(expected) <= set(metrics)
  # No box is difficult and none a group: all the rules agree.
  assert metrics['PascalBoxes_Precision/mAP@0.5IOU'] == pytest.approx(
    metrics['OpenImagesDetectionChallenge_Precision/mAP@0.5IOU']
  )
  assert 'eval_side_by_side_0_0' not in tags(project / 'out/eval')


def test_pictures_results_and_no_losses(project):
  metrics = evaluate(
    *eval_config(
      'num_visualizations=2',
      'visualization_export_dir=pictures',
      'keep_image_id_for_visualization_export=true',
      'visualize_groundtruth_boxes=true',
      'groundtruth_box_visualization_color=lime',
      *('skip_scores=true', 'skip_labels=true', 'use_dummy_loss_in_eval=true'),
      'export_path=results/detections.json',
    )
  )
  assert sorted(os.listdir('pictures')) == [
    'export-image-0-image_0.png',
    'export-image-1-image_1.png',
  ]
  picture = np.asarray(Image.open('pictures/export-image-1-image_1.png'))
  lime = (picture == [0, 255, 0]).all(axis=-1)
  assert lime[:, : lime.shape[1] // 2].any() and not lime[:, lime.shape[1] // 2 :].any()
  assert [name for name in metrics if name.startswith('Loss')] == ['Loss/total_loss']
  assert metrics['Loss/total_loss'] == 1.0
  results = json.loads((project / 'results/detections.json').read_text())
  assert {result['image_id'] for result in results} <= {f'image {i}' for i in range(5)}
  assert set(results[0]) == {'image_id', 'category_id', 'bbox', 'score'}


def test_no_pictures_without_the_images_retained(tiny):
  loaded = Pipeline.load(tiny / 'tiny.config', eval_config('retain_original_images=false')).config
  assert builders.build_pictures(Pipeline(loaded, str(tiny / 'tiny.config'))).max_images == 0


def test_batch_size_changes_no_metric(project):
  whole, parts = (
    evaluate(*eval_config('num_visualizations=0', f'batch_size={size}')) for size in (5, 3)
  )
  for name, value in whole.items():
    if not name.startswith('Loss'):  # Means over batches, each normalized by its own matches.
      assert parts[name] == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize(
  ('field', 'expected'),
  [
    ('metrics_set=pascal_voc_metrics',
     r"eval_config\.metrics_set: 'pascal_voc_metrics' is not known; did you mean "
     r'pascal_voc_detection_metrics\? There are coco_detection_metrics, pascal_voc'),
    ('metrics_set=coco_mask_metrics', r"'coco_mask_metrics' is not known: there is no mask in SSD"),
    ('recall_lower_bound=0.7',
     r'eval_config: recall_lower_bound is 0\.7 and recall_upper_bound 0\.5; expected'),
    ('groundtruth_box_visualization_color=blakc', r"'blakc' is no color; expected a name of CSS"),
    ('eval_instance_masks=true', r'eval_config\.eval_instance_masks: measures masks'),
    ('ignore_groundtruth=true', r'eval_config\.ignore_groundtruth: true leaves nothing to measure'),
    ('force_no_resize=true', r'eval_config\.force_no_resize: true is not supported'),
    ('parameterized_metric={coco_keypoint_metrics {class_label: "a"}}',
     r'eval_config\.parameterized_metric: measures keypoints'),
    ('keypoint_edge={start: 1}', r'eval_config\.keypoint_edge: draws keypoints'),
    ('super_categories={key: "pets" value: "a, d"}',
     r"eval_config\.super_categories: 'pets' is 'a, d'; expected names of classes, .* of a, b, c"),
  ],
)  # fmt: skip
def test_what_there_is_not_is_told(field, expected, tiny):
  bounded = eval_config(
    'metrics_set=["coco_detection_metrics", "precision_at_recall_detection_metrics"]',
    'recall_upper_bound=0.5',
    field,
  )
  loaded = Pipeline.load(tiny / 'tiny.config', bounded).config
  with pytest.raises(InputError, match=expected):
    builders.build_metrics(Pipeline(loaded, str(tiny / 'tiny.config')))
    builders.build_pictures(Pipeline(loaded, str(tiny / 'tiny.config')))


def test_fields_without_effect_are_listed_and_no_others(tiny):
  fields = ('num_examples=8000', 'max_evals=10', 'save_graph=true', 'use_moving_averages=true')
  loaded = Pipeline.load(tiny / 'tiny.config', eval_config(*fields, 'export_path=x')).config
  names = [name for name in by_schema.ineffective_fields(loaded) if 'eval_config' in name]
  assert sorted(names) == sorted(f'eval_config.{field.partition("=")[0]}' for field in fields)
  builders.build_metrics(Pipeline(loaded, str(tiny / 'tiny.config')))


def save(folder, step, seed):
  """A checkpoint of the tiny model with random weights, at a step."""
  loaded = Pipeline.load('tiny.config').config
  detector = builders.build_detector(loaded.model, is_training=True)
  tiny_project.randomize(detector.model, seed)
  optimizer = builders.build_optimizer(loaded.train_config.optimizer)
  optimizer.build(detector.model.trainable_variables)
  optimizer.iterations.assign(step)
  checkpoint = checkpoints.training_checkpoint(detector.model, optimizer)
  return checkpoint.write(str(folder / f'ckpt-{step}'))


def all_checkpoints(*changes, **kwargs):
  return evaluate_all_checkpoints(
    Pipeline.load('tiny.config', [*eval_config('num_visualizations=0'), *changes]),
    'out', 'many', strategy=STRATEGY, **kwargs,
  )  # fmt: skip


@pytest.mark.slow
def test_every_checkpoint_of_a_folder_in_order_and_none_twice(tiny, monkeypatch, caplog):
  monkeypatch.chdir(tiny)
  (tiny / 'many').mkdir()
  for step, seed in ((10, 1), (2, 2)):  # ckpt-10 comes before ckpt-2 by name.
    save(tiny / 'many', step, seed)
  caplog.set_level('INFO')
  first = all_checkpoints()
  assert list(first) == [2, 10]
  assert first[2]['Loss/total_loss'] != first[10]['Loss/total_loss']
  assert re.search(r'2 checkpoints of many on eval\.record:\n *step .*\n +2 .*\n +10 ', caplog.text)
  save(tiny / 'many', 4, 3)
  caplog.clear()
  second = all_checkpoints()
  assert 'Evaluated before, in out/eval/metrics.jsonl: many/ckpt-2 (step 2)' in caplog.text
  assert list(second) == [2, 4, 10] and second[2] == pytest.approx(first[2])
  assert [line['step'] for line in lines_of(tiny / 'out')] == [2, 10, 4]
  steps = {
    event.step
    for path in (tiny / 'out/eval').glob('events*')
    for event in tf.compat.v1.train.summary_iterator(str(path))
    if event.summary.value
  }
  assert steps == {2, 4, 10}
  # Another data set is not the one that was evaluated.
  assert list(all_checkpoints(options=Options(on_train_data=True))) == [2, 4, 10]
  assert len(lines_of(tiny / 'out')) == 6


@pytest.mark.slow
def test_an_evaluation_by_other_rules_is_not_the_one_that_was_asked_for(tiny, monkeypatch):
  monkeypatch.chdir(tiny)
  (tiny / 'many').mkdir()
  save(tiny / 'many', 2, 1)
  all_checkpoints(options=Options(sample_1_of_n=2))
  all_checkpoints('eval_config.metrics_set="pascal_voc_detection_metrics"')
  threshold = 'model.ssd.post_processing.batch_non_max_suppression.score_threshold=0.75'
  all_checkpoints(threshold)
  metrics = all_checkpoints()
  assert [line['images'] for line in lines_of(tiny / 'out')] == [3, 5, 5, 5]
  assert 'DetectionBoxes_Precision/mAP' in metrics[2]
  all_checkpoints()
  assert len(lines_of(tiny / 'out')) == 4


@pytest.mark.parametrize(('folder', 'expected'), [('many', 'holds no checkpoint'), ('gone', 'no such file or folder')])  # fmt: skip  # noqa: E501
def test_no_checkpoint_is_told_at_once(folder, expected, tiny, monkeypatch):
  monkeypatch.chdir(tiny)
  (tiny / 'many').mkdir()
  with pytest.raises(InputError, match=expected):
    evaluate_all_checkpoints(Pipeline.load('tiny.config'), 'out', folder, strategy=STRATEGY)
  with pytest.raises(InputError, match=expected):
    evaluate(checkpoint_dir=folder, timeout=3600)


def test_waits_for_the_first_checkpoint_and_then_until_none_comes(tiny, monkeypatch, caplog):
  monkeypatch.chdir(tiny)
  caplog.set_level('INFO')

  def train():
    """Stands in for a training that begins later, and ends before its num_steps."""
    time.sleep(1)
    tiny_project.write_checkpoint(tiny)

  thread = threading.Thread(target=train)
  thread.start()
  evaluate('eval_config.num_visualizations=0', timeout=4, wait_for_first=True)
  thread.join()
  assert 'Waiting for new checkpoint at model' in caplog.text
  assert 'Found new checkpoint at model/ckpt-0' in caplog.text
  assert 'Timed-out waiting for a checkpoint.' in caplog.text


def test_the_command_evaluates_all_and_wants_a_folder_for_it(tiny, run_tool):
  flags = ('--pipeline_config_path=tiny.config', '--model_dir=out', '--eval_all_checkpoints')
  code, output = run_tool(tiny, 'model_main_tf2.py', *flags)
  assert code != 0 and 'Traceback' not in output
  assert '--eval_all_checkpoints: expected --checkpoint_dir' in output
  tiny_project.write_checkpoint(tiny)
  code, output = run_tool(tiny, 'model_main_tf2.py', *flags, '--checkpoint_dir=model')
  assert code == 0, output
  assert re.search(r'^INFO:tensorflow:1 checkpoints of model on eval\.record:$', output, re.M)
  assert re.search(r'^ *step  DetectionBoxes_Precision/mAP', output, re.M)
