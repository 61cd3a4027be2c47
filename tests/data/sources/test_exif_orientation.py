"""Photos that a camera stored turned, labeled as viewers show them: by every source, in pixels."""

import json

import numpy as np
import pytest
from PIL import Image

from ssd_tf.data import image_files, record_files, record_writer, tf_example
from ssd_tf.data.sources import coco, csv_boxes, pascal_voc, voc_files, yolo
from ssd_tf.inference import input_images

IDS = {'cat': 1}
UPRIGHT = np.zeros([40, 60, 3], np.uint8)
UPRIGHT[4:20, 6:30] = 200, 100, 50
INVERSE = {6: 8, 8: 6}  # The others are their own.


def open_voc(folder):
  (folder / 'Annotations').mkdir()
  sides = '<xmin>6</xmin><ymin>4</ymin><xmax>30</xmax><ymax>20</ymax>'
  (folder / 'Annotations/a.xml').write_text(
    '<annotation><size><width>60</width><height>40</height></size><object><name>cat</name>'
    f'<bndbox>{sides}</bndbox></object></annotation>'
  )
  return pascal_voc.open_source(voc_files.list_files(str(folder), 'all'), IDS)


def open_coco(folder):
  content = {
    'images': [{'id': 1, 'file_name': 'a.png', 'width': 60, 'height': 40}],
    'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [6, 4, 24, 16]}],
    'categories': [{'id': 1, 'name': 'cat'}],
  }
  (folder / 'a.json').write_text(json.dumps(content))
  annotations = coco.load_annotations(str(folder / 'a.json'))
  return coco.open_source(annotations, str(folder / 'images'))


def open_csv(folder):
  header = 'filename,width,height,class,xmin,ymin,xmax,ymax\n'
  (folder / 'a.csv').write_text(f'{header}a.png,60,40,cat,6,4,30,20\n')
  return csv_boxes.open_source(str(folder / 'a.csv'), str(folder / 'images'), IDS)


def open_yolo(folder):
  (folder / 'labels').mkdir()
  (folder / 'labels/a.txt').write_text(f'0 {18 / 60} {12 / 40} {24 / 60} {16 / 40}\n')
  (folder / 'data.yaml').write_text('train: images\nnames: [cat]\n')
  return yolo.open_source(yolo.read_data_yaml(str(folder / 'data.yaml'), 'train'))


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('open_source', [open_voc, open_coco, open_csv, open_yolo])
def test_boxes_lie_on_the_pixels_they_were_drawn_on(open_source, orientation, tmp_path):
  stored = image_files.turn_upright(UPRIGHT, INVERSE.get(orientation, orientation))
  exif = Image.Exif()
  exif[0x0112] = orientation
  path = tmp_path / 'images/a.png'
  path.parent.mkdir()
  Image.fromarray(stored).save(path, exif=exif)
  report = record_writer.write_records(open_source(tmp_path), str(tmp_path / 'out.record'))
  [(_, _, record)] = record_files.read_records([str(tmp_path / 'out.record')])
  annotation = tf_example.parse_example(record)
  pixels = image_files.decode_image(annotation.encoded).numpy()
  # A stated size tells of swapped sides only; of the others, the report does.
  is_applied = orientation >= 5 or open_source is open_yolo
  np.testing.assert_array_equal(pixels, UPRIGHT if is_applied else stored)
  assert report.not_turned == ([] if is_applied or orientation == 1 else ['a.png'])
  assert not report.remarks
  # [4 / 40, 6 / 60, 20 / 40, 30 / 60]
  np.testing.assert_allclose(annotation.boxes, [[0.1, 0.1, 0.5, 0.5]], rtol=1e-6)
  # A network always sees it upright.
  [image] = input_images.from_files([str(path)], str(tmp_path / 'out'))
  np.testing.assert_array_equal(image.pixels, UPRIGHT)
