"""Label maps of several readers, merged by name; what a class_map renames, drops and gets wrong."""

import pytest

from ssd_tf.config import label_map
from ssd_tf.config.pipeline import Pipeline
from ssd_tf.errors import InputError

CELLS = ('RBC', 'WBC', 'Platelets')


def write_map(folder, name, classes):
  """classes: names with ids from 1, or {name: id}."""
  if not isinstance(classes, dict):
    classes = {name: i for i, name in enumerate(classes, start=1)}
  path = folder / f'{name}.pbtxt'
  path.write_text(''.join(f"item {{ id: {i} name: '{n}' }}\n" for n, i in classes.items()))
  return path


@pytest.fixture
def pipeline(tmp_path):
  """Returns a function: (num_classes, text of each reader, more text) -> Pipeline."""
  write_map(tmp_path, 'cells', CELLS)
  write_map(tmp_path, 'animals', ['raccoon', 'cat'])

  def make(num_classes, *readers, more=''):
    path = tmp_path / 'pipeline.config'
    path.write_text(
      f'model {{ ssd {{ num_classes: {num_classes} }} }}\n'
      + ''.join(f'train_input_reader {{ {text} }}\n' for text in readers)
      + more
    )
    return Pipeline.load(path)

  return make


def classes_of(loaded):
  """{field: ReaderClasses} of every reader."""
  return {field: loaded.classes(field) for field in loaded.readers}


def test_one_reader_keeps_its_ids(pipeline, tmp_path):
  loaded = pipeline(3, "label_map_path: 'cells.pbtxt'")
  assert loaded.model_classes == label_map.load(tmp_path / 'cells.pbtxt')
  (classes,) = classes_of(loaded).values()
  assert classes.table is None
  assert classes.id_to_name == {1: 'RBC', 2: 'WBC', 3: 'Platelets'}
  assert classes.labeled_ids == {1, 2, 3}


def test_ids_that_no_class_has_are_labeled_with_nothing_in_them(pipeline, tmp_path):
  write_map(tmp_path, 'gaps', {'a': 1, 'b': 4})
  loaded = pipeline(5, "label_map_path: 'gaps.pbtxt' labeled_class: 'b'")
  (classes,) = classes_of(loaded).values()
  assert classes.table is None
  assert (classes.labeled_ids, classes.unused_ids) == ({4}, {2, 3, 5})
  loaded = pipeline(5, "label_map_path: 'gaps.pbtxt'")
  assert classes_of(loaded)['train_input_reader'].labeled_ids == {1, 4}


def test_without_label_map_ids_are_taken_as_they_are(pipeline):
  loaded = pipeline(3, 'shuffle: false')
  assert loaded.model_classes is None
  (classes,) = classes_of(loaded).values()
  assert (classes.num_classes, classes.table, classes.labeled_ids) == (3, None, {1, 2, 3})


def test_two_readers_are_merged_by_name(pipeline, tmp_path):
  write_map(tmp_path, 'mixed', ['cat', 'RBC'])
  loaded = pipeline(
    5,
    "label_map_path: 'cells.pbtxt'",
    "label_map_path: 'animals.pbtxt'",
    more="eval_input_reader { label_map_path: 'mixed.pbtxt' }",
  )
  merged = loaded.model_classes
  assert merged.names == ('RBC', 'WBC', 'Platelets', 'raccoon', 'cat')
  assert merged.ids == (1, 2, 3, 4, 5)
  cells, animals, mixed = classes_of(loaded).values()
  assert (cells.table, cells.labeled_ids) == ({1: 1, 2: 2, 3: 3}, {1, 2, 3})
  assert (animals.table, animals.labeled_ids) == ({1: 4, 2: 5}, {1, 2})
  assert mixed.table == {1: 5, 2: 1}


def test_class_map_renames_and_drops(pipeline):
  loaded = pipeline(
    3,
    "label_map_path: 'cells.pbtxt' class_map { name: 'Platelets' drop: true }",
    "label_map_path: 'animals.pbtxt' labeled_class: 'cat' class_map { name: 'cat' to: 'WBC' }",
  )
  merged = loaded.model_classes
  assert dict(zip(merged.names, merged.ids, strict=True)) == {'RBC': 1, 'WBC': 2, 'raccoon': 3}
  cells, animals = classes_of(loaded).values()
  assert cells.table == {1: 1, 2: 2, 3: 0}
  assert (animals.table, animals.labeled_ids) == ({1: 3, 2: 2}, {2})


def test_a_label_map_of_the_model_decides_the_ids(pipeline, tmp_path):
  write_map(tmp_path, 'model', ['cat', 'WBC', 'RBC', 'Platelets', 'raccoon'])
  loaded = pipeline(
    5,
    "label_map_path: 'cells.pbtxt'",
    "label_map_path: 'animals.pbtxt'",
    more="label_map_path: 'model.pbtxt'",
  )
  cells, animals = classes_of(loaded).values()
  assert cells.table == {1: 3, 2: 2, 3: 4}
  assert animals.table == {1: 5, 2: 1}


def test_a_label_map_of_evaluation_alone_names_the_classes(pipeline):
  loaded = pipeline(3, 'shuffle: false', more="eval_input_reader { label_map_path: 'cells.pbtxt' }")
  assert loaded.model_classes.names == CELLS
  training, evaluation = classes_of(loaded).values()
  assert (training.table, training.id_to_name) == (None, {})
  assert evaluation.table is None


def test_of_several_readers_each_needs_a_label_map(pipeline):
  loaded = pipeline(3, "label_map_path: 'cells.pbtxt'", 'shuffle: false')
  with pytest.raises(InputError, match=r'train_input_reader\[1\].label_map_path: is empty'):
    classes_of(loaded)


def test_merged_classes_need_the_label_maps_at_hand(pipeline):
  loaded = pipeline(
    3,
    "label_map_path: 'cells.pbtxt'",
    "label_map_path: 'gone.pbtxt'",
    more="eval_input_reader { label_map_path: 'cells.pbtxt' }",
  )
  message = r'train_input_reader\[1\].label_map_path: .*at the top of the config'
  with pytest.raises(InputError, match=message):
    _ = loaded.model_classes


def test_evaluation_alone_takes_its_own_label_map(pipeline):
  loaded = pipeline(
    3, "label_map_path: 'gone.pbtxt'", more="eval_input_reader { label_map_path: 'cells.pbtxt' }"
  )
  assert loaded.model_classes.names == CELLS


@pytest.mark.parametrize(
  ('reader', 'more', 'message'),
  [
    (
      "label_map_path: 'cells.pbtxt' labeled_class: 'RCB'",
      '',
      'train_input_reader.labeled_class: .*no class named "RCB": did you mean "RBC"',
    ),
    (
      "label_map_path: 'cells.pbtxt' class_map { name: 'WCB' drop: true }",
      '',
      'train_input_reader.class_map: .*"WCB": did you mean "WBC"',
    ),
    (
      "label_map_path: 'cells.pbtxt' class_map { name: 'WBC' }",
      '',
      'needs either to: "..." or drop: true',
    ),
    (
      "label_map_path: 'cells.pbtxt' class_map { name: 'WBC' to: 'RBC' drop: true }",
      '',
      'needs either to: "..." or drop: true',
    ),
    (
      "label_map_path: 'cells.pbtxt' class_map { name: 'WBC' to: 'RBC' } "
      "class_map { name: 'WBC' drop: true }",
      '',
      "'WBC' occurs twice",
    ),
    (
      "label_map_path: 'animals.pbtxt'",
      "label_map_path: 'cells.pbtxt'",
      "train_input_reader: the model has no class 'raccoon': known: .*class_map",
    ),
    ("labeled_class: 'RBC'", '', 'train_input_reader.label_map_path: is empty'),
    (
      "label_map_path: 'animals.pbtxt' class_map { name: 'cat' drop: true } "
      "class_map { name: 'raccoon' drop: true }",
      '',
      'drops every class',
    ),
  ],
)
def test_what_is_wrong_is_named(reader, more, message, pipeline):
  loaded = pipeline(3, reader, more=more)
  with pytest.raises(InputError, match=message):
    _ = loaded.model_classes
    classes_of(loaded)
