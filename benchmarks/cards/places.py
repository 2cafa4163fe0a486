"""Where values are in a drawing, and where labels of points have room."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Of a letter, at 11 pixels of a common font: a little more than most have.
LETTER, HEIGHT = 6.0, 12.0


@dataclass(frozen=True)
class Scale:
    """Where a value is in the drawing.

    Attributes:
        low: the value at one end.
        high: the value at the other.
        start: the place of the first.
        end: the place of the second.
    """

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> "Scale":
        """One on which all values have a place, with a little room beyond them."""
        room = 0.06 * (max(values) - min(values)) or 1.0
        return cls(min(values) - room, max(values) + room, start, end)

    def __call__(self, value: float) -> float:
        """Its place, to a tenth of a pixel."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, most: int = 7) -> list[float]:
        """Round values on it.

        Example:
            >>> Scale(57, 103, 0, 1).ticks()
            [60.0, 70.0, 80.0, 90.0, 100.0]
        """
        steps = (size * 10.0**power for power in range(-3, 4) for size in (1, 2, 5))
        step = next(s for s in steps if (self.high - self.low) / s <= most)
        first, last = int(-(-self.low // step)), int(self.high // step)
        return [round(number * step, 3) for number in range(first, last + 1)]


@dataclass(frozen=True)
class Box:
    """A part of a drawing that is taken.

    Attributes:
        left: its smaller x.
        top: its smaller y.
        right: its larger x.
        bottom: its larger y.
    """

    left: float
    top: float
    right: float
    bottom: float

    def shared(self, other: "Box") -> float:
        """The area that both have.

        Example:
            >>> Box(0, 0, 4, 4).shared(Box(3, 2, 9, 9)), Box(0, 0, 1, 1).shared(Box(2, 0, 3, 1))
            (2, 0)
        """
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0, across) * max(0, down)

    @property
    def area(self) -> float:
        """Of the box."""
        return (self.right - self.left) * (self.bottom - self.top)


def _places(x: float, y: float, width: float) -> Iterator[Box]:
    """Around a point, the best ones first."""
    for far in (8, 20, 34):
        for dx, dy in ((1, 0), (-1, 0), (1, -1), (1, 1), (-1, -1), (-1, 1), (0, -1), (0, 1)):
            left = x + dx * far - (width if dx < 0 else 0 if dx else width / 2)
            middle = y + dy * (far + (4 if dx == 0 else 0))
            yield Box(left, middle - HEIGHT / 2, left + width, middle + HEIGHT / 2)


def placed(
    names: Sequence[str], at: Sequence[tuple[float, float]], taken: Sequence[Box], within: Box
) -> list[Box]:
    """A box for each name, beside its point, where the least is covered.

    Args:
        names: the labels.
        at: their points.
        taken: what they should not cover.
        within: where they must be.

    Example:
        >>> placed(["ab"], [(10, 10)], [], Box(0, 0, 99, 99))
        [Box(left=18, top=4.0, right=30.0, bottom=16.0)]
    """
    found: list[Box] = []
    for name, (x, y) in zip(names, at, strict=True):

        def cost(numbered: tuple[int, Box]) -> float:
            number, box = numbered
            outside = box.area - box.shared(within)
            return 20 * outside + sum(map(box.shared, [*taken, *found])) + 3 * number

        found.append(min(enumerate(_places(x, y, LETTER * len(name))), key=cost)[1])
    return found
