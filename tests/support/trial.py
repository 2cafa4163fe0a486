"""One random network, trained in a random way beside its reference: all promises at each step."""

import gc
import json
import random
import re
import traceback
import warnings
from dataclasses import dataclass

import numpy as np
import torch

from comparison import Comparison, Counts, same
from layerdropback import AttachError
from random_network import Network, random_network
from random_run import Run, Twin, behind_outputs, flags_of
from random_way import Way, random_way

# What the library may refuse, by the words of its error; it must do so before a weight has moved.
REFUSALS = (
    "cuts cannot be weighed in this model",
    "has no residual branch",
    "no branch can be dropped",
    "cannot be reached: cuts skip at most",
    "no layer can be dropped",
    "leaves no block to rest",
    "no block can take turns",
    "matches nothing",
)
# And what it may warn of.
WARNINGS = ("no layer can be dropped in drop epoch",)


@dataclass(frozen=True)
class Outcome:
    """What came of a trial.

    Attributes:
        failure: a traceback, or None.
        refused: the words of the library's error, or None.
        steps: optimizer steps; `dropping` of them dropped a layer.
        resumed: whether it was saved and gone on with.
        weighed: whether the saving that was reported was compared with FLOPs that were counted.
        warned: the words of the library's warning, or None.
    """

    failure: str | None = None
    refused: str | None = None
    steps: int = 0
    dropping: int = 0
    resumed: bool = False
    weighed: bool = False
    warned: str | None = None


def described(seed):
    """The network as code, and the way."""
    network = random_network(seed)
    way = random_way(seed, network)
    lines = [f"    {name}={value!r}" for name, value in vars(way).items()]
    what = f"used={network.used} trunk={network.trunk} kinds={sorted(network.kinds)}"
    return "\n".join([f"# seed {seed}", network.code, f"# {what}", "Way(", *lines, ")"])


def attempt(seed):
    """The outcome of a seed's trial."""
    network = random_network(seed)
    trial = Trial(seed, network, random_way(seed, network))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            failure = trial.run()
        except Exception:
            failure = traceback.format_exc()
    texts = [str(one.message) for one in heard]
    strange = [text for text in texts if _known(text, WARNINGS) is None]
    if failure is None and strange:
        failure = f"it warned: {strange[0]}"
    return trial.outcome(failure, next((_known(text, WARNINGS) for text in texts), None))


def _known(text, phrases):
    return next((phrase for phrase in phrases if phrase in text), None)


class Trial(Comparison):
    """A run beside its reference."""

    def __init__(self, seed: int, network: Network, way: Way):
        self.seed, self.network, self.way = seed, network, way
        made = []
        for _ in range(2):  # a copy would not have weights that share their memory
            torch.manual_seed(seed)
            made.append(network.make())
        self.run_of, self.twin = Run(network, way, seed, made[0]), Twin(network, way, seed, made[1])
        self.behind = behind_outputs(network, made[0])
        self.counts = Counts(self)
        self.saved = None
        self.refused = None
        self.number = 0

    @property
    def releases(self):
        return self.way.strategy.resting == "release"

    def outcome(self, failure, warned):
        masks = self.run_of.masks
        dropping = sum(mask is not None and any(mask) for mask in masks)
        resumed = self.saved is not None and failure is None
        weighed = self.counts.compared > 0
        return Outcome(failure, self.refused, len(masks), dropping, resumed, weighed, warned)

    def run(self):
        run = self.run_of
        generators = random.getstate(), np.random.get_state()[1].tolist()
        before = self.traces(run)
        try:
            run.attach()
        except AttachError as error:
            return self.refuse(error, before)
        run.looks.append(self.look)
        for epoch in range(self.way.epochs):
            batches = range(epoch * self.way.batches, (epoch + 1) * self.way.batches)
            try:
                self.epoch(epoch, batches)
            except AttachError as error:
                # Before a weight moves; but branches may be missed only when all is seen to train.
                if run.moved and "branch" not in str(error):
                    raise
                return self.refuse(error, before)
        assert generators == (random.getstate(), np.random.get_state()[1].tolist())
        if self.saved is not None:
            self.resume()
        self.leave()
        self.compare_traces(before)
        return None

    def refuse(self, error, before):
        """An error of the library: a known one, before a weight has moved, that leaves no trace."""
        self.refused = _known(str(error), REFUSALS)
        assert self.refused is not None, str(error)
        run, twin = self.run_of, self.twin
        if len(run.optimizers) == 1 and not run.moved:  # of several the last step is looked at
            for mine, theirs in zip(run.model.parameters(), twin.model.parameters(), strict=True):
                assert same(mine, theirs), "a weight moved before the error"
        assert flags_of(run) == flags_of(twin)
        if run.ldb is not None:
            run.ldb.detach()
        self.compare_traces(before)

    # ---- epochs ----------------------------------------------------------------------------------

    def epoch(self, epoch, batches):
        run, way = self.run_of, self.way
        steps_before = len(run.masks)
        self.counts.begin()
        if way.loop == "for":
            for number in run.ldb.epoch(list(batches), epoch):
                self.batch(epoch, number)
        elif way.loop == "with":
            with run.ldb.epoch(None, epoch):
                for number in batches:
                    self.batch(epoch, number)
        else:
            run.ldb.begin_epoch(epoch)
            for number in batches:
                self.batch(epoch, number)
            run.ldb.end_epoch()
        self.counts.compare(run.ldb.stats(), run.masks[steps_before:])
        self.end_epoch(run)
        self.end_epoch(self.twin)

    def end_epoch(self, run):
        """The user lets gradients go that wait, and turns the learning rate down."""
        if not self.way.carries:
            run.zero()
        for optimizer in run.optimizers:
            for group in optimizer.param_groups:
                group["lr"] *= 0.9

    def batch(self, epoch, number):
        run, twin, way = self.run_of, self.twin, self.way
        self.number = number
        for each in (run, twin):
            each.toggle(number, self.behind)
        for each in (run, twin):
            each.before_batch(number)
        if number >= way.saved and self.saved is None and run.begins_window(number):
            self.save(number)
        should = run.ldb.settings.is_drop_epoch(
            way.schedule.with_pace(*way.strategy.pace).period(epoch, len(run.masks))
        )
        assert run.ldb.is_drop_epoch == should
        found = run.passes(number)
        dropped, switched = run.names_dropped(), run.switched()
        with self.counts.counting():
            theirs = twin.follow(number, dropped, switched)
        self.compare_passes(found, theirs, dropped)
        if run.ends_window(number):
            self.step(should)

    def step(self, should):
        run, twin = self.run_of, self.twin
        run.step()
        assert flags_of(run) == flags_of(twin)
        if not should and not self.way.carries:
            assert run.masks[-1] is None
        twin.step_as(run.dropped, run.factor, self.releases)
        self.compare_weights()
        for each in (run, twin):
            each.after_step()

    # ---- saving, going on, leaving ---------------------------------------------------------------

    def save(self, number):
        run = self.run_of
        state = json.loads(json.dumps(run.ldb.state_dict()))
        self.saved = number, len(run.masks), state, run.to_save()

    def resume(self):
        """A run that goes on from the saved state ends where the unbroken one did."""
        number, steps, state, (states, weights, parameters) = self.saved
        again = Run(self.network, self.way, self.seed, self.network.make())
        again.attach()
        again.model.load_state_dict(weights)
        for optimizer, saved in zip(again.optimizers, states, strict=True):
            optimizer.load_state_dict(saved)
        again.ldb.load_state_dict(state)
        again.model.late = number >= self.way.opens
        for name, parameter in again.model.named_parameters():
            flag, parameter.grad = parameters[name]
            parameter.requires_grad_(flag)
        for epoch in range(number // self.way.batches, self.way.epochs):
            with again.ldb.epoch(None, epoch):
                last = (epoch + 1) * self.way.batches
                for one in range(max(number, epoch * self.way.batches), last):
                    if one > number:
                        again.toggle(one, self.behind)
                        again.before_batch(one)
                    again.passes(one)
                    if again.ends_window(one):
                        again.step()
                        again.after_step()
            self.end_epoch(again)
        assert again.masks == self.run_of.masks[steps:], "other masks after loading"
        for mine, theirs in zip(
            again.model.state_dict().items(), self.run_of.model.state_dict().items(), strict=True
        ):
            assert same(mine[1], theirs[1]), f"{mine[0]} after loading"
        self.compare_states(again, self.run_of)
        again.ldb.detach()

    def leave(self):
        """The controller goes; then training is plain."""
        run, twin = self.run_of, self.twin
        assert run.is_made_of_the_same(), "a parameter or a module is another one"
        run.looks.clear()
        if self.way.stops == "detach":
            run.ldb.detach()
            run.ldb = None
        else:
            run.ldb = None
            gc.collect()
        self.compare_states(run, twin)
        if self.releases:
            return
        end = self.way.epochs * self.way.batches
        for each in (run, twin):
            for number in (end, end + 1):
                each.zero()
                each.passes(number)
                each.step()
        run.dropped = set()
        self.compare_weights()


def main_words(text):
    """The last line of a traceback, numbers left out: what failures have in common."""
    return re.sub(r"\d+", "#", text.strip().splitlines()[-1])
