"""Writes annotated images for other tools: Pascal VOC XML files and COCO JSON."""

import json
import os
from collections.abc import Iterable, Mapping
from xml.etree import ElementTree

import numpy as np

from ssd_tf.data.annotation import Annotation
from ssd_tf.files.failed_writes import open_for_writing


def write_pascal_voc(annotations: Iterable[Annotation], root: str, set_name: str) -> None:
  """Writes images, one XML file for each, and their list, in the folders of Pascal VOC below root.

  Coordinates are pixels from 0, max exclusive, as our converter and the Object Detection API's read
  them; the devkit itself counts from 1. The list is ImageSets/Main/{set_name}.txt.
  """
  image_dir, xml_dir, set_dir = (
    _made(root, *path) for path in (['JPEGImages'], ['Annotations'], ['ImageSets', 'Main'])
  )
  stems = []
  for annotation in annotations:
    _write_image(annotation, image_dir)
    stems.append(os.path.splitext(annotation.filename)[0])
    tree = ElementTree.ElementTree(_voc_element(annotation))
    ElementTree.indent(tree)
    tree.write(os.path.join(xml_dir, f'{stems[-1]}.xml'), encoding='utf-8', xml_declaration=True)
  with open_for_writing(os.path.join(set_dir, f'{set_name}.txt')) as file:
    file.writelines(f'{stem}\n' for stem in stems)


def write_coco(
  annotations: Iterable[Annotation], name_to_id: Mapping[str, int], root: str, set_name: str
) -> None:
  """Writes images to root/{set_name}, their normalized boxes to root/instances_{set_name}.json."""
  image_dir = _made(root, set_name)
  images, instances = [], []
  for image_id, annotation in enumerate(annotations, start=1):
    _write_image(annotation, image_dir)
    images.append(
      {
        'id': image_id,
        'file_name': annotation.filename,
        'height': annotation.height,
        'width': annotation.width,
      }
    )
    boxes = _pixels(annotation)
    crowd = [False] * len(boxes) if annotation.is_crowd is None else annotation.is_crowd
    sizes = (boxes[:, 2:] - boxes[:, :2]).tolist()
    areas = [h * w for h, w in sizes] if annotation.area is None else annotation.area.tolist()
    for i, (ymin, xmin, _, _) in enumerate(boxes.tolist()):
      instances.append(
        {
          'id': len(instances) + 1,
          'image_id': image_id,
          'category_id': int(annotation.class_ids[i]),
          'bbox': [xmin, ymin, *reversed(sizes[i])],
          'area': areas[i],
          'iscrowd': int(crowd[i]),
        }
      )
  content = {
    'images': images,
    'annotations': instances,
    'categories': [{'id': class_id, 'name': name} for name, class_id in name_to_id.items()],
  }
  with open_for_writing(os.path.join(root, f'instances_{set_name}.json')) as file:
    json.dump(content, file)


def _made(*path):
  directory = os.path.join(*path)
  os.makedirs(directory, exist_ok=True)
  return directory


def _write_image(annotation, directory):
  with open_for_writing(os.path.join(directory, annotation.filename), 'wb') as file:
    file.write(annotation.encoded)


def _pixels(annotation):
  """Boxes in pixels; float32's rounding of a whole pixel is undone."""
  size = np.array([annotation.height, annotation.width] * 2, np.float64)
  return np.round(np.asarray(annotation.boxes, np.float64).reshape(-1, 4) * size, 3)


def _voc_element(annotation):
  root = ElementTree.Element('annotation')
  _add(root, 'folder', 'JPEGImages')
  _add(root, 'filename', annotation.filename)
  size = ElementTree.SubElement(root, 'size')
  for name, value in (('width', annotation.width), ('height', annotation.height), ('depth', 3)):
    _add(size, name, value)
  for i, (ymin, xmin, ymax, xmax) in enumerate(_pixels(annotation)):
    element = ElementTree.SubElement(root, 'object')
    _add(element, 'name', annotation.class_names[i])
    for name in ('truncated', 'difficult'):
      flags = getattr(annotation, name)
      _add(element, name, 0 if flags is None else int(flags[i]))
    box = ElementTree.SubElement(element, 'bndbox')
    for name, value in (('xmin', xmin), ('ymin', ymin), ('xmax', xmax), ('ymax', ymax)):
      _add(box, name, f'{value:g}')
  return root


def _add(parent, name, value):
  ElementTree.SubElement(parent, name).text = str(value)
