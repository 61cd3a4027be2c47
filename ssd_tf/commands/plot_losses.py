"""Draws a training's losses, learning rate and mAP as one SVG.

  python tools/plot_losses.py --model_dir=runs/digits --output_path=runs/digits/losses.svg

Reads the TensorBoard event files in train/ and, if there is one, eval/ of the model_dir.
"""

from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_string('model_dir', None, 'Folder of the training, with train/ and eval/.')
flags.DEFINE_string('output_path', None, 'The .svg file to write.')
flags.mark_flags_as_required(['model_dir', 'output_path'])


def main() -> None:
  """Reads the event files and writes the SVG."""
  from ssd_tf.experiments import curves

  curves.plot_losses(FLAGS.model_dir, FLAGS.output_path)
  print(f'wrote {FLAGS.output_path}')
