"""The kinds of input: their files, which of them are mutated, and what is done with them."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence

_ROOT = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Kind:
  """A kind of input.

  Attributes:
    check: what is done with it: the full name of a function (folder), see `checks`.
    variants: sets of files, of which an input is one: path in its folder -> path of the seed below
      tests/testdata/fuzz.
    targets: the paths that are mutated, where a variant has them; one that occurs twice is mutated
      twice as often.
  """

  check: str
  variants: Sequence[Mapping[str, str]]
  targets: Sequence[str]


def seed(path: str) -> bytes:
  """The content of a seed, by its path below tests/testdata/fuzz; a config reads the seeds' own."""
  content = (_ROOT / 'tests/testdata/fuzz' / path).read_bytes()
  if path.endswith('.config'):
    content = re.sub(rb'input_path: ".*"', b'input_path: "images.example"', content)
    content = re.sub(rb'label_map_path: ".*"', b'label_map_path: "label_map.pbtxt"', content)
    content = re.sub(rb'\n *fine_tune_checkpoint: ".*"', b'', content)
  return content


_PICTURES = ('cat.png', 'dog.jpg', 'gray.png')
_IMAGES = {name: f'images/{name}' for name in _PICTURES}
_IN_FOLDER = {f'images/{name}': f'images/{name}' for name in _PICTURES[:2]}
_OPEN_IMAGES = {'000a.jpg': 'images/dog.jpg', '000b.jpg': 'images/progressive.jpg'}
_CONFIGS = (
  *('../tiny.config', '../../../ssd_tf/configs/ssd300_vgg_voc0712.config'),
  *(
    f'../../../ssd_tf/configs/{name}.config'
    for name in (
      *('ssd_mobilenet_v1_fpn_640x640_coco', 'ssd_mobilenet_v1_ppn_300x300_coco'),
      *('ssdlite_mobilenet_v3_small_320x320_coco', 'ssd_mobilenet_v1_0.75_300x300_raccoon_bccd'),
    )
  ),
)
_RECORDS = {'images.example': 'images.example', 'label_map.pbtxt': 'label_map.pbtxt'}
_ALL_IMAGES = (
  *('cat.png', 'gray.png', 'palette.png', 'alpha.png', 'deep.png', 'dog.jpg', 'progressive.jpg'),
  *('rotated.jpg', 'cmyk.jpg', 'still.gif', 'moving.gif', 'plain.bmp', 'palette.bmp', 'lossy.webp'),
  *('plain.tif', 'packed.tif'),
)
KINDS = {
  'config': Kind(
    'fuzz.checks.check_config',
    [{'pipeline.config': path, **_RECORDS} for path in _CONFIGS],
    ['pipeline.config'],
  ),
  'label_map': Kind(
    'fuzz.checks.check_label_map',
    [{'label_map.pbtxt': 'label_map.pbtxt'}, {'classes.txt': 'classes.txt'}],
    ['label_map.pbtxt', 'classes.txt'],
  ),
  'voc': Kind(
    'fuzz.checks.check_voc',
    [
      {
        'Annotations/cat.xml': 'voc.xml',
        'Annotations/dog.xml': 'voc_empty.xml',
        'JPEGImages/cat.png': 'images/cat.png',
        'JPEGImages/dog.jpg': 'images/dog.jpg',
        'ImageSets/Main/train.txt': 'voc_list.txt',
      }
    ],
    [*['Annotations/cat.xml'] * 4, 'Annotations/dog.xml', 'ImageSets/Main/train.txt'],
  ),
  'coco': Kind(
    'fuzz.checks.check_coco', [{'instances.json': 'coco.json', **_IMAGES}], ['instances.json']
  ),
  'lvis': Kind(
    'fuzz.checks.check_lvis', [{'instances.json': 'lvis.json', **_IMAGES}], ['instances.json']
  ),
  'csv': Kind('fuzz.checks.check_csv', [{'boxes.csv': 'boxes.csv', **_IMAGES}], ['boxes.csv']),
  'open_images': Kind(
    'fuzz.checks.check_open_images',
    [
      {
        'boxes.csv': 'oid_boxes.csv',
        'labels.csv': 'oid_labels.csv',
        'classes.csv': 'oid_classes.csv',
        **_OPEN_IMAGES,
      }
    ],
    ['boxes.csv', 'boxes.csv', 'labels.csv', 'classes.csv'],
  ),
  'yolo_yaml': Kind(
    'fuzz.checks.check_yolo_yaml',
    [
      {
        'data.yaml': name,
        'train.txt': 'yolo_train.txt',
        **_IN_FOLDER,
        'labels/cat.txt': 'yolo_boxes.txt',
      }
      for name in ('yolo.yaml', 'yolo_list.yaml')
    ],
    [*['data.yaml'] * 5, 'train.txt'],
  ),
  'yolo_labels': Kind(
    'fuzz.checks.check_yolo_labels',
    [
      {
        'classes.txt': 'classes.txt',
        **_IN_FOLDER,
        'labels/cat.txt': 'yolo_boxes.txt',
        'labels/dog.txt': 'yolo_polygon.txt',
      }
    ],
    [*['labels/cat.txt', 'labels/dog.txt'] * 2, 'classes.txt'],
  ),
  'example': Kind(
    'fuzz.checks.check_records', [{'images.example': 'images.example'}], ['images.example']
  ),
  'detection': Kind(
    'fuzz.checks.check_detection', [{'images.example': 'images.example'}], ['images.example']
  ),
  'record_file': Kind(
    'fuzz.checks.check_records', [{'images.record': 'images.example'}], ['images.record']
  ),
  'image': Kind(
    'fuzz.checks.check_image', [{name: f'images/{name}'} for name in _ALL_IMAGES], _ALL_IMAGES
  ),
}
