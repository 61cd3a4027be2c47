"""Whatever happens, a folder has its old content or its new one, and the files of the user."""

import os
import pathlib
import signal
import subprocess
import sys
import threading

import exchange_and_die
import pytest

from ssd_tf.errors import InputError
from ssd_tf.exporting import folder_exchange

NOTES = ('notes.txt', 'saved_model/assets.extra/warmup', 'saved_model/notes.txt')
SCRIPT = pathlib.Path(exchange_and_die.__file__)


def texts(folder):
  """The texts of the files that are replaced: one text, if the folder is whole."""
  return {(folder / file).read_text() for file in exchange_and_die.FILES}


def old_folder(tmp_path, more=()):
  folder = tmp_path / 'exported'
  exchange_and_die.fill(folder, 'old')
  for note in (*NOTES, *more):
    (folder / note).parent.mkdir(exist_ok=True)
    (folder / note).write_text(f'of the user: {note}')
  return folder


def assert_notes_are_there(folder, notes=NOTES):
  for note in notes:
    assert (folder / note).read_text() == f'of the user: {note}'


def replace(folder, text):
  with folder_exchange.replacing(str(folder)) as new:
    exchange_and_die.fill(new, text)


def fail_to_replace(folder):
  with pytest.raises(ZeroDivisionError), folder_exchange.replacing(str(folder)):
    raise ZeroDivisionError


def kills(folder, *options):
  """Lets processes replace the folder, killed at the first step, the second, ... to the last."""
  for step in range(200):
    command = [sys.executable, str(SCRIPT), str(folder), f'new {step}', str(step), *options]
    code = subprocess.run(command, env={'PYTHONPATH': str(SCRIPT.parents[2])}).returncode
    assert code in (0, -signal.SIGKILL)
    yield step
    if code == 0:
      assert texts(folder) == {f'new {step}'} and step > 15
      return
  raise AssertionError('it never ended')


def test_killed_at_any_step_one_of_both_is_there_and_whole(tmp_path):
  folder = old_folder(tmp_path)
  seen, before = [], 'old'
  for step in kills(folder):
    [text] = texts(folder)
    assert text in (before, f'new {step}')
    assert_notes_are_there(folder)
    seen.append(text != before)
    before = text
  assert True in seen and False in seen
  assert os.listdir(tmp_path) == ['exported']  # What the killed ones left was removed.


def test_killed_where_folders_cannot_be_exchanged_the_next_one_puts_the_old_one_back(tmp_path):
  folder = old_folder(tmp_path)
  before, gone = 'old', 0
  for step in kills(folder, 'cannot_exchange'):
    if not folder.exists():
      gone += 1
      fail_to_replace(folder)
    [text] = texts(folder)
    assert text in (before, f'new {step}')
    assert_notes_are_there(folder)
    before = text
  assert gone == 1
  assert os.listdir(tmp_path) == ['exported']


@pytest.mark.parametrize('options', [(), ('cannot_exchange',)])
def test_killed_beside_other_folders_each_part_is_whole(options, tmp_path):
  more = ('runs/of/no/export', 'data.record')
  (tmp_path / 'exported/runs/of/no').mkdir(parents=True)
  folder = old_folder(tmp_path, more)
  inode = (folder / 'runs').stat().st_ino, folder.stat().st_ino
  before = {'old'}
  for step in kills(folder, *options):
    if options:
      fail_to_replace(folder)
    assert texts(folder) <= {*before, f'new {step}'}
    assert len({(folder / file).read_text() for file in exchange_and_die.FILES[2:]}) == 1
    assert_notes_are_there(folder, (*NOTES, *more))
    before = texts(folder)
  # A folder with other things in it stays where it is, for those who work in there.
  assert ((folder / 'runs').stat().st_ino, folder.stat().st_ino) == inode
  assert sorted(os.listdir(folder)) == [
    *('checkpoint', 'data.record', 'notes.txt', 'pipeline.config', 'runs', 'saved_model')
  ]


def test_two_at_once_leave_one_of_both(tmp_path):
  folder = old_folder(tmp_path)

  def work(name):
    for i in range(30):
      replace(folder, f'{name} {i}')

  threads = [threading.Thread(target=work, args=[name]) for name in 'ab']
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  [text] = texts(folder)
  assert text in ('a 29', 'b 29')
  assert_notes_are_there(folder)
  assert os.listdir(tmp_path) == ['exported']


def test_another_one_at_work_keeps_its_unfinished_folder(tmp_path):
  with folder_exchange.replacing(str(tmp_path / 'exported')) as first:
    exchange_and_die.fill(first, 'first')
    replace(tmp_path / 'exported', 'second')
    assert texts(tmp_path / 'exported') == {'second'}
  assert texts(tmp_path / 'exported') == {'first'}


def test_what_fails_leaves_the_old_content_and_nothing_else(tmp_path):
  folder = old_folder(tmp_path)
  with pytest.raises(ZeroDivisionError), folder_exchange.replacing(str(folder)) as new:
    exchange_and_die.fill(new, 'new')
    raise ZeroDivisionError
  assert texts(folder) == {'old'} and os.listdir(tmp_path) == ['exported']
  fail_to_replace(tmp_path / 'absent')
  assert os.listdir(tmp_path) == ['exported']


def test_a_folder_has_the_mode_that_it_had_or_that_any_new_one_gets(tmp_path):
  replace(tmp_path / 'exported', 'new')
  (tmp_path / 'other').mkdir()
  assert (tmp_path / 'exported').stat().st_mode == (tmp_path / 'other').stat().st_mode
  (tmp_path / 'exported').chmod(0o750)
  replace(tmp_path / 'exported', 'newer')
  assert (tmp_path / 'exported').stat().st_mode & 0o777 == 0o750


def test_the_working_directory_and_a_link_stay(tmp_path, monkeypatch):
  folder = old_folder(tmp_path)
  (tmp_path / 'link').symlink_to(folder)
  monkeypatch.chdir(folder)
  for given in ('.', str(tmp_path / 'link')):
    replace(given, f'by {given}')
    assert pathlib.Path('pipeline.config').read_text() == f'by {given}'
    assert_notes_are_there(folder)
  assert (tmp_path / 'link').is_symlink()
  assert sorted(os.listdir('.')) == ['checkpoint', 'notes.txt', 'pipeline.config', 'saved_model']


def test_a_file_system_without_links_gets_copies(tmp_path, monkeypatch):
  def refuse(*args, **kwargs):
    raise PermissionError('no links here')

  monkeypatch.setattr(os, 'link', refuse)
  folder = old_folder(tmp_path)
  replace(folder, 'new')
  assert texts(folder) == {'new'}
  assert_notes_are_there(folder)


@pytest.mark.parametrize(
  'file', ['exported', 'exported/checkpoint', 'exported/saved_model/variables']
)
def test_a_file_in_the_way_is_refused_and_stays(file, tmp_path):
  path = tmp_path / file
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text('of the user')
  if file != 'exported':
    (tmp_path / 'exported/pipeline.config').write_text('old')
  with pytest.raises(InputError, match=f'{file}: is a file'):
    replace(tmp_path / 'exported', 'new')
  assert path.read_text() == 'of the user'
  if file != 'exported':
    assert (tmp_path / 'exported/pipeline.config').read_text() == 'old'
  assert os.listdir(tmp_path) == ['exported']
