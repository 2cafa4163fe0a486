"""What the cards show of each way to drop, for `auto` to choose from.

``known.json`` beside this file is made from the cards' own records by ``benchmarks/known.py``.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib import resources
from typing import Any

from torch import nn

from ..training.config import Dropping
from . import sweep
from .record import Record

FILE = "known.json"

# Of LayerDropBack's settings, those that are no part of a way to drop.
APART = frozenset({"unit", "keep", "verify", "period_steps"})

# A model mixes what lies side by side by convolutions if it has so many of them, or by attention.
_CONVOLUTIONS = 3


@dataclass(frozen=True)
class Known:
    """What one card shows of one way to drop.

    Attributes:
        card: its file's name, without the ending.
        start: ``"from scratch"``, or ``"fine-tuning"`` (from weights that were trained before).
        family: ``"convolutional"`` or ``"attention"``; see `family_of`.
        settings: LayerDropBack's, where they are not the trainer's defaults.
        points: of accuracy above plain training of the same time, the mean over seeds.
        n: seeds.
        verdict: of a comparison on test images; ``"screening"`` for a sweep, which shows no gain.
    """

    card: str
    start: str
    family: str
    settings: Mapping[str, Any]
    points: float
    n: int
    verdict: str

    @property
    def way(self) -> str:
        """Its settings as text, the same for the same ones.

        Example:
            >>> Known("", "", "", {"every": 1, "drop_rate": 0.3}, 0.1, 3, "").way
            'drop_rate=0.3,every=1'
        """
        return ",".join(f"{name}={value}" for name, value in sorted(self.settings.items()))


def family_of(model: nn.Module) -> str:
    """By which means a model mixes what lies side by side.

    Patches cut by a convolution are no mixing: the stride of it is its size.

    Example:
        >>> family_of(nn.Sequential(*(nn.Conv2d(8, 8, 3) for _ in range(4))))
        'convolutional'
        >>> family_of(nn.TransformerEncoderLayer(8, 2))
        'attention'
    """
    mixing = [
        module
        for module in model.modules()
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
        and any(
            size > stride for size, stride in zip(module.kernel_size, module.stride, strict=True)
        )
    ]
    return "convolutional" if len(mixing) >= _CONVOLUTIONS else "attention"


def start_of(settings: Mapping[str, Any]) -> str:
    """From which weights a run begins, by its settings.

    Example:
        >>> start_of({"pretrained": True}), start_of({"init": None})
        ('fine-tuning', 'from scratch')
    """
    tuned = settings.get("pretrained") or settings.get("init") is not None
    return "fine-tuning" if tuned else "from scratch"


def from_record(card: str, record: Record, family: str) -> list[Known]:
    """What one card's record shows; late beginnings are left out, and leads in uneven time.

    Points are read off plain training's front where times came out uneven, also where that was no
    part of the plan; the verdict is the planned one.

    Args:
        card: the file's name.
        record: of a comparison or a sweep.
        family: of its model.
    """
    if record.kind == "sweep":
        shown = {
            point.name: (point.over_plain, "screening")
            for point in sweep.points(record)
            if point.over_plain is not None
        }
    else:
        planned = record.verdicts()
        shown = {
            name: (read.against_equal.accuracy, planned[name].kind)
            for name, read in replace(record, by_front=True).verdicts().items()
            if read.against_equal is not None
            and not (read.kind == "withheld" and read.against_equal.accuracy.mean > 0)
        }
    start = start_of(record.arms[0]["settings"])
    settings = {arm["name"]: arm["settings"] for arm in record.arms}
    return [
        Known(card, start, family, ways, round(found.mean, 2), found.n, verdict)
        for name, (found, verdict) in shown.items()
        # What begins in a certain epoch is about runs of that length.
        if (ways := way_of(settings[name])).get("start", 1) <= 1
    ]


def way_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of an arm's settings those that are its way to drop, where they are not the defaults."""
    usual = asdict(Dropping())
    names = [entry.name for entry in fields(Dropping) if entry.name not in APART]
    always = {"strategy", "drop_rate"}
    return {
        name: settings[name]
        for name in names
        if name in settings and (name in always or settings[name] != usual[name])
    }


def load() -> list[Known]:
    """What is known."""
    text = resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8")
    return [Known(**entry) for entry in json.loads(text)]


def as_text(found: Iterable[Known]) -> str:
    """The inverse of `load`."""
    return json.dumps([asdict(entry) for entry in found], indent=1) + "\n"
