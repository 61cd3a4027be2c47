"""Which fields of a config make evaluations that cannot be compared."""

import pytest
import tiny_project

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.run.evaluation_conditions import conditions_of

PATH = tiny_project.ROOT / 'tests/testdata/tiny.config'


def conditions(*overrides, **rest):
  return conditions_of(Pipeline.load(PATH, overrides).config, **rest)


@pytest.mark.parametrize(
  'override',
  [
    'eval_config.batch_size=3',
    'eval_config.num_visualizations=7',
    'eval_config.visualization_export_dir=pictures',
    'eval_config.min_score_threshold=0.3',
    'eval_config.export_path=detections.json',
    'eval_config.include_metrics_per_category=true',
    'train_config.batch_size=3',
  ],
)
def test_pictures_and_batches_change_no_figure(override):
  assert conditions(override) == conditions()


@pytest.mark.parametrize(
  'override',
  [
    'eval_config.metrics_set=["pascal_voc_detection_metrics"]',
    'eval_config.recall_upper_bound=0.5',
    'model.ssd.post_processing.batch_non_max_suppression.iou_threshold=0.31',
  ],
)
def test_metrics_and_suppression_do(override):
  assert conditions(override) != conditions()


def test_a_part_of_the_examples_does():
  assert conditions(sample_1_of_n=2) != conditions()
