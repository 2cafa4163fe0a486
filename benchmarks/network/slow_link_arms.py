"""The ways to train that `slow_link` compares, for each of its tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Arm:
    """A way to train.

    Attributes:
        batch: as a multiple of the plan's.
        dropping: settings of LayerDropBack, see `Dropping`; None: without it.
        frozen: the residual blocks are not trained at all.
        fp16: gradients are sent in half precision.
        time_of: the arm whose wall time this one gets.
        shortest: it gets `SHORTER` of the least such time in its precision. Neither: it has the
            plan's epochs.
        tuned_as: the arm whose learning rate it takes, as only what is sent differs.
    """

    name: str
    batch: float = 1
    dropping: dict[str, Any] | None = None
    frozen: bool = False
    fp16: bool = False
    time_of: str | None = None
    shortest: bool = False
    tuned_as: str | None = None

    @property
    def plain(self) -> str:
        """Plain training that sends in the same precision."""
        return "plain-fp16" if self.fp16 else "plain"

    @property
    def alike(self) -> bool:
        """Whether its steps are all of one kind."""
        return self.dropping is None or self.dropping["every"] == 1


def _dropping(name: str, fp16: bool = False, **dropping: Any) -> Arm:
    """Half of the layers are dropped in every epoch, unless something else is said."""
    settings = {"drop_rate": 0.5, "every": 1, "start": 0, "lr_scale": 1, **dropping}
    tuned_as = name.removesuffix("-fp16") if fp16 else None
    return Arm(name, dropping=settings, fp16=fp16, tuned_as=tuned_as)


# The residual blocks alone, each of their layers in one step of five; what comes before them learns
# in every step (`slow_link_run.network`).
_BLOCKS = {"strategy": "uniform", "drop_rate": 0.8, "keep": ("0", "2", "5")}
_BOTH = [
    _dropping("uniform.5", strategy="uniform"),
    _dropping("blocks.8", **_BLOCKS),
    _dropping("blocks.8-fp16", fp16=True, **_BLOCKS),
]
_METHODS = {
    "scratch": [
        *_BOTH,
        # The paper's: every second epoch, with twice the learning rate.
        _dropping("uniform.5-paper", strategy="uniform", every=2, start=1, lr_scale=2),
        _dropping("truncate.5", strategy="truncate", depth="uniform"),
    ],
    "tune": _BOTH,
}
TASKS = tuple(_METHODS)
# What anybody would try first to send less.
NEIGHBOURS = [
    Arm("plain-double-batch", batch=2),
    Arm("plain-frozen-blocks", frozen=True),
    Arm("plain-fp16", fp16=True, tuned_as="plain"),
]
# Plain training's front goes on below the time of the arm that takes least.
SHORTER = 0.8
PER_TURN = 3  # steps of a kind in a row, when steps are timed


@dataclass(frozen=True)
class Arms:
    """All arms of a task.

    Attributes:
        methods: those that drop.
        own: all that train for the plan's epochs, the methods among them.
        given: plain training that is given a time: each method's, and a shorter one.
    """

    methods: Sequence[Arm]
    own: Sequence[Arm]
    given: Sequence[Arm]

    @property
    def every(self) -> list[Arm]:
        """Own lengths first."""
        return [*self.own, *self.given]


def arms_of(task: str) -> Arms:
    """The arms of one of `TASKS`."""
    methods = _METHODS[task]
    own = [Arm("plain"), Arm("plain-half-batch", batch=0.5), *NEIGHBOURS, *methods]
    equal = [Arm(f"{m.plain}@{m.name}", fp16=m.fp16, time_of=m.name) for m in methods]
    shortest = [
        Arm("plain-shortest", shortest=True),
        Arm("plain-fp16-shortest", fp16=True, shortest=True),
    ]
    return Arms(methods, own, [*equal, *shortest])


def told(arm: Arm) -> str:
    """What an arm is, in a line."""
    if arm.shortest:
        text = f"plain training for {SHORTER:g} of the steps of the shortest of these"
    elif arm.time_of is not None:
        text = f"plain training for as many steps as fit into the time of {arm.time_of}"
    elif arm.dropping is None:
        text = "plain training"
        text += f" with batches of {arm.batch:g} times the size" if arm.batch != 1 else ""
        text += " of all but the residual blocks, which stay as they are" if arm.frozen else ""
    else:
        settings = ", ".join(f"{k}={v}" for k, v in arm.dropping.items())
        text = f"LayerDropBack, {settings}, register_comm_hook()"
    text += ", gradients sent in half precision (fp16_compress_hook)" if arm.fp16 else ""
    tuned = f"; learning rate of {arm.tuned_as}" if arm.tuned_as is not None else ""
    return f"- {arm.name}: {text}{tuned}."
