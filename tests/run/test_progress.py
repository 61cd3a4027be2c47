"""When the short lines of a training are shown, and by what pace."""

import types

import tensorflow as tf

from ssd_tf.evaluation import log_format
from ssd_tf.run import progress


def test_the_first_line_comes_soon_and_leaves_out_the_time_of_compiling(monkeypatch):
  now, shown = [0.0], []
  monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])
  monkeypatch.setattr(log_format, 'show_short', shown.append)
  step = tf.Variable(0, dtype=tf.int64)
  measured = dict.fromkeys(
    ('Loss/localization_loss', 'Loss/classification_loss', 'Loss/regularization_loss'), 0.0
  ) | {'Loss/total_loss': 1.0, 'learning_rate': 0.1, 'steps_per_sec': 0.01}
  trainer = types.SimpleNamespace(global_step=step, measure=lambda: dict(measured))
  shower = progress.Progress(trainer, 100, lambda: 'AP 0.5')

  def steps(count, seconds):
    shower.begin()
    for _ in range(count):
      now[0] += seconds
      step.assign_add(1)
      shower.after_step()

  steps(1, 60.0)  # The first one compiles.
  assert not shown
  steps(4, 2.0)
  # After 6 s: 3 steps; (100 - 4) steps / .5 steps/s = 192 s.
  assert [line.split(' | ')[0] for line in shown] == ['step 4 of 100']
  assert shown[0].endswith(' | 0.50 steps/s | 3:12 left | last AP 0.5')
  now[0] += 1000.0  # An evaluation.
  steps(10, 0.25)
  assert len(shown) == 1  # Further ones come at intervals alone.
  shower.show()
  assert shown[1].startswith('step 15 of 100') and '4.00 steps/s | 0:21 left' in shown[1]
