"""The analysis of a tiny run; its page read by a parser and, where there is one, by a browser."""

import dataclasses
import html
import json
import os
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import tensorflow as tf
import tiny_project
import tool_processes
from page_parser import Page
from PIL import Image

from ssd_tf import builders
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError
from ssd_tf.evaluation.coco_figures import METRIC_NAMES
from ssd_tf.experiments.recorded_run import RecordedRun
from ssd_tf.report import analysis_sections, run_analysis
from ssd_tf.run.evaluation_log import EvaluationLog

EVIL = '<script>alert("1")</script>'
_BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')
_BROWSER = next(filter(None, map(shutil.which, _BROWSERS)), None)
_LOSSES = ('localization_loss', 'classification_loss', 'regularization_loss', 'total_loss')


@pytest.fixture(scope='module')
def project(tmp_path_factory):
  folder = tmp_path_factory.mktemp('analysis')
  tiny_project.make(folder)
  names = ('a', EVIL, 'c')
  (folder / 'label_map.pbtxt').write_text(
    ''.join(f"item {{ id: {i} name: '{n}' }}\n" for i, n in enumerate(names, start=1))
  )
  for file, count, seed in (('train.record', 10, 0), ('eval.record', 5, 1)):
    tiny_project.write_records(
      folder / file,
      [
        dataclasses.replace(
          image,
          source_id=f'{EVIL} {i}',
          class_names=[names[class_id - 1] for class_id in image.class_ids],
        )
        for i, image in enumerate(tiny_project.annotations(count, seed))
      ],
    )
  tiny_project.write_checkpoint(folder)
  model_dir = folder / 'model'
  for step in (4, 8):
    metrics = dict.fromkeys(METRIC_NAMES[:-1], step / 10) | {METRIC_NAMES[-1]: -1.0}
    EvaluationLog(str(model_dir / 'eval')).append(step, metrics, {'split': 'eval.record'})
  writer = tf.summary.create_file_writer(str(model_dir / 'train'))
  with writer.as_default():
    for step in (4, 8):
      for name in _LOSSES:
        tf.summary.scalar(f'Loss/{name}', 1 / step, step)
  writer.close()
  return folder


@pytest.fixture(scope='module')
def page_path(project):
  path = str(project / 'tiny.config')
  return run_analysis.analyze_run(
    Pipeline.load(path),
    str(project / 'out'),
    model_dir=str(project / 'model'),
    score_threshold=0.0,
    max_pictures=2,
  )


def _page(path):
  with open(path, encoding='utf-8') as file:
    text = file.read()
  assert text.startswith('<!DOCTYPE html>\n')
  return Page(text), text


def test_page_is_whole_and_needs_nothing_else(page_path, project):
  page, text = _page(page_path)
  assert os.path.getsize(page_path) < 2e6
  assert page.tags['script'] == 0 and page.tags['link'] == 0
  assert 'http' not in text.replace('http://www.w3.org', '')
  assert len(set(page.ids)) == len(page.ids)
  assert page.links == [f'#{key}' for key in page.ids]
  assert all(page.alts)
  files = {
    name: (project / 'out' / name).read_bytes()
    for name in os.listdir(project / 'out')
    if name != 'index.html'
  }
  assert sorted(files.values()) == sorted(data for _, data in page.pictures)
  assert sorted(files) == [
    'ap_against_area_ratio.svg', 'ap_against_aspect_ratio.svg', 'ap_against_boxes.svg',
    'ap_against_size.svg', 'ap_and_ar.svg', 'confusion.svg', 'false_positives.svg', 'losses.svg',
    'precision_recall_50.svg', 'precision_recall_75.svg', 'scores.svg', 'worst_01.jpg',
    'worst_02.jpg',
  ]  # fmt: skip
  for media_type, data in page.pictures:
    if media_type == 'image/svg+xml':
      assert ElementTree.fromstring(data).tag == '{http://www.w3.org/2000/svg}svg'
    else:
      assert data.startswith(b'\xff\xd8')


def test_tables_have_the_classes_and_the_training_boxes(page_path):
  page, text = _page(page_path)
  rows = page.texts['th']
  assert [name for name in ('a', EVIL, 'c') if name in rows] == ['a', EVIL, 'c']
  classes = [i for image in tiny_project.annotations(10, seed=0) for i in image.class_ids]
  for class_id, name in enumerate(('a', EVIL, 'c'), start=1):
    row = text.partition(f'<th scope="row">{html.escape(name)}</th>')[2]
    assert row.startswith(f'<td>{classes.count(class_id)}</td>')
  assert 'training groundtruth, train.record: 10 images' in ' '.join(page.texts['dd'])
  assert any(text.startswith(EVIL, 3) for text in page.texts['b'])  # '1. <script>...'


def test_curves_come_from_events_where_metrics_are_of_another_data_set(tmp_path):
  writer = tf.summary.create_file_writer(str(tmp_path / 'eval'))
  with writer.as_default():
    for step, value in ((4, -1.0), (8, 0.25)):
      tf.summary.scalar(METRIC_NAMES[0], value, step)
  writer.close()
  EvaluationLog(str(tmp_path / 'eval')).append(
    6, {METRIC_NAMES[0]: 0.75, METRIC_NAMES[3]: -1.0}, {'split': 'a'}
  )

  def points(split):
    curves = RecordedRun(str(tmp_path)).evaluation_curves(split)
    return {name: [values.tolist() for values in curve] for name, curve in curves.items()}

  assert points('a') == {METRIC_NAMES[0]: [[6], [0.75]], METRIC_NAMES[3]: [[6], [-1.0]]}
  assert points('b') == {METRIC_NAMES[0]: [[4, 8], [-1.0, 0.25]]}


@pytest.mark.parametrize('has_file', [True, False])
def test_curves_of_voc_metrics_alone(tmp_path, has_file):
  names = [f'{kind}Boxes_Precision/mAP@0.5IOU' for kind in ('Pascal', 'WeightedPascal')]
  of_class = 'PascalBoxes_PerformanceByCategory/AP@0.5IOU/cat'
  writer = tf.summary.create_file_writer(str(tmp_path / 'eval'))
  with writer.as_default():
    for step, value in ((4, np.nan), (6, 0.5), (8, 0.25)):
      metrics = dict.fromkeys([*names, of_class], value)
      if has_file:
        EvaluationLog(str(tmp_path / 'eval')).append(step, metrics, {'split': 'eval.record'})
      for name in () if has_file else metrics:
        tf.summary.scalar(name, value, step)
  writer.close()
  plots, _ = analysis_sections.draw_progress(str(tmp_path), 'eval.record', str(tmp_path))
  assert plots == [('AP', f'{tmp_path}/ap_and_ar.svg')]
  texts = [e.text for e in ElementTree.parse(plots[0][1]).getroot().iter() if e.text]
  assert 'average precision' in texts and 'average recall' not in texts
  assert {'PascalBoxes mAP@0.5IOU 0.250', 'WeightedPascalBoxes mAP@0.5IOU 0.250'} <= set(texts)


def test_the_saved_config_finds_what_lies_beside_the_original(project, tmp_path, monkeypatch):
  Pipeline.load(project / 'tiny.config').save(tmp_path)
  entry = {'seconds': 1, 'outcome': 'finished', 'folder': str(project.parent)}
  entry['config_path'] = f'{project.name}/tiny.config'
  (tmp_path / 'run.json').write_text(json.dumps({'runs': [entry]}))
  monkeypatch.chdir(tmp_path)
  read = run_analysis.read_pipeline(None, str(tmp_path), ['train_config.seed=7'])
  assert (read.path, read.config.train_config.seed) == (str(project / 'tiny.config'), 7)
  assert run_analysis._measure_classes(read)[0].num_images == 10
  # One that is given is taken; a training without a record has its own.
  given = str(tmp_path / 'pipeline.config')
  assert run_analysis.read_pipeline(given, '', []).path == given
  (tmp_path / 'run.json').unlink()
  assert run_analysis.read_pipeline('', str(tmp_path), []).path == given


def test_a_checkpoint_alone_has_no_curves():
  plots, notes = analysis_sections.draw_progress('', 'eval.record', 'out')
  assert plots == []
  assert notes == ['A checkpoint was given without a model_dir: there are no curves.']


def test_without_training_records_the_classes_are_those_evaluated(project):
  path = str(project / 'tiny.config')
  config = Pipeline.load(path).config
  del config.train_input_reader[:]
  statistics, whose = run_analysis._measure_classes(Pipeline(config, path))
  assert whose == 'evaluation (the config has no train_input_reader) groundtruth, eval.record'
  assert (statistics.num_images, statistics.boxes.sum()) == (5, 0 + 1 + 2 + 0 + 1)


def test_examples_are_those_of_the_evaluation_in_its_order(project):
  path = str(project / 'tiny.config')
  config = Pipeline.load(path, ['eval_input_reader[0].sample_1_of_n_examples=2']).config
  examples = list(
    builders.build_decoded_dataset(Pipeline(config, path), is_training=False).as_numpy_iterator()
  )
  assert [example['source_id'].decode() for example in examples] == [
    f'{EVIL} {i}' for i in (0, 2, 4)
  ]
  decoded = tf.io.decode_png(tiny_project.annotations(5, seed=1)[2].encoded).numpy()
  np.testing.assert_array_equal(examples[1]['image'], decoded)


def test_curves_where_a_run_has_none_are_told(project, tmp_path):
  plots, notes = analysis_sections.draw_progress(str(tmp_path), 'eval.record', str(tmp_path))
  assert plots == []
  assert notes == [
    f'{tmp_path}/eval has no AP or AR of an evaluation on eval.record.',
    f'No losses: {tmp_path}/train: expected a folder with TensorBoard event files; it is missing.',
  ]


def test_no_checkpoint(project, tmp_path):
  path = str(project / 'tiny.config')
  with pytest.raises(InputError) as error:
    run_analysis.analyze_run(Pipeline.load(path), str(tmp_path / 'out'), model_dir=str(tmp_path))
  assert str(error.value) == (
    f'the folder {tmp_path} holds no checkpoint: expected a file ending in .index'
  )
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--output_dir=out'], 'give --model_dir, or --checkpoint and --pipeline_config_path'),
    (
      ['--output_dir=out', '--checkpoint=a'],
      '--checkpoint without --model_dir: give --pipeline_config_path too',
    ),
  ],
)
def test_flags(flags, message, tmp_path):
  ended = tool_processes.run(tmp_path, 'analyze_run.py', *flags)
  assert ended.returncode == 2
  # TensorFlow, which such processes have imported, may tell of a missing GPU before.
  assert ended.stderr.endswith(f'analyze_run.py: error: {message}\n')


@pytest.mark.skipif(_BROWSER is None, reason='there is no Chromium to open the page in')
def test_a_browser_shows_it_light_and_dark(page_path, tmp_path):
  brightness = []
  for scheme in (1, 0):  # Of Blink's settings: light, dark.
    shot = tmp_path / f'{scheme}.png'
    subprocess.run(
      [
        *(_BROWSER, '--headless=new', '--no-sandbox', '--disable-gpu', '--window-size=1200,3000'),
        *(f'--user-data-dir={tmp_path / "profile"}', f'--screenshot={shot}'),
        *(f'--blink-settings=preferredColorScheme={scheme}', f'file://{page_path}'),
      ],
      check=True,
      capture_output=True,
      timeout=120,
    )
    pixels = np.asarray(Image.open(shot).convert('L'))
    assert pixels.std() > 10  # Something is drawn.
    brightness.append(np.median(pixels))
  assert brightness[0] > 250 and brightness[1] < 40
