"""Everything that a user chooses, in one place, and whether it fits together; imports no torch."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import explain
from .option import is_count, is_number, option, plain, require, unusable
from .schedule import Schedule
from .strategies import Strategy, Uniform

LRScale = float | Literal["inverse"]


@dataclass(frozen=True)
class Settings:
    """A strategy, a schedule, and the factors of drop steps; see `LayerDropBack` for each."""

    strategy: Strategy = field(default_factory=Uniform)
    schedule: Schedule = field(default_factory=Schedule)
    lr_scale: LRScale = option(1.0, "LR factor in drop epochs, or inverse: 1 / (1 - rate).")
    batch_scale: float = option(1, "Batch factor in drop epochs.")
    seed: int = 0
    verify: bool = option(False, "Check every step; slower.")

    def __post_init__(self) -> None:
        require(self._problems(), "LayerDropBack")
        object.__setattr__(self, "schedule", self.schedule.with_pace(*self.strategy.pace))

    @property
    def ever_drops(self) -> bool:
        """Whether there is any drop epoch at all."""
        return self.strategy.drops

    def is_drop_epoch(self, period: int) -> bool:
        """Whether an epoch, or a period of steps, drops."""
        return self.ever_drops and self.schedule.is_drop_epoch(period)

    def has_drop_batch(self, epoch: int) -> bool:
        """Whether an epoch as a whole drops; where steps are counted none does."""
        return self.schedule.steps is None and self.is_drop_epoch(epoch)

    def lr_factor(self, mean_rate: float) -> float:
        """The learning-rate factor of a drop step, by the mean drop rate of what can drop."""
        return 1 / (1 - mean_rate) if self.lr_scale == "inverse" else self.lr_scale

    def to_state(self) -> dict[str, Any]:
        """Each setting by name, those of strategy and schedule in a level of their own."""
        own = {"strategy": self.strategy.to_state(), "schedule": self.schedule.to_state()}
        return {**plain(vars(self)), **own}

    def _problems(self) -> Iterator[str]:
        kind = type(self.strategy).__name__
        cure = "give Uniform(...), Truncate(...), Branch(...), Control() or the name of one"
        good = isinstance(self.strategy, Strategy)
        yield from unusable(good, "strategy", self.strategy, f"it is a {kind}", cure)
        good, cure = isinstance(self.schedule, Schedule), "give Schedule(every=..., start=...)"
        cause = f"it is a {type(self.schedule).__name__}"
        yield from unusable(good, "schedule", self.schedule, cause, cure)
        lr, batch = self.lr_scale, self.batch_scale
        good = (isinstance(lr, str) and lr == "inverse") or (is_number(lr) and lr > 0)
        cause = "it multiplies the learning rate in drop epochs"
        cure = "give a number above 0, or 'inverse' for 1 / (1 - the drop rate)"
        yield from unusable(good, "lr_scale", lr, cause, cure)
        cause = "it multiplies the batch size in drop epochs"
        good = is_number(batch) and batch > 0
        yield from unusable(good, "batch_scale", batch, cause, "give a number above 0")
        good = is_count(self.seed) and self.seed < 2**64
        cure = "give an integer in [0, 2**64)"
        yield from unusable(good, "seed", self.seed, "it keys the masks", cure)
        good, cause = isinstance(self.verify, bool), "it is asked for, or not"
        yield from unusable(good, "verify", self.verify, cause, "give True or False")
        yield from self._conflicts()

    def _conflicts(self) -> Iterator[str]:
        steps = getattr(self.schedule, "steps", None)
        if steps is not None and self.batch_scale != 1:
            fact = f"steps={steps!r} and batch_scale={self.batch_scale!r} exclude each other"
            cause = "a loader's batch size changes between epochs only"
            yield explain(fact, cause, "give one of them")
        kind, cause = type(self.strategy).__name__, "it has no drop rate"
        inverse = isinstance(self.lr_scale, str) and self.lr_scale == "inverse"
        if inverse and not getattr(self.strategy, "has_rate", True):
            yield explain(f"lr_scale='inverse' is not usable with {kind}()", cause, "give a number")
        ramp = getattr(self.schedule, "ramp", "constant")
        if ramp != "constant" and getattr(self.strategy, "resting", None) is not None:
            fact = f"ramp={ramp!r} is not usable with {kind}()"
            yield explain(fact, f"{cause} that could change", "leave it out")
