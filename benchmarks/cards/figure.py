"""Draw accuracy against time of one sweep or comparison, beside plain training's own curve.

    python -m benchmarks figure

It reads the card that `FIGURE` of `evidence_lists` names, and writes docs/images/accuracy-time.svg.
The drawing is as wide as a phone, and has a ground of its own, for light and dark pages. It is made
by hand, so that no release of a plotting library changes it: a test compares it with the record.
"""

import argparse
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from layerdropback.lab.record import Record
from layerdropback.lab.report.drawing import COLOURS
from layerdropback.lab.sweep import Point, plain_curve, points
from layerdropback.lab.tables import counted

from ..common.card_files import RECORD, beside
from .evidence_lists import FIGURE, TASKS
from .evidence_rows import RESULTS
from .places import Box, Scale, placed

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "images" / "accuracy-time.svg"

WIDTH, HEIGHT = 400, 386
LEFT, RIGHT, TOP, BOTTOM = 38, 392, 96, 348  # of the part in which points lie
STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#212121}.t{font-weight:700}"
    ".m{text-anchor:middle}.e{text-anchor:end}"
)
INK, GROUND, GRID, GAIN, OTHER = "#212121", "#fafafa", "#e0e0e0", COLOURS[1], COLOURS[0]
WORDS = "Accuracy and training time of plain training, of several lengths, and of ways to drop"


def chosen(record: Record) -> tuple[list[Point], list[Point]]:
    """Plain training of several lengths, and the methods; controls are neither."""
    found = points(record)
    methods = [point for point in found if point.over_plain is not None]
    controls = record.names("control")
    return [p for p in found if p.over_plain is None and p.name not in controls], methods


def ends_of(point: Point) -> tuple[float, float]:
    """Of the interval of its distance to plain training's curve, around the point itself."""
    over = point.over_plain
    if over is None or over.n < 2:
        return point.accuracy.mean, point.accuracy.mean
    curve = point.accuracy.mean - over.mean
    return curve + over.low, curve + over.high


def curve(plain: Sequence[Point], x: Scale, y: Scale) -> list[tuple[float, float]]:
    """Plain training's accuracy by time; beyond its shortest and longest run it is level."""
    times = [x.low + (x.high - x.low) * number / 60 for number in range(61)]
    times = sorted({*times, *(100 * point.time for point in plain)})
    values = plain_curve(plain, [time / 100 for time in times])
    return [(x(time), y(value)) for time, value in zip(times, values, strict=True)]


def line(places: Sequence[tuple[float, float]]) -> str:
    """Through all of them."""
    text = " ".join(f"{x:g},{y:g}" for x, y in places)
    return f'<polyline points="{text}" fill="none" stroke="{INK}" stroke-dasharray="5 3"/>'


def mark(x: float, y: float, shown: bool, drops: bool = True) -> str:
    """A method: round where it drops layers, a diamond where it does something else."""
    look = f'fill="{GAIN if shown else GROUND}" stroke="{GAIN if shown else OTHER}" '
    look += 'stroke-width="2"'
    if drops:
        return f'<circle cx="{x:g}" cy="{y:g}" r="4" {look}/>'
    return f'<path d="M{x:g} {y - 5:g}l5 5l-5 5l-5 -5z" {look}/>'


def square(x: float, y: float) -> str:
    """Plain training."""
    return f'<rect x="{x - 4:g}" y="{y - 4:g}" width="8" height="8" fill="{INK}"/>'


def axes(x: Scale, y: Scale) -> Iterator[str]:
    """Lines, their numbers, and what they are."""
    for value in y.ticks():
        yield f'<path d="M{LEFT} {y(value):g}H{RIGHT}" stroke="{GRID}"/>'
        yield f'<text class="e" x="{LEFT - 5}" y="{y(value) + 4:g}">{value:g}</text>'
    for value in x.ticks():
        yield f'<path d="M{x(value):g} {TOP}V{BOTTOM}" stroke="{GRID}"/>'
        yield f'<text class="m" x="{x(value):g}" y="{BOTTOM + 15}">{value:g}</text>'
    middle = (LEFT + RIGHT) / 2
    yield f'<text class="m" x="{middle:g}" y="{HEIGHT - 8}">training time, % of plain\'s</text>'
    yield f'<text x="6" y="{TOP - 6}">accuracy, %</text>'
    bars = "bars: 95 % intervals of the distance to the curve"
    yield f'<text class="e" x="{RIGHT}" y="{TOP - 6}">{bars}</text>'


def legend(task: str, record: Record, methods: Sequence[Point]) -> Iterator[str]:
    """What is compared on what, and what the marks are."""
    data, seeds = record.data, counted(len(record.finished_seeds()), "seed")
    on = f"{data['test']:,} {'held-out' if record.kind == 'sweep' else 'test'} {record.unit}"
    yield f'<text class="t" x="6" y="16">{escape(task)}</text>'
    yield f'<text x="6" y="31">{on}, {seeds}</text>'
    rows = [(square(0, 0), "plain training"), (mark(0, 0, False), "drops layers")]
    rows.append((mark(0, 0, True), "shown to be above the curve"))
    if any(not drops(record, point) for point in methods):
        rows.append((mark(0, 0, False, drops=False), "drops nothing"))
    for number, (drawn, words) in enumerate(rows):
        left, top = 12 + 200 * (number % 2), 47 + 16 * (number // 2)
        yield f'<g transform="translate({left} {top})">{drawn}<text x="9" y="4">{words}</text></g>'


def drops(record: Record, point: Point) -> bool:
    """Whether a method is a way to drop layers."""
    return bool(record.arm(point.name)["settings"].get("strategy"))


def named(
    names: Sequence[str], at: Sequence[tuple[float, float]], boxes: Sequence[Box]
) -> Iterator[str]:
    """The methods' names, each with a line to its point where that is not beside it."""
    for name, (x, y), box in zip(names, at, boxes, strict=True):
        near_x = min(max(x, box.left), box.right)
        near_y = min(max(y, box.top), box.bottom)
        if abs(near_x - x) + abs(near_y - y) > 11:
            place = f"M{x:g} {y:g}L{near_x:.1f} {near_y:.1f}"
            yield f'<path d="{place}" stroke="{INK}" stroke-width=".6" opacity=".6"/>'
        # A font may be narrower than the box: the end at the point is the one that is kept.
        side, start = ('class="e" ', box.right) if box.right <= x else ("", box.left)
        if box.left < x < box.right:
            side, start = 'class="m" ', (box.left + box.right) / 2
        place = f'{side}x="{start:.1f}" y="{box.bottom - 2.5:.1f}"'
        yield f"<text {place}>{escape(name)}</text>"


def picture(task: str, record: Record) -> str:
    """The whole drawing.

    An interval is that of the paired distance to the curve, drawn around the method's mean: where
    it is clear of the curve, it is clear of zero.
    """
    plain, methods = chosen(record)
    ends = [ends_of(point) for point in methods]
    values = [point.accuracy.mean for point in [*plain, *methods]]
    x = Scale.over([100 * point.time for point in [*plain, *methods]], LEFT, RIGHT)
    y = Scale.over([*values, *(end for both in ends for end in both)], BOTTOM, TOP)
    front = curve(plain, x, y)
    parts = [*legend(task, record, methods), *axes(x, y), line(front)]
    at = [(x(100 * point.time), y(point.accuracy.mean)) for point in [*plain, *methods]]
    taken = [Box(left - 6, top - 6, left + 6, top + 6) for left, top in at]
    taken += [Box(left - 2, top - 1, left + 2, top + 1) for left, top in front]
    parts += [square(*place) for place in at[: len(plain)]]
    for point, (low, high), (left, top) in zip(methods, ends, at[len(plain) :], strict=True):
        colour = GAIN if point.shown else OTHER
        parts.append(f'<path d="M{left:g} {y(low):g}V{y(high):g}" stroke="{colour}" opacity=".5"/>')
        parts.append(mark(left, top, point.shown, drops(record, point)))
        taken.append(Box(left - 2, y(high), left + 2, y(low)))
    names, around = [point.name for point in methods], Box(LEFT, TOP, RIGHT, BOTTOM)
    parts += named(names, at[len(plain) :], placed(names, at[len(plain) :], taken, around))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    ground = f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="{GROUND}"/>'
    top = [head, f"<title>{WORDS}</title>", f"<style>{STYLE}</style>", ground]
    return "\n".join([*top, *parts, "</svg>", ""])


def of_card(card: str) -> str:
    """The drawing of a card, under the task that it stands under in the tables."""
    (task,) = [task for task, cards in TASKS.items() if card in cards]
    return picture(task, Record.read(beside(RESULTS / card, RECORD)))


def flags(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(args: argparse.Namespace) -> None:
    """Write the drawing."""
    FILE.write_text(of_card(FIGURE))
    print(f"wrote {FILE.relative_to(ROOT)}")
