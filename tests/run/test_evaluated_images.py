import numpy as np
import pytest
import tiny_project

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.run import evaluated_images
from ssd_tf.run.evaluate import evaluate_checkpoints
from ssd_tf.run.strategy import make_strategy


@pytest.fixture(scope='module')
def project(tmp_path_factory):
  folder = tmp_path_factory.mktemp('evaluated')
  tiny_project.make(folder)
  tiny_project.write_checkpoint(folder)
  return folder


def _config(project):
  path = str(project / 'tiny.config')
  return Pipeline.load(path).config, path


def test_metrics_are_those_of_an_evaluation_and_images_are_all_there(project, capsys):
  config, path = _config(project)
  model_dir = str(project / 'model')
  found = evaluated_images.evaluate_images(Pipeline(config, path), model_dir)
  assert capsys.readouterr().out == ''

  expected = evaluate_checkpoints(
    Pipeline(config, path), str(project / 'out'), model_dir, strategy=make_strategy()
  )
  assert found.metrics.keys() == expected.keys()
  for name, value in expected.items():
    assert found.metrics[name] == pytest.approx(value, rel=1e-5), name
  assert (found.step, found.split) == (0, 'eval.record')
  assert found.checkpoint == f'{model_dir}/ckpt-0'
  assert found.names == {1: 'a', 2: 'b', 3: 'c'}
  assert [image.source_id for image in found.images] == [f'image {i}' for i in range(5)]
  assert [len(image.groundtruth_boxes) for image in found.images] == [0, 1, 2, 0, 1]
  annotations = tiny_project.annotations(5, seed=1)
  np.testing.assert_allclose(found.images[2].groundtruth_boxes, annotations[2].boxes, atol=1e-6)
  assert all(len(image.boxes) for image in found.images)
  assert found.coco.per_class_ap().keys() == {'a', 'b', 'c'}


def test_first_training_images_with_other_metrics_than_cocos(project):
  config, path = _config(project)
  config.eval_config.metrics_set[:] = ['pascal_voc_detection_metrics']
  found = evaluated_images.evaluate_images(
    Pipeline(config, path), str(project / 'model' / 'ckpt-0'), on_train_data=True, max_images=3
  )
  assert found.split == 'train.record'
  assert [len(image.groundtruth_boxes) for image in found.images] == [0, 1, 2]
  assert not any(name.startswith('DetectionBoxes') for name in found.metrics)
  # The figures of classes are COCO's all the same.
  assert (found.coco.details['images'], found.coco.details['split']) == (3, 'train.record')
  average, curves = found.coco.class_figures(), found.coco.class_curves(0.5)
  assert average == {i + 1: ap for i, ap in enumerate(found.coco.per_class_ap().values())}
  for class_id, ap50 in found.coco.class_figures('Precision/mAP@.50IOU').items():
    assert curves[class_id].shape == (101,)
    assert np.mean(curves[class_id]) == pytest.approx(ap50)


def test_a_folder_without_checkpoints_is_told(project, tmp_path):
  config, path = _config(project)
  with pytest.raises(InputError) as error:
    evaluated_images.evaluate_images(Pipeline(config, path), str(tmp_path))
  assert str(error.value) == (
    f'the folder {tmp_path} holds no checkpoint: expected a file ending in .index'
  )
