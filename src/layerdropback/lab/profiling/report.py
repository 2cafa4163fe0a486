"""A profile as a page, and as text for a terminal: the same sections, in two orders."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ...model.branches import ResidualBranch
from ...strategies.truncate import Truncate
from ..report.drawing import COLOURS, as_svg, legend_above, new_figure, stacked_bars
from ..report.page import Page, today
from ..tables import Columns, counted, mebibytes, percent, short
from .bench import Phases
from .blocks import BlockCost
from .profile import Profile
from .saving import MEMORY_PAIRS, UNTIMED_PAIRS, OfMask, Saving

BRANCHES: Columns[ResidualBranch] = {
    "branch ends in": lambda branch: branch.name,
    "parameter tensors": lambda branch: str(len(branch.parameter_names)),
    "of the backward pass": lambda branch: f"{100 * branch.share:.2f} %",
}
CUTS: Columns[tuple[Saving, OfMask]] = {
    "dropping": lambda cut: cut[0].label,
    "layers below the cut": lambda cut: f"{cut[1].dropped} of {cut[1].layers}",
    "time saved": lambda cut: percent(cut[1].measured),
    "saved tensors": lambda cut: percent(cut[1].memory),
    "n": lambda cut: str(cut[1].n),
}
SAVINGS: Columns[Saving] = {
    "dropping": lambda saving: saving.label,
    "ideal (FLOPs)": lambda saving: percent(saving.ideal),
    "predicted": lambda saving: percent(saving.predicted),
    "measured [quartiles]": lambda saving: (
        f"{percent(saving.measured)} [{100 * saving.low:.1f}, {100 * saving.high:.1f}]"
    ),
    "measured / ideal": lambda saving: (
        f"{saving.measured / saving.ideal:.2f}" if saving.ideal > 0 else ""
    ),
    "saved tensors": lambda saving: percent(saving.memory),
}


def _block_columns(blocks: Sequence[BlockCost]) -> Columns[BlockCost]:
    whole = sum(block.forward + block.backward for block in blocks)
    return {
        "block": lambda block: block.name,
        "forward, ms": lambda block: f"{1e3 * block.forward:.2f}",
        "backward, ms": lambda block: f"{1e3 * block.backward:.2f}",
        "of the step": lambda block: percent((block.forward + block.backward) / whole),
        "GFLOPs": lambda block: short(block.flops / 1e9),
        "saved, MiB": lambda block: mebibytes(block.saved),
        "params": lambda block: f"{block.parameters:,}",
    }


def cuts_of(savings: Sequence[Saving]) -> list[tuple[Saving, OfMask]]:
    """What is in `CUTS`: each depth that the middle one of the truncating settings drew."""
    cuts = [saving for saving in savings if isinstance(saving.strategy, Truncate) and saving.masks]
    chosen = cuts[len(cuts) // 2 : len(cuts) // 2 + 1]
    return [(saving, mask) for saving in chosen for mask in saving.masks]


# ---- sections: each adds to a page what is there of it -------------------------------------------


def _verdict(page: Page, found: Profile) -> None:
    if found.savings:
        page.verdict(sentence(found), gain=found.best() is not None)


def _savings(page: Page, found: Profile) -> None:
    if found.savings:
        page.heading("What dropping saves")
        page.table(SAVINGS, found.savings)
        page.paragraph(_agreement(found.savings))
        caption = "Shares of a full step's time; whiskers are quartiles."
        page.plot(partial(_saving_bars, found.savings), caption)
    for setting, why in found.refused.items():
        page.paragraph(f"{setting} is left out: {why}")


def _by_depth(page: Page, found: Profile) -> None:
    if cuts := cuts_of(found.savings):
        page.heading("By depth")
        page.paragraph("What cuts at single depths save of a full step's time and memory:")
        page.table(CUTS, cuts, folded=f"{len(cuts)} cuts")


def _phases(page: Page, found: Profile) -> None:
    phases = found.phases
    if phases is None:
        return
    columns: Columns[tuple[str, float]] = {
        "phase": lambda phase: phase[0],
        "ms": lambda phase: f"{1e3 * phases.total * phase[1]:.2f}",
        "of the step": lambda phase: percent(phase[1]),
    }
    shares = phases.shares()
    page.heading("Where a step's time goes")
    page.plot(partial(_phase_bar, phases), "Medians; the paper's Figure 1 shows the same.")
    page.table(columns, list(shares.items()), folded=f"{len(shares)} phases")
    page.paragraph(
        f"A full step takes {1e3 * phases.total:.1f} ms, of which the backward pass is "
        f"{percent(phases.backward)} (medians over n = {phases.n} steps)."
    )


def _blocks(page: Page, found: Profile) -> None:
    if not found.blocks:
        return
    page.heading("Block by block")
    page.plot(partial(_block_bars, found.blocks), "Time of each block in a full step.")
    folded = f"{len(found.blocks)} blocks"
    page.table(_block_columns(found.blocks), found.blocks, folded=folded)
    page.paragraph(f"Times are medians over n = {found.blocks[0].n} steps; the rest does not vary.")
    page.heading("Residual branches")
    page.paragraph(branch_line(found.branches))
    if found.branches:
        page.table(BRANCHES, found.branches, folded=counted(len(found.branches), "branch", "es"))


def branch_line(branches: Sequence[ResidualBranch]) -> str:
    """How much of the backward pass lies in residual branches.

    Example:
        >>> branch_line([ResidualBranch("0.mlp", (), 0.25), ResidualBranch("1.mlp", (), 0.5)])
        "2 residual branches, 0.mlp to 1.mlp, hold 75.0 % of the backward pass's FLOPs."
        >>> branch_line([])
        'There is no residual branch.'
    """
    if not branches:
        return "There is no residual branch."
    count = counted(len(branches), "residual branch", "es")
    ends = " to ".join(dict.fromkeys((branches[0].name, branches[-1].name)))
    share = percent(sum(branch.share for branch in branches))
    holds = "holds" if len(branches) == 1 else "hold"
    return f"{count}, {ends}, {holds} {share} of the backward pass's FLOPs."


def _agreement(savings: Sequence[Saving]) -> str:
    """How well the times of drop steps were predicted."""
    worst = max(savings, key=lambda saving: abs(saving.error))
    return (
        "What a drop step saves of a full one; an alternating run has it in every second epoch. "
        f"Full and drop steps took turns, n = {worst.n} pairs each after {UNTIMED_PAIRS} that were "
        f"not timed, the first {MEMORY_PAIRS} of these for the saved tensors. Predicted and "
        "measured times of a drop step differ by at most "
        f"{100 * abs(worst.error):.0f} % ({worst.label})."
    )


def sentence(found: Profile) -> str:
    """What this model would gain, before anyone trains."""
    best = found.best()
    if best is None:
        tried = ", ".join(saving.label for saving in found.savings)
        return (
            f"No gain to be expected: none of the settings tried ({tried}) makes {found.name}'s "
            "drop steps measurably faster here."
        )
    return (
        f"{found.name} would gain most from {best.label}: a drop step saves "
        f"{100 * best.measured:.0f} % of a full step's time, so a run in which every second epoch "
        f"drops takes about {100 * best.of_run:.0f} % less, and {100 * max(0.0, best.memory):.0f} "
        "% less memory for activations in those epochs. What it costs in accuracy, against plain "
        "training of equal time, only training shows: ldb compare."
    )


# ---- figures -------------------------------------------------------------------------------------


def _phase_bar(phases: Phases) -> str:
    parts = {name: [100 * share] for name, share in phases.shares().items()}
    return stacked_bars(["step"], parts, "% of a full step's time", "A full step's time by phase")


def _block_bars(blocks: Sequence[BlockCost]) -> str:
    parts = {
        "forward": [1e3 * block.forward for block in blocks],
        "backward": [1e3 * block.backward for block in blocks],
    }
    return stacked_bars([block.name for block in blocks], parts, "ms", "Time of each block")


def _saving_bars(savings: Sequence[Saving]) -> str:
    figure, (axes,) = new_figure(height=1.2 + 0.5 * len(savings))
    for number, kind in enumerate(("ideal", "predicted", "measured")):
        places = [place + 0.25 * (number - 1) for place in range(len(savings))]
        values = [100 * getattr(saving, kind) for saving in savings]
        spread = None
        if kind == "measured":
            ends = [(100 * saving.low, 100 * saving.high) for saving in savings]
            pairs = list(zip(values, ends, strict=True))
            spread = [[v - low for v, (low, _) in pairs], [high - v for v, (_, high) in pairs]]
        axes.barh(places, values, height=0.23, color=COLOURS[number], label=kind, xerr=spread)
    axes.set_yticks(range(len(savings)), [saving.label for saving in savings])
    axes.invert_yaxis()
    axes.set(xlabel="% of a full step that a drop step saves")
    legend_above(figure, axes)
    return as_svg(figure, "What each setting saves of a drop step")


# ---- the whole -----------------------------------------------------------------------------------


def parts(found: Profile) -> list[str]:
    """The tables and sentences, in the order in which they come to be known."""
    page = Page(found.name)
    for section in (_blocks, _phases, _savings, _by_depth, _verdict):
        section(page, found)
    return page.as_texts()


def as_text(found: Profile) -> str:
    """All of a profile that is there."""
    return "\n\n".join(parts(found))


def write_files(found: Profile, command: str, folder: Path) -> Path:
    """Write ``profile.html``, ``profile.md`` and ``profile.json``; gives the page."""
    page = Page(f"Profile of {found.name}")
    for section in (_verdict, _savings, _by_depth, _phases, _blocks):
        section(page, found)
    page.heading("How to repeat it")
    page.code(command)
    page.values("settings, machine and versions", found.about)
    page.paragraph(f"Made {today()}; {found.parameters:,} parameters.")
    return page.write(folder, "profile", {"command": command, **found.as_dict()})
