"""Draws a training's losses, learning rate and mAP as one SVG.

  python tools/plot_losses.py --model_dir=runs/digits --output_path=runs/digits/losses.svg

Reads the TensorBoard event files in train/ and, if there is one, eval/ of the model_dir.
"""

from absl import flags

_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'Of the training: holds train/ and eval/.')
_OUTPUT_PATH = flags.DEFINE_string('output_path', None, 'The .svg file to write.')
flags.mark_flags_as_required(['model_dir', 'output_path'])


def main() -> None:
  """Reads the event files and writes the SVG."""
  from ssd_tf.experiments import curves

  curves.plot_losses(_MODEL_DIR.value, _OUTPUT_PATH.value)
  print(f'wrote {_OUTPUT_PATH.value}')
