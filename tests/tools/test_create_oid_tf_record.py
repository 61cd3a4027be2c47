"""The tool from outside: its flags, those of the Object Detection API's, what it warns of."""

import pytest
import tool_processes
from PIL import Image

WARNING = 'warning: no verified image-level labels: every class of the label map counts as labeled'


def run(folder, *flags):
  return tool_processes.run(folder, 'create_oid_tf_record.py', *flags)


@pytest.fixture
def folder(tmp_path):
  (tmp_path / 'train').mkdir()
  Image.new('RGB', (60, 40)).save(tmp_path / 'train/aa.jpg')
  (tmp_path / 'boxes.csv').write_text(
    'ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\naa,xclick,/m/01yrx,1,0,1,0.5,1\n'
  )
  (tmp_path / 'labels.csv').write_text(
    'ImageID,Source,LabelName,Confidence\naa,verification,/m/0bt9lr,0\n'
  )
  (tmp_path / 'mids.pbtxt').write_text(
    "item { id: 1 name: '/m/01yrx' display_name: 'Cat' } item { id: 2 name: '/m/0bt9lr' }"
  )
  (tmp_path / 'names.pbtxt').write_text("item { id: 1 name: 'Cat' } item { id: 2 name: 'Dog' }")
  (tmp_path / 'names.csv').write_text('/m/01yrx,Cat\n/m/0bt9lr,Dog\n')
  return tmp_path


def read(paths):
  from ssd_tf.data import record_files, tf_example

  records = record_files.read_records([str(path) for path in paths])
  return [tf_example.parse_example(record) for _, _, record in records]


ONE = (
  '--input_box_annotations_csv=boxes.csv',
  '--input_images_directory=train',
  '--input_label_map=mids.pbtxt',
)
OUTPUT = '--output_path=out.record'
VERIFIED = '--input_image_label_annotations_csv=labels.csv'


def test_a_label_map_of_names(folder):
  names = ('--input_label_map=names.pbtxt', '--class_descriptions_csv=names.csv')
  done = run(folder, *ONE, *names, VERIFIED, OUTPUT, '--num_workers=1')
  assert done.returncode == 0, done.stderr
  assert WARNING not in done.stderr
  assert 'images written: 1 (0 without objects)' in done.stdout
  (found,) = read([folder / 'out.record'])
  assert found.class_names == ['Cat'] and found.labeled_class_ids([1, 2]) == {1, 2}
  assert (found.verified_present, found.verified_absent) == ([], [2])


def test_flags_of_the_object_detection_api(folder):
  done = run(
    folder,
    *('--input_annotations_csv=boxes.csv', *ONE[1:]),
    '--output_tf_record_path_prefix=out/oid.tfrecord',
  )
  assert done.returncode == 0, done.stderr
  assert WARNING in done.stderr and '--input_image_label_annotations_csv' in done.stderr
  assert 'no verified image-level labels' in done.stdout
  paths = sorted((folder / 'out').iterdir())
  assert len(paths) == 100 and paths[0].name == 'oid.tfrecord-00000-of-00100'
  (found,) = read(paths)
  assert found.class_names == ['/m/01yrx'] and found.verified_present is None


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    ((OUTPUT,), 'Flag --input_box_annotations_csv must have a value other than None'),
    (ONE, 'Exactly one of (output_path, output_tf_record_path_prefix) must have a value'),
    (
      (*ONE, OUTPUT, '--output_tf_record_path_prefix=x'),
      'Exactly one of (output_path, output_tf_record_path_prefix) must have a value',
    ),
    ((*ONE, OUTPUT, '--num_shards=0'), '--num_shards=0: 0 is not a positive integer'),
    ((*ONE, OUTPUT, '--input_label_map=no.pbtxt'), 'error: no.pbtxt: No such file'),
    ((*ONE, OUTPUT, '--input_images_directory=no'), 'error: no: No such file or directory'),
    ((*ONE, OUTPUT, VERIFIED + 'x'), 'error: labels.csvx: No such file or directory'),
    (
      (*ONE, OUTPUT, '--input_label_map=names.pbtxt'),
      'error: boxes.csv: no row is of a class of the label map; LabelName of the first is '
      "'/m/01yrx', the label map has Cat, Dog: name its classes by their MIDs, or give "
      '--class_descriptions_csv',
    ),
  ],
)
def test_bad_flags_end_in_a_clear_line(folder, flags, message):
  done = run(folder, *flags)
  assert done.returncode != 0 and 'Traceback' not in done.stderr
  assert message in done.stderr
  assert not list(folder.glob('out*'))
