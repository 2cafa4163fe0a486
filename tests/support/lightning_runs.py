"""Small runs of Lightning's Trainer, whole and interrupted."""

import itertools
import logging

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.nn.functional import softplus

from by_hand import block, seed_all

BATCHES, SIZE, CLASSES = 10, 4, 3

# What Lightning and torch say to each other, and to small runs.
QUIET = [
    "ignore:.*LeafSpec:FutureWarning",
    "ignore:Starting from v1.9.0, `tensorboardX`:UserWarning",
    "ignore:.*does not have many workers:UserWarning",
    "ignore:.*smaller than the logging interval:UserWarning",
    "ignore:.*No device id is provided:UserWarning",
    "ignore:.*Checkpoint directory .* exists:UserWarning",
    "ignore:Be aware that when using `ckpt_path`:UserWarning",
    "ignore:You're resuming from a checkpoint that ended before the epoch ended:UserWarning",
    "ignore:.*treespec:FutureWarning",
    "ignore:You defined a `validation_step` but have no",
]

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


def net():
    return nn.Sequential(nn.Linear(8, 8), block(), block(), nn.Linear(8, CLASSES))


class Classifier(LightningModule):
    """Calls itself, what it holds, or both halves of what it holds.

    Attributes:
        weights: of all parameters after each step, by name.
    """

    def __init__(self, calls="self", optimizer=None):
        super().__init__()
        seed_all(0)
        if calls == "halves":
            whole = net()
            self.body, self.head = whole[:-1], whole[-1]
        else:
            self.net = net()
        self.calls, self.weights, self.sizes = calls, [], []
        self._optimizer = optimizer or sgd

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, index):
        inputs, labels = batch
        self.sizes.append(len(inputs))
        if self.calls == "halves":
            logits = self.head(self.body(inputs).tanh())
        else:
            logits = self(inputs) if self.calls == "self" else self.net(inputs)
        return nn.functional.cross_entropy(logits, labels)

    def validation_step(self, batch, index):
        self.validated = self.global_step

    def on_train_batch_end(self, outputs, batch, index):
        self.weights.append({n: p.detach().clone() for n, p in self.named_parameters()})

    def configure_optimizers(self):
        return self._optimizer(self.parameters())


class Gan(LightningModule):
    """Two networks that train in turn, each with an optimizer; steps are made by hand."""

    def __init__(self, toggles=False):
        super().__init__()
        seed_all(0)
        self.automatic_optimization = False
        self.generator = nn.Sequential(nn.Linear(8, 8), block(), nn.Linear(8, 8))
        self.discriminator = nn.Sequential(nn.Linear(8, 8), block(), nn.Linear(8, 1))
        self.toggles, self.weights = toggles, []

    def training_step(self, batch, index):
        real, _ = batch
        for optimizer, loss in zip(self.optimizers(), (self.fooling, self.telling), strict=True):
            if self.toggles:
                self.toggle_optimizer(optimizer)
            optimizer.zero_grad()
            self.manual_backward(loss(real))
            optimizer.step()
            if self.toggles:
                self.untoggle_optimizer(optimizer)
        self.weights.append({n: p.detach().clone() for n, p in self.named_parameters()})

    def fooling(self, real):
        return softplus(-self.discriminator(self.generator(real.flip(0)))).mean()

    def telling(self, real):
        with torch.no_grad():
            fake = self.generator(real.flip(0))
        return (softplus(self.discriminator(fake)) + softplus(-self.discriminator(real))).mean()

    def configure_optimizers(self):
        return sgd(self.generator.parameters()), sgd(self.discriminator.parameters())


class Masks(Callback):
    """The parameters that each step drops."""

    def __init__(self, callback):
        self.found, self._callback = [], callback

    def on_before_optimizer_step(self, trainer, module, optimizer):
        ldb = self._callback.ldb
        mask = [False] * len(ldb.layers) if ldb.mask is None else ldb.mask
        dropped = itertools.compress(ldb.layers, mask)
        self.found.append({name for layer in dropped for name in layer.parameter_names})


class States(Callback):
    """Momentum after each step, by the parameter's name."""

    def __init__(self):
        self.found = []

    def on_train_batch_end(self, trainer, module, *_):
        state = trainer.optimizers[0].state
        buffers = ((name, state[p].get("momentum_buffer")) for name, p in module.named_parameters())
        self.found.append({name: None if b is None else b.clone() for name, b in buffers})


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=0.01)


def samples(count=BATCHES * SIZE):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, 8, generator=generator)
    return torch.utils.data.TensorDataset(
        inputs, torch.randint(CLASSES, (count,), generator=generator)
    )


def loader(count=BATCHES * SIZE, **changes):
    return torch.utils.data.DataLoader(samples(count), batch_size=SIZE, **changes)


def same_batches():
    """All batches alike, for Lightning begins a loader anew in a resumed epoch."""
    data = samples(SIZE)
    return torch.utils.data.DataLoader(
        torch.utils.data.ConcatDataset([data] * BATCHES), batch_size=SIZE
    )


def trainer(*callbacks, **changes):
    settings = {
        "max_epochs": 2,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
        "devices": 1,
        "num_sanity_val_steps": 0,
        "callbacks": list(callbacks),
    }
    return Trainer(**(settings | changes))


def fit(module, *callbacks, data=None, **changes):
    """Train a module; it is returned."""
    seed_all(0)
    trainer(*callbacks, **changes).fit(module, loader() if data is None else data)
    return module


def assert_same_runs(one, other):
    """All weights after all steps, to the last bit."""
    assert len(one.weights) == len(other.weights)
    for mine, theirs in zip(one.weights, other.weights, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
