"""What must be equal, bit for bit, between a random network's run and its reference."""

import copy
from contextlib import ExitStack

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from layerdropback import Branch, Truncate
from random_network import BATCH, WIDTH
from random_run import flags_of, nodes_of
from traces import everything_in, everything_on


def same(one, other):
    """Whether tensors are equal to the last bit; what is no number is equal to itself."""
    if one is None or other is None:
        return one is other
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one, other) or torch.equal(*map(_bytes, (one, other)))


def _bytes(tensor):
    return tensor.detach().reshape(-1).view(torch.uint8)


class Comparison:
    """Of `run_of` with its `twin`, which a trial makes."""

    def look(self, place):
        """While the user's code runs: the flags are the user's, and a copy is plain."""
        assert flags_of(self.run_of) == flags_of(self.twin), place
        if self.number == self.way.copied:
            copied = copy.deepcopy(self.run_of.model)
            plain = copy.deepcopy(self.twin.model)
            assert everything_on(copied) == everything_on(plain), place

    def compare_passes(self, mine, theirs, dropped):
        (outputs, inputs, generator), (twins, twin_inputs, twin_generator) = mine, theirs
        for one, other in zip(outputs, twins, strict=True):
            assert same(one, other), "an output or a loss is another"
            assert one.requires_grad == other.requires_grad
            if one.requires_grad and dropped:  # a step that is recorded may have another graph
                kinds, leaves = nodes_of(one)
                assert kinds == nodes_of(other)[0], "the graph is another"
                names = {id(p): name for name, p in self.run_of.model.named_parameters()}
                assert not dropped & {names.get(id(leaf)) for leaf in leaves}
        for one, other in zip(inputs, twin_inputs, strict=True):
            assert same(one, other), "an input's gradient is another"
        assert torch.equal(generator, twin_generator), "torch's generator is elsewhere"
        self.compare_ends(outputs)

    def compare_ends(self, outputs):
        """Every head of a used output trains, unless all behind it is frozen."""
        flags = flags_of(self.run_of) | dict.fromkeys(self.absent, False)
        for place, names in zip(self.network.used, self.behind, strict=True):
            if place != self.network.trunk and any(flags[name] for name in names):
                assert outputs[place].requires_grad, f"output {place} is cut off"

    @property
    def absent(self):
        """The parameters of the late part, while it takes no part."""
        named, late = self.run_of.model.named_parameters(), self.run_of.model.late
        return {name for name, _ in named if name.startswith("late_part.") and not late}

    @property
    def unseen(self):
        """The parameters of the late part, while branches that it is behind may hide it."""
        ldb = self.run_of.ldb
        if ldb is None or not isinstance(self.way.strategy, Branch):
            return set()
        plan = ldb._engine.windows.planner.plan
        if plan is None:  # nothing has been recorded yet
            return set()
        names = {n for i in np.flatnonzero(~plan.reached) for n in ldb.layers[i].parameter_names}
        return {name for name in names if name.startswith("late_part.")}

    def compare_weights(self):
        """After a step."""
        reached = set().union(*self.behind) - self.absent - self.unseen
        run, twin = self.run_of, self.twin
        others = dict(twin.model.named_parameters())
        for name, mine in run.model.named_parameters():
            gradient, theirs = run.gradients[name], others[name]
            assert (gradient is None) == (theirs.grad is None), f"is there a gradient of {name}"
            assert same(gradient, theirs.grad), f"gradient of {name}"
            assert same(mine, theirs), f"value of {name}"
            if name in run.dropped:
                assert gradient is None, name
            elif mine.requires_grad and name in reached:
                assert gradient is not None, f"{name} is kept and has no gradient"
        for mine, theirs in zip(run.model.buffers(), twin.model.buffers(), strict=True):
            assert same(mine, theirs), "a buffer is another"

    def compare_states(self, run, twin):
        """Of the optimizers; what was released may be gone for the step that would come next."""
        names = {id(p): name for name, p in run.model.named_parameters()}
        for mine, theirs in zip(run.optimizers, twin.optimizers, strict=True):
            of_mine, of_theirs = mine.state_dict(), theirs.state_dict()
            held = [p for group in mine.param_groups for p in group["params"]]
            for number, parameter in enumerate(held):
                one, other = (s["state"].get(number, {}) for s in (of_mine, of_theirs))
                if one or not self.releases:
                    text = f"state of {names[id(parameter)]}"
                    torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True, msg=text)
            assert of_mine["param_groups"] == of_theirs["param_groups"]

    def traces(self, run):
        return everything_on(run.model), [everything_in(o)[:3] for o in run.optimizers]

    def compare_traces(self, before):
        """Nothing is left of the controller; the flags may be others by now."""
        run, twin = self.run_of, self.twin
        for optimizer in run.optimizers:
            hooks = optimizer._optimizer_step_pre_hooks
            for key in [key for key, hook in hooks.items() if getattr(hook, "__self__", 0) is run]:
                del hooks[key]
        assert everything_on(run.model) == everything_on(twin.model)
        assert self.traces(run)[1] == before[1]


class Counts:
    """FLOPs of the twin's backward passes, beside what the library says that it saved."""

    def __init__(self, trial):
        way, network, self._trial = trial.way, trial.network, trial
        plain = (way.accumulate, way.calls, way.wants, way.toggles) == (1, 1, 0, 0)
        chosen = isinstance(way.strategy, (Truncate, Branch)) and way.strategy.drops
        self.counts = plain and network.counts and chosen
        self.compared = 0
        self._steps = []  # a counter of each
        self._full = None  # the first step's FLOPs

    def begin(self):
        self._steps = []

    def counting(self):
        if not self.counts:
            return ExitStack()
        counter = FlopCounterMode(display=False)
        self._steps.append(counter)
        return counter

    def compare(self, stats, masks):
        """At an epoch's end: what was dropped, and what it saved."""
        trial = self._trial
        assert stats["step"] == len(trial.run_of.masks)
        counted = [mask for mask in trial.run_of.masks if mask is not None]
        assert stats["drop_steps"] == len(counted)
        times = np.array(counted).sum(0) if counted else np.zeros(len(stats["times_dropped"]))
        assert list(stats["times_dropped"].values()) == times.tolist()
        if self.counts and masks:
            self._compare_saved(stats["backward_saved"])

    def _compare_saved(self, reported):
        """The mean share of the epoch's steps."""
        trial, whole = self._trial, [counter.get_total_flops() for counter in self._steps]
        if self._full is None:
            self._full = whole[0]
        with FlopCounterMode(display=False) as forward, torch.no_grad():
            probe = copy.deepcopy(trial.twin.model)
            probe(torch.randn(BATCH, WIDTH), torch.zeros(BATCH, dtype=torch.long))
        backward = max(1, self._full - forward.get_total_flops())
        saved = np.mean([(self._full - one) / backward for one in whole])
        assert reported is not None
        # What leads to dropped branches alone, and to more than one, is no single branch's.
        more = saved > reported and isinstance(trial.way.strategy, Branch)
        assert more or abs(reported - saved) < 1e-6, f"saved {saved}, reported {reported}"
        self.compared += 1
