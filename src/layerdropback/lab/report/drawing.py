"""Figures as SVG that needs nothing else, and reads on a light and on a dark ground."""

import io
import itertools
import re
from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

from ...errors import UsageError, explain

# Wide enough to read on paper; a page scales it down on a phone.
_WIDTH, _HEIGHT = 6.0, 3.4

# Of a legend: characters of a line, and the height in inches that a figure has room for.
_LEGEND, _LEGEND_HEIGHT = 60, 0.6

# Neither light nor dark: each has contrast with both of the page's grounds. What is to have the
# colour of the page's text is drawn in black.
COLOURS = ("#2f7fc1", "#cf5f0c", "#2a9134", "#8f62c4", "#d2474a", "#138a9c", "#c4509a", "#767b82")


def new_figure(columns: int = 1, height: float = _HEIGHT) -> tuple[Any, list[Any]]:
    """An empty figure of a height in inches, and its panels, side by side.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        fact, cause = "the report needs matplotlib", "it is not installed"
        raise UsageError(explain(fact, cause, "pip install 'layerdropback[cli]'")) from None
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def legend_above(figure: Any, axes: Any, columns: int = 3) -> None:
    """The labels of one panel, above all panels, in as many columns as fit; the figure grows."""
    handles, labels = axes.get_legend_handles_labels()
    labels = [shorten(label, _LEGEND, placeholder=" …") for label in labels]
    where: dict[str, Any] = {"loc": "outside upper center", "fontsize": "small", "frameon": False}
    for fewer in range(columns, 0, -1):
        legend = figure.legend(handles, labels, ncols=fewer, **where)
        size = legend.get_window_extent()
        if fewer == 1 or size.width <= figure.bbox.width:
            break
        legend.remove()
    more = size.height / figure.dpi - _LEGEND_HEIGHT
    figure.set_figheight(figure.get_figheight() + max(0.0, more))


def stacked_bars(
    names: Sequence[str],
    parts: Mapping[str, Sequence[float]],
    unit: str,
    title: str,
    limit: tuple[float, str] | None = None,
) -> str:
    """A bar for each name, from the top, of parts one after another, as `as_svg` makes it.

    Args:
        names: of the bars.
        parts: a value for each bar.
        unit: of the values.
        title: for those who cannot see it.
        limit: a line across all bars, and its label.
    """
    many = len(names) > 12
    figure, (axes,) = new_figure(height=min(14.0, 1.2 + (0.16 if many else 0.36) * len(names)))
    left = [0.0] * len(names)
    for (part, values), colour in zip(parts.items(), itertools.cycle(COLOURS), strict=False):
        axes.barh(names, values, left=left, color=colour, label=part)
        left = [start + value for start, value in zip(left, values, strict=True)]
    if limit is not None:
        axes.axvline(limit[0], color="black", linestyle="--", label=limit[1])
    axes.invert_yaxis()
    axes.margins(y=0.01)
    if many:
        axes.tick_params(axis="y", labelsize=6)
    axes.set(xlabel=unit)
    legend_above(figure, axes, columns=4)
    return as_svg(figure, title)


def as_svg(figure: Any, title: str) -> str:
    """A figure's SVG element, without a size and a ground of its own.

    The same figure is the same text. The title is for those who cannot see it.
    """
    import matplotlib

    text, metadata = io.StringIO(), {"Date": None, "Creator": None, "Title": title}
    # Text stays text, and two reports of one run are equal byte for byte.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(text, format="svg", metadata=metadata, transparent=True)
    svg = text.getvalue().replace("#000000", "currentColor")
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg[svg.index("<svg") :], count=2)
    return svg.strip().replace("<svg ", '<svg role="img" ', 1)
