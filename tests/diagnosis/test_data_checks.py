import dataclasses

import numpy as np
import planted
import pytest
import tiny_project

from ssd_tf.diagnosis import class_checks, data_checks, leakage_checks
from ssd_tf.diagnosis.finding import Severity
from ssd_tf.errors import InputError


def with_boxes(image, boxes, class_ids=None):
  class_ids = [1] * len(boxes) if class_ids is None else class_ids
  return dataclasses.replace(
    image,
    boxes=np.array(boxes, np.float32).reshape(-1, 4),
    class_ids=np.array(class_ids),
    class_names=[tiny_project.NAMES[i - 1] if 0 < i <= 3 else 'other' for i in class_ids],
  )


def test_sound_data_is_not_spoken_of(tmp_path):
  project = planted.project(tmp_path, planted.images(40), planted.images(20, seed=1))
  checks = (
    *(data_checks.check_records, data_checks.check_images, data_checks.check_empty_images),
    *(class_checks.check_classes, class_checks.check_class_texts, class_checks.check_label_maps),
    *(class_checks.check_missing_labels, leakage_checks.check_duplicates),
    leakage_checks.check_files,
  )
  assert [finding for check in checks for finding in check(project)] == []


def test_class_ids_of_voc_beside_two_classes(tmp_path):
  # Seed 001: num_classes 2, records with ids of Pascal VOC, no label map.
  train = planted.images(3)
  train[0] = with_boxes(train[0], [[0, 0, 0.5, 0.5]] * 2, [15, 20])
  train[2] = with_boxes(train[2], [[0, 0, 0.5, 0.5]], [15])
  project = planted.project(
    tmp_path,
    [with_boxes(image, image.boxes, np.minimum(image.class_ids, 2)) for image in train[1:2]]
    + [train[0], train[2]],
    overrides=['model.ssd.num_classes=2', 'train_input_reader.label_map_path='],
  )
  project.config.ClearField('eval_input_reader')
  first, second = data_checks.check_records(project)
  path = tmp_path / 'train.record'
  assert (first.check, first.severity) == ('class ids', Severity.ERROR)
  assert first.what == (
    'train_input_reader: 2 boxes of class id 15 (other) lie outside 1..2 '
    f'({path}, record 1, source_id 0-0; {path}, record 2, source_id 0-2).'
  )
  assert first.remedy.startswith('Raise num_classes to 15 or more, or map the class')
  assert first.numbers == {'count': 2, 'records': 3}
  assert second.what.startswith('train_input_reader: 1 boxes of class id 20 (other) lie outside')


def test_boxes_inverted_outside_and_without_area(tmp_path):
  train = planted.images(4)
  train[0] = with_boxes(train[0], [[0.5, 0.1, 0.2, 0.4]])
  train[1] = with_boxes(train[1], [[-1, 0.1, 0.2, 0.4], [0.1, 0.1, 0.2, 1.5]])
  train[2] = with_boxes(train[2], [[0.1, 0.1, 0.1, 0.4]])
  project = planted.project(tmp_path, train, planted.images(2, seed=1))
  inverted, outside, flat = data_checks.check_records(project)
  assert [f.check for f in (inverted, outside, flat)] == ['boxes'] * 3
  assert [f.severity for f in (inverted, outside, flat)] == [
    *[Severity.ERROR] * 2,
    Severity.WARNING,
  ]
  assert inverted.what.startswith('train_input_reader: 1 boxes with min > max, or not finite (')
  assert outside.what.startswith('train_input_reader: 2 boxes reach outside the image, [0, 1] of')
  assert outside.remedy == "Clip them, or divide pixels by the image's size."
  # 1 + 2 + 1 boxes, and 2 of the last image, which is odd.
  assert flat.what == (
    'train_input_reader: 1 of 6 boxes have no area; they train an anchor each, and no detection '
    'can find them.'
  )
  assert [f.numbers['count'] for f in (inverted, outside, flat)] == [1, 2, 1]


def test_more_boxes_than_are_read(tmp_path):
  overrides = ['train_input_reader.max_number_of_boxes=1']
  project = planted.project(tmp_path, planted.images(6), planted.images(2, 1), overrides)
  found = planted.only([*data_checks.check_records(project)], 'boxes')
  assert found.severity is Severity.WARNING
  assert found.what == (
    'train_input_reader: 3 of 6 images have more boxes than max_number_of_boxes, up to 2; the rest '
    'is dropped.'
  )
  assert found.numbers == {'images': 3, 'max_boxes': 2}


@pytest.mark.parametrize(('max_images', 'num_decoded', 'num_found'), [(0, 8, 2), (2, 2, 1)])
def test_unreadable_images(tmp_path, max_images, num_decoded, num_found):
  train = planted.images(8)
  for i in (0, 3):
    train[i] = dataclasses.replace(train[i], encoded=train[i].encoded[:100])
  project = planted.project(tmp_path, train, planted.images(2, seed=1), max_images=max_images)
  (found,) = data_checks.check_images(project)
  assert (found.check, found.severity) == ('unreadable images', Severity.ERROR)
  assert found.what.startswith(
    f'train_input_reader: {num_found} of {num_decoded} images decoded are unreadable '
    f'({tmp_path}/train.record, record 0, source_id 0-0'
  )
  assert found.numbers == {'unreadable': num_found, 'decoded': num_decoded}


def test_images_of_another_size_than_the_record_says(tmp_path):
  # 48 x 80 pixels, with height and width exchanged.
  train = planted.images(3, height=80, width=48)
  project = planted.project(tmp_path, train, planted.images(2, seed=1))
  (found,) = data_checks.check_images(project)
  assert (found.check, found.severity) == ('image sizes', Severity.WARNING)
  assert '3 of 3 images decoded are not of the size that their records say' in found.what
  assert '48 x 80 against 80 x 48 (height x width;' in found.what
  assert found.numbers == {'count': 3, 'decoded': 3}


def test_images_without_objects(tmp_path):
  train = planted.images(5)
  train[:3] = [with_boxes(image, []) for image in train[:3]]
  evaluation = planted.images(10, seed=1)
  evaluation[0] = with_boxes(evaluation[0], [])
  many, few = data_checks.check_empty_images(planted.project(tmp_path, train, evaluation))
  assert (many.check, many.severity) == ('images without objects', Severity.WARNING)
  assert many.what == 'train_input_reader: 3 of 5 images (60%) hold no object.'
  assert many.numbers == {'empty': 3, 'images': 5, 'share': 0.6}
  assert (few.severity, few.remedy) == (Severity.NOTE, '')
  assert few.what == 'eval_input_reader[0]: 1 of 10 images (10%) hold no object.'


def sorted_by_class(num_images):
  """Images of one box each, a third of them of each class, one class after the other."""
  images, box = planted.images(num_images), [[0.1, 0.1, 0.5, 0.5]]
  return [with_boxes(image, box, [1 + 3 * i // num_images]) for i, image in enumerate(images)]


def test_records_are_spread_evenly(tmp_path):
  # 45 records in one file and 15 in another: of 60 every third is left out.
  images = sorted_by_class(60)
  tiny_project.write_records(tmp_path / 'b.record', images[45:])
  overrides = ['train_input_reader.tf_record_input_reader.input_path=["train.record", "b.record"]']
  project = planted.project(
    tmp_path, images[:45], planted.images(2, seed=1), overrides, max_records=40
  )
  table = project.table('train_input_reader')
  assert (table.num_images, table.num_records, table.is_complete) == (40, 60, False)
  assert np.bincount(table.model_class_ids).tolist() == [0, 13, 14, 13]
  assert table.positions.tolist() == [i for i in range(60) if i % 3 != 1]
  assert table.record_numbers.tolist() == [i % 45 for i in range(60) if i % 3 != 1]
  assert [*class_checks.check_classes(project)] == []
  (note,) = data_checks.check_records(project)
  # As many of each file are 20, and the second has 15.
  assert (note.check, note.severity) == ('records', Severity.NOTE)
  assert note.what == (
    'train_input_reader: 35 of 60 records were looked at for what training cannot use, as many '
    'first ones of each file, and 40, evenly spread, for all else.'
  )
  assert note.numbers == {'checked': 35, 'images': 40, 'records': 60}


def test_max_records_reaches_class_ids(tmp_path):
  train = planted.images(10)
  train[7] = with_boxes(train[7], [[0.1, 0.1, 0.5, 0.5]], [9])
  project = planted.project(tmp_path, train, planted.images(2, seed=1), max_records=10)
  (found,) = data_checks.check_records(project)
  assert found.check == 'class ids'
  project = planted.project(tmp_path, train, planted.images(2, seed=1), max_records=5)
  (found,) = data_checks.check_records(project)
  assert (found.check, found.numbers['checked'], found.numbers['records']) == ('records', 5, 10)


def test_classes_of_some_of_the_records_only(tmp_path):
  # Records 55 to 57 have c: every second record has one of them, every sixth none.
  class_ids, box = [1] * 30 + [2] * 25 + [3, 3, 3, 2, 2], [[0.1, 0.1, 0.5, 0.5]]
  train = [with_boxes(image, box, [class_ids[i]]) for i, image in enumerate(planted.images(60))]
  project = planted.project(tmp_path, train, max_records=30)
  (rare,) = class_checks.check_classes(project)
  assert (rare.severity, rare.remedy) == (
    Severity.NOTE,
    'Raise --max_records to look at all of them.',
  )
  assert rare.what == (
    "train_input_reader: 1 of 3 classes have fewer than 10 boxes in the 30 images looked at: 'c' 1."
  )
  project = planted.project(tmp_path, train, max_records=10)
  absent, rare = class_checks.check_classes(project)
  assert absent.severity is rare.severity is Severity.NOTE
  assert absent.what == (
    "train_input_reader: 1 of 3 classes have no box in the 10 images looked at: 'c'."
  )


def test_absent_and_rare_classes(tmp_path):
  box = [[0.1, 0.1, 0.5, 0.5]]
  train = [
    with_boxes(image, box, [2 if i < 4 else 1]) for i, image in enumerate(planted.images(20))
  ]
  project = planted.project(tmp_path, train, planted.images(2, seed=1))
  absent, rare = class_checks.check_classes(project)
  assert absent.severity is rare.severity is Severity.WARNING
  assert absent.what == (
    "train_input_reader: 1 of 3 classes have no box: 'c'; they will never be detected."
  )
  assert absent.numbers == {'absent': 1, 'classes': 3}
  assert rare.what == (
    "train_input_reader: 1 of 3 classes have fewer than 10 boxes: 'b' 4; too few to learn from."
  )
  assert rare.numbers == {'rare': {'b': 4}}


def test_no_box_at_all(tmp_path):
  train = [with_boxes(image, []) for image in planted.images(3)]
  (found,) = class_checks.check_classes(planted.project(tmp_path, train))
  assert found.severity is Severity.ERROR
  assert found.what == 'train_input_reader: there is no box of any class of the model.'


def test_label_map_off_by_one(tmp_path):
  # The map says a 1, b 2, c 3; the records were made with none 1, a 2, b 3.
  box = [[0.1, 0.1, 0.5, 0.5]]
  train = [with_boxes(image, box, [2 + i % 2]) for i, image in enumerate(planted.images(6))]
  train = [dataclasses.replace(im, class_names=['ab'[im.class_ids[0] - 2]]) for im in train]
  project = planted.project(tmp_path, train, planted.images(4, seed=1))
  (found,) = class_checks.check_class_texts(project)
  assert (found.check, found.severity) == ('label map off by one', Severity.ERROR)
  assert found.what == (
    'train_input_reader: the label map is off by 1: 6 of 6 boxes have a class text that the map '
    "has under another id, such as id 2 with the text 'a', which is 'b' in the map, where 'a' is 1."
  )
  assert found.numbers == {'count': 6, 'boxes': 6, 'shift': -1}


def test_class_texts_exchanged_and_unknown(tmp_path):
  box = [[0.1, 0.1, 0.5, 0.5]]
  train = [with_boxes(image, box, [1 + i % 2]) for i, image in enumerate(planted.images(6))]
  exchanged = [dataclasses.replace(im, class_names=['ba'[im.class_ids[0] - 1]]) for im in train]
  renamed = [dataclasses.replace(im, class_names=['cell']) for im in train]
  error, note = class_checks.check_class_texts(planted.project(tmp_path, exchanged, renamed))
  assert (error.check, error.severity) == ('class names', Severity.ERROR)
  assert '6 of 6 boxes have a class text that the map has under another id' in error.what
  assert error.numbers == {'count': 6, 'boxes': 6, 'shift': None}
  assert (note.check, note.severity) == ('class names', Severity.NOTE)
  assert note.what == (
    'eval_input_reader[0]: 6 of 6 boxes have a class text that is not in the label map: '
    "'cell' 6; their ids count, not their texts."
  )


def test_label_maps_of_the_readers_differ(tmp_path):
  overrides = ['eval_input_reader[0].label_map_path=other.pbtxt']
  (tmp_path / 'other.pbtxt').write_text("item { id: 1 name: 'b' } item { id: 2 name: 'a' }")
  project = planted.project(tmp_path, planted.images(4), overrides=overrides)
  missing, moved = class_checks.check_label_maps(project)
  assert missing.check == moved.check == 'label maps'
  assert missing.severity is moved.severity is Severity.WARNING
  assert missing.what == (
    'eval_input_reader[0].label_map_path lacks 1 of the 3 classes that are trained: c; they are '
    'not measured.'
  )
  assert missing.numbers == {'missing': 1, 'classes': 3}
  assert moved.what.startswith(
    'train_input_reader and eval_input_reader[0] have label maps with other ids for 2 classes: '
    'a 1 and 2, b 2 and 1; classes are told by name'
  )
  assert moved.numbers == {'moved': 2}


def test_a_class_that_one_of_two_files_was_not_labeled_for(tmp_path):
  box = [[0.1, 0.1, 0.5, 0.5]]
  images = planted.images(60)
  tiny_project.write_records(
    tmp_path / 'b.record', [with_boxes(image, box * 2, [1, 2]) for image in images[:30]]
  )
  overrides = ['train_input_reader.tf_record_input_reader.input_path=["train.record", "b.record"]']
  train = [with_boxes(image, box, [1]) for image in images[30:]]
  project = planted.project(tmp_path, train, overrides=overrides)
  (found,) = class_checks.check_missing_labels(project)
  assert (found.check, found.severity) == ('missing labels', Severity.WARNING)
  assert found.what.startswith(
    "train_input_reader train.record: its 30 images have no box of 'b', which other training "
    'files hold, but count as labeled for them'
  )
  assert found.numbers == {'classes': ['b'], 'images': 30}
  # Images that say so themselves are not suspected.
  train = [dataclasses.replace(image, labeled_classes=[1]) for image in train]
  project = planted.project(tmp_path, train, overrides=overrides)
  assert [*class_checks.check_missing_labels(project)] == []


def test_a_class_that_nobody_labels(tmp_path):
  overrides = ['train_input_reader.labeled_class=["a", "b"]']
  box = [[0.1, 0.1, 0.5, 0.5]]
  train = [with_boxes(image, box, [1 + i % 2]) for i, image in enumerate(planted.images(24))]
  project = planted.project(tmp_path, train, planted.images(2, seed=1), overrides)
  (found,) = data_checks.check_records(project)
  assert (found.check, found.severity) == ('labeled classes', Severity.WARNING)
  assert found.what.startswith("train_input_reader: no image is labeled for 'c': ")
  assert found.numbers == {'classes': ['c']}
  assert [*class_checks.check_classes(project)] == []  # Told once.


def test_images_in_training_and_evaluation(tmp_path):
  train = planted.images(8)
  evaluation = planted.images(8, seed=1)
  evaluation[1] = train[4]
  # Encoded again: other bytes, the same source_id and boxes.
  evaluation[2] = dataclasses.replace(train[5], encoded=train[0].encoded + b' ')
  # Numbered from 0 like the training's, but another image.
  evaluation[3] = dataclasses.replace(evaluation[3], source_id=train[3].source_id)
  project = planted.project(tmp_path, train, evaluation)
  shared, numbered = leakage_checks.check_duplicates(project)
  assert (shared.check, shared.severity) == ('duplicates', Severity.ERROR)
  assert shared.what == (
    'eval_input_reader[0]: 2 of 8 images (25.0%) are in the training too, such as '
    f'{tmp_path}/eval.record, record 1, source_id 0-4, which is {tmp_path}/train.record, record 4, '
    'source_id 0-4: its figures are too good.'
  )
  assert shared.numbers == {'shared': 2, 'images': 8, 'share': 0.25}
  assert (numbered.severity, numbered.numbers) == (
    Severity.NOTE,
    {'same_source_id': 1, 'images': 8},
  )


def test_boxes_that_many_images_have_tell_nothing(tmp_path):
  whole = [[0.0, 0.0, 1.0, 1.0]]
  train = [with_boxes(image, whole, [1]) for image in planted.images(6)]
  evaluation = [with_boxes(image, whole, [1]) for image in planted.images(6, seed=1)]
  numbered = [
    dataclasses.replace(image, source_id=train[i].source_id) for i, image in enumerate(evaluation)
  ]
  project = planted.project(tmp_path, train, numbered)
  (found,) = leakage_checks.check_duplicates(project)
  assert (found.severity, found.numbers) == (Severity.NOTE, {'same_source_id': 6, 'images': 6})


def test_copies_within_the_training(tmp_path):
  train = planted.images(5)
  project = planted.project(tmp_path, [*train, train[2], train[2]], planted.images(2, seed=1))
  (found,) = leakage_checks.check_duplicates(project)
  assert (found.severity, found.numbers) == (Severity.NOTE, {'copies': 2, 'images': 7})
  assert 'train.record, record 5, source_id 0-2, which is' in found.what


def test_evaluation_on_the_training_records(tmp_path):
  overrides = ['eval_input_reader[0].tf_record_input_reader.input_path=train.record']
  project = planted.project(tmp_path, planted.images(4), overrides=overrides)
  (found,) = leakage_checks.check_files(project)
  assert (found.check, found.severity) == ('evaluation data', Severity.ERROR)
  assert found.what.startswith(
    'eval_input_reader[0] reads 1 of its 1 files from the training records, such as '
    f'{tmp_path}/train.record: its figures'
  )
  assert found.numbers == {'shared': 1, 'files': 1}
  assert [*leakage_checks.check_duplicates(project)] == []  # Told once.


def test_a_damaged_file_is_told_once(tmp_path):
  project = planted.project(tmp_path, planted.images(5), planted.images(2, seed=1))
  path = tmp_path / 'train.record'
  path.write_bytes(path.read_bytes()[:-20])
  with pytest.raises(InputError, match=r'train.record: record 4 \(counted from 0\) cannot be read'):
    list(data_checks.check_records(project))
  assert [*data_checks.check_images(project)] == []
