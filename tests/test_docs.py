"""Pages that are made from the code are current."""

import importlib.util
import pathlib

DOCS = pathlib.Path(__file__).parents[1] / 'docs'


def test_the_list_of_fields_is_current():
  spec = importlib.util.spec_from_file_location('make_field_table', DOCS / 'make_field_table.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  page = (DOCS / 'object_detection_api.md').read_text(encoding='utf-8')
  assert page == module.page(), 'run: python docs/make_field_table.py'
  for line in ('**Ssd**', '- works: `label_map_path`', '- error: `mask_head`: predicts masks'):
    assert line in page
