"""Draw the picture of a full and a drop step: ``python -m website.picture``.

It is as wide as a phone, so that its words can be read on one; wider screens show it larger.
"""

from collections.abc import Iterator
from pathlib import Path

FILE = Path(__file__).parents[1] / "docs" / "images" / "steps.svg"

LAYERS, WIDTH, BOX, GAP, LEFT = 5, 400, 46, 20, 18
STEPS = (
    ("A full step", "every layer gets its gradient", set(), 0),
    ("A drop step, Uniform", "layers 2 and 4 get none; backward runs through them", {1, 3}, 0),
    ("A drop step, Truncate", "layers 1 to 3 get none; backward stops at the cut", {0, 1, 2}, 3),
)
FORWARD, BACKWARD, WEIGHTS, QUIET = "#3949ab", "#c75300", "#00796b", "#9e9e9e"
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#212121}.t{font-weight:700;font-size:14px}"
    ".m{text-anchor:middle}.w{fill:#fff}"
)


def left_of(layer: int) -> int:
    """Where a layer's box begins."""
    return LEFT + layer * (BOX + GAP)


def arrow(x: float, y: float, to_x: float, to_y: float, colour: str) -> str:
    """A line with a head at its end."""
    dx, dy = (to_x > x) - (to_x < x), (to_y > y) - (to_y < y)
    one = (to_x - 5 * dx + 4 * dy, to_y - 5 * dy + 4 * dx)
    two = (to_x - 5 * dx - 4 * dy, to_y - 5 * dy - 4 * dx)
    head = f"{to_x},{to_y} {one[0]},{one[1]} {two[0]},{two[1]}"
    line = (
        f'<path d="M{x} {y}L{to_x - 4 * dx} {to_y - 4 * dy}" stroke="{colour}" stroke-width="2"/>'
    )
    return f'{line}<polygon points="{head}" fill="{colour}"/>'


def step(top: int, title: str, words: str, dropped: set[int], cut: int) -> Iterator[str]:
    """One row of layers, and what is computed for them."""
    yield f'<text class="t" x="{LEFT}" y="{top}">{title}</text>'
    yield f'<text x="{LEFT}" y="{top + 17}">{words}</text>'
    y = top + 30
    for layer in range(LAYERS):
        x, gone = left_of(layer), layer in dropped
        look = f'fill="#fff" stroke="{QUIET}" stroke-dasharray="4 3"' if gone else 'fill="#455a64"'
        yield f'<rect x="{x}" y="{y}" width="{BOX}" height="42" rx="6" {look}/>'
        kind = "m" if gone else "m w"
        yield f'<text class="{kind}" x="{x + BOX / 2}" y="{y + 25}">{layer + 1}</text>'
        yield arrow(x + BOX + 1, y + 12, x + BOX + GAP - 1, y + 12, FORWARD)
        if layer > cut:
            yield arrow(x - 1, y + 31, x - GAP + 1, y + 31, BACKWARD)
        if not gone:
            yield arrow(x + BOX / 2, y + 43, x + BOX / 2, y + 62, WEIGHTS)
    end = left_of(LAYERS)
    yield arrow(end - 1, y + 31, end - GAP + 1, y + 31, BACKWARD)
    yield f'<text x="{end + 2}" y="{y + 25}">loss</text>'
    if cut:
        x = left_of(cut) - GAP / 2
        yield f'<path d="M{x} {y + 20}V{y + 62}" stroke="{BACKWARD}" stroke-dasharray="3 3"/>'


def legend(top: int) -> Iterator[str]:
    """What the arrows are."""
    rows = (
        (FORWARD, "forward pass: always whole"),
        (BACKWARD, "gradients of activations"),
        (WEIGHTS, "gradients of weights, and the optimizer's step"),
    )
    for number, (colour, words) in enumerate(rows):
        y = top + 20 * number
        yield f'<path d="M{LEFT} {y - 4}h22" stroke="{colour}" stroke-width="3"/>'
        yield f'<text x="{LEFT + 30}" y="{y}">{words}</text>'


def picture() -> str:
    """The whole drawing, on a ground of its own that suits light and dark pages."""
    parts = [part for row, one in enumerate(STEPS) for part in step(26 + 118 * row, *one)]
    end = 26 + 118 * len(STEPS)
    parts += legend(end)
    height = end + 54
    words = "A full step computes all gradients; a drop step leaves some layers' out."
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
    ground = f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#fafafa"/>'
    body = "\n".join(parts)
    return f"{head}\n<title>{words}</title>\n<style>{STYLE}</style>\n{ground}\n{body}\n</svg>\n"


if __name__ == "__main__":
    FILE.write_text(picture())
