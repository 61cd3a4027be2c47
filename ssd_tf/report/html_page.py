"""Writes one self-contained HTML page of tables and pictures, without scripts."""

import base64
import html
import os
from collections.abc import Iterable, Sequence

_MEDIA_TYPES = {'.svg': 'image/svg+xml', '.jpg': 'image/jpeg', '.png': 'image/png'}
_CSS = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --soft: #666; --line: #ddd;
  --link: #1a5fa8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #d6d6d6; --paper: #181818; --soft: #9a9a9a; --line: #3a3a3a;
    --link: #6fb1ea; }
  img[src^="data:image/svg"] { filter: invert(.9) hue-rotate(180deg); }
}
body { margin: 0 auto; padding: 1.5rem; max-width: 72rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; border-bottom: 1px solid var(--line); }
a { color: var(--link); }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .87rem; overflow-wrap: normal; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
  font-variant-numeric: tabular-nums; }
th { vertical-align: bottom; color: var(--soft); font-weight: 600; }
th:first-child, .text { text-align: left; }
tbody th { color: inherit; font-weight: inherit; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr));
  gap: 1.2rem; margin: 1rem 0; }
figure { margin: 1rem 0; }
.plots figure { margin: 0; border: 1px solid var(--line); border-radius: 6px;
  padding: .8rem; }
img { max-width: 100%; height: auto; display: block; }
figcaption { color: var(--soft); font-size: .87rem; margin-top: .4rem; }
figcaption b { color: var(--ink); }
"""


def escape(text: object) -> str:
  """Text from data, as HTML shows it letter by letter, in quotes too."""
  return html.escape(str(text))


def paragraph(text: str) -> str:
  """A paragraph of plain text."""
  return f'<p>{escape(text)}</p>'


def terms(items: Iterable[tuple[str, object]]) -> str:
  """A list of names and what they are, plain text both."""
  rows = ''.join(f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>\n' for name, value in items)
  return f'<dl>\n{rows}</dl>'


def table(
  header: Sequence[object], rows: Iterable[Sequence[object]], text_columns: Sequence[int] = ()
) -> str:
  """A table of plain text.

  Args:
    header: the names of the columns.
    rows: their cells, the first of which names the row.
    text_columns: further columns of words, from 1; those of numbers are aligned at the right.
  """
  marks = [' class="text"' if i in text_columns else '' for i in range(len(header))]
  head = ''.join(
    f'<th scope="col"{mark}>{escape(cell)}</th>' for cell, mark in zip(header, marks, strict=True)
  )
  lines = []
  for first, *others in rows:
    cells = ''.join(
      f'<td{mark}>{escape(cell)}</td>' for cell, mark in zip(others, marks[1:], strict=True)
    )
    lines.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>\n')
  return (
    f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
    f'<tbody>\n{"".join(lines)}</tbody>\n</table></div>'
  )


def picture(path: str, description: str, caption: str) -> str:
  """A picture with all its bytes.

  Args:
    path: .svg, .jpg or .png.
    description: plain text, for those who do not see it.
    caption: HTML; '' for none.
  """
  with open(path, 'rb') as file:
    encoded = base64.b64encode(file.read()).decode('ascii')
  media_type = _MEDIA_TYPES[os.path.splitext(path)[1]]
  return (
    f'<figure>\n<img alt="{escape(description)}" src="data:{media_type};base64,{encoded}">\n'
    f'{f"<figcaption>{caption}</figcaption>" if caption else ""}\n</figure>'
  )


def plots(pictures: Iterable[str]) -> str:
  """Pictures side by side, as far as there is room."""
  figures = '\n'.join(pictures)
  return f'<div class="plots">\n{figures}\n</div>'


def page(title: str, sections: Sequence[tuple[str, str, str]]) -> str:
  """The whole document, HTML5.

  Args:
    title: plain text.
    sections: (id, heading as plain text, HTML) of each, in order; the table of contents names them.
  """
  links = ''.join(
    f'<li><a href="#{key}">{escape(heading)}</a></li>\n' for key, heading, _ in sections
  )
  bodies = ''.join(
    f'<section id="{key}">\n<h2>{escape(heading)}</h2>\n{body}\n</section>\n'
    for key, heading, body in sections
  )
  return (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    f'<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n'
    f'<h1>{escape(title)}</h1>\n<nav aria-label="Contents">\n<ul>\n{links}</ul>\n</nav>\n'
    f'<main>\n{bodies}</main>\n</body>\n</html>\n'
  )
