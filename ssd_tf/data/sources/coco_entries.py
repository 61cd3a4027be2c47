"""Checks the entries of a COCO JSON: ids and numbers by value, boxes also of masks alone."""

import collections
import reprlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ssd_tf.data.sources import class_names, segmentation_boxes, stated_numbers
from ssd_tf.data.sources.stated_numbers import whole_number
from ssd_tf.errors import InputError
from ssd_tf.files import plain_text

_LISTS = ('images', 'annotations', 'categories')
# What LVIS says of an image: the categories that are not in it, and those not wholly annotated.
LVIS_LISTS = ('neg_category_ids', 'not_exhaustive_category_ids')
_MAX_CLASS_ID = 2**31 - 1  # What the decoder of records takes.

Entry = dict[str, Any]


def read_lists(path: str, content: object) -> tuple[list[Entry], list[Entry], list[Entry]]:
  """Returns images, annotations (empty in an image_info file) and categories, lists of objects."""
  if not isinstance(content, dict) or not {'images', 'categories'} <= content.keys():
    raise InputError(f"{path}: expected an object with 'images', 'annotations' and 'categories'")
  images, annotations, categories = (content.get(key, []) for key in _LISTS)
  for key, entries in zip(_LISTS, (images, annotations, categories), strict=True):
    if not isinstance(entries, list):
      raise InputError(f'{path}: {key!r} is {_shown(entries)}; expected a list')
    for i, entry in enumerate(entries):
      if not isinstance(entry, dict):
        raise InputError(f'{path}: {key}[{i}] is {_shown(entry)}; expected an object')
  return images, annotations, categories


def used_categories(path: str, content: object) -> dict[str, int]:
  """The categories of a file, in the order of their ids, which may begin at 0.

  Left out is a category that no annotation has and that is another's supercategory, as the one of
  id 0 is in Roboflow's files.

  Args:
    path: of the file, for the errors.
    content: of the file.

  Returns:
    The ids by name.

  Raises:
    InputError: as `read_lists`; two categories have one id, or one name, or none.
  """
  _, annotations, categories = read_lists(path, content)
  used = {whole_number(entry.get('category_id')) for entry in annotations}
  name_by_id = {}
  for i, entry in enumerate(categories):
    place = f'{path}: categories[{i}]'
    name = plain_text.check(_value(place, entry, 'name'), f'{place}: name')
    class_id = whole_number(_value(place, entry, 'id'))
    if class_id is None or class_id in name_by_id:
      raise InputError(f'{place}: expected a whole number of its own as id: {_shown(entry)}')
    below = [each for each in categories if each.get('supercategory') == name]
    is_heading = any(each is not entry for each in below)
    name_by_id[class_id] = None if is_heading and class_id not in used else name
  name_to_id = {name: i for i, name in sorted(name_by_id.items()) if name is not None}
  if len(name_to_id) < sum(name is not None for name in name_by_id.values()):
    raise InputError(f"{path}: two of its 'categories' have the same name; rename one")
  return name_to_id


def renumber(path: str, content: object, name_to_id: Mapping[str, int]) -> None:
  """Gives a file the categories of a label map, also to its annotations.

  Args:
    path: of the file, for the errors.
    content: of the file; changed.
    name_to_id: the label map.

  Raises:
    InputError: as `used_categories`; a category is not in the label map; an annotation has a
      category_id that no category has.
  """
  old_ids = used_categories(path, content)
  found = {name: f'category {class_id}' for name, class_id in old_ids.items()}
  class_names.require_known(found, name_to_id, path)
  new_ids = {class_id: name_to_id[name] for name, class_id in old_ids.items()}
  images, annotations, categories = read_lists(path, content)
  stated = {whole_number(entry['id']) for entry in categories}
  unknown = collections.Counter()
  for entry in annotations:
    # What is no number stays as it is, and is refused where entries are checked.
    class_id = whole_number(entry.get('category_id'))
    if class_id is not None:
      unknown[class_id] += class_id not in stated
      entry['category_id'] = new_ids.get(class_id)
  _require_categories(path, unknown)
  for entry in images:
    labeled = entry.get('labeled_category_ids')
    if isinstance(labeled, list):
      # An id that is no category's must not become one by chance: it is refused as this text.
      ids = [new_ids.get(whole_number(i), f'{i} of the file') for i in labeled]
      entry['labeled_category_ids'] = ids
  content['categories'] = [{'id': i, 'name': name} for name, i in name_to_id.items()]


def read_categories(path: str, entries: Sequence[Entry]) -> dict[str, int]:
  """Returns name -> id of 'categories'; refuses what is no text, no id from 1, or there twice."""
  name_to_id = {}
  for i, entry in enumerate(entries):
    place = f'{path}: categories[{i}]'
    name = plain_text.check(_value(place, entry, 'name'), f'{place}: name')
    stated = _value(place, entry, 'id')
    class_id = whole_number(stated)
    if class_id is None or not 1 <= class_id <= _MAX_CLASS_ID:
      hint = 'a whole number'
      if class_id is not None and class_id < 1:
        hint = 'add 1 to every id of categories and every category_id'
      raise InputError(
        f'{path}: category {name!r} has id {_shown(stated)}; ids start at 1, because 0 is the '
        f'background, and end at {_MAX_CLASS_ID}: {hint}'
      )
    if name in name_to_id or class_id in name_to_id.values():
      raise InputError(f'{path}: two categories are {name!r} or have id {class_id}')
    name_to_id[name] = class_id
  if not name_to_id:
    raise InputError(f"{path}: 'categories' is empty; expected at least one")
  return name_to_id


def check_images(path: str, entries: Sequence[Entry], class_ids: Collection[int]) -> None:
  """Checks the entries of 'images'; ids, sizes and labeled_category_ids become numbers, by value.

  Raises:
    InputError: one of these, a file name or one of LVIS_LISTS is not what it has to be.
  """
  for i, entry in enumerate(entries):
    place = f'{path}: images[{i}]'
    entry['id'] = _image_id(place, entry, 'id')
    if entry.get('file_name') is None:
      entry.pop('file_name', None)
    else:
      place = f'{place} (image {entry["id"]})'
      plain_text.check(entry['file_name'], f'{place}: file_name')
    for key in ('width', 'height'):
      if entry.get(key) is not None:
        size = whole_number(entry[key])
        if size is None or size < 0:
          raise InputError(
            f'{place}: {key} is {_shown(entry[key])}; expected a whole number of pixels'
          )
        entry[key] = size
    for key in LVIS_LISTS:
      ids = entry.get(key)
      if ids is not None and not (isinstance(ids, list) and all(type(i) is int for i in ids)):
        raise InputError(
          f'{path}: image {entry["id"]} has {key} {_shown(ids)}; expected a list of category ids'
        )
    if entry.get('labeled_category_ids') is not None:
      _check_labeled(path, entry, class_ids)


def group_by_image(
  path: str, images: Sequence[Entry], names: Sequence[str], instances: Sequence[Entry]
) -> list[list[Entry]]:
  """Finds the annotations of each image; their image_id becomes the image's own id.

  An image_id is the id that is written alike, 7.0 and "7" being 7; or else the one of the same
  value, as 42 is of "000042".

  Raises:
    InputError: two images have the same id; an annotation refers to none, or to several by value.
  """
  numbers, by_value = {}, collections.defaultdict(list)
  for i, entry in enumerate(images):
    other = numbers.setdefault(str(entry['id']), i)
    if other != i:
      raise InputError(
        f'{path}: the images {names[other]} and {names[i]} have the same id, '
        f'{_shown(entry["id"])}, so the boxes of both cannot be told apart; give each image its own'
      )
    by_value[whole_number(entry['id'])].append(i)
  groups, unreached = [[] for _ in images], collections.Counter()
  for i, instance in enumerate(instances):
    image_id = _image_id(f'{path}: annotations[{i}]', instance, 'image_id')
    index = numbers.get(str(image_id))
    if index is None:
      value = whole_number(image_id)
      same = by_value.get(value, ()) if value is not None else ()
      if len(same) > 1:
        listed = ' and '.join(repr(images[other]['id']) for other in same[:2])
        raise InputError(
          f'{path}: {_named(i, instance)} has image_id {_shown(image_id)}, which may be any of the '
          f'images {listed}; write the ids alike'
        )
      if not same:
        unreached[image_id] += 1
        continue
      index = same[0]
    instance['image_id'] = images[index]['id']
    groups[index].append(instance)
  if unreached:
    raise InputError(
      f"{path}: {unreached.total()} annotations refer to {len(unreached)} ids not in 'images': "
      f'{_some(map(_shown, unreached))}; add these images, or remove the annotations'
    )
  return groups


def check_instances(
  path: str, instances: Sequence[Entry], class_ids: Collection[int]
) -> tuple[list[Entry], list[str]]:
  """Checks the entries of 'annotations' but for a bbox that is broken, which concerns one image.

  category_id, iscrowd and area become numbers, by value. An area that is none, or is negative,
  becomes None. A bbox that is missing or has no area becomes the box around the segmentation.

  Returns:
    (those that have a bbox, what was replaced or left out).

  Raises:
    InputError: a category_id is no whole number, or in no category; iscrowd is neither 0 nor 1;
      there are annotations, but none has a bbox or a segmentation.
  """
  kept, unknown = [], collections.Counter()
  areas, boxes, boxless = [], [], []
  for i, instance in enumerate(instances):
    _check_class(path, i, instance)
    unknown[instance['category_id']] += instance['category_id'] not in class_ids
    area = instance.get('area')
    if area is not None:
      instance['area'] = stated_numbers.area(area)
      if instance['area'] is None:
        areas.append(f'{_named(i, instance)} ({_shown(area)})')
    if not has_area(instance.get('bbox')):
      box = segmentation_boxes.box_of(instance.get('segmentation'))
      if box is not None and has_area([*box]):
        instance['bbox'] = [*box]
        boxes.append(_named(i, instance))
      elif instance.get('bbox') in (None, []):
        boxless.append(_named(i, instance))
        continue
    kept.append(instance)
  _require_categories(path, unknown)
  if boxless and not kept:
    raise InputError(
      f'{path}: none of the {len(boxless)} annotations has a bbox or a segmentation; expected '
      'instances of objects'
    )
  remarks = [
    (areas, 'areas are no numbers from 0, and taken from the boxes instead'),
    (boxes, 'annotations have no bbox, or one without area: it is taken from their segmentation'),
    (boxless, 'annotations have neither bbox nor segmentation (polygon or RLE), and are left out'),
  ]
  return kept, [f'{len(some)} {text}: {_some(some)}' for some, text in remarks if some]


def box_values(bbox: object) -> list[float] | None:
  """The numbers x, y, width, height of a bbox; None if it is not a list of four such."""
  if not isinstance(bbox, list) or len(bbox) != 4:
    return None
  values = [stated_numbers.pixels(value) for value in bbox]
  return None if None in values else values


def has_area(bbox: object) -> bool:
  """Whether a bbox can be one, and is not empty; one that is broken counts as having an area."""
  if bbox is None or bbox == []:
    return False
  values = box_values(bbox)
  return values is None or (values[2] > 0 and values[3] > 0)


def _check_class(path, i, instance):
  for key in ('image_id', 'category_id'):
    stated = _value(f'{path}: annotations[{i}]', instance, key)
  class_id = whole_number(stated)
  if class_id is None:
    raise InputError(
      f'{path}: {_named(i, instance)} has category_id {_shown(stated)}; expected a whole number'
    )
  crowd = instance.get('iscrowd')
  is_crowd = int(crowd) if isinstance(crowd, bool) else whole_number(crowd)
  if is_crowd not in (0, 1) and crowd is not None:
    raise InputError(f'{path}: {_named(i, instance)} has iscrowd {_shown(crowd)}; expected 0 or 1')
  instance['category_id'] = class_id
  if crowd is not None:
    instance['iscrowd'] = is_crowd


def _require_categories(path, unknown):
  """Refuses annotations by their numbers for each id that no category has."""
  if unknown := +unknown:
    listed = ', '.join(f'{_shown(key)} ({count} boxes)' for key, count in unknown.most_common())
    raise InputError(f"{path}: annotations of categories that 'categories' lacks: {listed}")


def _check_labeled(path, entry, class_ids):
  labeled = entry['labeled_category_ids']
  place = f'{path}: image {entry.get("file_name", entry["id"])} has labeled_category_ids'
  if not isinstance(labeled, list):
    raise InputError(f'{place} {_shown(labeled)}; expected a list of ids')
  values = [whole_number(class_id) for class_id in labeled]
  if unknown := [
    class_id for class_id, value in zip(labeled, values, strict=True) if value not in class_ids
  ]:
    raise InputError(f"{place} {_shown(unknown)} that 'categories' lacks")
  entry['labeled_category_ids'] = values


def _image_id(place, entry, key):
  """A whole number, or the text of an id."""
  value = _value(place, entry, key)
  if isinstance(value, str):
    return plain_text.check(value, f'{place}: {key}').strip()
  found = whole_number(value)
  if found is None:
    raise InputError(f'{place}: {key} is {_shown(value)}; expected a whole number or text')
  return found


def _value(place, entry, key):
  if key not in entry:
    raise InputError(
      f'{place} lacks {key!r}: {_shown(entry)}; expected id, file_name, image_id, category_id and '
      'name as in instances_train2017.json'
    )
  return entry[key]


def _named(i, instance):
  name = instance.get('id')
  return f'annotations[{i}]' if name is None else f'annotation {_shown(name)}'


def _some(names):
  names = list(names)
  return ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')


def _shown(value):
  return reprlib.repr(value)
