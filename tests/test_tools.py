"""Every tool: --help without TensorFlow; bad input ends in one clear line, and nothing is lost."""

import os
import pathlib
import re
import subprocess
import sys

import pytest
import tool_processes

ROOT = pathlib.Path(__file__).parents[1]
TOOLS = sorted(path.name for path in (ROOT / 'tools').glob('*.py'))
BENCHMARKS = sorted(f'benchmarks/{path.name}' for path in (ROOT / 'tools/benchmarks').glob('*.py'))
CONFIG = '--pipeline_config_path=tiny.config'
TRAIN = ('model_main_tf2.py', CONFIG, '--model_dir=model', '--noevaluate', '--num_train_steps=2')
EVALUATE = ('model_main_tf2.py', CONFIG, '--model_dir=model')
EXPORT = ('exporter_main_v2.py', CONFIG, '--output_directory=exported')


def source_of(tool):
  """Where a tool's flags and main are."""
  command = ROOT / 'ssd_tf/commands' / tool
  return (command if command.exists() else ROOT / 'tools' / tool).read_text()


@pytest.mark.parametrize('tool', TOOLS)
def test_help_comes_without_tensorflow(tool):
  done = subprocess.run(
    [sys.executable, '-X', 'importtime', ROOT / 'tools' / tool, '--help'],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode in (0, 1)  # absl ends --help with 1.
  source = source_of(tool)
  assert source.split('"""')[1].splitlines()[0] in done.stdout
  for flag in re.findall(r"DEFINE_\w+\(\s*'(\w+)'", source):
    assert re.search(rf'--(\[no\])?{flag}:', done.stdout), flag
  imported = re.findall(r'\|\s+(\w+)\S*$', done.stderr, re.MULTILINE)
  assert 'ssd_tf' in imported and not {'tensorflow', 'keras', 'matplotlib'} & set(imported)


@pytest.fixture(scope='module')
def forks():
  return tool_processes.context()


@pytest.fixture
def run(forks, tmp_path):
  """Returns a function: (tool, *flags), run in tmp_path -> (exit code, its stderr)."""

  def run_tool(tool, *flags):
    process = tool_processes.start(forks, tmp_path, tool, flags)
    process.join(120)
    if process.is_alive():
      process.kill()
      pytest.fail(f'{tool} {flags}: still running after two minutes')
    return process.exitcode, (tmp_path / 'stderr.txt').read_text()

  return run_tool


@pytest.fixture
def error_of(run):
  """Returns a function: (tool, *flags) -> the error that it ends in, from `error: ` on."""

  def error(tool, *flags):
    code, stderr = run(tool, *flags)
    assert code == 2 and 'Traceback' not in stderr, stderr
    # The log's lines before it do no harm; after it comes nothing.
    _, *messages = re.split(rf'^{pathlib.Path(tool).name}: error: ', stderr, flags=re.MULTILINE)
    assert len(messages) == 1, stderr
    return messages[0].rstrip('\n')

  return error


@pytest.mark.parametrize('tool', [*TOOLS, *BENCHMARKS])
def test_a_misspelled_flag_is_answered_with_the_closest_one(tool, run):
  text = source_of(tool) + source_of('coco_files.py')  # LVIS' converter has COCO's flags alone.
  flag = re.search(r"""DEFINE_\w+\(\s*'(\w{4,})'""", text)[1]
  code, stderr = run(tool, f'--{flag}x=1')
  assert code == 1 and 'Traceback' not in stderr
  assert re.search(rf"Unknown command line flag '{flag}x'. Did you mean: {flag} \?", stderr)


@pytest.mark.parametrize(
  ('tool', 'flags', 'expected'),
  [
    (
      'benchmarks/input_pipeline.py',
      ['--input_path=gone*.record'],
      r'no file matches gone\*\.record',
    ),
    (
      'benchmarks/train_step.py',
      ['--pipeline_config_path=gone.config'],
      r'gone\.config: No such file or directory',
    ),
    (
      'create_coco_tf_record.py',
      ['--image_dir=gone', '--annotations_file=gone.json', '--output_path=a.record'],
      r'gone\.json: .*[Nn]o such file.*',
    ),
    (
      'create_coco_tf_record.py',
      ['--image_dir=gone'],
      r'--annotations_file is missing: give --image_dir, .* together',
    ),
    (
      'create_pascal_tf_record.py',
      ['--data_dir=gone', '--label_map_path=label_map.pbtxt', '--output_path=a.record'],
      r'gone/?.*: .*',
    ),
    (
      'create_pascal_tf_record.py',
      ['--data_dir=gone', '--label_map_path=gone.pbtxt', '--output_path=a.record'],
      r'gone\.pbtxt: No such file or directory',
    ),
    (
      'create_seven_segment_tf_record.py',
      ['--output_dir=label_map.pbtxt/inside'],
      r'label_map\.pbtxt.*: Not a directory',
    ),
    (
      'create_seven_segment_tf_record.py',
      ['--output_dir=digits', '--width=20'],
      r'seven-segment digits: canvas 20 x 512: .* need \d+ x 33; widen it.*',
    ),
    (
      'detect_images.py',
      ['--saved_model_dir=gone', '--output_dir=d', '--tf_record=gone.record'],
      r'no file matches gone\.record',
    ),
    (
      'detect_images.py',
      ['--saved_model_dir=gone', '--output_dir=d'],
      r'give either --images or --tf_record',
    ),
    (
      'detect_images.py',
      ['--saved_model_dir=gone', '--output_dir=d', '--tf_record=eval.record'],
      r'gone: no SavedModel of a detector; give the folder that holds saved_model\.pb',
    ),
    (
      'detect_images.py',
      ['--saved_model_dir=gone', '--output_dir=d', '--images=gone.png'],
      r'gone\.png: no such image or folder',
    ),
    (
      'experiment_log.py',
      ['--model_dir=gone*', '--output_dir=d'],
      r'model_dirs: gone\*: no such folder',
    ),
    (
      'exporter_main_v2.py',
      [
        '--pipeline_config_path=gone.config',
        '--trained_checkpoint_dir=gone',
        '--output_directory=d',
      ],
      r'gone\.config: No such file or directory',
    ),
    (
      'model_main_tf2.py',
      ['--pipeline_config_path=gone.config', '--model_dir=d'],
      r'gone\.config: No such file or directory',
    ),
    (
      'plot_losses.py',
      ['--model_dir=gone', '--output_path=a.svg'],
      r'gone/train: expected a folder with TensorBoard event files; it is missing',
    ),
    (
      'run_experiments.py',
      ['--sweep=gone.json', '--output_dir=d'],
      r'gone\.json: No such file or directory',
    ),
  ],
)
def test_what_is_missing_is_named(tool, flags, expected, tiny, error_of):
  before = sorted(os.listdir(tiny))
  assert re.fullmatch(expected, error_of(tool, *flags))
  # Not even the folder that would have got the results.
  assert sorted({*os.listdir(tiny)} - {'stdout.txt', 'stderr.txt'}) == before


def replace(tiny, name, old, new):
  text = (tiny / name).read_text()
  assert text.count(old) == 1
  (tiny / name).write_text(text.replace(old, new))


def rewrite(tiny, name, number, **changes):
  """Writes the records of a file anew, one of them changed."""
  import tiny_project

  num_images, seed = {'train.record': (10, 0), 'eval.record': (5, 1)}[name]
  images = tiny_project.annotations(num_images, seed)
  for field, value in changes.items():
    setattr(images[number], field, value)
  tiny_project.write_records(tiny / name, images)


def write_checkpoint(tiny):
  import tiny_project

  tiny_project.write_checkpoint(tiny)


def truncated_jpeg():
  import tensorflow as tf
  import tiny_project

  pixels = tf.io.decode_png(tiny_project.annotations(1, seed=0)[0].encoded)
  encoded = tf.io.encode_jpeg(pixels).numpy()
  return encoded[: len(encoded) // 2]


def flip_a_byte(tiny):
  content = bytearray((tiny / 'train.record').read_bytes())
  content[len(content) // 2] ^= 0xFF
  (tiny / 'train.record').write_bytes(content)


@pytest.mark.parametrize(
  ('prepare', 'flags', 'expected'),
  [
    (
      lambda tiny: replace(tiny, 'tiny.config', 'num_steps: 8', 'num_stepz: 8'),
      [],
      r'tiny\.config:\d+:3: unknown field "num_stepz" in TrainConfig: did you mean "num_steps"\?',
    ),
    (
      None,
      ['--config_override=train_config.num_stepz=8'],
      r"override 'train_config\.num_stepz=8': unknown field .* did you mean \"num_steps\"\?",
    ),
    (
      lambda tiny: (tiny / 'train.record').unlink(),
      [],
      r'tiny\.config: train_input_reader\.tf_record_input_reader\.input_path: no file matches '
      r'train\.record',
    ),
    (
      None,
      ['--config_override=model.ssd.num_classes=2'],
      r"tiny\.config: model\.ssd\.num_classes: is 2, but label_map\.pbtxt has id 3 \('c'\): .*"
      r' set it to 3, or give the classes the ids 1 to 2',
    ),
    (
      None,
      ['--num_logical_cpus=3'],
      r'tiny\.config: train_config\.batch_size: is 4: .* a multiple of their number, 3',
    ),
    (
      lambda tiny: replace(tiny, 'label_map.pbtxt', "item { id: 3 name: 'c' }", ''),
      [],
      r'tiny\.config: train_input_reader: '
      r'10 records checked: \d+ boxes of class id 3 \(c\) .* label map.*'
      r'train\.record, record \d, source_id image \d.*',
    ),
    (
      flip_a_byte,
      [],
      r'tiny\.config: train_input_reader: '
      r'train\.record: record \d \(counted from 0\) cannot be read .*: the file is '
      r'damaged.*; copy or convert it again',
    ),
    (
      lambda tiny: rewrite(tiny, 'train.record', 4, encoded=b''),
      [],
      r'tiny\.config: train_input_reader: '
      r'10 records checked: 1 images of zero bytes: remove them .*'
      r'\(train\.record, record 4, source_id image 4\)',
    ),
    (
      lambda tiny: rewrite(tiny, 'train.record', 4, class_ids=[4]),
      [],
      r'tiny\.config: train_input_reader: '
      r'10 records checked: 1 boxes of class id 4 \(\w\) lie outside 1\.\.3: raise '
      r'num_classes to 4 .* \(train\.record, record 4, source_id image 4\)',
    ),
    (
      lambda tiny: rewrite(tiny, 'train.record', 4, encoded=truncated_jpeg()),
      [],
      r"train\.record: record 4 \(counted from 0, source_id 'image 4'\) does not decode: .*; fix "
      r'or remove it at its source and convert again',
    ),
  ],
  ids=[
    'misspelled field',
    'misspelled field in an override',
    'no records',
    'num_classes below the label map',
    'batch size and replicas',
    'label map lacks a class',
    'corrupt record',
    'image of zero bytes',
    'class id above num_classes',
    'truncated image',
  ],
)
def test_training_stops_with_the_place_and_the_remedy(prepare, flags, expected, tiny, error_of):
  if prepare:
    prepare(tiny)
  message = error_of(*TRAIN, *flags)
  assert re.fullmatch(expected, message), message


def test_an_evaluation_names_the_image_that_does_not_decode(tiny, run, error_of):
  write_checkpoint(tiny)
  rewrite(tiny, 'eval.record', 3, encoded=truncated_jpeg())
  message = error_of(*EVALUATE, '--checkpoint_dir=model')
  assert re.match(r"eval\.record: record 3 \(counted from 0, source_id 'image 3'\) does", message)


def test_several_faults_of_a_config_are_told_at_once(tiny, error_of):
  (tiny / 'train.record').unlink()
  (tiny / 'eval.record').unlink()
  lines = error_of(*EVALUATE).splitlines()
  assert len(lines) == 2 and all(line.startswith('tiny.config: ') for line in lines)


@pytest.mark.parametrize(
  ('folder', 'expected'),
  [('empty', r'the folder empty holds no checkpoint: expected a file ending in \.index'),
   ('modle', r'no such file or folder: modle( or \S+)?; is it misspelled\?')],
)  # fmt: skip
@pytest.mark.parametrize('tool', [EVALUATE, EXPORT], ids=lambda tool: tool[0])
def test_a_folder_without_a_checkpoint_is_told_without_waiting(
  tool, folder, expected, tiny, error_of
):
  (tiny / 'empty').mkdir()
  flag = '--checkpoint_dir' if tool is EVALUATE else '--trained_checkpoint_dir'
  assert re.fullmatch(expected, error_of(*tool, f'{flag}={folder}'))
  assert not (tiny / 'exported').exists()


@pytest.mark.parametrize(
  ('tool', 'expected'),
  [
    (TRAIN, r'model/ckpt-0: does not fit the pipeline\.config: .*another model_dir'),
    (
      (*EVALUATE, '--checkpoint_dir=model'),
      r'model/ckpt-0: 6 variables .* the first: class_head_0/kernel: .* does num_classes fit\?',
    ),
    (
      (*EXPORT, '--trained_checkpoint_dir=model'),
      r'model/ckpt-0: 6 variables .* the first: class_head_0/kernel: .* does num_classes fit\?',
    ),
  ],
  ids=['resume', 'evaluate', 'export'],
)
def test_a_checkpoint_of_another_config_is_refused_and_left_alone(tool, expected, tiny, error_of):
  write_checkpoint(tiny)
  before = {path: path.read_bytes() for path in (tiny / 'model').iterdir()}
  message = error_of(*tool, '--config_override=model.ssd.num_classes=5')
  assert re.fullmatch(expected, message, re.DOTALL), message
  assert {path: path.read_bytes() for path in before} == before
  assert not (tiny / 'exported').exists()


@pytest.mark.parametrize('given', ['model', 'model/ckpt-0'])
def test_a_checkpoint_that_nothing_points_to_is_evaluated_without_waiting(given, tiny, run):
  write_checkpoint(tiny)
  (tiny / 'model/checkpoint').unlink()  # As when the files were copied by hand.
  code, output = run(*EVALUATE, f'--checkpoint_dir={given}')
  assert code == 0 and 'Found new checkpoint at model/ckpt-0' in output, output
  assert 'Waiting' not in output


@pytest.mark.slow
def test_a_truncated_image_costs_no_checkpoint(tiny, error_of, run):
  rewrite(tiny, 'train.record', 9, encoded=truncated_jpeg())
  error_of(*TRAIN)
  rewrite(tiny, 'train.record', 9)
  code, output = run(*TRAIN)
  assert code == 0, output
  assert 'Going on from model/ckpt-0 (step 0)' in output


def test_detecting_names_broken_images_and_goes_on(tiny, run, error_of):
  import tiny_project

  write_checkpoint(tiny)
  assert run(*EXPORT, '--trained_checkpoint_dir=model')[0] == 0
  (tiny / 'images').mkdir()
  images = tiny_project.annotations(3, seed=0)
  for image in images:
    (tiny / 'images' / image.filename).write_bytes(image.encoded)
  (tiny / 'images/image_1.png').write_bytes(b'')
  detect = ('detect_images.py', '--saved_model_dir=exported/saved_model', '--output_dir=out')
  code, output = run(*detect, '--images=images', '--label_map_path=label_map.pbtxt')
  assert code == 0 and re.search(r'image_1\.png: .*empty.*; skipped', output), output
  assert sorted(os.listdir(tiny / 'out')) == ['detections.json', 'image_0.png', 'image_2.png']
  flip_a_byte(tiny)
  assert re.match(r'train\.record: record \d ', error_of(*detect, '--tf_record=train.record'))
