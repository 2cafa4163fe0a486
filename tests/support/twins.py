"""Two models that begin alike and train alike; one of them is what a test is about."""

import copy

import numpy as np
import torch

from equal import are_equal
from layerdropback import LayerDropBack, Schedule

STRATEGIES = ("uniform", "truncate", "branch")

ALWAYS = Schedule(every=1, start=0)


class Twins:
    """A model and a plain twin with its weights, trained side by side and compared at every step.

    Args:
        model: what the test is about.
        twin: the same without it; by default a copy.
        called: what the loop calls in place of `model`.
        rtol: of the gradients' comparison, as is `atol`.
        **settings: of LayerDropBack.

    Attributes:
        twin: the plain one.
        masks: of each step so far; None for a full one.
    """

    def __init__(self, model, twin=None, *, called=None, rtol=0.0, atol=0.0, **settings):
        twin = copy.deepcopy(model) if twin is None else twin
        twin.load_state_dict(model.state_dict())
        self.twin, self._models = twin, (model, twin)
        self._called = (model if called is None else called, twin)
        self._close = {"rtol": rtol, "atol": atol}
        self._optimizers = [
            torch.optim.SGD(each.parameters(), lr=0.05, momentum=0.9) for each in self._models
        ]
        self.masks = []
        self._passes = 0
        self.ldbs = self._attach(settings)

    def _attach(self, settings):
        settings = {"schedule": ALWAYS, "seed": 3, "verify": True} | settings
        return [
            LayerDropBack(called, optimizer, **settings)
            for called, optimizer in zip(self._called, self._optimizers, strict=True)
        ]

    def attach_anew(self, **settings):
        """Drop in another way from now on."""
        self.detach()
        self.ldbs = self._attach(settings)

    def detach(self):
        """Train in full from now on."""
        for ldb in self.ldbs:
            ldb.detach()

    def train(self, backward, batches, epochs, accumulate=1):
        """Train some epochs; `backward` makes the passes of one model and one batch."""
        for epoch in epochs:
            pairs = zip(*(ldb.epoch(batches, epoch) for ldb in self.ldbs), strict=True)
            for number, (one, _) in enumerate(pairs, 1):
                self.backward(backward, one)
                if number % accumulate == 0:
                    self.step()

    def backward(self, backward, batch):
        """The passes of both models, with the same random numbers."""
        for called in self._called:
            torch.manual_seed(self._passes)
            backward(called, batch)
        self._passes += 1

    def step(self):
        """Compare the gradients, and step."""
        mask, other = (None if ldb.mask is None else tuple(ldb.mask.tolist()) for ldb in self.ldbs)
        assert mask == other
        self.masks.append(mask)
        layers = self.ldbs[0].layers
        self._compare({n for i in np.flatnonzero(mask or ()) for n in layers[i].parameter_names})
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad()

    def _compare(self, dropped):
        model, twin = self._models
        for (name, mine), theirs in zip(model.named_parameters(), twin.parameters(), strict=True):
            assert (mine.grad is None) == (theirs.grad is None) == (name in dropped), name
            if mine.grad is not None and not are_equal(mine.grad, theirs.grad):
                torch.testing.assert_close(
                    mine.grad,
                    theirs.grad,
                    **self._close,
                    msg=lambda text, name=name: f"step {len(self.masks)}, {name}: {text}",
                )

    def compare_states(self):
        """Weights and buffers too."""
        states = (dict(each.state_dict()) for each in self._models)
        torch.testing.assert_close(*states, **self._close)
