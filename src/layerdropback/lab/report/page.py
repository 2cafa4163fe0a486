"""A page of results: one HTML page that needs no network, and the same as Markdown."""

import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment
from rich.console import Console

from ...runs.atomic import write_atomically
from ..tables import Columns, T, markdown_table, rows_of


@dataclass
class Page:
    """A page, part by part.

    Attributes:
        title: at its top.
        parts: what ``page.html``, the template, shows; how is said by the ``kind`` of each.
        markdown: the same as Markdown; plots are left out.

    Example:
        >>> page = Page("Two runs")
        >>> page.verdict("no gain", gain=False)
        >>> print(page.as_markdown(), end="")
        # Two runs
        <BLANKLINE>
        > no gain
    """

    title: str
    parts: list[dict[str, Any]] = field(default_factory=list)
    markdown: list[str] = field(default_factory=list)

    def heading(self, text: str) -> None:
        """A section begins."""
        self._add(f"## {text}", kind="heading", text=text)

    def paragraph(self, text: str) -> None:
        """Some sentences."""
        self._add(text, kind="paragraph", text=text)

    def verdict(self, text: str, gain: bool) -> None:
        """A sentence that stands out."""
        self._add(f"> {text}", kind="verdict", text=text, gain=gain)

    def table(self, columns: Columns[T], things: Sequence[T], folded: str = "") -> None:
        """A table; on the page a long one is folded under a line that says what it is."""
        head, rows = list(columns), rows_of(columns, things)
        self._add(markdown_table(head, rows), kind="table", head=head, rows=rows, folded=folded)

    def plot(self, draw: Callable[[], str], caption: str) -> None:
        """A picture, in the HTML alone, for which it is drawn."""
        self.parts.append({"kind": "plot", "draw": draw, "caption": caption})

    def code(self, text: str) -> None:
        """A command."""
        self._add(f"```\n{text}\n```", kind="code", text=text)

    def values(self, title: str, values: object) -> None:
        """Settings and the like, folded on the page."""
        text = json.dumps(values, indent=1)
        self._add(f"{title}:\n\n```json\n{text}\n```", kind="values", title=title, text=text)

    def _add(self, markdown: str, **part: Any) -> None:
        self.parts.append(part)
        self.markdown.append(markdown)

    def as_html(self) -> str:
        """The whole page."""
        text = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
        template = Environment(autoescape=True, trim_blocks=True, keep_trailing_newline=True)
        return template.from_string(text).render(title=self.title, parts=self.parts)

    def as_texts(self) -> list[str]:
        """The parts as Markdown, without headings, plots and quotation marks: a terminal's."""
        return [text.removeprefix("> ") for text in self.markdown if not text.startswith("## ")]

    def as_markdown(self) -> str:
        """The whole text, without the headings of sections that have plots alone."""
        pairs = itertools.zip_longest(self.markdown, self.markdown[1:], fillvalue="## ")
        parts = [
            part
            for part, following in pairs
            if not (part.startswith("## ") and following.startswith("## "))
        ]
        return "\n\n".join([f"# {self.title}", *parts]) + "\n"

    def write(self, folder: Path, name: str, record: Mapping[str, Any] | None = None) -> Path:
        """Write the page, its Markdown, and the record that they are made of as JSON.

        Args:
            folder: for the files; made where it is not there.
            name: of the files, without what comes after the dot.
            record: in plain values; None where it has a file of its own.

        Returns:
            The page.
        """
        texts = {"html": self.as_html(), "md": self.as_markdown()}
        if record is not None:
            texts["json"] = json.dumps(record, indent=1) + "\n"
        folder.mkdir(parents=True, exist_ok=True)
        for kind, text in texts.items():
            write_atomically(folder / f"{name}.{kind}", text)
        return folder / f"{name}.html"


def say(console: Console, text: str, whole: bool = True) -> None:
    """Some lines as they are; unless they are to stay whole, a terminal breaks them at words."""
    console.print(text, markup=False, highlight=False, soft_wrap=whole)


def today() -> str:
    """For a report's foot."""
    return time.strftime("%Y-%m-%d")
