import os
import re
import subprocess
import sys

from ssd_tf.pretrained import weights_list, weights_table, zoo_cache


def rows(lines):
  """{name: cells}."""
  table = lines[1 : lines.index('')]
  return {cells[0]: cells for cells in (re.split(r'\s{2,}', line) for line in table)}


def test_every_name_has_ap_size_config_and_place(monkeypatch, tmp_path):
  monkeypatch.setenv('SSD_TF_CACHE', str(tmp_path))
  place = tmp_path / 'zoo/ssd_mobilenet_v1_coco_2018_01_28'
  place.mkdir(parents=True)
  (place / 'model.ckpt.index').write_bytes(b'')
  lines = list(weights_list.lines())
  found = rows(lines)
  assert list(found) == [*(w.name for w in weights_table.TABLE), 'imagenet']
  assert found['starter:ssd_mobilenet_v1_0.75_coco'][1:] == [
    *('-', '4 MB', 'ssd_mobilenet_v1_0.75_300x300_coco', 'in the package'),
  ]
  assert found['zoo:ssd_mobilenet_v1_coco'][1:] == [
    *('21', '77 MB', 'ssd_mobilenet_v1_300x300_coco', 'in the cache'),
  ]
  assert found['zoo:ssd_mobilenet_v3_small_coco'][1:] == [
    *('15.4', '?', 'ssdlite_mobilenet_v3_small_320x320_coco', 'to be downloaded'),
  ]
  notes = ' '.join(lines[lines.index('') :])
  assert 'None of zoo:* was ever tried with a real download' in notes
  assert zoo_cache.folder() == f'{tmp_path}/zoo' and f'{tmp_path}/zoo' in notes


def command(*flags):
  script = (
    'import sys; from ssd_tf.commands import command_line, weights\n'
    'try: command_line.run(weights.main)\n'
    'finally: print("imported:", *{"tensorflow", "keras"} & set(sys.modules))'
  )
  return subprocess.run(
    [sys.executable, '-c', script, *flags],
    env={**os.environ, 'SSD_TF_CACHE': '/nowhere'},
    capture_output=True,
    text=True,
    check=False,
  )


def test_the_command_lists_without_tensorflow():
  done = command()
  assert done.returncode == 0, done.stderr
  assert 'zoo:ssd_mobilenet_v2_320x320_coco17' in done.stdout
  assert done.stdout.endswith('imported:\n')


def test_the_command_gives_the_path():
  done = command('--download=starter:ssd_mobilenet_v1_0.75_coco')
  path = done.stdout.splitlines()[0]
  assert path.endswith('ssd_mobilenet_v1_0.75_coco/detect.tflite') and os.path.exists(path)
  done = command('--download=ssd_mobilenet_v2_coc')
  assert done.returncode == 2
  assert 'did you mean "zoo:ssd_mobilenet_v2_coco"?' in done.stderr
