import json
import subprocess

import numpy as np
import planted
import pytest
import tiny_project

from ssd_tf.analysis.diagnosis import config_checks, data_checks, report, run
from ssd_tf.analysis.diagnosis.finding import Finding, Severity
from ssd_tf.data.sources import seven_segment
from ssd_tf.errors import InputError

DIGITS = tiny_project.ROOT / 'configs/ssd_mobilenet_v1_512x512_digits.config'
MINE = ('config', 'data', 'anchors', 'evaluation')
FINDINGS = {
  'data': [
    Finding('boxes', Severity.NOTE, 'Fine.', '', {'share': np.float32(0.5)}),
    Finding('classes', Severity.WARNING, 'Rare.', 'More.', {'rare': {'a': 3}}),
  ],
  'start': [],
  'anchors': [
    Finding('finest cell', Severity.ERROR, 'Small.', 'Enlarge.', {'cell': np.array([16.0, np.nan])})
  ],
}


def test_the_demo_has_neither_errors_nor_warnings(tmp_path):
  for split, name, count in (('train', 'train', 30), ('eval', 'eval', 5)):
    images = [seven_segment.generate_annotation(i, split, seed=0) for i in range(count)]
    tiny_project.write_records(tmp_path / f'digits_{name}.record', images)
  names = enumerate(seven_segment.CLASS_NAMES, start=1)
  (tmp_path / 'label_map.pbtxt').write_text(
    ''.join(f"item {{ id: {i} name: '{name}' }}\n" for i, name in names)
  )
  config = tmp_path / 'digits.config'
  config.write_text(DIGITS.read_text().replace('runs/demo/data/', ''))
  groups = {group: run.GROUPS[group] for group in MINE}
  findings = run.diagnose(str(config), groups=groups)
  assert [f for group in findings.values() for f in group if f.severity is not Severity.NOTE] == []
  assert not report.has_errors(findings)
  # The figures of the demo's own notes: no digit is of 32 x 32 pixels.
  undefined = planted.only(findings['evaluation'], 'undefined metrics')
  assert undefined.numbers == {'sizes': ['medium', 'large']}


def test_a_config_that_training_refuses_is_diagnosed_all_the_same(tmp_path):
  tiny_project.make(tmp_path)
  path = str(tmp_path / 'tiny.config')
  overrides = [
    'model.ssd.num_classes=2',
    'model.ssd.matcher.argmax_matcher.unmatched_threshold=0.9',
    'train_config.batch_size=0',
  ]
  groups = {group: run.GROUPS[group] for group in MINE}
  findings = run.diagnose(path, overrides=overrides, groups=groups)
  refused = {f.numbers['field']: f for f in findings['config']}
  assert set(refused) == {
    'model.ssd.num_classes',
    'model.ssd.matcher.argmax_matcher.unmatched_threshold',
    'train_config.batch_size',
  }
  assert {f.severity for f in refused.values()} == {Severity.ERROR}
  assert refused['model.ssd.num_classes'].what == (
    "A training is refused: model.ssd.num_classes: is 2, but label_map.pbtxt has id 3 ('c'): "
    'objects of ids above 2 would be lost; set it to 3, or give the classes the ids 1 to 2.'
  )
  # The records are looked at with the two classes, the anchors cannot be.
  assert {f.check for f in findings['data'] if f.severity is Severity.ERROR} == {'class ids'}
  (anchors,) = findings['anchors']
  assert (anchors.check, anchors.severity) == ('anchor', Severity.NOTE)
  assert anchors.what.startswith(
    'Not looked at, because the config is at fault: '
    'model.ssd.matcher.argmax_matcher.unmatched_threshold: is 0.9'
  )


def test_warnings_of_a_config_are_notes(tmp_path):
  project = planted.project(tmp_path, overrides=['train_input_reader.num_epochs=3'])
  (found,) = config_checks.check_refusals(project)
  assert found.severity is Severity.NOTE
  assert found.what == (
    'train_input_reader.num_epochs: is 3, but the records are repeated until '
    'train_config.num_steps.'
  )


def test_a_config_that_does_not_parse(tmp_path):
  path = tmp_path / 'bad.config'
  path.write_text('model { sdd {} }')
  (found,) = run.diagnose(str(path))['config']
  assert (found.check, found.severity) == ('config', Severity.ERROR)
  assert found.what.startswith(f'{path}:1:') and 'sdd' in found.what
  with pytest.raises(FileNotFoundError):
    run.diagnose(str(tmp_path / 'absent.config'))


def test_a_wrong_override_is_no_finding(tmp_path):
  tiny_project.make(tmp_path)
  with pytest.raises(InputError, match="override 'train_config.no=1': unknown field"):
    run.diagnose(str(tmp_path / 'tiny.config'), overrides=['train_config.no=1'])


def check_broken(project):
  yield Finding('first', Severity.NOTE, 'Before the fault.')
  raise ZeroDivisionError('division by zero')


def test_a_check_that_breaks_costs_no_other_finding(tmp_path, capsys):
  tiny_project.make(tmp_path)
  (tmp_path / 'train.record').write_bytes(b'this is text and no record')
  groups = {'data': (check_broken, data_checks.check_records)}
  first, broken, damaged = run.diagnose(str(tmp_path / 'tiny.config'), groups=groups)['data']
  assert first.what == 'Before the fault.'
  assert (broken.check, broken.severity) == ('broken', Severity.ERROR)
  assert broken.what == 'This check broke: ZeroDivisionError: division by zero.'
  assert 'check_broken' in capsys.readouterr().err  # The traceback.
  assert (damaged.check, damaged.severity) == ('records', Severity.ERROR)
  assert 'train.record: record 0 (counted from 0) cannot be read' in damaged.what


def test_text_is_worst_first():
  assert report.as_text(FINDINGS) == (
    'anchors\n'
    '  error: finest cell: Small.\n'
    '    -> Enlarge.\n'
    '\n'
    'data\n'
    '  warning: classes: Rare.\n'
    '    -> More.\n'
    '  note: boxes: Fine.\n'
    '\n'
    '1 error, 1 warning, 1 note'
  )
  assert report.as_text({'data': []}) == '0 errors, 0 warnings, 0 notes'


def test_json_has_everything():
  found = json.loads(json.dumps(report.as_dict(FINDINGS, 'a.config'), allow_nan=False))
  assert found['config'] == 'a.config'
  assert found['counts'] == {'error': 1, 'warning': 1, 'note': 1}
  assert found['findings'][0] == {
    'group': 'data',
    'check': 'boxes',
    'severity': 'note',
    'what': 'Fine.',
    'remedy': '',
    'numbers': {'share': 0.5},
  }
  assert found['findings'][2]['numbers'] == {'cell': [16.0, None]}
  assert not report.has_errors({'data': FINDINGS['data']}) and report.has_errors(FINDINGS)


def test_the_tool_exits_with_1_where_there_is_an_error(tmp_path):
  tiny_project.make(tmp_path)
  (tmp_path / 'broken.config').write_text('model { sdd {} }')
  command, options = tiny_project.command(
    tmp_path, 'diagnose.py', '--pipeline_config_path=broken.config', '--json_path=out/found.json'
  )
  done = subprocess.run(command, **options)
  assert done.returncode == 1, done.stdout
  assert done.stdout.rstrip().endswith('1 error, 0 warnings, 0 notes')
  with open(tmp_path / 'out/found.json', encoding='utf-8') as file:
    assert json.load(file)['counts'] == {'error': 1, 'warning': 0, 'note': 0}


def test_the_tool_refuses_flags_that_contradict_each_other(tmp_path):
  command, options = tiny_project.command(
    tmp_path, 'diagnose.py', '--pipeline_config_path=a', '--model_dir=b', '--checkpoint=c'
  )
  done = subprocess.run(command, **options)
  assert (done.returncode, done.stdout) == (
    2,
    'diagnose.py: error: --model_dir and --checkpoint: give one of them\n',
  )
