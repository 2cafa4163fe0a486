"""A profile as text: tables, bars and a sentence."""

from collections.abc import Sequence

from ...model.branches import ResidualBranch
from ...strategies.truncate import Truncate
from ..tables import markdown_table
from .blocks import BlockCost
from .phases import Phases
from .profile import Profile
from .saving import MEMORY_PAIRS, UNTIMED_PAIRS, Saving

BLOCKS = ("block", "forward, ms", "backward, ms", "of the step", "GFLOPs", "saved, MiB", "params")
BRANCHES = ("branch ends in", "parameter tensors", "of the backward pass")
CUTS = ("dropping", "layers below the cut", "time spared", "saved tensors", "n")
SAVINGS = (
    "dropping",
    "ideal (FLOPs)",
    "predicted",
    "measured [quartiles]",
    "measured / ideal",
    "saved tensors",
)

_WIDTH = 40  # characters of the longest bar


def as_text(found: Profile) -> str:
    """All of a profile that is there."""
    return "\n\n".join(parts(found))


def parts(found: Profile) -> list[str]:
    """The tables and sentences, in the order in which they come to be known."""
    text = []
    if found.blocks:
        text += [markdown_table(BLOCKS, block_rows(found.blocks)), block_line(found.blocks)]
        text.append(branch_line(found.branches))
    if found.phases is not None:
        text += [phase_bars(found.phases), backward_line(found.phases)]
    if found.savings:
        text += [
            markdown_table(SAVINGS, saving_rows(found.savings)),
            agreement_line(found.savings),
        ]
    text += refused_lines(found)
    cuts = cut_rows(found.savings)
    if cuts:
        text.append(markdown_table(CUTS, cuts))
    if found.savings:
        text.append(sentence(found))
    return text


def cut_rows(savings: Sequence[Saving]) -> list[list[str]]:
    """A row of `CUTS` for each depth that the middle one of the truncating settings drew."""
    cuts = [saving for saving in savings if isinstance(saving.strategy, Truncate) and saving.masks]
    if not cuts:
        return []
    chosen = cuts[len(cuts) // 2]
    return [
        [
            chosen.label,
            f"{mask.dropped} of {mask.layers}",
            f"{100 * mask.measured:.1f} %",
            f"{100 * mask.memory:.1f} %",
            str(mask.n),
        ]
        for mask in chosen.masks
    ]


def refused_lines(found: Profile) -> list[str]:
    """The settings with which this model cannot be trained, and why.

    Example:
        >>> refused_lines(Profile("net", 1, refused={"truncate 0.9": "Too much. Cause: ..."}))
        ['truncate 0.9 is left out: Too much. Cause: ...']
    """
    return [f"{setting} is left out: {why}" for setting, why in found.refused.items()]


def block_rows(blocks: Sequence[BlockCost]) -> list[list[str]]:
    """A row of `BLOCKS` for each block."""
    whole = sum(block.forward + block.backward for block in blocks)
    return [
        [
            block.name,
            f"{1e3 * block.forward:.2f}",
            f"{1e3 * block.backward:.2f}",
            f"{100 * (block.forward + block.backward) / whole:.1f} %",
            f"{block.flops / 1e9:.3g}",
            f"{block.saved / 2**20:.3g}",
            f"{block.parameters:,}",
        ]
        for block in blocks
    ]


def block_line(blocks: Sequence[BlockCost]) -> str:
    """What the table of blocks is of."""
    return f"Times are medians over n = {blocks[0].n} steps; the rest does not vary."


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
    share = 100 * sum(branch.share for branch in branches)
    count = "1 residual branch" if len(branches) == 1 else f"{len(branches)} residual branches"
    ends = " to ".join(dict.fromkeys((branches[0].name, branches[-1].name)))
    holds = "holds" if len(branches) == 1 else "hold"
    return f"{count}, {ends}, {holds} {share:.1f} % of the backward pass's FLOPs."


def branch_rows(branches: Sequence[ResidualBranch]) -> list[list[str]]:
    """A row of `BRANCHES` for each branch."""
    return [
        [branch.name, str(len(branch.parameter_names)), f"{100 * branch.share:.2f} %"]
        for branch in branches
    ]


def phase_bars(phases: Phases) -> str:
    """A bar for each phase of a full step.

    Example:
        >>> print(phase_bars(Phases(forward=0.25, activations=0.25, weights=0.5, optimizer=0, n=9)))
        forward                ########## 25.0 %
        backward, activations  ########## 25.0 %
        backward, weights      #################### 50.0 %
        optimizer               0.0 %
    """
    shares = phases.shares()
    wide = max(map(len, shares))
    return "\n".join(
        f"{name:<{wide}}  {'#' * round(_WIDTH * share)} {100 * share:.1f} %"
        for name, share in shares.items()
    )


def backward_line(phases: Phases) -> str:
    """What the bars come to.

    Example:
        >>> backward_line(Phases(forward=0.02, activations=0.03, weights=0.04, optimizer=0, n=9))
        'A full step takes 90.0 ms, of which the backward pass 77.8 % (medians, n = 9).'
    """
    return (
        f"A full step takes {1e3 * phases.total:.1f} ms, of which the backward pass "
        f"{100 * phases.backward:.1f} % (medians, n = {phases.n})."
    )


def saving_rows(savings: Sequence[Saving]) -> list[list[str]]:
    """A row of `SAVINGS` for each setting: shares of a full step that a drop step spares."""
    return [
        [
            saving.label,
            f"{100 * saving.ideal:.1f} %",
            f"{100 * saving.predicted:.1f} %",
            f"{100 * saving.measured:.1f} % [{100 * saving.low:.1f}, {100 * saving.high:.1f}]",
            f"{saving.measured / saving.ideal:.2f}" if saving.ideal > 0 else "",
            f"{100 * saving.memory:.1f} %",
        ]
        for saving in savings
    ]


def agreement_line(savings: Sequence[Saving]) -> str:
    """How well the times of drop steps were predicted."""
    worst = max(savings, key=lambda saving: abs(saving.error))
    return (
        "What a drop step spares of a full one; an alternating run has it in every second epoch. "
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
        f"{found.name} would gain most from {best.label}: a drop step spares "
        f"{100 * best.measured:.0f} % of a full step's time, so a run in which every second epoch "
        f"drops takes about {100 * best.of_run:.0f} % less, and {100 * max(0.0, best.memory):.0f} "
        "% less memory for activations in those epochs. What it costs in accuracy, against plain "
        "training of equal time, only training tells: ldb compare."
    )
