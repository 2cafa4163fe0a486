"""A model and its compiled copy, with the same masks, in turns."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from layerdropback import LayerDropBack, Schedule
from layerdropback.lab.calling import call
from layerdropback.lab.profiling.bench import Bench
from layerdropback.lab.profiling.trying import tried

MASKS = 5  # spread evenly over what can be drawn, and used in turns


class Twins:
    """An eager model and its compiled copy, each with a batch, an optimizer and a LayerDropBack."""

    def __init__(self, benches: Sequence[Bench], strategy: str, rate: float):
        self.benches = benches
        (made,) = tried([strategy], [rate], unit="block", pool=MASKS)
        every_second = Schedule(every=2, start=1, steps=1)  # one epoch: each is looked at anew
        self.ldbs = [LayerDropBack(b.model, b.optimizer, made, every_second) for b in benches]
        for ldb in self.ldbs:
            ldb.begin_epoch(0)

    def detach(self) -> None:
        """Let both go on in full."""
        for ldb in self.ldbs:
            ldb.detach()

    def compare(self) -> tuple[list[str], tuple[float, str]]:
        """The tensors that only one model has a gradient of; the largest difference, and where."""
        for bench in self.benches:
            with bench.autocast():
                loss = bench.loss(call(bench.model, bench.batch))
            loss.backward()
        found = self._differences()
        for bench in self.benches:
            bench.optimizer.step()
            bench.optimizer.zero_grad()
        return found

    def _differences(self) -> tuple[list[str], tuple[float, str]]:
        ldb, other = self.ldbs
        mask = np.zeros(len(ldb.layers), bool) if ldb.mask is None else ldb.mask
        assert np.array_equal(mask, np.zeros_like(mask) if other.mask is None else other.mask)
        dropped = {n for i in np.flatnonzero(mask) for n in ldb.layers[i].parameter_names}
        eager, compiled = (dict(bench.model.named_parameters()) for bench in self.benches)
        wrong, worst = [], (0.0, "")
        for name, parameter in eager.items():
            mine, theirs = compiled[name].grad, parameter.grad
            if not (mine is None) == (theirs is None) == (name in dropped):
                wrong.append(name)
            elif mine is not None and theirs is not None:
                worst = max(worst, (relative(mine, theirs), name))
        return wrong, worst

    def time(self, number: int) -> dict[str, Any]:
        """Seconds of a full and a drop step of each; who begins changes from pair to pair."""
        seconds: dict[str, Any] = {}
        both = [*zip(("eager", "compiled"), self.benches, self.ldbs, strict=True)]
        for mode in ("full", "drop"):
            for name, bench, ldb in both if number % 2 else reversed(both):
                if mode == "drop":
                    assert ldb.mask is not None
                    seconds["mask"] = "".join(map(str, ldb.mask.astype(int)))
                seconds[f"{name} {mode}"] = bench.step().total
        return seconds


def relative(mine: Tensor, theirs: Tensor) -> float:
    """The norm of the difference, as a share of the norm."""
    difference, norm = float((mine - theirs).float().norm()), float(theirs.float().norm())
    if difference == 0:
        return 0.0
    return difference / norm if norm else math.inf
