"""A model overfits four images: anchors, targets, losses, decoding and metrics in one.

Minutes on two cores, so they are marked slow: make test-slow.
"""

import json
import pathlib
import subprocess
import sys

import pytest

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.data import record_writer
from ssd_tf.data.sources import pascal_voc, voc_files
from ssd_tf.diagnosis import overfit_checks
from ssd_tf.diagnosis.finding import Severity
from ssd_tf.diagnosis.project import Project
from ssd_tf.ssd_tensorflow.model_text import model_text

ROOT = pathlib.Path(__file__).parents[2]
READER = 'label_map_path: "map.pbtxt" tf_record_input_reader { input_path: "four.record" }'


@pytest.fixture
def folder(tmp_path):
  data = ROOT / 'tests/testdata/raccoon'
  files = voc_files.list_folder(str(data / 'annotations'), [str(data / 'images')])
  source = pascal_voc.open_source(files, {'raccoon': 1})
  record_writer.write_records(source, str(tmp_path / 'four.record'))
  (tmp_path / 'map.pbtxt').write_text("item { id: 1 name: 'raccoon' }")
  return tmp_path


def write_config(folder, model_name, num_steps, rate):
  model = model_text(
    model_name,
    num_classes=1,
    weight_decay=4e-5,
    match_threshold=0.5,
    negative_ratio=3,
    loss_alpha=1.0,
  )
  (folder / 'pipeline.config').write_text(f"""{model}
    train_config {{
      batch_size: 4 num_steps: {num_steps}
      optimizer {{
        adam_optimizer {{ learning_rate {{ constant_learning_rate {{ learning_rate: {rate} }} }} }}
        use_moving_average: false
      }}
    }}
    train_input_reader {{ {READER} }}
    eval_config {{
      metrics_set: "coco_detection_metrics" metrics_set: "voc_07_12_detection_metrics" batch_size: 4
    }}
    eval_input_reader {{ {READER} }}""")


@pytest.mark.slow
@pytest.mark.parametrize(
  ('model_name', 'num_steps', 'rate'),
  [('ssd_300_mobilenet_v2', 300, 1e-3), ('ssd_300_vgg', 100, 1e-4)],
)
def test_four_images_are_overfit(model_name, num_steps, rate, folder):
  write_config(folder, model_name, num_steps, rate)
  tool = ROOT / 'tools/model_main_tf2.py'
  flags = ['--pipeline_config_path=pipeline.config', '--model_dir=model', '--log_every_n=20']
  subprocess.run([sys.executable, tool, *flags], cwd=folder, check=True)
  line = (folder / 'model/eval/metrics.jsonl').read_text().splitlines()[-1]
  metrics = json.loads(line)['metrics']
  coco, voc = metrics['DetectionBoxes_Precision/mAP@.50IOU'], metrics['AP_VOC07/mAP']
  assert coco > 0.9 and abs(voc - coco) < 0.05, metrics


@pytest.mark.slow
def test_the_diagnosis_says_so(folder):
  write_config(folder, 'ssd_300_mobilenet_v2', 300, 1e-3)
  path = folder / 'pipeline.config'
  (finding,) = overfit_checks.check(Project(Pipeline.load(path), overfit_steps=300))
  assert (finding.check, finding.severity) == ('overfit', Severity.NOTE), finding
  assert finding.numbers['images'] == 4 and finding.numbers['curve'][-1]['ap50'] > 0.9
