"""Blocks that take turns; what rests needs no gradient and no optimizer state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from ..errors import AttachError, explain
from ..option import UNITS, Unit, is_count, names_of, option, unknown, unusable
from .base import Strategy

if TYPE_CHECKING:
    from ..model.layers import Layer
    from .facts import Facts
    from .odds import Mask, Odds

BlockOrder = Literal["random", "cyclic", "fixed"]
RestingState = Literal["offload", "release", "keep"]
ORDERS: tuple[str, ...] = get_args(BlockOrder)
STATES: tuple[str, ...] = get_args(RestingState)
PARTS = ("head", "norm", "embedding")


@dataclass(frozen=True)
class Blocks(Strategy):
    """Train a few blocks for a period of steps, then others; all else rests (issue 17).

    Random turns are LISA (arXiv 2403.17919), cyclic ones BAdam (arXiv 2404.02827), fixed ones a
    frozen prefix. What rests gets no gradient, and its optimizer state leaves the optimizer; the
    backward pass stops below the lowest active block. `Schedule(steps=20)` sets the period.

    Attributes:
        active: how many blocks train at a time.
        order: which: ``"random"`` ones, ``"cyclic"`` from the last one down, or the last ones,
            ``"fixed"``.
        train: what else trains all the time: ``"head"`` (the last layer of each output, and what
            else is used after the last block), ``"norm"`` (vectors that are used after the last
            block, the final norm), ``"embedding"`` (what is used before the first block; backward
            then runs to the bottom). What is not named rests, and so does what lies between blocks.
            Of several outputs, one that is not made with every block keeps its last layer all the
            same: its loss would have nothing to train in some turn.
        state: where the optimizer state of what rests is: ``"offload"``: on the CPU, ``"release"``:
            nowhere, so that a block begins anew, ``"keep"``: where it was. The first equals the
            last bit for bit.
        unit: what takes turns; with ``"layer"`` or ``"tensor"`` all that has a matrix.
        keep: names of layers that train all the time as well, see `Strategy`.

    Raises:
        AttachError: a value makes no sense.

    Example:
        >>> Blocks(active=1, order="cyclic").train
        ('head', 'norm')
        >>> lisa = Blocks(2, train=("embedding", "head", "norm"))
    """

    name: ClassVar[str] = "blocks"
    needs_costs: ClassVar[bool] = True
    pace: ClassVar[tuple[int, int, int | None]] = (1, 0, 20)
    never: ClassVar[str] = "always trains"

    active: int = option(2, "How many blocks train at a time.", flag="active_blocks")
    order: BlockOrder = option("random", "Which blocks train next", ORDERS, flag="block_order")
    train: tuple[str, ...] = option(
        ("head", "norm"), "What else trains, repeatable", PARTS, flag="train_part"
    )
    state: RestingState = option(
        "offload", "Where resting optimizer states are", STATES, flag="resting_state"
    )
    _: KW_ONLY
    unit: Unit = option("block", "What drops as one", UNITS)

    def __post_init__(self) -> None:
        object.__setattr__(self, "train", names_of(self.train))
        super().__post_init__()

    @property
    def rate_text(self) -> str:
        """See `Strategy`."""
        return f"{self.active} active ({self.order})"

    @property
    def keeps_heads(self) -> bool:
        """See `Strategy`."""
        return "head" in self.train

    @property
    def resting(self) -> str | None:
        """See `Strategy`."""
        return self.state

    def odds(self, facts: Facts, position: float) -> Odds:
        """See `Strategy`."""
        from .odds import Turns

        blocks = self._blocks(facts)
        free = [i for i in facts.ascending if facts.free[i]]
        trained = set(blocks).union(*(self._part(facts, part) for part in self.train))
        # Where nothing takes turns as things stand nothing rests: a warning of its own.
        resting = tuple(i for i in free if i not in trained) if blocks else ()
        return Turns(len(facts.layers), blocks, resting, self.active, self.order)

    def check(self, facts: Facts) -> None:
        """See `Strategy`."""
        blocks = self._blocks(facts)
        if len(blocks) > self.active:
            return
        if blocks:
            fact = f"active={self.active} leaves no block to rest: there are {len(blocks)}"
            cause = "a block counts where it trains, is reached by the loss, and is not kept"
            cure = "give fewer active ones, or train without LayerDropBack"
        else:
            fact, cause = "no block can take turns", f"with unit={self.unit!r} none was found"
            cure = "give unit='layer', or another strategy"
        raise AttachError([explain(fact, cause, cure)])

    def switches(self, facts: Facts, mask: Mask) -> tuple[str, ...]:
        """See `Strategy`; a tied embedding's early use is cut off unless it is to train."""
        if not mask.any():
            return ()
        if "embedding" in self.train:
            return tuple(name for name in facts.sources if name not in facts.early)
        return facts.below_cuts

    def saved(self, facts: Facts, mask: Mask) -> float | None:
        """See `Strategy`: what lies below the lowest that trains.

        Weight gradients of blocks that rest above it come on top, and are not counted.
        """
        if facts.shares is None:
            return None
        below = list(takewhile(mask.__getitem__, facts.ascending))
        return facts.shares[facts.layers[below[-1]].name] if below else 0.0

    def _blocks(self, facts: Facts) -> tuple[int, ...]:
        """What takes turns, in the order of use."""
        layers = facts.layers
        return tuple(i for i in facts.ascending if facts.free[i] and self.takes_turns(layers[i]))

    def takes_turns(self, layer: Layer) -> bool:
        """See `Strategy`."""
        return layer.is_block if self.unit == "block" else not layer.is_vectors

    def _part(self, facts: Facts, part: str) -> list[int]:
        """What of the free layers before or after all blocks belongs to a part."""
        layers, order = facts.layers, facts.ascending
        places = [place for place, i in enumerate(order) if self.takes_turns(layers[i])]
        if not places:
            return []
        before, after = order[: places[0]], order[places[-1] + 1 :]
        if part == "embedding":
            return [i for i in before if facts.free[i]]
        wants = part == "norm"
        return [i for i in after if facts.free[i] and layers[i].is_vectors == wants]

    def _problems(self) -> Iterator[str]:
        yield from super()._problems()
        cause, cure = "blocks are counted", "give 1 or more"
        yield from unusable(is_count(self.active, 1), "active", self.active, cause, cure)
        yield from unknown(ORDERS, "order", self.order)
        yield from unknown(STATES, "state", self.state)
        good = isinstance(self.train, tuple) and set(map(str, self.train)) <= set(PARTS)
        cause = f"the parts are {', '.join(PARTS)}"
        cure = "give a list of some of them; keep is for names of layers"
        yield from unusable(good, "train", self.train, cause, cure)
