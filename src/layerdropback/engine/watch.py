"""Looks, in the first steps, whether dropping does what it says, and says so once if it does not.

Whatever is wrong here breaks nothing: the training is right, but nothing is saved. So it is a
warning, with the true cause, within ten steps (DESIGN, promise 12).
"""

import warnings
from collections.abc import Iterable, Sequence, Set

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.optim import Optimizer

from ..errors import explain, name_some
from ..interop.private import version
from ..model.graph import first_uses, graph_roots, made_by
from ..settings import Settings
from .switches import Sources
from .target import Target, is_something
from .window import Seen, Window

# Windows that are looked at after an attachment, so many of them drop windows, and in each later
# epoch: looking takes much of a small network's step, and epochs may be short.
STEPS, AGAIN = 10, 2

# Forward passes of one window between which weights moved; passes that a window may have.
_MOVES, _LONG = 3, 4
# Parameters of which a number is looked at, the last ones.
_LOOKED_AT = 4


class Watch:
    """The first steps' checks."""

    def __init__(self, target: Target, settings: Settings):
        self._target, self._settings = target, settings
        self._weights = _Weights(target)
        self._steps: dict[int, int] = {}  # of each optimizer in this window
        self._sources = Sources(target.called)  # the inside of a compiled model is left alone
        self._ungraded: list[nn.Parameter] = []  # dropped, and without a gradient at first
        self._warned: set[str] = set()
        self._passes = 0  # forward passes of the window
        self._outside: int | None  # steps without an epoch; None once there was one
        self._looks = _Looks()
        self.begin()

    def begin(self, in_epoch: bool = False) -> None:
        """After an attachment or a load, or as an epoch begins."""
        self._looks.begin()
        self._outside = None if in_epoch else 0

    @property
    def is_on(self) -> bool:
        """Whether it looks."""
        return self._looks.left > 0

    # ---- passes ----------------------------------------------------------------------------------

    def before_forward(
        self, window: Window, seen: Seen, arguments: Sequence[Tensor], running: nn.Module
    ) -> None:
        """A forward pass begins, which is a call of this module."""
        self._passes = self._passes + 1 if seen.forward else 1
        if self._looks_at_weights and "unseen" not in self._warned:
            moves = self._weights.moved_unseen(self.is_on)
            # While gradients are accumulated, it may be the loop's own noise or norm.
            if moves > STEPS - 2 or (moves >= _MOVES and not self._target.has_gradients()):
                self._say_unseen(moves)
        if not self.is_on:
            return
        if not seen.forward:
            self._ungraded = [p for p in window.parameters if p.grad is None]
        if self._settings.strategy.needs_costs and window.parameters:
            self._sources.look(arguments, running)

    @property
    def _looks_at_weights(self) -> bool:
        """Also after many passes without a step: an accumulation, or steps of another kind."""
        return self.is_on or self._passes > _LONG

    def end_pass(self) -> None:
        """A pass has ended, or was broken off."""
        self._sources.stop()

    def after_forward(
        self, window: Window, roots: Sequence[Node], arguments: Sequence[Tensor], walked: Set[int]
    ) -> tuple[str, ...]:
        """A forward pass has ended; the modules that must be detached from now on.

        `walked` has the numbers of the output nodes of the window's earlier passes.
        """
        found = self._sources.stop()
        if self._looks_at_weights:
            self._weights.settle(self.is_on)
        if self.is_on and window.parameters and not self._target.sharded:
            dropped = set(map(id, window.parameters))
            leaves = first_uses(roots, made_by(arguments).keys())
            self._check_dropped(self._names(dropped & set(map(id, leaves))))
            earlier = first_uses(graph_roots(arguments), frozenset(), walked)
            self._check_outside(self._names(dropped & set(map(id, earlier))))
            if self._settings.strategy.needs_costs:
                self._check_cut(leaves, {id(tensor) for tensor in arguments})
        return found

    def _check_dropped(self, names: Sequence[str]) -> None:
        if names:
            fact = f"dropping saves nothing: gradients are computed for dropped {name_some(names)}"
            cause = (
                "the forward pass used tensors made of the parameters before it began "
                "(torch.func.functional_call, a cached cast), or a compiled graph ignores flags"
            )
            cure = "make such tensors inside the model's forward; compile block by block"
            self._warn("flags ignored", fact, cause, cure)

    def _check_cut(self, leaves: dict[Tensor, int], arguments: Set[int]) -> None:
        """Below the cut only an argument may require a gradient, which is the user's."""
        parameters = [number for leaf, number in leaves.items() if isinstance(leaf, nn.Parameter)]
        if any(id(leaf) in arguments for leaf in leaves) or not parameters:
            return
        others = ((leaf, n) for leaf, n in leaves.items() if not isinstance(leaf, nn.Parameter))
        below = next((leaf for leaf, number in others if number < min(parameters)), None)
        if below is not None:
            fact = f"backward goes on below the cut, to a tensor of shape {tuple(below.shape)}"
            cause = "the model's code makes a tensor in there that requires a gradient"
            cure = "leave out its requires_grad_(), or make it in a module of its own"
            self._warn("below the cut", fact, cause, cure)

    # ---- steps -----------------------------------------------------------------------------------

    def before_step(self) -> None:
        """An optimizer steps."""
        if not self.is_on:
            return
        # Zeros come where a loop takes gradients by name.
        came = {id(p) for p in self._ungraded if p.grad is not None and is_something(p.grad)}
        self._ungraded = []
        if self._warned.isdisjoint({"flags ignored", "not called"}):
            self._check_outside(self._names(came))

    def _check_outside(self, names: Sequence[str]) -> None:
        if names:
            fact = f"gradients came to dropped {name_some(names)}, and are thrown away"
            cause = (
                "the loss uses these weights outside of the model's call as well (a penalty on "
                "weights, a part deep inside the model that is called by itself)"
            )
            cure = "call the model itself for all of it; a penalty alone does no harm"
            self._warn("outside", fact, cause, cure)

    def after_step(self, optimizer: Optimizer) -> None:
        """An optimizer has stepped."""
        self._weights.mark()
        if self._outside is not None:
            self._outside += 1
            if self._outside == STEPS * len(self._target.optimizers):
                fact = f"{STEPS} steps, and no epoch was begun: nothing is dropped"
                cause = "the loop does not tell LayerDropBack of its epochs"
                cure = "for batch in ldb.epoch(loader, epoch): ..., or ldb.begin_epoch(epoch)"
                self._warn("no epoch", fact, cause, cure)
        self._steps[id(optimizer)] = self._steps.get(id(optimizer), 0) + 1
        waiting = [o for o in self._target.optimizers if id(o) not in self._steps]
        if waiting and max(self._steps.values()) == STEPS:
            kind, kinds = type(optimizer).__name__, _kinds(waiting)
            fact = f"{STEPS} steps of {kind}, and none of {kinds} was seen"
            cause = "a mask holds until every attached optimizer has stepped"
            cure = "attach just the optimizers whose step() the loop calls"
            self._warn("unstepped", fact, cause, cure)

    def end_window(self, window: Window, seen: Seen) -> None:
        """Every optimizer has stepped."""
        self._steps.clear()
        # Without a gradient there was no pass: the loop has left a batch out.
        if window.parameters and not seen.forward and self._target.has_gradients():
            kind = type(self._target.model).__name__
            fact = f"dropping saves nothing: {kind} was not called in a drop step"
            cause = (
                "the loop calls a part deep inside the model, not the model itself, or calls it "
                "through torch.func"
            )
            cure = "call model(...), or attach to the module you call"
            self._warn("not called", fact, cause, cure)
        self._looks.end_window(drops=bool(window.parameters))

    def nothing_to_drop(self, epoch: int | None) -> None:
        """No layer can be dropped in a drop step."""
        fact = f"no layer can be dropped in drop epoch {epoch}, which trains in full"
        cause = (
            "every layer is frozen, named by keep=, an optimizer's last one, used before an "
            "activation whose gradient the model asks for, in no branch, or (for a cut) used after "
            "a layer that is kept"
        )
        self._warn("nothing to drop", fact, cause, "unfreeze or keep less, or choose a finer unit")

    def _say_unseen(self, moves: int) -> None:
        kinds = _kinds(self._target.optimizers)
        fact = f"weights moved {moves} times, and no step of {kinds} was seen: no mask is drawn"
        cause = "the loop steps another optimizer than the attached one"
        cure = "attach the optimizers whose step() the loop calls; detach() first, then attach anew"
        self._warn("unseen", fact, cause, cure)

    def _names(self, ids: Set[int]) -> list[str]:
        return [name for name, p in self._target.named_parameters() if id(p) in ids]

    def _warn(self, kind: str, fact: str, cause: str, cure: str) -> None:
        """Say it once for each kind of problem."""
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(explain(fact, cause, cure), stacklevel=6)


def _kinds(optimizers: Iterable[Optimizer]) -> str:
    return name_some([type(optimizer).__name__ for optimizer in optimizers])


class _Looks:
    """How many windows are still to be looked at: `left`, and drop windows altogether."""

    def __init__(self) -> None:
        self.left = self._drops = STEPS

    def begin(self) -> None:
        self.left = max(AGAIN, self._drops)

    def end_window(self, drops: bool) -> None:
        self.left = max(0, self.left - 1)
        self._drops = max(0, self._drops - drops)


class _Weights:
    """Whether weights move between forward passes without a step that was seen."""

    def __init__(self, target: Target):
        self._target = target
        self._before: tuple[int, list[Tensor]] | None = None
        self._moves = 0

    def mark(self) -> None:
        """A step was seen."""
        self._before, self._moves = None, 0

    def moved_unseen(self, numbers: bool) -> int:
        """Before a forward pass: how often they have moved since the last step that was seen."""
        before = self._before
        self.settle(numbers)
        now = self._before
        if before is not None and now is not None:  # else nothing is asked of the device
            same = len(before[1]) == len(now[1]) and all(map(torch.equal, before[1], now[1]))
            self._moves += before[0] != now[0] or not same
        return self._moves

    def settle(self, numbers: bool) -> None:
        """Remember how they are; after a forward pass, too, which may write to them (``max_norm``).

        `numbers` looks at some of their numbers as well: fused optimizers write without being
        counted. Shards are written to without a step, and are left out.
        """
        if self._target.sharded:
            return
        trained = [p for _, p in self._target.named_parameters() if p.requires_grad and p.numel()]
        dense = [p for p in trained if p.layout == torch.strided and not p.is_meta]
        there = dense[-_LOOKED_AT:] if numbers else []
        some = [p.detach()[(0,) * p.dim()].reshape(1) for p in there]
        # As bytes: what is no number is equal to itself, too.
        numbered = [one.view(torch.uint8).clone() for one in some]
        self._before = sum(map(version, trained)), numbered
