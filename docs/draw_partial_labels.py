"""Draws docs/partial_labels.svg: the targets from an image labeled for RBC only, masked and naive.

python docs/draw_partial_labels.py BCCD.record docs/partial_labels.svg    (a TFRecord of BCCD)
"""

import io
import sys

from matplotlib.patches import Rectangle
from PIL import Image

from ssd_tf import plots
from ssd_tf.data import record_files, tf_example

LABELED = ('RBC',)
COLUMNS = ('back-\nground', 'RBC', 'WBC', 'Platelets')
ANCHORS = ('on a red cell', 'on the white cell', 'on nothing')
# The target of each column of an anchor: positive, negative, or none.
TABLES = {
  'naive: what has no box is background': ['no yes no no', 'no no no no', 'no no no no'],
  'masked: what is not labeled is unknown': ['no yes - -', '- no - -', '- no - -'],
}
COLORS = {'yes': '#4d9221', 'no': '#d6604d', '-': '#f0f0f0'}


def main() -> None:
  """Takes the first image that has all three classes."""
  path, output_path = sys.argv[1:]
  for _, _, record in record_files.read_records([path]):
    annotation = tf_example.parse_example(record)
    if {'RBC', 'WBC', 'Platelets'} <= set(annotation.class_names):
      break
  with plots.new_figure(output_path, (11, 3.2), axes_grid=False, savefig_dpi=110) as figure:
    axes = figure.subplots(1, 3, width_ratios=[1.1, 1, 1])
    draw_image(axes[0], annotation)
    for i, (title, rows) in enumerate(TABLES.items()):
      draw_table(axes[i + 1], title, [row.split() for row in rows], with_names=i == 0)


def draw_image(axes, annotation) -> None:
  """The image, its boxes, and dashed those that it would have."""
  axes.imshow(Image.open(io.BytesIO(annotation.encoded)))
  for box, name in zip(annotation.boxes, annotation.class_names, strict=True):
    ymin, xmin, ymax, xmax = box * ([annotation.height, annotation.width] * 2)
    labeled = name in LABELED
    axes.add_patch(
      Rectangle(
        (xmin, ymin),
        xmax - xmin,
        ymax - ymin,
        fill=False,
        edgecolor='#2166ac' if labeled else '#d6604d',
        linestyle='-' if labeled else (0, (2, 2)),
        linewidth=1.6,
      )
    )
    if not labeled:
      axes.text(xmin, ymin - 6, f'{name}: no box', color='#d6604d')
  axes.set_title('an image labeled for RBC only')
  axes.axis('off')


def draw_table(axes, title, rows, with_names) -> None:
  """The targets of each column of each kind of anchor."""
  for y, row in enumerate(rows):
    for x, answer in enumerate(row):
      axes.add_patch(Rectangle((x + 0.03, y + 0.05), 0.94, 0.9, color=COLORS[answer], linewidth=0))
      dark = answer == '-'
      text = 'not\ntrained' if dark else answer
      axes.text(x + 0.5, y + 0.5, text, ha='center', va='center', color='#777' if dark else 'white')
  axes.set(xlim=(0, 4), ylim=(3, 0), xticks=[0.5, 1.5, 2.5, 3.5], yticks=[0.5, 1.5, 2.5])
  axes.set_xticklabels(COLUMNS)
  axes.set_yticklabels([f'anchor {name}' for name in ANCHORS] if with_names else [])
  axes.tick_params(length=0)
  axes.spines[:].set_visible(False)
  axes.set_title(title)


if __name__ == '__main__':
  main()
