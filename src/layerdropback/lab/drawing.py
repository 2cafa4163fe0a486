"""Figures as SVG that needs nothing else."""

import io
from typing import Any

from ..errors import UsageError, explain

# Wide enough to read on paper; a page scales it down on a phone.
_WIDTH, _HEIGHT = 7.0, 3.6


def new_figure(columns: int = 1, height: float = _HEIGHT) -> tuple[Any, list[Any]]:
    """An empty figure and its panels.

    Args:
        columns: panels side by side.
        height: in inches.

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
    """The labels of one panel, above all panels."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=columns, fontsize="small", frameon=False
    )


def as_svg(figure: Any, title: str) -> str:
    """A figure's SVG element; the same figure is the same text.

    Args:
        figure: of `new_figure`.
        title: for those who cannot see it.
    """
    import matplotlib

    text = io.StringIO()
    # Text stays text, and two reports of one run are equal byte for byte.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    svg = text.getvalue()
    return svg[svg.index("<svg") :].strip()
