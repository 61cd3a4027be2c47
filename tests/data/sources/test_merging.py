import dataclasses
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tf.data import annotation_files, record_files, record_writer, tf_example
from ssd_tf.data.annotation import Annotation
from ssd_tf.data.source import Source
from ssd_tf.data.sources import merge_images, merge_plan, merge_report, merging
from ssd_tf.errors import InputError

WIDTH, HEIGHT = 80, 40


def png(shade):
  stream = io.BytesIO()
  Image.new('RGB', (WIDTH, HEIGHT), (shade, 0, 0)).save(stream, 'PNG')
  return stream.getvalue()


def annotated(shade, *objects, **fields):
  """An image that `shade` alone makes; objects (class id, name, [ymin, xmin, ymax, xmax])."""
  values = {
    'encoded': png(shade),
    'format': 'png',
    'height': HEIGHT,
    'width': WIDTH,
    'filename': f'{shade}.png',
    'source_id': f'{shade}.png',
    'boxes': np.array([box for _, _, box in objects], np.float32).reshape(-1, 4),
    'class_ids': np.array([class_id for class_id, _, _ in objects], np.int64),
    'class_names': [name for _, name, _ in objects],
  }
  return Annotation(**{**values, **fields})


def read(path):
  return [tf_example.parse_example(record) for _, _, record in record_files.read_records([path])]


A, B, C, TINY = [0, 0, 0.5, 0.5], [0.25, 0.25, 1, 1], [0.5, 0, 1, 0.25], [0.5, 0.5, 0.525, 0.5125]
CAT_DOG = {1: 'cat', 2: 'dog'}


@pytest.fixture
def folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  return tmp_path


def voc(name, *annotations, **plan):
  annotation_files.write_pascal_voc(annotations, name, 'train')
  options = {**merge_plan.OPTIONS['pascal_voc'], 'data_dir': name}
  return source(name, 'pascal_voc', options, **plan)


def coco(name, names, *annotations, **plan):
  annotation_files.write_coco(annotations, {v: k for k, v in names.items()}, name, 'train')
  options = {'annotations_file': f'{name}/instances_train.json', 'image_dir': f'{name}/train'}
  return source(name, 'coco', options, **plan)


def records(name, names, *annotations, **plan):
  path = f'{name}.record'
  record_writer.write_records(Source(names, annotations, lambda annotation: annotation), path)
  return source(
    name, 'tfrecord', {'input_path': [path], 'label_map_path': 'x'}, label_map=names, **plan
  )


def source(name, kind, options, label_map=None, **plan):
  plan = merge_plan.SourcePlan(name, kind, options, **plan, place=f'plan.json: {name}')
  return merging.open_part(plan, label_map)


def found(annotation):
  """What a test compares: boxes by class name, and what the image is labeled for."""
  boxes = [
    (name, np.round(box.astype(np.float64), 4).tolist())
    for name, box in zip(annotation.class_names, annotation.boxes, strict=True)
  ]
  return boxes, annotation.labeled_classes


def test_sources_of_all_three_types(folder):
  sources = [
    voc('pets', annotated(1, (1, 'cat', A), (2, 'dog', B)), annotated(2)),
    # Written as category 7 and 3: by id, tv comes first.
    coco('rooms', {7: 'Sofa', 3: 'tv'}, annotated(3, (7, 'Sofa', TINY), (3, 'tv', C)),
         rename={'tv': 'tvmonitor'}, drop=['Sofa']),
    records('zoo', {1: 'lion', 2: 'cat', 5: 'ape'},
            annotated(4, (2, 'cat', B), (5, 'ape', A), weights=np.float32([0.5, 1])),
            annotated(5, (1, 'lion', A), labeled_classes=[1], source_id=''),
            labeled_class=['cat', 'lion']),
  ]  # fmt: skip
  report = merging.merge(sources, 'merged.record', num_workers=2)
  merged = read('merged.record')
  classes = {entry.name: entry.id for entry in report.classes}
  assert classes == {'cat': 1, 'dog': 2, 'tvmonitor': 3, 'lion': 4, 'ape': 5}
  assert [a.source_id for a in merged] == [
    'pets/1.png', 'pets/2.png', 'rooms/1', 'zoo/4.png', 'zoo/5.png',
  ]  # fmt: skip
  assert [found(a) for a in merged] == [
    ([('cat', A), ('dog', B)], [1, 2]),
    ([], [1, 2]),
    ([('tvmonitor', C)], [3]),
    ([('cat', B), ('ape', A)], [1, 4]),  # By the plan.
    ([('lion', A)], [4]),  # By the record itself.
  ]
  assert [a.class_ids.tolist() for a in merged] == [[1, 2], [], [3], [1, 5], [4]]
  assert [a.encoded for a in merged] == [png(shade) for shade in range(1, 6)]
  assert merged[3].weights.tolist() == [0.5, 1] and merged[0].weights is None
  assert all((a.height, a.width) == (HEIGHT, WIDTH) for a in merged)
  # 0.025 x 0.0125 of 40 x 80 is 1 px^2; the sofa's box is dropped with its area.
  assert merged[2].area.tolist() == [0.5 * 0.25 * 3200]

  rows = [[(c.name, c.becomes, c.kept, c.dropped, c.labeled_images) for c in s.classes]
          for s in report.sources]  # fmt: skip
  assert rows == [
    [('cat', 'cat', 1, 0, 2), ('dog', 'dog', 1, 0, 2)],
    [('tv', 'tvmonitor', 1, 0, 1), ('Sofa', None, 0, 1, 1)],
    [('lion', 'lion', 1, 0, 2), ('cat', 'cat', 1, 0, 1), ('ape', 'ape', 1, 0, 0)],
  ]
  assert [s.images for s in report.sources] == [2, 1, 2]
  assert [s.self_described for s in report.sources] == [0, 0, 1]
  assert [s.renamed for s in report.sources] == [0, 1, 0]
  written = {entry.name: (entry.boxes, entry.labeled_images) for entry in report.classes}
  assert written == {
    'cat': (2, 3), 'dog': (1, 2), 'tvmonitor': (1, 1), 'lion': (1, 2), 'ape': (1, 0),
  }  # fmt: skip
  assert report.classes[0].sources == {'pets': ['cat'], 'zoo': ['cat']}
  assert report.same_name == ["'cat': pets, zoo"]
  ape = report.sources[2].classes[2]
  assert (ape.not_labeled, ape.first_not_labeled) == (1, 'zoo/4.png')
  assert report.remarks == ["no image is labeled for 'ape': a detector gets no negatives for it"]
  assert (report.images, report.boxes, report.images_without_boxes) == (5, 6, 1)
  text = str(report)
  assert 'rooms (coco): 1 images (0 say themselves what they are labeled for), 1 boxes kept (1 ' \
         'renamed), 1 dropped' in text  # fmt: skip
  assert '  tv -> tvmonitor: 1 boxes, labeled in 1 images' in text
  assert '1 cat: 2 boxes, labeled in 3 images, from pets, zoo' in text
  assert json.loads(json.dumps(report.as_dict()))['classes'][2] == {
    'id': 3, 'name': 'tvmonitor', 'sources': {'rooms': ['tv']}, 'boxes': 1, 'labeled_images': 1,
  }  # fmt: skip


def test_an_image_in_several_sources_is_written_once(folder):
  """Image 1: cat labeled in both, dog in the second only, bird in none but boxed in the third."""
  names = {1: 'cat', 2: 'dog', 3: 'bird'}
  sources = [
    records('a', names, annotated(1, (1, 'cat', A), (2, 'dog', A)), labeled_class=['cat']),
    records('b', names, annotated(2, (2, 'dog', B)),
            annotated(1, (1, 'cat', B), (2, 'dog', C), (2, 'dog', TINY), difficult=[0, 1, 0]),
            labeled_class=['dog', 'cat']),
    records('c', names, annotated(1, (3, 'bird', C), (1, 'cat', A)), labeled_class=[]),
  ]  # fmt: skip
  report = merging.merge(sources, 'merged.record', num_workers=1)
  first, second = read('merged.record')
  assert (first.source_id, second.source_id) == ('a/1.png', 'b/2.png')
  # a's cat, for it comes first; b's dogs, for a is not labeled for them; c's bird, for there is no
  # other. Left out: a's dog, b's cat, c's cat.
  assert found(first) == ([('cat', A), ('dog', C), ('dog', TINY), ('bird', C)], [1, 2])
  assert first.difficult.tolist() == [False, True, False, False]
  assert found(second) == ([('dog', B)], [1, 2])
  duplicates = report.duplicates
  assert duplicates.across == ['a/1.png = b/1.png', 'a/1.png = c/1.png']
  assert duplicates.within == []
  assert (duplicates.labeled_in_several, duplicates.conflicts) == (1, 1)  # The cat.
  assert duplicates.boxes_left_out == 3
  assert duplicates.examples == ['a/1.png: cat']
  assert [s.images for s in report.sources] == [1, 2, 1]
  assert report.sources[2].remarks == ['labeled_class is []: its images are labeled for no class']
  assert [(c.boxes, c.labeled_images) for c in report.classes] == [(1, 2), (3, 2), (1, 0)]


def test_an_image_twice_in_one_source_and_in_another(folder):
  """Boxes that agree, in whatever order, are no conflict."""
  sources = [
    records('a', CAT_DOG, annotated(1, (1, 'cat', A), (1, 'cat', B), source_id='x'),
            annotated(1, (1, 'cat', B), (1, 'cat', A), source_id='y')),
    records('b', {4: 'cat'}, annotated(1, (4, 'cat', B), (4, 'cat', A))),
  ]  # fmt: skip
  report = merging.merge(sources, 'merged.record')
  (image,) = read('merged.record')
  assert found(image) == ([('cat', A), ('cat', B)], [1, 2])
  assert report.duplicates.within == ['a/x = a/y']
  assert report.duplicates.across == ['a/x = b/1.png']
  # cat and dog are labeled more than once; no box differs.
  assert (report.duplicates.labeled_in_several, report.duplicates.conflicts) == (2, 0)
  assert 'the same image twice in one source: 1\n  a/x = a/y' in str(report)


def test_two_images_of_one_id_get_each_their_own(folder):
  sources = [records('a', CAT_DOG, *(annotated(i, source_id='x') for i in range(3)))]
  report = merging.merge(sources, 'merged.record')
  assert [a.source_id for a in read('merged.record')] == ['a/x', 'a/x#2', 'a/x#3']
  assert 'a/x is the id of two different images' in report.sources[0].remarks[0]


def test_unite_prefers_people_to_a_detector_and_fills_what_one_lacks():
  pseudo = annotated(
    1, (1, 'cat', A), (2, 'dog', A), labeled_classes=[1, 2], human_labeled_classes=[2],
    sources=['pseudo', 'human'], scores=np.float32([0.75, 1]), area=np.float32([7, 8]),
  )  # fmt: skip
  people = annotated(1, (1, 'cat', C), (2, 'dog', B), labeled_classes=[1, 2])
  united, findings = merge_images.unite([pseudo, people])
  assert found(united) == ([('dog', A), ('cat', C)], [1, 2])
  assert united.human_labeled_classes == [1, 2]
  assert united.sources == ['human', 'human'] and united.scores.tolist() == [1, 1]
  # 0.5 x 40 high, 0.25 x 80 wide.
  assert united.area.tolist() == [8, 400]
  assert united.views is None and united.weights is None
  assert findings == merge_images.UnionFindings([1, 2], [1, 2], 2)


def test_classes_that_become_one_are_labeled_only_together():
  annotation = annotated(
    1, (1, 'kitten', A), (2, 'cat', B), (3, 'dog', C),
    labeled_classes=[2, 3], human_labeled_classes=[3],
  )  # fmt: skip
  mapped = merge_images.map_classes(annotation, {1: 5, 2: 5, 3: 9}, {5: 'cat', 9: 'dog'}, [1, 2, 3])
  assert found(mapped) == ([('cat', A), ('cat', B), ('dog', C)], [9])
  assert mapped.human_labeled_classes == [9]
  # Dropped, it hinders no more.
  mapped = merge_images.map_classes(annotation, {2: 5, 3: 9}, {5: 'cat', 9: 'dog'}, [1, 2, 3])
  assert found(mapped) == ([('cat', B), ('dog', C)], [5, 9])


def test_verified_classes_become_labeled_ones(folder):
  """cat verified present, dog verified absent, bird present but not exhaustive."""
  image = annotated(1, (1, 'cat', A), (3, 'bird', B), verified_present=[1, 3],
                    verified_absent=[2], not_exhaustive=[3])  # fmt: skip
  names = {1: 'cat', 2: 'dog', 3: 'bird', 4: 'fox'}
  merging.merge([records('a', names, image)], 'merged.record')
  (merged,) = read('merged.record')
  assert found(merged) == ([('cat', A), ('bird', B)], [1, 2])
  assert merged.verified_present is merged.verified_absent is merged.not_exhaustive is None


def test_ids_of_a_label_map(folder):
  sources = [records('a', CAT_DOG, annotated(1, (1, 'cat', A)), rename={'dog': 'wolf'})]
  ids = {'fox': 2, 'cat': 9, 'wolf': 4}
  report = merging.merge(sources, 'merged.record', name_to_id=ids, num_shards=1)
  assert [(entry.id, entry.name) for entry in report.classes] == [
    (2, 'fox'), (4, 'wolf'), (9, 'cat'),
  ]  # fmt: skip
  assert found(read('merged.record')[0]) == ([('cat', A)], [4, 9])
  assert '2 fox: 0 boxes, labeled in 0 images, from no source' in str(report)
  with pytest.raises(InputError, match=r"a: class 'wolf' is not in the label map.*'wolves'"):
    merging.merge(sources, 'other.record', name_to_id={'cat': 1, 'wolves': 2})


def test_shards_hold_the_images_in_turn(folder):
  sources = [records('a', CAT_DOG, *(annotated(i) for i in range(5)))]
  merging.merge(sources, 'out/merged.record', num_shards=2)
  paths = [f'out/merged.record-0000{i}-of-00002' for i in range(2)]
  ids = [[a.source_id for a in read(path)] for path in paths]
  assert ids == [['a/0.png', 'a/2.png', 'a/4.png'], ['a/1.png', 'a/3.png']]


def test_records_of_many_files_are_found_again(folder):
  for i in range(2):
    images = [annotated(10 * i + k, *[(1, 'cat', A)] * k) for k in range(3)]
    record_writer.write_records(Source(CAT_DOG, images, lambda a: a), f'{i}.record')
  options = {'input_path': ['0.record', '1.record'], 'label_map_path': 'x'}
  merging.merge([source('a', 'tfrecord', options, CAT_DOG)], 'merged.record')
  assert [(a.filename, len(a.boxes)) for a in read('merged.record')] == [
    ('0.png', 0), ('1.png', 1), ('2.png', 2), ('10.png', 0), ('11.png', 1), ('12.png', 2),
  ]  # fmt: skip


def test_boxes_of_no_use_and_texts_unlike_the_label_map_are_counted(folder):
  images = [
    annotated(1, (1, 'Katze', A), (1, 'Katze', [0.5, 0.5, 0.5, 0.9]), (2, 'dog', [0.5, 0, 2, 1])),
    annotated(2, (1, 'Katze', B)),
  ]
  for i, image in enumerate(images):
    # Not by record_writer, which would mend the boxes.
    with tf.io.TFRecordWriter(f'{i}.record') as writer:
      writer.write(tf_example.encode_example(image))
  options = {'input_path': ['0.record', '1.record'], 'label_map_path': 'x'}
  report = merging.merge([source('a', 'tfrecord', options, CAT_DOG)], 'merged.record')
  assert [(c.kept, c.invalid) for c in report.sources[0].classes] == [(2, 1), (1, 0)]
  assert report.sources[0].remarks == [
    "3 boxes have the class text 'Katze' and the id 1, which is 'cat' in the label map: the id "
    'counts'
  ]
  merged = read('merged.record')
  assert found(merged[0])[0] == [('cat', A), ('dog', [0.5, 0, 1, 1])]
  assert [entry.boxes for entry in report.classes] == [2, 1]


def merged_classes(**names_of_sources):
  classes = {}
  for source_name, names in names_of_sources.items():
    for name in names:
      entry = classes.setdefault(name, merge_report.MergedClass(len(classes) + 1, name))
      entry.sources.setdefault(source_name, []).append(name)
  return list(classes.values())


@pytest.mark.parametrize(
  ('a', 'b', 'like'),
  [
    ('Person', 'person', True),
    ('tvmonitor', 'tv monitor', True),
    ('traffic_light', 'Traffic-Lights', True),
    ('bus', 'buses', True),
    ('cherries', 'cherry', True),
    ('boxes', 'box', True),
    ('cat', 'car', False),
    ('1', '11', False),
    ('+', '-', False),
    ('s', 'es', False),
    ('Straße', 'STRASSE', True),
  ],
)
def test_similar_names(a, b, like):
  similar = merge_report.find_similar_names(merged_classes(x=[a], y=[b]))
  if not like:
    assert similar == []
    return
  assert similar == [merge_report.SimilarNames(b, a, ['y'], {'y': {b: a}})]
  assert str(similar[0]) == (
    f'{b!r} is like {a!r}; if they are one class: in y, "rename": {{"{b}": "{a}"}}'
  )


def test_names_that_clash_are_reported(folder):
  sources = [
    records('a', CAT_DOG, annotated(1), rename={'dog': 'cat'}),
    records('b', {1: 'Cats', 2: 'wolf'}, annotated(2), rename={'wolf': 'cat'}),
    records('c', {1: 'lynx'}, annotated(3), rename={'lynx': 'bobcat'}),
  ]
  report = merging.merge(sources, 'merged.record')
  assert [entry.name for entry in report.classes] == ['cat', 'Cats', 'bobcat']
  assert report.classes[0].sources == {'a': ['cat', 'dog'], 'b': ['wolf']}
  assert report.renamed_onto == [
    "a: 'dog' -> 'cat', which comes from a (cat), b (wolf)",
    "b: 'wolf' -> 'cat', which comes from a (cat, dog)",
  ]
  assert [s.suggestion for s in report.similar_names] == [{'b': {'Cats': 'cat'}}]


def test_broken_files_are_left_out_and_named(folder):
  names = {1: 'cat'}
  pets = coco('pets', names, annotated(1, (1, 'cat', A)), annotated(2), annotated(3))
  (folder / 'pets/train/2.png').write_bytes(png(2)[:60])
  report = merging.merge([pets], 'merged.record')
  assert [a.filename for a in read('merged.record')] == ['1.png', '3.png']
  assert [s.images for s in report.sources] == [2]
  assert len(report.sources[0].skipped) == 1 and '2.png: the image' in report.sources[0].skipped[0]
  with pytest.raises(InputError, match=r'plan.json: pets: pets/train/2.png: the image'):
    merging.merge([pets], 'strict.record', strict=True)
  for shade in (1, 3):
    (folder / f'pets/train/{shade}.png').unlink()
  with pytest.raises(InputError, match=r'pets: none of its images can be read: .*1.png'):
    merging.merge([pets], 'none.record')
  assert not (folder / 'none.record').exists()


def test_a_pascal_voc_source_takes_a_label_map(folder):
  pets = voc('pets', annotated(1, (1, 'cat', A)))
  assert pets.source.names == {1: 'cat'}
  options = pets.plan.options
  names = {3: 'dog', 4: 'cat'}
  assert source('pets', 'pascal_voc', options, names).source.names == names
  with pytest.raises(InputError, match=r"plan.json: pets: 1 class names .*\n  'cat': 1 boxes"):
    source('pets', 'pascal_voc', options, {1: 'dog'})


@pytest.mark.parametrize(
  ('image', 'message'),
  [
    (annotated(1, (3, 'ant', A)), r"a.record, record 0 .*\('1.png'\): boxes of class ids \[3\]"),
    (annotated(1, labeled_classes=[2, 7]), r"\('1.png'\): labeled for class ids \[7\]; .*1 to 2"),
    (annotated(1, encoded=b''), 'record 0 .*its image has 0 bytes'),
  ],
)
def test_broken_records_stop_the_merge(folder, image, message):
  with pytest.raises(InputError, match=f'plan.json: a: .*{message}'):
    merging.merge([records('a', CAT_DOG, image)], 'merged.record')
  assert not (folder / 'merged.record').exists()


@pytest.mark.parametrize(
  ('plan', 'message'),
  [
    ({'rename': {'catt': 'x'}}, 'rename: the source has no class \'catt\'; did you mean "cat"?'),
    ({'drop': ['zebra']}, "drop: the source has no class 'zebra'; known: cat, dog"),
    (
      {'labeled_class': ['Dog']},
      'labeled_class: the source has no class \'Dog\'; did you mean "dog"',
    ),
  ],
)
def test_names_that_a_source_lacks(folder, plan, message):
  with pytest.raises(InputError) as error:
    records('a', CAT_DOG, annotated(1), **plan)
  assert f'plan.json: a: {message}' in str(error.value)


def test_sources_that_cannot_be_merged(folder):
  good = records('a', CAT_DOG, annotated(1))
  with pytest.raises(InputError, match='a.record: is read, and would be replaced'):
    merging.merge([good], './a.record')
  unlabeled = dataclasses.replace(good, plan=dataclasses.replace(good.plan, labeled_class=[]))
  with pytest.raises(InputError, match='no image is labeled for any class that is kept'):
    merging.merge([unlabeled], 'merged.record')
  none = dataclasses.replace(good, plan=dataclasses.replace(good.plan, drop=['cat', 'dog']))
  with pytest.raises(InputError, match='no class is left'):
    merging.merge([none], 'merged.record')
  with open('empty.json', 'w', encoding='utf-8') as file:
    json.dump({'images': [], 'categories': [{'id': 1, 'name': 'cat'}]}, file)
  with pytest.raises(InputError, match='plan.json: b: the source has no image'):
    source('b', 'coco', {'annotations_file': 'empty.json', 'image_dir': '.'})
  with pytest.raises(InputError, match='plan.json: v: nowhere: expected the folder VOC2007'):
    source('v', 'pascal_voc', {**merge_plan.OPTIONS['pascal_voc'], 'data_dir': 'nowhere'})
