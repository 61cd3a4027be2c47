import collections
import json

import numpy as np
import planted
import pytest
import tiny_project
import tool_processes

from ssd_tf.data.sources import seven_segment
from ssd_tf.diagnosis import config_checks, data_checks, report, run
from ssd_tf.diagnosis.finding import Finding, Severity
from ssd_tf.errors import InputError
from ssd_tf.files import json_file

DIGITS = tiny_project.ROOT / 'ssd_tf/configs/ssd_mobilenet_v1_512x512_digits.config'
ERROR = Severity.ERROR
CELL = {'cell': np.array([16.0, np.nan])}
FINDINGS = [
  Finding('boxes', Severity.NOTE, 'Fine.', '', {'share': np.float32(0.5)}, 'data'),
  Finding('classes', Severity.WARNING, 'Rare.', 'More.', {'rare': {'a': 3}}, 'data'),
  Finding('finest cell', Severity.ERROR, 'Small.', 'Enlarge.', CELL, 'anchors'),
]


def checks_of(*groups):
  return [item for item in run.CHECKS if item[0] in groups]


def by_group(findings):
  found = collections.defaultdict(list)
  for finding in findings:
    found[finding.group].append(finding)
  return found


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
  found = run.diagnose(str(config))
  assert [f for f in found if f.severity is not Severity.NOTE] == []
  assert not report.has_errors(found)
  findings = by_group(found)
  # The figures of the demo's own notes: no digit is of 32 x 32 pixels.
  undefined = planted.only(findings['evaluation'], 'undefined metrics')
  assert undefined.numbers == {'sizes': ['medium', 'large']}
  assert planted.only(findings['start'], 'checkpoint').what.startswith('No checkpoint: all ')
  assert (findings['schedule'], findings['model']) == ([], [])  # Nothing is trained yet.


def test_a_config_that_training_refuses_is_diagnosed_all_the_same(tmp_path):
  tiny_project.make(tmp_path)
  path = str(tmp_path / 'tiny.config')
  overrides = [
    'model.ssd.num_classes=2',
    'model.ssd.matcher.argmax_matcher.unmatched_threshold=0.9',
    'train_config.batch_size=0',
    'train_input_reader.sample_1_of_n_examples=0',
  ]
  checks = checks_of('config', 'data', 'anchors', 'evaluation')
  findings = by_group(run.diagnose(path, overrides=overrides, checks=checks))
  *refusals, left_out = findings['config']
  refused = {f.numbers['field']: f for f in refusals}
  assert set(refused) == {
    'model.ssd.num_classes',
    'model.ssd.matcher.argmax_matcher.unmatched_threshold',
    'train_config.batch_size',
    'train_input_reader[0].sample_1_of_n_examples',
  }
  assert {f.severity for f in refused.values()} == {Severity.ERROR}
  assert refused['model.ssd.num_classes'].what == (
    "A training is refused: model.ssd.num_classes: is 2, but label_map.pbtxt has id 3 ('c'): "
    'objects of ids above 2 would be lost; set it to 3, or give the classes the ids 1 to 2.'
  )
  # The records are looked at with the two classes, the anchors cannot be.
  assert {f.check for f in findings['data'] if f.severity is Severity.ERROR} == {'class ids'}
  assert findings['anchors'] == []
  assert left_out.severity is Severity.NOTE
  assert left_out.what == 'Not checked, because the config has faults: anchor.'


def test_a_missing_record_is_one_fault_and_a_model_dir_may_be_to_come(tmp_path):
  tiny_project.make(tmp_path)
  (tmp_path / 'train.record').unlink()
  found = run.diagnose(str(tmp_path / 'tiny.config'), model_dir=str(tmp_path / 'runs/first'))
  about = [f for f in found if 'train.record' in f.what]
  assert [(f.severity, f.group) for f in about] == [(Severity.ERROR, 'config')]
  (left_out,) = [f for f in found if f.what.startswith('Not checked')]
  assert {'records', 'images', 'classes', 'anchor', 'start'} <= {
    *left_out.what.partition(': ')[2].rstrip('.').split(', ')
  }
  (to_come,) = [f for f in found if f.group == 'model']
  assert to_come.severity is Severity.NOTE and 'holds no checkpoint yet' in to_come.what


def test_warnings_of_a_config_are_notes(tmp_path):
  project = planted.project(tmp_path, overrides=['train_input_reader.num_epochs=3'])
  (found,) = config_checks.check(project)
  assert found.severity is Severity.NOTE
  assert found.what == (
    'train_input_reader.num_epochs: is 3, but the records are repeated until '
    'train_config.num_steps.'
  )


def test_a_config_without_an_evaluation_is_diagnosed_all_the_same(tmp_path):
  tiny_project.make(tmp_path)
  findings = run.diagnose(str(tmp_path / 'tiny.config'), overrides=['eval_input_reader=[]'])
  # The tiny project's few steps.
  assert {f.check for f in findings if f.severity is ERROR} == {'batch norm decay'}
  (found,) = [f for f in findings if (f.group, f.check) == ('evaluation', 'evaluation data')]
  assert found.severity is Severity.WARNING
  assert found.what.startswith('There is no eval_input_reader')
  # The rest was looked at.
  assert ('anchors', 'anchor coverage') in {(f.group, f.check) for f in findings}


def test_a_config_that_does_not_parse(tmp_path):
  path = tmp_path / 'bad.config'
  path.write_text('model { sdd {} }')
  (found,) = run.diagnose(str(path))
  assert (found.group, found.check, found.severity) == ('config', 'config', Severity.ERROR)
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


def test_a_check_that_breaks_costs_no_other_finding(tmp_path, caplog):
  tiny_project.make(tmp_path)
  (tmp_path / 'train.record').write_bytes(b'this is text and no record')
  checks = [('data', check_broken), ('data', data_checks.check_records)]
  first, broken, damaged = run.diagnose(str(tmp_path / 'tiny.config'), checks=checks)
  assert first.what == 'Before the fault.'
  assert (broken.check, broken.severity) == ('broken', Severity.ERROR)
  assert broken.what == 'This check failed: ZeroDivisionError: division by zero.'
  assert 'in check_broken' in caplog.text  # The traceback.
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
  assert report.as_text([]) == '0 errors, 0 warnings, 0 notes'


def test_json_has_everything():
  found = json.loads(json_file.as_text(report.as_dict(FINDINGS)))
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
  assert not report.has_errors(FINDINGS[:2]) and report.has_errors(FINDINGS)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A folder with the tiny project and a checkpoint of random weights in model/."""
  folder = tmp_path_factory.mktemp('trained')
  tiny_project.make(folder)
  tiny_project.write_checkpoint(folder)
  return folder


def test_faults_of_start_schedule_and_model_are_found(trained):
  config = str(trained / 'tiny.config')
  checks = checks_of('start', 'schedule', 'model')
  rate = 'train_config.optimizer.momentum_optimizer.learning_rate.cosine_decay_learning_rate'
  overrides = [
    'train_config.data_augmentation_options=[]',  # Seconds of tracing.
    'train_config.freeze=BACKBONE',
    f'{rate}.learning_rate_base=0.8',
    f'{rate}.total_steps=1000',
    'train_config.num_steps=1000',
  ]
  findings = run.diagnose(
    config, overrides=overrides, checks=checks, checkpoint=str(trained / 'model')
  )
  assert {(f.group, f.check) for f in findings if f.severity is ERROR} == {
    ('start', 'frozen weights'),
    ('schedule', 'learning rate'),
    ('model', 'recall'),
  }
  frozen = planted.only(findings, 'frozen weights')
  # 27 convolutions with a batch norm each: kernel, gamma and beta.
  assert frozen.what.startswith('81 variables are frozen and nothing is loaded into them')
  high = planted.only(findings, 'learning rate')
  assert high.numbers['rate'] == pytest.approx(0.8, rel=1e-3)
  recall = planted.only(findings, 'recall')
  assert recall.numbers['recall_of_all'] < 0.05


@pytest.mark.slow
def test_the_tool_exits_with_1_where_there_is_an_error(trained):
  done = tool_processes.run(
    trained,
    'diagnose.py',
    *('--pipeline_config_path=tiny.config', '--model_dir=model', '--json_path=out/found.json'),
    '--config_override=train_config.data_augmentation_options=[]',
  )
  assert done.returncode == 1, done.stderr
  with open(trained / 'out/found.json', encoding='utf-8') as file:
    found = json.load(file)
  assert found['config'] == 'tiny.config'
  counts = ', '.join(f'{n} {name}{"s" * (n != 1)}' for name, n in found['counts'].items())
  assert done.stdout.rstrip().endswith(counts)
  by_check = {(f['group'], f['check']): f for f in found['findings']}
  # 8 steps are too few for the batch norms' statistics: 0.97^8 = 0.78 of the start is left.
  decay = by_check['schedule', 'batch norm decay']
  assert (decay['severity'], decay['numbers']['num_updates']) == ('error', 8)
  assert decay['numbers']['initial_share'] == pytest.approx(0.97**8)
  assert f'error: batch norm decay: {decay["what"]}\n    -> {decay["remedy"]}' in done.stdout
  # The 5 images of the evaluation have 0 + 1 + 2 + 0 + 1 objects.
  confusion = by_check['model', 'confusion']
  assert sum(map(sum, confusion['numbers']['matrix'][1:])) == 4


def test_the_tool_refuses_flags_that_contradict_each_other(tmp_path):
  flags = ('--pipeline_config_path=a', '--model_dir=b', '--checkpoint=c')
  done = tool_processes.run(tmp_path, 'diagnose.py', *flags)
  assert done.returncode == 2
  # TensorFlow may have written that it found no GPU.
  line = 'diagnose.py: error: --model_dir and --checkpoint: give one of them'
  assert done.stderr.splitlines()[-1] == line
