"""What ``ldb profile`` is to try, looked at before anything heavy is imported."""

from dataclasses import dataclass

from ..lab.profiling.trying import PROFILED, RATES, tried
from ..runs.reasons import require
from ..strategies.base import Strategy
from ..training.config import TrainConfig


@dataclass(frozen=True)
class Plan:
    """What is to be tried.

    Attributes:
        rates: drop rates.
        strategies: ways to drop; empty: all that there are.
        pairs: of steps, for each of them.
        classes: outputs of the model.
    """

    rates: tuple[float, ...] = RATES
    strategies: tuple[str, ...] = ()
    pairs: int = 15
    classes: int = 1000

    def check(self) -> None:
        """Look at every value.

        Raises:
            UsageError: one makes no sense.

        Example:
            >>> Plan(pairs=1).check()
            Traceback (most recent call last):
            ...
            layerdropback.errors.UsageError: --pairs 1 is not usable. Cause: \
a whole number from 3 to 10000 is needed. Cure: give one.
        """
        for rate in self.rates:
            require(0 < rate < 1, f"--rates {rate:g}", "drop rates in (0, 1) are needed")
        for name in self.strategies:
            known = f"it is one of {', '.join(PROFILED)}"
            require(name in PROFILED, f"--strategies {name}", known)
        for flag, values in (("rates", self.rates), ("strategies", self.strategies)):
            shown = f"--{flag} {','.join(map(str, values))}"
            require(len(set(values)) == len(values), shown, "one comes twice")
        good = 3 <= self.pairs <= 10_000
        require(good, f"--pairs {self.pairs}", "a whole number from 3 to 10000 is needed")
        good = 2 <= self.classes <= 1_000_000
        require(good, f"--classes {self.classes}", "a whole number from 2 on is needed")

    def tried(self, config: TrainConfig) -> list[Strategy]:
        """Every strategy with every rate."""
        chosen = config.drop_settings().strategy
        names = self.strategies or PROFILED
        return tried(names, self.rates, unit=chosen.unit, keep=chosen.keep)
