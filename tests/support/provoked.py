"""Each error that docs/errors.md lists, raised by the code, by the heading that it stands under."""

from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from command import TINY
from folders import make_folder
from layerdropback import Branch, LayerDropBack, Schedule, Truncate, Uniform

ALWAYS = Schedule(every=1, start=0)


def net(layers=4):
    return nn.Sequential(*(nn.Linear(4, 4) for _ in range(layers)))


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def attached(*settings, model=None, **more):
    model = net() if model is None else model
    return LayerDropBack(model, sgd(model), *settings, **more)


def train(ldb, batches=2):
    (optimizer,) = ldb.optimizers
    for batch in ldb.epoch([torch.ones(2, 4)] * batches, 0):
        ldb.model(batch).sum().backward()
        optimizer.step()
        optimizer.zero_grad()


# ---- what is attached ----------------------------------------------------------------------------


def ddp():
    attached(model=DistributedDataParallel(net()))


def data_parallel():
    attached(model=DataParallel(net()))


def second_order():
    model = net()
    LayerDropBack(model, torch.optim.LBFGS(model.parameters()))


def lazy():
    model = nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 4))
    LayerDropBack(model, sgd(net()))


def no_optimizer():
    LayerDropBack(net(), nn.Linear(1, 1))


def homeless():
    model = net()
    LayerDropBack(model, sgd(model[:3]))


def twice():
    model = net()
    _first, _second = attached(model=model), attached(model=model)


def one_layer():
    attached(model=net(1))


def compiled_in_place():
    model = net()
    model.compile(backend="eager")
    attached(model=model)


# ---- settings ------------------------------------------------------------------------------------


def unknown_strategy():
    attached("random")


def unusable_rate():
    Uniform(1.5)


def keeps_nothing():
    attached(Uniform(0.5, keep=["head"]))


def ramp_without_length():
    Schedule(ramp="rising")


# ---- the first steps -----------------------------------------------------------------------------


def far_cut():
    train(attached(Truncate(0.9, keep=["2"]), ALWAYS))


def no_branches():
    train(attached(Branch(0.3), ALWAYS))


class Reentrant(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.inner, self.head = net(1), net(2), net(1)

    def forward(self, x):
        return self.head(checkpoint(self.inner, self.first(x), use_reentrant=True))


def reentrant():
    train(attached(model=Reentrant()))


# ---- epochs, loaders and states ------------------------------------------------------------------


def no_epoch():
    attached().begin_epoch(-1)


def ended_epoch():
    epoch = attached().epoch([], 0)
    list(epoch)
    list(epoch)


def changed_model():
    ldb = attached()
    ldb.model.append(nn.Linear(4, 4))
    ldb.begin_epoch(0)


def no_data_loader():
    ldb = attached(batch_scale=2)
    ldb.begin_epoch(1, [torch.ones(2, 4)])


def another_model():
    attached(model=net(3)).load_state_dict(attached().state_dict())


def no_state():
    attached().load_state_dict({"epoch": 1})


# ---- checks of what was promised -----------------------------------------------------------------


class Moves(torch.optim.SGD):
    def step(self):
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.sub_(0.1)


def moves_without_gradients():
    model = net()
    ldb = LayerDropBack(model, Moves(model.parameters(), lr=0.1), Truncate(0.5), ALWAYS)
    train(ldb, 3)


CASES = {
    "When it is attached": (
        *(ddp, data_parallel, second_order, lazy, no_optimizer, homeless, twice),
        *(one_layer, compiled_in_place),
    ),
    "Settings": (unknown_strategy, unusable_rate, keeps_nothing, ramp_without_length),
    "In the first steps": (far_cut, no_branches, reentrant, moves_without_gradients),
    "Epochs, loaders and states": (
        *(no_epoch, ended_epoch, changed_model, no_data_loader, another_model, no_state),
    ),
}


# What is typed, and is one line and exit code 2.
def unreadable():
    (make_folder(Path("images")) / "train" / "cat" / "0.png").write_bytes(b"")


# One may begin with what makes its files.
COMMANDS = (
    ("train", "--data", "pictures"),
    ("train", "--recipe", "best"),
    ("train", "--depth", "uniform"),
    ("train", "--optimizer", "lamb"),
    ("train", "--resume"),
    ("train", "--data", "folder:nowhere"),
    ("train", "--init", "nowhere.safetensors"),
    ("compare", "--arm", "colour=red"),
    (unreadable, "train", "--data", "folder:images"),
    ("train", *TINY, "--epochs", "1", "--lr", "1e30"),
)
