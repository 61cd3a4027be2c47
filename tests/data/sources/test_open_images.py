import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tf import fields
from ssd_tf.data import record_writer, tf_example
from ssd_tf.data.sources import open_images, open_images_csv
from ssd_tf.errors import InputError

PERSON, CAT, DOG, FISH, OWL = '/m/01g317', '/m/01yrx', '/m/0bt9lr', '/m/0ch_cf', '/m/09d5_'
IDS = {PERSON: 1, CAT: 2, DOG: 3, FISH: 4, OWL: 5}

BOXES = f"""\
ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside
aa,xclick,{PERSON},1,0.1,0.4,0.2,0.7,0,1,0,0,0
aa,xclick,/m/other,1,0.1,0.4,0.2,0.7,0,1,0,0,0
zz,xclick,{PERSON},1,0.1,0.4,0.2,0.7,0,1,0,0,0
bb,activemil,{DOG},1,0.5,0.51,0.25,0.26,-1,-1,-1,-1,-1
aa,xclick,{CAT},1,0,1,0.5,1,1,0,1,0,0
aa,xclick,{PERSON},1,0.75,1.25,0,0.5,0,0,0,0,0
"""
LABELS = f"""\
ImageID,Source,LabelName,Confidence
aa,verification,{PERSON},1
aa,verification,{CAT},1
aa,crowdsource-verification,{DOG},0
aa,verification,{FISH},1
aa,verification,/m/other,1
cc,verification,{CAT},0
cc,verification,{DOG},0
cc,machine,{FISH},1.0
cc,verification,{PERSON},0.7
dd,machine,{CAT},0.9
ee,verification,{PERSON},1
ee,verification,{PERSON},0
ee,verification,{DOG},0
yy,verification,{DOG},0
"""


def data_set(root, boxes=BOXES, labels=LABELS):
  """Images aa to ee, 60 x 40: aa with boxes and labels, bb boxes, cc labels, dd none, ee odd."""
  (root / 'train').mkdir(exist_ok=True)
  for name in ('aa', 'bb', 'cc', 'dd', 'ee'):
    Image.new('RGB', (60, 40), (90, 60, 30)).save(root / f'train/{name}.jpg')
  (root / 'train/notes.txt').write_text('no image')
  (root / 'boxes.csv').write_text(boxes)
  (root / 'labels.csv').write_text(labels)


def load(root, with_labels=True, name_to_id=IDS, **kwargs):
  labels_csv = str(root / 'labels.csv') if with_labels else None
  return open_images.open_source(
    str(root / 'train'), str(root / 'boxes.csv'), labels_csv, name_to_id, **kwargs
  )


def convert(root, with_labels=True, **options):
  output = str(root / 'out.record')
  report = record_writer.write_records(load(root, with_labels), output, **options)
  return report, [record.numpy() for record in tf.data.TFRecordDataset(output)]


def decode(records, how):
  def call(record):
    return tf_example.decode_example(record, 5)

  if how == 'eager':
    return [call(tf.constant(record)) for record in records]
  return list(tf.data.Dataset.from_tensor_slices(records).map(call))


def masks(examples):
  return [example[fields.LABELED_CLASSES].numpy().astype(int).tolist() for example in examples]


both = pytest.mark.parametrize('how', ['eager', 'map'])


@both
def test_boxes_and_labeled_classes_come_back(tmp_path, how):
  data_set(tmp_path)
  report, records = convert(tmp_path)
  assert (report.num_images, report.num_boxes, report.num_images_without_objects) == (4, 4, 2)
  examples = decode(records, how)
  assert [e[fields.SOURCE_ID].numpy() for e in examples] == [b'aa', b'bb', b'cc', b'ee']
  # XMin, XMax, YMin, YMax to [ymin, xmin, ymax, xmax]; the last one clipped at the border.
  expected = [[0.2, 0.1, 0.7, 0.4], [0.5, 0, 1, 1], [0, 0.75, 0.5, 1]]
  np.testing.assert_array_equal(examples[0][fields.GROUNDTRUTH_BOXES], np.float32(expected))
  expected = [[0.25, 0.5, 0.26, 0.51]]
  np.testing.assert_array_equal(examples[1][fields.GROUNDTRUTH_BOXES], np.float32(expected))
  classes = [example[fields.GROUNDTRUTH_CLASSES].numpy().tolist() for example in examples]
  assert classes == [[1, 2, 1], [3], [], []]
  group_of = [example[fields.GROUNDTRUTH_GROUP_OF].numpy().tolist() for example in examples]
  assert group_of == [[False, True, False], [False], [], []]
  assert masks(examples) == [
    [1, 0, 1, 0, 0],  # Present 1, 2, 4; absent 3; 2 is a group, 4 has no box.
    [0, 0, 1, 0, 0],  # Nothing verified; the class of its box.
    [0, 1, 1, 0, 0],  # Absent 2, 3; neither a machine nor a Confidence of 0.7 verifies.
    [0, 0, 1, 0, 0],  # Absent 3; 1 both present and absent.
  ]


def test_what_the_records_say(tmp_path):
  data_set(tmp_path)
  _, records = convert(tmp_path)
  found = [tf_example.parse_example(record) for record in records]
  assert found[0].class_names == [PERSON, CAT, PERSON]
  assert found[0].truncated.tolist() == [True, False, False]
  assert found[1].truncated.tolist() == [False]
  assert [a.verified_present for a in found] == [[1, 2, 4], [], [], [1]]
  assert [a.verified_absent for a in found] == [[3], [], [2, 3], [3]]
  assert [a.not_exhaustive for a in found] == [[4], [], [], [1]]
  assert [a.filename for a in found] == ['aa.jpg', 'bb.jpg', 'cc.jpg', 'ee.jpg']
  assert all(a.labeled_classes is None and (a.width, a.height) == (60, 40) for a in found)


def test_the_report_tells_what_is_missing_and_odd(tmp_path):
  data_set(tmp_path)
  report, _ = convert(tmp_path)
  boxes, labels = str(tmp_path / 'boxes.csv'), str(tmp_path / 'labels.csv')
  folder = str(tmp_path / 'train')
  assert report.remarks == [
    (boxes, f'1 images with a box of these classes are not in {folder}: zz'),
    (boxes, f'classes without a box in the images found: {FISH}, {OWL}'),
    (boxes, '1 boxes of unknown IsGroupOf: taken as no groups'),
    (labels, f'1 images with a verified label of these classes are not in {folder}: yy'),
    (labels, f'classes without a verified label in the images found: {OWL}'),
    (
      labels,
      '3 rows of a machine, or of another Confidence than 0 and 1: not verified, left out',
    ),
    # aa: 4; ee: 1.
    (
      labels,
      '2 times a class is verified present in an image without a box of it: not labeled there',
    ),
    (folder, '1 images have no box or verified label of these classes: left out'),
    (
      'ee.jpg',
      f'{PERSON} is verified absent, but has a box or is verified present, too: not labeled',
    ),
  ]
  assert report.clipped == [('aa.jpg', f'{PERSON} xmin 45, ymin 0, xmax 75, ymax 20')]


@both
def test_without_verified_labels_every_class_counts_as_labeled_and_the_report_says_so(
  tmp_path, how
):
  data_set(tmp_path)
  report, records = convert(tmp_path, with_labels=False)
  examples = decode(records, how)
  assert [example[fields.SOURCE_ID].numpy() for example in examples] == [b'aa', b'bb']
  # All but the class of the group.
  assert masks(examples) == [[1, 0, 1, 1, 1], [1, 1, 1, 1, 1]]
  assert (str(tmp_path / 'boxes.csv'), open_images.NO_VERIFIED_LABELS) in report.remarks
  assert report.remarks[-1][1] == '3 images have no box of these classes: left out'


@both
def test_a_box_of_a_class_verified_absent(tmp_path, how):
  data_set(tmp_path, labels=LABELS + f'bb,verification,{DOG},0\nbb,verification,{OWL},0\n')
  report, records = convert(tmp_path)
  assert masks(decode(records, how))[1] == [0, 0, 0, 0, 1]
  said = f'{DOG} is verified absent, but has a box or is verified present, too: not labeled'
  assert ('bb.jpg', said) in report.remarks


def test_broken_rows_and_images_are_skipped_and_strict_stops(tmp_path):
  boxes = BOXES + f'aa,xclick,{CAT},1,left,1,0.5,1,1,0,1,0,0\n'
  labels = LABELS + f'cc,verification,{CAT},yes\n'
  data_set(tmp_path, boxes.replace('0.26,-1,-1,-1', '0.26,-1,-1,2'), labels)
  (tmp_path / 'train/ee.jpg').write_bytes(b'')
  with pytest.raises(InputError, match='out.record: no image to write; 4 inputs'):
    convert(tmp_path)
  (tmp_path / 'train/dd.jpg').unlink()
  (tmp_path / 'labels.csv').write_text(labels + f'ff,verification,{CAT},0\n')
  Image.new('RGB', (60, 40)).save(tmp_path / 'train/ff.jpg')
  with pytest.raises(InputError, match='no box to write: .* 4 files'):
    convert(tmp_path)
  with open(tmp_path / 'boxes.csv', 'a', encoding='utf-8') as file:
    file.write(f'ff,xclick,{PERSON},1,0.1,0.5,0.2,0.5,0,0,0,0,0\n')
  report, records = convert(tmp_path)
  assert [tf_example.parse_example(record).source_id for record in records] == ['ff']
  path = tmp_path / 'boxes.csv'
  assert [reason for _, reason in report.skipped] == [
    f"{path}:8: image aa: could not convert string to float: 'left': YMin '0.5', XMin 'left', "
    "YMax '1', XMax '1', IsGroupOf '1', IsTruncated '0'",
    f"{path}:5: image bb: expected one of (0, 1, -1): YMin '0.25', XMin '0.5', YMax '0.26', "
    "XMax '0.51', IsGroupOf '2', IsTruncated '-1'",
    f"{tmp_path / 'labels.csv'}:16: image cc: expected 0 or 1: Source 'verification', "
    "Confidence 'yes'",
    f'{tmp_path}/train/ee.jpg: the image file is empty (0 bytes)',
  ]
  with pytest.raises(InputError, match='boxes.csv:8: image aa'):
    convert(tmp_path, strict=True)


def test_columns_in_another_order_and_without_flags(tmp_path):
  data_set(
    tmp_path, f'\ufeffYMax,YMin,XMax,XMin,LabelName,ImageID\n\n0.7,0.2,0.4,0.1,{PERSON},aa\n'
  )
  _, records = convert(tmp_path)
  found = tf_example.parse_example(records[0])
  np.testing.assert_array_equal(found.boxes, np.float32([[0.2, 0.1, 0.7, 0.4]]))
  assert not found.group_of.any() and not found.truncated.any()


@pytest.mark.parametrize(
  ('boxes', 'labels', 'words'),
  [
    ('', LABELS, 'boxes.csv:1: no column LabelName, .* YMax, XMax; the first line has none'),
    (BOXES.replace('XMin', 'xmin'), LABELS, 'boxes.csv:1: no column XMin; the first line has Imag'),
    (BOXES + 'aa,xclick', LABELS, 'boxes.csv:8: 2 columns; expected 13 as in the first line: is'),
    (BOXES, LABELS.replace('Confidence', ''), 'labels.csv:1: no column Confidence'),
    (BOXES, LABELS + f'aa,"{CAT}', 'labels.csv:16: broken CSV, in the row that begins here'),
    (BOXES, LABELS + 'aa,x"y,\n', 'labels.csv:16: 3 columns; expected 4'),
    (BOXES.replace('Depiction', 'GroupOf'), LABELS, 'boxes.csv:1: .* IsGroupOf more than once'),
    (BOXES + f'aa,x,{CAT},1,120,200,30,80,0,0,0,0,0', LABELS, 'boxes.csv: a coordinate is 200'),
  ],
)
def test_faulty_files_are_refused(tmp_path, boxes, labels, words):
  data_set(tmp_path, boxes, labels)
  with pytest.raises(InputError, match=words):
    load(tmp_path)


def test_other_encodings_and_an_empty_folder_are_refused(tmp_path):
  data_set(tmp_path)
  (tmp_path / 'boxes.csv').write_bytes(BOXES.encode('utf-16'))
  with pytest.raises(InputError, match='boxes.csv:1: expected UTF-8 text, found byte 0xff'):
    load(tmp_path)
  (tmp_path / 'boxes.csv').write_bytes(BOXES.encode() + b'aa,Tier \xe9')
  with pytest.raises(InputError, match='boxes.csv:8: expected UTF-8 text, found byte 0xe9'):
    load(tmp_path)
  for path in (tmp_path / 'train').glob('*.jpg'):
    path.unlink()
  with pytest.raises(InputError, match='train: no .jpg file; expected the images'):
    load(tmp_path)


@pytest.mark.parametrize('odd', ['nan', '1e999', '-inf', '0_1'])
def test_a_coordinate_that_is_no_number_breaks_its_image(tmp_path, odd):
  data_set(tmp_path, BOXES + f'aa,x,{CAT},1,0.1,{odd},0.3,0.5,0,0,0,0,0')
  report, _ = convert(tmp_path)
  ((item, reason),) = report.skipped
  assert item == 'aa' and 'boxes.csv:8: image aa: expected numbers from 0 to 1' in reason
  assert f"XMax '{odd}'" in reason


def test_ids_that_leave_the_folder_are_ids_of_no_image(tmp_path):
  ids = ('../train/aa', '/aa', f'{tmp_path}/train/aa')
  rows = ''.join(f'{i},x,{CAT},1,0.1,0.2,0.3,0.5,0,0,0,0,0\n' for i in ids)
  data_set(tmp_path, BOXES + rows)
  report, records = convert(tmp_path)
  assert [tf_example.parse_example(record).source_id for record in records] == [
    'aa', 'bb', 'cc', 'ee',
  ]  # fmt: skip
  assert report.remarks[0][1].startswith('4 images with a box of these classes are not in')


NAMES = {'Person': 1, 'Cat': 2, DOG: 3, 'Fish': 4, 'Owl': 5}
DESCRIPTIONS = (
  f'{PERSON},Person\n{CAT},Cat\n{DOG},Dog\n{FISH},Fish\n{OWL},Owl\n/m/1,Saw\n/m/2,Saw\n'
)


def test_a_label_map_of_plain_names(tmp_path):
  data_set(tmp_path)
  path = tmp_path / 'names.csv'
  for header in ('', 'LabelName,DisplayName\n'):
    path.write_text(header + DESCRIPTIONS)
    assert open_images.find_labels(NAMES, str(path)) == IDS
  source = load(tmp_path, name_to_id=NAMES, class_descriptions_csv=str(path))
  assert str(source.items[0]) == 'aa'
  found = source.read(source.items[0])
  assert found.class_names == ['Person', 'Cat', 'Person']
  assert found.class_ids.tolist() == [1, 2, 1]
  with pytest.raises(
    InputError, match=r"no row is .* first is '/m/01g317', the label map has Pers"
  ):
    load(tmp_path, name_to_id={name: i for name, i in NAMES.items() if name != DOG})


@pytest.mark.parametrize(
  ('name_to_id', 'text', 'words'),
  [
    ({'Persn': 1}, DESCRIPTIONS, "names.csv: no class is named 'Persn': did you mean 'Person'?"),
    ({'Saw': 1}, DESCRIPTIONS, "names.csv: 'Saw' is the name of /m/1, /m/2; put one of these into"),
    ({CAT: 1, 'Cat': 2}, DESCRIPTIONS, "the label map has /m/01yrx twice, as 'Cat' the second"),
    ({'Cat': 1}, DESCRIPTIONS + 'Cat\n', 'names.csv:8: 1 columns; expected two, such as /m/01g317'),
  ],
)
def test_faulty_names_are_refused(tmp_path, name_to_id, text, words):
  path = tmp_path / 'names.csv'
  path.write_text(text)
  with pytest.raises(InputError) as error:
    open_images.find_labels(name_to_id, str(path))
  assert words in str(error.value)


def test_rows_are_found_by_image():
  values = np.arange(6) * 10
  rows = open_images_csv.ImageRows(np.array([2, 0, 2, 4, 0, 2], np.int32), 5, values, values + 1)
  found = [[column.tolist() for column in rows.of(image)] for image in range(5)]
  assert found == [
    [[10, 40], [11, 41]],
    [[], []],
    [[0, 20, 50], [1, 21, 51]],
    [[], []],
    [[30], [31]],
  ]
