"""The pages that readers see, and the code blocks in them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))
PAGES = ["README.md", *DOCS]

FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>.*?) -->\n\n?)?^```(?P<kind>\w+)\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        page: where it stands.
        line: of the page, on which its code begins.
        kind: the language that the fence names.
        code: what is in it.
        reason: why it cannot run as a test; None where it does. On the page it is the comment
            ``<!-- not run: REASON -->`` right above the fence.
    """

    page: str
    line: int
    kind: str
    code: str
    reason: str | None

    def __str__(self):
        return f"{self.page}:{self.line}"


def text_of(page):
    return (ROOT / page).read_text("utf-8")


def fences(page, text=None):
    """All fenced blocks of a page."""
    text = text_of(page) if text is None else text
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start("code")) + 1
        yield Block(page, line, found["kind"], found["code"], found["reason"])


def blocks_of(page):
    """The code of a page's Python blocks that run."""
    return [b.code for b in fences(page) if b.kind == "python" and b.reason is None]


def commands_of(page):
    """The lines of ``ldb`` in a page's blocks, indented or fenced, without the program."""
    text = text_of(page)
    indented = re.findall(r"(?:^ {4}.*\n)+", text, re.MULTILINE)
    fenced = [b.code for b in fences(page) if b.kind in ("bash", "text")]
    for block in indented + fenced:
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r" *(?:ldb|torchrun .* -m layerdropback) ([a-z]+\b.*)", line)
            if found:
                yield found[1]
