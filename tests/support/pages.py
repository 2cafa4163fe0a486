"""A page of results, read as a browser would: what it holds, and that it fits."""

import re
from html.parser import HTMLParser

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

VOID = {"meta", "br", "img", "hr", "link", "input", "path", "use"}
REM = 16  # pixels
PHONE = 390


class Checked(HTMLParser):
    """Every tag is closed in its order, nothing is loaded from elsewhere, and all tables fit.

    Attributes:
        words: the text, piece by piece.
        tables: of each its rows, the head first.
        parts: the tags of what the page shows, in their order.
    """

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.tables, self.parts = [], [], [], []
        self.feed(text)
        assert self.open == []
        check_style(text.split("<style>")[1].split("</style>")[0])
        for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
            assert "<title>" in svg
            assert 'role="img"' in svg
            # Both would be a colour that one of the page's two grounds has.
            assert not re.search("#000000|#ffffff|: *(?:black|white)", svg)
        most = 66 * REM - 2 * REM - 15  # the narrowest page of normal tables, and its scroll bar
        for table in self.tables:
            assert least_width(table) <= most, table[0]

    def handle_starttag(self, tag, attributes):
        self.begins(tag, dict(attributes))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.begins(tag, dict(attributes))

    def begins(self, tag, attributes):
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#"), (tag, attributes)
        if "svg" in self.open:
            return
        assert not {"width", "height", "style"} & attributes.keys(), tag
        if tag in ("h1", "h2", "p", "table", "figure", "details", "pre"):
            self.parts.append(attributes.get("class", tag).split()[0])
        if tag == "html":
            assert attributes["lang"] == "en"
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.cell_begins(tag, attributes)

    def cell_begins(self, tag, attributes):
        *above, row = self.tables[-1]
        if above:
            assert attributes["data-label"] == above[0][len(row)]
        scope = None if tag == "td" else ("row" if above else "col")
        assert attributes.get("scope") == scope
        assert (tag == "th") == (not above or not row)
        row.append("")

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag
        if tag == "table":
            assert len({len(row) for row in self.tables[-1]}) == 1
            assert len(self.tables[-1]) > 1

    def handle_data(self, data):
        self.words.append(data)
        if self.open and self.open[-1] in ("th", "td"):
            self.tables[-1][-1][-1] += data


def check_style(style):
    """Nothing is wider than a phone whatever it holds, and nothing comes from elsewhere."""
    assert not re.search(r"nowrap|overflow-x|white-space: pre;|@import|url\(", style)
    sizes = re.findall(r"(?<!max-)width: ([\d.]+)(px|rem)", style)
    assert all(float(size) * (REM if unit == "rem" else 1) < PHONE for size, unit in sizes)
    for words in ("color-scheme: light dark", "prefers-color-scheme: dark", "@media print"):
        assert words in style


def least_width(table):
    """The pixels that a table needs where a cell breaks between words; an arm's name anywhere."""
    size, padding, first = 0.85 * REM, 2 * 0.5 * REM, 7 * REM
    widths = []
    for head, *cells in list(zip(*table, strict=True))[1:]:
        words = [(word, "bold") for word in head.split()]
        words += [(word, "normal") for cell in set(cells) for word in cell.split()]
        widths.append(max(width(word, weight, size) for word, weight in words) + padding)
    return first + sum(widths)


def width(word, weight, size):
    """In a font that is wider than most."""
    font = FontProperties(family="DejaVu Sans", weight=weight)
    box = TextPath((0, 0), word.replace("$", "s"), size=size, prop=font).get_extents()
    return box.x1
