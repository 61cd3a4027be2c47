"""The whole of pseudo-labeling: a random detector, validated on what it detects itself."""

import dataclasses
import json
import re

import numpy as np
import pytest
import tensorflow as tf
import tiny_project

from ssd_tf.config.pipeline import Pipeline
from ssd_tf.data import record_files, tf_example
from ssd_tf.errors import InputError
from ssd_tf.inference import records as inference_records
from ssd_tf.pseudo_labels import labeling
from ssd_tf.pseudo_labels.class_thresholds import Rules

NAMES = dict(enumerate(tiny_project.NAMES, start=1))
RULES = Rules(min_validation_boxes=2)
NUM_IMAGES = 11  # Not a multiple of the batch size.


def only(image, keep, **changes):
  """An image with the boxes of a mask."""
  keep = np.asarray(keep, bool)
  names = [name for name, kept in zip(image.class_names, keep, strict=True) if kept]
  boxes, ids = image.boxes[keep], image.class_ids[keep]
  return dataclasses.replace(image, boxes=boxes, class_ids=ids, class_names=names, **changes)


def partial(images):
  """Every third image complete, every third for class a only, every third for none."""
  for i, image in enumerate(images):
    labeled = [None, [1], []][i % 3]
    yield only(image, np.isin(image.class_ids, [1, 2, 3] if labeled is None else labeled),
               labeled_classes=labeled)  # fmt: skip


def detect(folder, detector, record):
  records = inference_records.RecordDetector(detector, NAMES, tf.distribute.get_strategy(), 4)
  return list(records.detect([str(folder / record)]))


@pytest.fixture(scope='module')
def project(tmp_path_factory):
  """(Folder with a checkpoint, partial.record and validation.record; the detections on partial)."""
  folder = tmp_path_factory.mktemp('project')
  tiny_project.make(folder)
  detector = tiny_project.write_checkpoint(folder)
  tiny_project.write_records(
    folder / 'partial.record', partial(tiny_project.annotations(NUM_IMAGES, seed=0))
  )
  # The validation's groundtruth: of classes a and b every detection with a score above the median,
  # so that their precision is 1 down to there; of class c every fourth of them.
  validation = []
  for i, image in enumerate(detect(folder, detector, 'eval.record')):
    good = image.scores >= np.median(image.scores)
    good &= (image.class_ids != 3) | (np.arange(len(good)) % 4 == i % 4)
    annotation = dataclasses.replace(
      image.annotation,
      boxes=image.boxes[good],
      class_ids=image.class_ids[good],
      class_names=[NAMES[c] for c in image.class_ids[good].tolist()],
      **dict.fromkeys(('difficult', 'truncated', 'is_crowd', 'group_of')),
    )
    validation.append(annotation)
  tiny_project.write_records(folder / 'validation.record', validation)
  return folder, detect(folder, detector, 'partial.record')


def label(folder, output, input_record='partial.record', **options):
  options = {'validation': 'validation.record', 'rules': RULES, 'batch_size': 4, **options}
  return labeling.pseudo_label(
    Pipeline.load(folder / 'tiny.config'),
    str(folder / 'model'),
    input_paths=[str(folder / input_record)],
    validation_paths=[str(folder / options.pop('validation'))],
    output_path=str(output),
    strategy=tf.distribute.get_strategy(),
    **options,
  )


def read(*paths):
  records = record_files.read_records([str(path) for path in paths])
  return [tf_example.parse_example(record) for _, _, record in records]


@pytest.fixture(scope='module')
def report(project):
  folder, _ = project
  return label(folder, folder / 'filled.record')


def iou(box, others):
  """f64[n], of one box with n others."""
  box, others = np.asarray(box, np.float64), np.asarray(others, np.float64).reshape(-1, 4)
  sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
  shared = np.maximum(sides, 0).prod(axis=1)
  area = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
  return shared / (area - shared)


def test_every_image_gets_the_detections_from_the_thresholds_on(project, report):
  folder, detected = project
  with_thresholds = {i for i in NAMES if report['classes'][i].get('not_filled') is None}
  assert {1, 2} <= with_thresholds
  seen = {'pseudo': 0, 'ignored': 0}
  for before, after, found in zip(
    read(folder / 'partial.record'), read(folder / 'filled.record'), detected, strict=True
  ):
    human = before.labeled_class_ids(NAMES)
    wanted = []
    for box, c, score in zip(found.boxes, found.class_ids.tolist(), found.scores, strict=True):
      if c in with_thresholds - human and not (iou(box, before.boxes) >= 0.5).any():
        high, low = (report['classes'][c][f'{k}_threshold']['score'] for k in ('high', 'low'))
        if score >= low:
          wanted.append((score < high, -float(score), c, tuple(box.tolist())))
    expected = []
    for row in sorted(wanted):
      if not any(row[2] != k[2] and iou(row[3], [k[3]])[0] >= 0.5 for k in expected):
        expected.append(row)
    n = len(before.boxes)
    sources = after.sources or ['human'] * n
    written = [
      (source == 'ignored', -score, c, tuple(box))
      for source, score, c, box in zip(
        sources[n:],
        ([] if after.scores is None else after.scores[n:].tolist()),
        after.class_ids[n:].tolist(),
        after.boxes[n:].tolist(),
        strict=True,
      )
    ]
    assert sorted(written) == sorted(expected)
    assert sources[:n] == ['human'] * n
    assert after.labeled_class_ids(NAMES) == human | with_thresholds
    for source in sources[n:]:
      seen[source] += 1
  assert seen['pseudo'] > 20 and seen['ignored'] > 0
  classes = report['classes'].values()
  assert seen['pseudo'] == sum(c.get('boxes_added', 0) for c in classes)
  assert seen['ignored'] == sum(c.get('boxes_ignored', 0) for c in classes)


def test_what_people_labeled_is_unchanged(project, report):
  folder, _ = project
  for before, after in zip(
    read(folder / 'partial.record'), read(folder / 'filled.record'), strict=True
  ):
    n = len(before.boxes)
    for name in ('encoded', 'format', 'height', 'width', 'filename', 'source_id'):
      assert getattr(after, name) == getattr(before, name)
    for name in ('boxes', 'class_ids', 'difficult', 'truncated', 'is_crowd', 'group_of'):
      np.testing.assert_array_equal(
        [] if n == 0 else getattr(after, name)[:n], [] if n == 0 else getattr(before, name)
      )
    if before.labeled_classes is None:  # Complete.
      assert after == dataclasses.replace(before, **{
        k: getattr(after, k) for k in ('boxes', 'class_ids', 'difficult', 'truncated', 'is_crowd',
                                       'group_of')
      })  # fmt: skip
      assert len(after.boxes) == n
    else:
      assert after.human_labeled_classes == before.labeled_classes
      weights = after.weights
      if weights is not None:
        assert (weights[:n] == 1).all() and (after.scores[:n] == 1).all()
        positive = np.array(after.sources) == 'pseudo'
        assert (weights[n:][positive[n:]] >= RULES.min_precision).all()
        assert (weights[n:][~positive[n:]] == 0).all()


def test_the_report_tells_it_class_by_class(project, report):
  folder, _ = project
  with open(folder / 'filled.record.report.json', encoding='utf-8') as file:
    written = json.load(file)
  assert written == json.loads(json.dumps(report))
  assert (written['images'], written['images_filled']) == (NUM_IMAGES, 7)  # All but 0, 3, 6, 9.
  assert [c['name'] for c in written['classes'].values()] == ['a', 'b', 'c']
  # Of class a, images 2, 5, 8; of the others also 1, 4, 7, 10.
  assert [c['unlabeled_images'] for c in written['classes'].values()] == [3, 7, 7]
  for entry in written['classes'].values():
    if entry.get('not_filled') is None:
      assert entry['images_filled'] == entry['unlabeled_images']
      assert entry['low_threshold']['score'] <= entry['high_threshold']['score']
      assert entry['high_threshold']['precision'] >= entry['low_threshold']['precision']


def test_a_second_round_replaces_the_first(project, report, tmp_path):
  folder, _ = project
  label(folder, tmp_path / 'again.record', input_record='filled.record', num_shards=2)
  shards = [tmp_path / f'again.record-0000{i}-of-00002' for i in range(2)]
  first, again = read(folder / 'filled.record'), [read(path) for path in shards]
  assert [len(images) for images in again] == [6, 5]
  for i, image in enumerate(first):
    assert tf_example.encode_example(image) == tf_example.encode_example(again[i % 2][i // 2])


def test_a_class_with_few_boxes_or_little_precision_is_left_unlabeled(project, report, tmp_path):
  folder, _ = project
  counts = {i: report['classes'][i]['validation_boxes'] for i in NAMES}
  most = max(counts, key=counts.get)
  assert sorted(counts.values())[-2] < counts[most]
  few = label(folder, tmp_path / 'few.record', rules=Rules(min_validation_boxes=counts[most]))
  for i in NAMES:
    reason = few['classes'][i].get('not_filled')
    expected = f'{counts[i]} validation boxes; at least {counts[most]} are needed'
    assert reason == (None if i == most else expected)
  for image in read(tmp_path / 'few.record'):
    if image.human_labeled_classes is not None:
      assert set(image.labeled_classes) == {most, *image.human_labeled_classes}
  # Without the first box of each class, the best detection of an image is wrong.
  images = []
  for image in read(folder / 'validation.record'):
    first = np.unique(image.class_ids, return_index=True)[1]
    flags = dict.fromkeys(('difficult', 'truncated', 'is_crowd', 'group_of'))
    images.append(only(image, ~np.isin(np.arange(len(image.boxes)), first), **flags))
  tiny_project.write_records(folder / 'wrong.record', images)
  rules = Rules(min_precision=1, min_validation_boxes=1)
  with pytest.raises(InputError, match=r'no class can be filled: a: precision 0\.\d+; at least 1'):
    label(folder, tmp_path / 'none.record', validation='wrong.record', rules=rules)
  assert (tmp_path / 'none.record.report.json').exists()
  assert not (tmp_path / 'none.record').exists()


def test_records_that_do_not_say_take_the_classes_given(project, tmp_path):
  folder, _ = project
  made = label(folder, tmp_path / 'a.record', 'train.record', labeled_by_default=['a', 'c'])
  assert [made['classes'][i]['unlabeled_images'] for i in NAMES] == [0, 10, 0]
  assert made['classes'][1]['not_filled'] == 'every image is labeled for it'
  assert all(image.human_labeled_classes == [1, 3] for image in read(tmp_path / 'a.record'))
  with pytest.raises(InputError, match='--labeled_class: the label map has no class cat; it has a'):
    label(folder, tmp_path / 'b.record', 'train.record', labeled_by_default=['cat'])


def test_bad_input(project, tmp_path):
  folder, _ = project
  with pytest.raises(InputError, match='all 10 images are labeled for all 3 classes'):
    label(folder, tmp_path / 'a.record', 'train.record')
  images = tiny_project.annotations(2, seed=0)[:1]
  tiny_project.write_records(folder / 'empty.record', images)
  with pytest.raises(InputError, match='validation records hold no box of a labeled class'):
    label(folder, tmp_path / 'a.record', validation='empty.record')
  with pytest.raises(InputError, match=r'partial\.record: is read, and would be replaced'):
    label(folder, folder / 'partial.record')
  (folder / 'four.pbtxt').write_text("item { id: 4 name: 'd' }")
  with pytest.raises(InputError, match=r"four\.pbtxt: .* ids of the model, .* has \{4: 'd'\}"):
    label(folder, tmp_path / 'a.record', label_map_path=str(folder / 'four.pbtxt'))
  for wrong in ({'beta': 3.0}, {'beta': 0.0}, {'max_overlap': 0.0}):
    with pytest.raises(InputError, match=f'{next(iter(wrong))} is'):
      Rules(**wrong)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ('flag', 'expected'),
  [
    ('--checkpoint=gone', 'no such file or folder: gone; is it misspelled'),
    ('--input_path=gone*.record', r'no file matches gone\*\.record'),
    (None, None),
  ],
)
def test_the_command(project, tmp_path, flag, expected, run_tool):
  folder, _ = project
  code, output = run_tool(
    folder,
    'pseudo_label.py',
    '--pipeline_config_path=tiny.config',
    '--checkpoint=model',
    '--input_path=partial.record',
    '--validation_path=validation.record',
    f'--output_path={tmp_path}/out/filled.record',
    '--min_validation_boxes=2',
    *([flag] if flag else []),
  )
  if expected:
    assert code == 2 and 'Traceback' not in output
    assert re.search(f'^pseudo_label.py: error: {expected}', output, re.MULTILINE)
  else:
    assert code == 0, output
    assert len(read(tmp_path / 'out/filled.record')) == NUM_IMAGES
    assert (tmp_path / 'out/filled.record.report.json').exists()


def test_ids_and_names_are_filled_in_from_each_other(tmp_path):
  image = tiny_project.annotations(3, seed=0)[2]
  records = [tf.train.Example.FromString(tf_example.encode_example(image)) for _ in range(2)]
  del records[0].features.feature['image/object/class/label']
  del records[1].features.feature['image/object/class/text']
  path = str(tmp_path / 'a.record')
  with tf.io.TFRecordWriter(path) as writer:
    for record in records:
      writer.write(record.SerializeToString())
  for annotation in inference_records.read_annotations([path], NAMES):
    assert annotation.class_ids.tolist() == image.class_ids.tolist()
    assert annotation.class_names == image.class_names
