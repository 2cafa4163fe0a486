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


# What a line of a shell begins with; in blocks of text it stands among what programs print.
PROGRAM = re.compile(r"(?:make|ldb|pip|torchrun|python3? -m) \S")


def lines_of(page, text=None):
    """The lines for a shell in a page's blocks, indented or fenced, in order.

    A line that goes on is one, and has no comment.
    """
    language, waiting = None, ""
    for line in (text_of(page) if text is None else text).splitlines():
        if line.startswith("```"):
            language, waiting = (None if language else line[3:]), ""
        elif language in ("bash", "text") or (language is None and line.startswith("    ")):
            waiting += re.sub(r"(?:^|\s+)#\s.*$", "", line).strip()
            if waiting.endswith("\\"):
                waiting = waiting[:-1]
                continue
            if PROGRAM.match(waiting):
                yield re.sub(" +", " ", waiting)
            waiting = ""


def commands_of(page):
    """The lines of ``ldb`` among them, without the program."""
    for line in lines_of(page):
        found = re.match(r"(?:ldb|torchrun .* -m layerdropback) ([a-z]+\b.*)", line)
        if found:
            yield found[1]
