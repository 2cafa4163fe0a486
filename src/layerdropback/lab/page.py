"""A page of results: one HTML page that needs no network, and the same as Markdown."""

import html
import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff;
  max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.2; }
h2 { font-size: 1.2rem; margin-top: 2rem; border-bottom: 1px solid #ccc; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #ddd; padding: 0.3rem 0.6rem; text-align: left;
  vertical-align: top; }
th { border-bottom: 2px solid #888; }
td + td { white-space: nowrap; }
figure { margin: 1rem 0; break-inside: avoid; }
figure svg { width: 100%; height: auto; }
figcaption { font-size: 0.85rem; color: #555; }
.verdict { border-left: 4px solid #888; padding: 0.2rem 0.8rem; margin: 0.6rem 0;
  background: #f6f6f6; }
.verdict.gain { border-color: #2a7d2a; }
pre { overflow-x: auto; background: #f6f6f6; padding: 0.6rem; font-size: 0.8rem; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; }
  .wide { overflow: visible; } table { font-size: 7pt; } td + td { white-space: normal; }
  pre { white-space: pre-wrap; } details > * { display: block; } }
"""


@dataclass
class Page:
    """A page, part by part.

    Attributes:
        title: at its top.
        html: its parts so far, as HTML.
        markdown: the same as Markdown; plots are left out.
    """

    title: str
    html: list[str] = field(default_factory=list)
    markdown: list[str] = field(default_factory=list)

    def heading(self, text: str) -> None:
        """A section begins."""
        self.html.append(f"<h2>{html.escape(text)}</h2>")
        self.markdown.append(f"## {text}")

    def paragraph(self, text: str) -> None:
        """Some sentences."""
        self.html.append(f"<p>{html.escape(text)}</p>")
        self.markdown.append(text)

    def verdict(self, text: str, gain: bool) -> None:
        """A sentence that stands out."""
        kind = "verdict gain" if gain else "verdict"
        self.html.append(f'<p class="{kind}">{html.escape(text)}</p>')
        self.markdown.append(f"> {text}")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], markdown: str) -> None:
        """A table, and what it is in Markdown."""
        line = "<tr>{}</tr>"
        top = line.format("".join(f"<th>{html.escape(cell)}</th>" for cell in head))
        body = "".join(
            line.format("".join(f"<td>{html.escape(cell)}</td>" for cell in row)) for row in rows
        )
        table = f"<table><thead>{top}</thead><tbody>{body}</tbody></table>"
        self.html.append(f'<div class="wide">{table}</div>')
        self.markdown.append(markdown)

    def plot(self, svg: str, caption: str) -> None:
        """A picture, in the HTML alone."""
        caption = html.escape(caption)
        self.html.append(f"<figure>{svg}<figcaption>{caption}</figcaption></figure>")

    def code(self, text: str) -> None:
        """A command, or settings."""
        self.html.append(f"<pre>{html.escape(text)}</pre>")
        self.markdown.append(f"```\n{text}\n```")

    def folded(self, title: str, values: object) -> None:
        """Settings and the like, to be opened."""
        text = json.dumps(values, indent=1)
        summary = html.escape(title)
        self.html.append(
            f"<details><summary>{summary}</summary><pre>{html.escape(text)}</pre></details>"
        )
        self.markdown.append(f"{title}:\n\n```json\n{text}\n```")

    def as_html(self) -> str:
        """The whole page."""
        title, body = html.escape(self.title), "\n".join(self.html)
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
            f"<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
        )

    def as_markdown(self) -> str:
        """The whole text, without the headings of sections that have plots alone."""
        pairs = itertools.zip_longest(self.markdown, self.markdown[1:], fillvalue="## ")
        parts = [
            part
            for part, following in pairs
            if not (part.startswith("## ") and following.startswith("## "))
        ]
        return "\n\n".join([f"# {self.title}", *parts]) + "\n"


def today() -> str:
    """For a report's head."""
    return time.strftime("%Y-%m-%d")
