"""What a strategy is: it owns its parameters, says what it must know, and draws a mask.

Nothing outside a strategy's own file asks for its name; adding one is adding a file (and a line in
``strategies/__init__.py``, by which strings find it).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..option import UNITS, Unit, names_of, option, plain, require, unknown, unusable

if TYPE_CHECKING:  # the command line reads strategies' fields without numpy and torch
    from ..model.layers import Layer
    from .facts import Facts
    from .odds import Mask, Odds


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """Base of all strategies; without more it drops nothing.

    Attributes:
        unit: what drops as one: ``"layer"`` (a module's own parameters), ``"block"`` (repeated
            blocks) or ``"tensor"`` (the authors' choice); see `find_layers`.
        keep: names of layers or parameters never to drop, wildcards allowed. The last layer of
            each output (the classifier) is always kept, and so is each optimizer's last layer.

    Raises:
        AttachError: a value makes no sense.
    """

    unit: Unit = option("layer", "What drops as one", UNITS)
    keep: tuple[str, ...] = option((), "Layers never to drop, wildcards allowed; repeatable.")

    name: ClassVar[str]
    needs_costs: ClassVar[bool] = False
    needs_branches: ClassVar[bool] = False
    drops_layers: ClassVar[bool] = True
    # `every`, `start` and `steps` of the schedule, where the user names none of them.
    pace: ClassVar[tuple[int, int, int | None]] = (2, 1, None)
    # What a chance of 0 means for a layer that can drop; None where the number says it.
    never: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "keep", names_of(self.keep))
        require(self._problems(), type(self).__name__)

    @property
    def drops(self) -> bool:
        """Whether there are drop epochs at all; where not, training is plain, bit for bit."""
        return True

    @property
    def rate_text(self) -> str:
        """How much is dropped, in a few words."""
        return "nothing dropped"

    @property
    def has_rate(self) -> bool:
        """Whether layers have a drop rate, which can change over a run."""
        return self.drops_layers and self.resting is None

    @property
    def keeps_heads(self) -> bool:
        """Whether the last layer of each output is kept."""
        return True

    @property
    def resting(self) -> str | None:
        """Where optimizer states are of what rests for a whole period, see `Blocks`.

        None where masks are drawn for each step, and nothing rests.
        """
        return None

    @property
    def foresees(self) -> bool:
        """Whether the very first step, which is recorded, is to drop as well.

        So what never trains gets no gradient that is kept and no optimizer state. It must be worth
        it: the step's passes are full.
        """
        return self.resting is not None

    def takes_turns(self, layer: Layer) -> bool:
        """Whether a layer is one of those that take turns, see `Blocks`."""
        return False

    def odds(self, facts: Facts, position: float) -> Odds:
        """What masks are drawn from, as things stand.

        Args:
            facts: what is known of the model.
            position: of the drop rate on its ramp, see `Schedule.position`.
        """
        from .odds import Independent

        return Independent.never(len(facts.layers))

    def check(self, facts: Facts) -> None:
        """Look at the first facts, before any weight moves.

        Raises:
            AttachError: what is asked for can never be had with this model.
        """

    def switches(self, facts: Facts, mask: Mask) -> tuple[str, ...]:
        """The modules whose outputs are detached while a mask is in force, by name."""
        return ()

    def saved(self, facts: Facts, mask: Mask) -> float | None:
        """What a mask saves of the backward pass's FLOPs, as they were counted in a recorded step.

        None where this strategy does not know costs.
        """
        return None

    def to_state(self) -> dict[str, Any]:
        """The name and every field, in values that JSON has."""
        return {"name": self.name, **plain(vars(self))}

    def _problems(self) -> Iterator[str]:
        yield from unknown(UNITS, "unit", self.unit)
        good = isinstance(self.keep, tuple) and all(isinstance(name, str) for name in self.keep)
        cause, cure = "layers are kept by name", "give a list of names or patterns"
        yield from unusable(good, "keep", self.keep, cause, cure)


def ramped(rate: float, position: float, reach: float = 1.0) -> float:
    """The drop rate at a position of its ramp: as widely around the mean `rate` as is even.

    The position goes from 0, the lowest, to 1, the highest; no rate is above `reach`.
    """
    room = min(rate, reach - rate)
    return rate + (2 * position - 1) * room
