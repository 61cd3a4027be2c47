"""The README's Python examples, run as they are printed."""

import asyncio
import io
import pathlib
import re

import httpx
import numpy as np
import PIL.Image
import pytest
import tiny_project

import ssd_tf

README = (pathlib.Path(__file__).parents[1] / 'README.md').read_text(encoding='utf-8')


def example(word):
  """The one block of Python that has a word."""
  blocks = re.findall(r'^```python\n(.*?)^```', README, re.MULTILINE | re.DOTALL)
  [block] = [block for block in blocks if word in block]
  return block


@pytest.fixture(scope='module')
def project(tmp_path_factory):
  """A folder with runs/mine, the folder of a training, and photo.png."""
  folder = tmp_path_factory.mktemp('project')
  tiny_project.make(folder)
  tiny_project.write_checkpoint(folder)
  (folder / 'runs').mkdir()
  (folder / 'model').rename(folder / 'runs/mine')
  image = np.random.default_rng(0).integers(0, 256, [48, 80, 3]).astype(np.uint8)
  PIL.Image.fromarray(image).save(folder / 'photo.jpg', quality=95)
  return folder


async def post(app, *uploads):
  """The replies to several files."""
  transport = httpx.ASGITransport(app)
  async with httpx.AsyncClient(transport=transport, base_url='http://test') as client:
    return [
      await client.post('/detect?score=0.01', files={'photo': (name, io.BytesIO(content))})
      for name, content in uploads
    ]


def test_the_web_service_answers_with_the_detections(project, monkeypatch):
  monkeypatch.chdir(project)
  code = example('fastapi')
  assert len([line for line in code.splitlines() if line]) <= 10
  scope = {}
  exec(compile(code, 'service.py', 'exec'), scope)
  photo = ('photo.jpg', (project / 'photo.jpg').read_bytes())
  found, refused = asyncio.run(post(scope['app'], photo, ('notes.txt', b'no image')))
  expected = ssd_tf.load('runs/mine')(PIL.Image.open('photo.jpg')).above(0.01)
  assert len(expected) > 3
  assert found.status_code == 200 and found.json() == expected.as_dict()
  assert refused.status_code == 422 and refused.json() == {'detail': 'notes.txt: no image'}


def test_the_detections_of_a_photo_are_printed_and_drawn(project, monkeypatch, capsys):
  monkeypatch.chdir(project)
  code = example('ssd_tf.train(')
  called = []
  metrics = {'DetectionBoxes_Precision/mAP': 0.75}
  monkeypatch.setattr(ssd_tf, 'train', lambda *a, **k: called.append((a, k)), raising=False)
  monkeypatch.setattr(ssd_tf, 'evaluate', lambda path: metrics, raising=False)
  monkeypatch.setattr(ssd_tf, 'export', lambda path: called.append(path), raising=False)
  exec(compile(code.replace('above(0.5)', 'above(0.01)'), 'example.py', 'exec'), {})
  settings = {'num_steps': 500, 'batch_size': 8}
  assert called == [(('mydata/pipeline.config', 'runs/mine'), settings), 'runs/mine']
  first, *lines = capsys.readouterr().out.splitlines()
  found = list(ssd_tf.load('runs/mine')('photo.jpg').above(0.01))
  assert first == '0.75' and lines == [f'{d.name} {d.score} {d.box}' for d in found]
  assert len(found) > 3 and PIL.Image.open('detections.png').size == (80, 48)
