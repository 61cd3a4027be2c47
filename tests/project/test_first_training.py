"""From a folder of images and XML files to a detector and its pictures, by one command."""

import json
import re

import numpy as np
import PIL.Image
import pytest
import tool_processes

SMALL = (
  '--weights=none', '--num_train_steps=2', '--batch_size=2', '--checkpoint_every_n=1',
  '--config_override=model.ssd.feature_extractor.depth_multiplier=0.1',
  '--config_override=model.ssd.feature_extractor.min_depth=4',
  '--config_override=model.ssd.image_resizer={fixed_shape_resizer {height: 96 width: 96}}',
)  # fmt: skip
XML = """<annotation><filename>{name}.png</filename><size><width>120</width><height>90</height>
<depth>3</depth></size><object><name>{label}</name><bndbox><xmin>10</xmin><ymin>20</ymin>
<xmax>70</xmax><ymax>80</ymax></bndbox></object></annotation>"""


def ssd_tf(folder, *arguments):
  """Runs the command in a folder."""
  return tool_processes.run(folder, tool_processes.SSD_TF, *arguments)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  folder = tmp_path_factory.mktemp('first')
  (folder / 'photos').mkdir()
  rng = np.random.default_rng(0)
  for i in range(6):
    pixels = rng.integers(0, 256, (90, 120, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(folder / f'photos/{i}.png')
    label = ('cat', 'dog')[i % 2]
    (folder / f'photos/{i}.xml').write_text(XML.format(name=i, label=label))
  done = ssd_tf(folder, 'train', '--data=photos', '--validation_share=0.3', *SMALL)
  assert done.returncode == 0, done.stderr
  return folder, done


def test_each_choice_is_shown_with_its_flag(trained):
  _, done = trained
  shown = [' '.join(line.split()) for line in done.stdout.splitlines()]
  assert 'data Pascal VOC in photos: 6 boxes in 6 images --data' in shown
  assert 'classes 2: cat, dog --label_map_path' in shown
  assert 'weights none: it trains from scratch --weights' in shown
  images = next(line for line in shown if line.startswith('images 4 train, 2 validate'))
  assert images.endswith('--validation_share')


def test_it_leaves_an_export_and_pictures(trained):
  folder, _ = trained
  run = folder / 'runs/photos'
  assert (run / 'exported/saved_model/saved_model.pb').is_file()
  assert 'cat' in (run / 'exported/label_map.pbtxt').read_text()
  assert len(list((run / 'pictures').glob('*.png'))) == 2
  assert len(json.loads((run / 'pictures/detections.json').read_text())) == 2
  steps = [json.loads(line)['step'] for line in (run / 'eval/metrics.jsonl').open()]
  assert steps == [1, 2]


def test_the_same_command_goes_on_where_it_was(trained):
  folder, _ = trained
  done = ssd_tf(folder, 'train', '--data=photos')
  assert done.returncode == 0, done.stderr
  assert 'Going on with runs/photos/pipeline.config' in done.stdout
  assert 'Nothing to do: step 2 of 2 is reached' in done.stderr


def test_detect_finds_the_export_and_its_names(trained):
  folder, _ = trained
  flags = ('--model=runs/photos', '--images=photos/3.png', '--score_threshold=0')
  done = ssd_tf(folder, 'detect', *flags)
  assert done.returncode == 0, done.stderr
  (image,) = json.loads((folder / 'detections/detections.json').read_text())
  assert image['image'] == '3.png' and (image['height'], image['width']) == (90, 120)
  assert {found['class_name'] for found in image['detections']} <= {'cat', 'dog'}


def test_evaluate_takes_the_newest_checkpoint(trained):
  folder, _ = trained
  done = ssd_tf(folder, 'evaluate', '--model=runs/photos')
  assert done.returncode == 0 and 'step 2' in done.stderr, done.stderr


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['train'], 'ssd-tf train: error: give --data, a folder of annotated images, or --config'),
    (
      ['train', '--config=a.config', '--learning_rate=1'],
      '--learning_rate: goes with --data; change the config itself, a.config',
    ),
    (['train', '--data=gone'], 'ssd-tf train: error: gone: no such file or folder'),
    (['export'], 'ssd-tf export: error: give --model'),
    (['detect', '--model=.', '--images=a.jpg'], 'ssd-tf detect: error: the folder . holds no'),
    (['evaluate', '--model=gone'], 'gone/pipeline.config: no such file'),
    (['trian'], 'ssd-tf: error: no command \'trian\'; did you mean "train"?'),
  ],
)
def test_bad_arguments_end_in_one_line(tmp_path, arguments, message):
  done = ssd_tf(tmp_path, *arguments)
  assert done.returncode == 2 and message in done.stderr
  assert (
    'Traceback' not in done.stderr and len(re.findall('^ssd-tf.*error: ', done.stderr, re.M)) == 1
  )
