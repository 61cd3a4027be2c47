import dataclasses
import io

import numpy as np
import tiny_project
from PIL import Image

from ssd_tf.config.reader_classes import ReaderClasses
from ssd_tf.groundtruth.reading import read_table
from ssd_tf.report.class_statistics import measure_classes


def _annotation(size, boxes, classes, crowds=None):
  annotation = tiny_project.annotation(0, np.random.default_rng(0), num_boxes=0)
  stream = io.BytesIO()
  Image.new('RGB', size[::-1]).save(stream, 'PNG')
  return dataclasses.replace(
    annotation,
    encoded=stream.getvalue(),
    boxes=np.array(boxes, np.float32).reshape(-1, 4),
    class_ids=np.array(classes, np.int64),
    class_names=['?'] * len(classes),
    is_crowd=None if crowds is None else np.array(crowds),
  )


def _table(tmp_path, annotations):
  path = tmp_path / 'a.record'
  tiny_project.write_records(path, annotations)
  return read_table([str(path)], ReaderClasses(3, {}, frozenset([1, 2, 3]), None))


def test_table(tmp_path):
  table = _table(
    tmp_path,
    [
      # 100 high, 200 wide, whatever the record says: 50 x 100 px (h x w); 20 x 20 px; no area; a
      # crowd.
      _annotation(
        (100, 200),
        [[0, 0, 0.5, 0.5], [0.1, 0.1, 0.3, 0.2], [0.2, 0.2, 0.2, 0.4], [0, 0, 1, 1]],
        [1, 2, 2, 1],
        [False, False, False, True],
      ),
      _annotation((100, 100), [], []),
      # 40 high, 10 wide: 20 x 5 px twice, on the border.
      _annotation((40, 10), [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]], [1, 1]),
    ],
  )
  found = measure_classes([(table, 1)], num_classes=3)
  assert found.num_images == 3
  assert found.boxes.tolist() == [3, 1, 0]
  assert found.images.tolist() == [2, 1, 0]
  # Class 1: sqrt(5000) = 70.711, sqrt(100) = 10 twice: mean 30.237. Class 2: 20.
  np.testing.assert_allclose(found.size, [(5000**0.5 + 20) / 3, 20, np.nan], rtol=1e-5)
  # Class 1: a quarter each. Class 2: .2 * .1.
  np.testing.assert_allclose(found.area_ratio, [0.25, 0.02, np.nan], rtol=1e-5)
  # Class 1: 2, 1/4, 1/4: (1/8)^(1/3) = 1/2. Class 2: 1.
  np.testing.assert_allclose(found.aspect_ratio, [0.5, 1, np.nan], rtol=1e-5)


def test_several_readers_and_every_second_record(tmp_path):
  box = [[0, 0, 0.5, 0.5]]
  table = _table(tmp_path, [_annotation((10, 10), box, [i]) for i in (1, 2, 1, 2)])
  found = measure_classes([(table, 1), (table, 2)], num_classes=3)
  assert found.num_images == 6
  assert found.boxes.tolist() == found.images.tolist() == [4, 2, 0]
