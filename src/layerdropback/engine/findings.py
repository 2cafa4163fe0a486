"""What a full step has told of a model, or a saved state: order, costs, branches, signals."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer

from .. import sensitivity, state
from ..allocation import Weights
from ..budget import rate_for
from ..distributed.agreement import agreed, of_first
from ..errors import AttachError, explain
from ..lab.profiling.trial import Call
from ..model.branches import Branch, find_branches
from ..model.graph import output_tensors
from ..model.layers import Layer
from ..model.order import Order, Recorder
from ..model.tied import early_users
from ..sensitivity import Sensitivity
from ..settings import Settings
from ..signals import Signals, worth_shares
from ..strategies.plan import Plan, make_plan
from ..strategies.shares import Shares, depth_shares, single_shares


class Findings:
    """Everything that masks hang on besides the seed and the step's number.

    Args:
        model: what the training loop calls.
        optimizers: of the model.
        layers: of the model.
        settings: the user's.

    Attributes:
        settings: the user's, with the drop rate that meets a budget once it is known.
        order: of the layers; None before the first recorded step.
        shares: by which cuts are drawn; None for strategies that do not cut.
        branches: None for strategies that do not drop any.
        early: where cuts are made, by tied parameter the module that makes its early uses.
        weights: by which the drop rate is spread over layers; None for an even rate, and until
            enough is known.
        signals: of the gradients, for `adaptive`.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        layers: Sequence[Layer],
        settings: Settings,
    ):
        self.settings = settings
        self.order: Order | None = None
        self.shares: Shares | None = None
        self.branches: tuple[Branch, ...] | None = None
        self.early: dict[str, str] | None = None
        self.weights: Weights | None = None
        self.signals: Signals | None = None
        if settings.strategy == "adaptive" and settings.schedule.ever_drops:
            normalised = all("betas" in g for o in optimizers for g in o.param_groups)
            self.signals = Signals(layers, normalised)
        self._model = model
        self._layers = tuple(layers)
        self._cost_shares: Shares | None = None
        self._rate: float | None = None
        self._sensitivity: Sensitivity | None = None
        if settings.allocate == "sensitivity" and settings.schedule.ever_drops:
            self._sensitivity = Sensitivity()

    @property
    def complete(self) -> bool:
        """Whether nothing that the settings ask for is missing."""
        return (
            self.order is not None
            and (self.shares is not None or not self.settings.cuts)
            and (self.branches is not None or not self.settings.needs_branches)
            and (self.weights is not None or self.settings.allocate == "even")
            and (self._rate is not None or self.settings.target_saving is None)
        )

    def look(self) -> None:
        """Before the optimizer's step of a full step that is recorded: what its gradients tell."""
        if self._sensitivity is not None and not self.settings.needs_branches:
            self._sensitivity.add(sensitivity.of_layers(self._layers))

    def learn(self, recorder: Recorder, held: Sequence[AbstractSet[int]], seed: int) -> None:
        """Take in what one full step showed.

        Args:
            recorder: of the step.
            held: for each optimizer, the ``id`` of each of its parameters.
            seed: of the masks.

        Raises:
            AttachError: the strategy cannot be followed with this model.
        """
        recorded = agreed(recorder.finish(), self._model)
        self.order = recorded if self.order is None else self.order.updated(recorded)
        if self.settings.cuts:
            if self.early is None:
                self.early = of_first(self._early(recorder, held), self._model)
            shares = depth_shares(self._layers, self.order, recorder.costs, self.early.keys())
            self._cost_shares = self.shares = of_first(shares, self._model)
        if self.settings.needs_branches and self.branches is None:
            self.branches = of_first(self._branches(recorder), self._model)
        if self.settings.allocate != "even":
            self.weights = of_first(self._weigh(recorder, held), self._model)
        waits = self.settings.allocate != "even" and self.weights is None
        if self.settings.target_saving is not None and not waits:
            rate = rate_for(self.plan(held), recorder.costs, recorder.counter.total, seed)
            self._use_rate(of_first(rate, self._model))

    def weigh(self) -> bool:
        """Let cuts go by what layers are worth now; whether there is anything new in that."""
        if self.signals is None or self._cost_shares is None:
            return False
        names = [layer.name for layer in self._layers]
        shares = worth_shares(self.signals.worth(), self._cost_shares, names)
        self.shares = of_first(shares, self._model)
        return True

    def plan(self, held: Sequence[AbstractSet[int]]) -> Plan:
        """Each layer's part, as things stand; see `make_plan`."""
        assert self.order is not None
        return make_plan(
            self._layers,
            self.order,
            held,
            self.settings,
            self.shares,
            self.branches,
            self.weights,
            self.early,
        )

    def decisive(self) -> dict[str, Any]:
        """That which masks hang on, in plain containers; the same on all ranks of a model."""
        return {
            "order": None if self.order is None else self.order.to_state(),
            "shares": None if self.shares is None else dict(self.shares),
            "cost_shares": None if self._cost_shares is None else dict(self._cost_shares),
            "branches": state.of_branches(self.branches),
            "early": None if self.early is None else dict(self.early),
            "drop_rate": self._rate,
            "weights": None if self.weights is None else self.weights.to_state(),
        }

    def to_state(self) -> dict[str, Any]:
        """Plain containers and tensors, for a checkpoint."""
        return self.decisive() | {
            "sensitivity": None if self._sensitivity is None else self._sensitivity.to_state(),
            "signals": None if self.signals is None else self.signals.to_state(),
        }

    def restart(self, saved: Mapping[str, Any]) -> None:
        """The inverse of `to_state`; what another strategy left behind is none of this one's."""
        self.order = None if saved["order"] is None else Order.from_state(saved["order"])
        self.shares = saved["shares"] if self.settings.cuts else None
        self._cost_shares = saved["cost_shares"] if self.settings.cuts else None
        self.early = saved["early"] if self.settings.cuts else None
        self.branches = None
        if saved["branches"] is not None and self.settings.needs_branches:
            self.branches = tuple(
                Branch(name, tuple(names), share) for name, names, share in saved["branches"]
            )
        if saved["drop_rate"] is not None and self.settings.target_saving is not None:
            self._use_rate(saved["drop_rate"])
        self.weights = None
        if saved["weights"] is not None and self.settings.allocate != "even":
            self.weights = Weights.from_state(saved["weights"])
        if saved["sensitivity"] is not None and self._sensitivity is not None:
            self._sensitivity.restart(saved["sensitivity"])
        if saved["signals"] is not None and self.signals is not None:
            self.signals.restart(saved["signals"])

    def _early(self, recorder: Recorder, held: Sequence[AbstractSet[int]]) -> dict[str, str]:
        """Of what is always kept, the uses that cuts drop all the same."""
        assert self.order is not None
        kept = np.flatnonzero(~self.plan(held).free()).tolist()
        names = {name for i in kept for name in self._layers[i].parameter_names}
        names = {
            name
            for name in names & self.order.first.keys()
            if self.order.first[name] < self.order.last[name]
        }
        used = recorder.used_call()
        return {} if used is None else early_users(self._model, used[0], names)

    @property
    def cut_off(self) -> tuple[str, ...]:
        """The modules whose outputs masks cut off, of branches and of early uses."""
        names = [branch.name for branch in self.branches or ()]
        return tuple(dict.fromkeys([*names, *(self.early or {}).values()]))

    def _weigh(self, recorder: Recorder, held: Sequence[AbstractSet[int]]) -> Weights | None:
        """What to spread the rate by; None while more batches are needed."""
        groups = self.plan(held).groups
        seen = self._sensitivity
        if seen is not None and groups and not seen.complete:
            modules = {self._layers[group.layers[0]].name: group.modules for group in groups}
            seen.add(sensitivity.of_branches(self._model, self._used_call(recorder), modules))
        if seen is not None and not seen.complete:
            return None
        costs: Shares = {self._layers[group.layers[0]].name: group.share for group in groups}
        if not groups:
            costs = single_shares(self._layers, recorder.costs)
        if self.weights is not None:
            return self.weights.updated(costs)
        return Weights(costs, None if seen is None else seen.mean())

    def _used_call(self, recorder: Recorder) -> tuple[Call, Mapping[int, Tensor]]:
        used = recorder.used_call()
        if used is None:
            kind = type(self._model).__name__
            fact = f"strategy='branch' cannot see how the loss comes from {kind}"
            cause = "no gradient came through what the model's call returned"
            raise AttachError([explain(fact, cause, "attach to the module that the loop calls")])
        return used

    def _branches(self, recorder: Recorder) -> tuple[Branch, ...]:
        arguments, places = self._used_call(recorder)

        def reached(outputs: object) -> Any:
            tensors = output_tensors(outputs)
            return [tensors[place] for place in sorted(places)]

        return find_branches(self._model, arguments, reached)

    def _use_rate(self, rate: float) -> None:
        self._rate = rate
        schedule = replace(self.settings.schedule, drop_rate=rate)
        self.settings = replace(self.settings, schedule=schedule)
