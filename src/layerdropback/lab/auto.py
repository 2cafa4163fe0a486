"""``--strategy auto``: a way to drop to begin with, by what the cards show and what it spares."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from ..errors import AttachError, UsageError, explain
from ..training.config import Dropping, TrainConfig
from ..training.model_args import parse_model_args
from ..training.models import ModelSpec, build_model, choose_stem, native_size
from . import known
from .known import Known
from .profiling.cost import step_costs

# A way that spares less than this of a drop step's FLOPs is none for this model.
LEAST = 0.05

# With so many seeds half of a lead is believed.
FEW = 3

_CLASSES = 10  # of the model that is looked at; the head is small

# What it chooses: all of these are the trainer's defaults where a way says nothing of them.
CHOSEN = {name: value for name, value in asdict(Dropping()).items() if name not in known.APART}


@dataclass(frozen=True)
class Way:
    """One way to drop, with all that the cards show of it.

    Attributes:
        settings: LayerDropBack's.
        points: above plain training of the same time: the mean over the cards, by their seeds.
        n: seeds.
        gain: whether a comparison on test images showed a gain.
        no_gain: whether one showed that there is none.
        cards: their names.
    """

    settings: dict[str, Any]
    points: float
    n: int
    gain: bool
    no_gain: bool
    cards: tuple[str, ...]

    @property
    def expected(self) -> float:
        """Its points, drawn towards none where few seeds speak for them."""
        return self.points * self.n / (self.n + FEW)

    @property
    def loses(self) -> bool:
        """Whether it ended below plain training of the same time, or was shown to gain nothing."""
        return self.points <= 0 or self.no_gain


def ways(entries: Iterable[Known]) -> list[Way]:
    """The ways to drop, the best first: those that gained, then by what is to be expected.

    Example:
        >>> half = {"strategy": "uniform", "drop_rate": 0.5}
        >>> rows = [Known("a", "", "", half, 1.0, 1, "screening")]
        >>> rows += [Known("b", "", "", half, -0.5, 3, "no gain")]
        >>> ways(rows)[0].points, ways(rows)[0].loses, ways(rows)[0].no_gain
        (-0.125, True, True)
    """
    alike: dict[str, list[Known]] = defaultdict(list)
    for entry in entries:
        alike[entry.way].append(entry)
    found = []
    for same in alike.values():
        n = sum(entry.n for entry in same)
        points = sum(entry.points * entry.n for entry in same) / n
        verdicts = {entry.verdict for entry in same}
        no_gain = "no gain" in verdicts
        gain = points > 0 and "better at equal time" in verdicts and not no_gain
        cards = tuple(entry.card for entry in same)
        found.append(Way(dict(same[0].settings), points, n, gain, no_gain, cards))
    return sorted(found, key=lambda way: (not way.gain, -way.expected))


def auto_config(settings: Mapping[str, Any]) -> tuple[TrainConfig, str]:
    """The same from settings by name, whose strategy is ``"auto"``.

    Raises:
        UsageError: see `choose`; or the settings say more of how to drop.
    """
    own = [name for name in settings if name in CHOSEN and name != "strategy"]
    if own:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in own)
        fact, cause = f"{flags} with --strategy auto is not usable", "it chooses that itself"
        raise UsageError(explain(fact, cause, "leave it out, or name a strategy"))
    config = TrainConfig.from_dict({k: v for k, v in settings.items() if k != "strategy"})
    config.check()
    return choose(config)


def choose(config: TrainConfig, entries: Sequence[Known] | None = None) -> tuple[TrainConfig, str]:
    """Choose a way to drop for a model.

    Args:
        config: of the runs; what its `dropping` says beside unit, keep and verify is replaced.
        entries: what is known; by default what the cards show.

    Returns:
        The settings, and a line that says what was chosen and why.

    Raises:
        UsageError: nothing that is known does not lose, or spares anything of this model.
    """
    model, size = _model(config)
    family, start = known.family_of(model), known.start_of(vars(config))
    rows = known.load() if entries is None else entries
    tried = ways(row for row in rows if (row.family, row.start) == (family, start))
    images = torch.zeros(2, 3, size, size)
    refused = []
    for way in tried:
        if way.loses:
            continue
        dropping = replace(config.dropping, **CHOSEN | way.settings)
        try:
            full, drop = step_costs(model, images, **_for_costs(dropping))
        except AttachError as error:
            refused.append(error.problems[0])
            continue
        spared = 1 - drop.total / full.total
        if spared >= LEAST:
            return replace(config, dropping=dropping), _line(way, family, start, spared)
        refused.append(f"{_named(way)} would spare {spared:.1%} of this model's FLOPs")
    fact = f"--strategy auto finds nothing for {config.model}, {start}"
    what = f"{family} models, {start}"
    if refused:
        cause = "; ".join(refused)
    elif tried:
        best = f"the best, {_named(tried[0])}, ended {tried[0].points:+.2f} points from it"
        cause = f"every way that was tried with {what} ended below plain training of the same "
        cause += f"time, or was shown to gain nothing ({best})"
    else:
        cause = f"nothing was measured with {what}"
    cure = "train plainly, or compare a --strategy that you name"
    raise UsageError(explain(fact, cause, cure))


def _for_costs(dropping: Dropping) -> dict[str, Any]:
    names = ("strategy", "drop_rate", "unit", "keep", "depth", "target_saving")
    return {name: getattr(dropping, name) for name in names}


def _model(config: TrainConfig) -> tuple[nn.Module, int]:
    """The model with weights that do not matter, and the side of its images."""
    size = config.image_size or native_size(config.model)
    small = choose_stem(config.model, size, config.stem)
    arguments = parse_model_args(config.model_args)
    with torch.random.fork_rng():
        spec = ModelSpec(config.model, _CLASSES, 3, size, small, arguments)
        model, _ = build_model(spec)
    return model, size


def _line(way: Way, family: str, start: str, spared: float) -> str:
    shown = "shown to gain" if way.gain else "a lead, not shown to gain"
    return (
        f"auto: {_named(way)}, which spares {spared:.0%} of a drop step's FLOPs; with {family} "
        f"models, {start}, it ended {way.points:+.2f} points from plain training of the same time "
        f"(n = {way.n}; {shown}; {', '.join(way.cards)})"
    )


def _named(way: Way) -> str:
    return ",".join(f"{name}={value}" for name, value in way.settings.items())
