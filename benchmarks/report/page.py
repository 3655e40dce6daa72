"""The report as one HTML file: the Markdown, with its plots inside and nothing to load."""

from collections.abc import Sequence

from markdown_it import MarkdownIt

from benchmarks.report.plots import Plot

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Octavia, measured</title>
<style>
:root {{ color-scheme: light dark; --line: light-dark(#ddd, #444); --warn: light-dark(#fff4d6, #4a3a0a) }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
  color: light-dark(#1a1a1a, #e6e6e6); background: light-dark(#fff, #161616) }}
div.table {{ overflow-x: auto }}
table {{ border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; margin: .5rem 0 1.5rem }}
th, td {{ border-bottom: 1px solid var(--line); padding: .25rem .6rem; text-align: left; vertical-align: top }}
td:nth-child(-n+2), th {{ white-space: nowrap }}
blockquote {{ background: var(--warn); margin: 1rem 0; padding: .5rem 1rem; border-radius: 4px }}
pre {{ overflow-x: auto; background: light-dark(#f5f5f5, #222); padding: .75rem }}
svg {{ max-width: 100%; height: auto; display: block }}
h2 {{ border-bottom: 2px solid var(--line); padding-bottom: .25rem; margin-top: 2.5rem }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def page(text: str, pictures: Sequence[Plot], folder: str = "plots") -> str:
    """The Markdown report as a page that needs no other file."""
    body = str(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))
    for picture in pictures:
        image = f'<img src="{folder}/{picture.name}.svg" alt="{picture.title}" />'
        if image not in body:
            raise ValueError(f"the report does not show the plot {picture.name}")
        body = body.replace(image, picture.inline())
    body = body.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")
    return PAGE.format(body=body)
