"""Wrong models, optimizers and strategies: each is refused where it is given.

Three dots stand for anything.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn

from layerdropback import Blocks, Branch, Schedule, Truncate, Uniform
from wrong_calls import (
    attach_twice,
    attached,
    net,
    one_optimizer_twice,
    refused,
    sgd,
    to_frozen,
    to_model,
    to_optimizer,
    to_traced,
)

MODEL_ROWS = {
    "no model": (lambda: to_model(None), "model is a NoneType. Cause: a torch.nn.Module is..."),
    "a function": (lambda: to_model(lambda x: x), "model is a function. Cause: ..."),
    "a class": (lambda: to_model(nn.Linear), "model is a type. Cause: ..."),
    "a name": (lambda: to_model("resnet18"), "model is a str. Cause: ..."),
    "a list": (lambda: to_model([nn.Linear(2, 2)]), "model is a list. Cause: ..."),
    "parameters": (lambda: to_model(net().parameters()), "model is a generator. Cause: ..."),
    "an optimizer": (lambda: to_model(sgd(net())), "model is a SGD. Cause: ..."),
    "no parameters": (
        lambda: to_model(nn.ReLU()),
        "the model has no trainable parameter. Cause...",
    ),
    "all frozen": (
        lambda: to_frozen(net()),
        "the model has no trainable parameter. Cause: every parameter has requires_grad=False...",
    ),
    "one layer": (
        lambda: attached(model=nn.Linear(3, 3)),
        "no layer can be dropped. Cause: of 1...",
    ),
    "lazy": (
        lambda: to_model(nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 2))),
        "the model has uninitialized parameters. Cause: lazy modules get their parameters in...",
    ),
    "traced": (
        lambda: to_traced(net()),
        "model is a TopLevelTracedModule. Cause: its forward pass cannot be hooked...",
    ),
    "replicas": (
        lambda: attached(model=nn.DataParallel(net())),
        "the model is nn.DataParallel. Cause: its replicas share one set of flags...",
    ),
    "attached twice": (
        attach_twice,
        "optimizer SGD has a LayerDropBack already. Cause: two would undo each other's work...",
    ),
}

OPTIMIZER_ROWS = {
    "none": (lambda: to_optimizer(lambda m: None), "optimizer is a NoneType. Cause: ..."),
    "a name": (lambda: to_optimizer(lambda m: "sgd"), "optimizer is a str. Cause: ..."),
    "a number": (lambda: to_optimizer(lambda m: 0.1), "optimizer is a float. Cause: ..."),
    "an empty list": (
        lambda: to_optimizer(lambda m: []),
        "there is no optimizer. Cause: the seq...",
    ),
    "a class": (lambda: to_optimizer(lambda m: torch.optim.SGD), "optimizer is a type. Cause: ..."),
    "a dictionary": (
        lambda: to_optimizer(lambda m: {"main": sgd(m)}),
        "optimizer is a dict. Cause: a torch.optim.Optimizer with step hooks is needed...",
    ),
    "parameters": (
        lambda: to_optimizer(lambda m: m.parameters()),
        "optimizer is a generator. Cause: ...",
    ),
    "the model": (lambda: to_optimizer(lambda m: m), "optimizer is a Sequential. Cause: ..."),
    "another model's": (
        lambda: to_optimizer(lambda m: sgd(net())),
        "optimizer SGD has no layer to keep. Cause: it holds no parameter of this model...",
    ),
    "a part": (
        lambda: to_optimizer(lambda m: sgd(m[0])),
        "trainable parameters are in no optimizer: '2.weight', '2.bias', '3.weight', '3.bias'...",
    ),
    "twice": (
        lambda: to_optimizer(one_optimizer_twice),
        "an optimizer was given twice. Cause: a mask holds until each has stepped...",
    ),
    "second order": (
        lambda: to_optimizer(lambda m: torch.optim.LBFGS(m.parameters())),
        "optimizer LBFGS cannot drop layers. Cause: it moves parameters that have no gradient...",
    ),
}

STRATEGY_ROWS = {
    "none": (lambda: attached(None), "strategy=None is not usable. Cause: there is no such..."),
    "a rate": (lambda: attached(0.5), "strategy=0.5 is not usable. Cause: there is no such..."),
    "another case": (lambda: attached("Uniform"), "strategy='Uniform' is not usable. Cause: ..."),
    "empty": (
        lambda: attached(""),
        "strategy='' is not usable. Cause: there is no such strategy...",
    ),
    "a class": (lambda: attached(Uniform), "strategy=<class...Uniform'> is not usable. Cause: ..."),
    "a list": (lambda: attached(["uniform"]), "strategy=['uniform'] is not usable. Cause: ..."),
    "a schedule": (lambda: attached(Schedule()), "strategy=Schedule(... is not usable. Cause: ..."),
    "a dictionary": (lambda: attached({"rate": 0.5}), "strategy={'rate': 0.5} is not usable..."),
    "rate 1": (
        lambda: Uniform(1),
        "rate=1 is not usable. Cause: it is the chance to be dropped...",
    ),
    "rate below 0": (lambda: Uniform(-0.1), "rate=-0.1 is not usable. Cause: it is the chance..."),
    "rate nan": (lambda: Uniform(math.nan), "rate=nan is not usable. Cause: it is the chance..."),
    "rate inf": (lambda: Branch(math.inf), "rate=inf is not usable. Cause: it is the chance..."),
    "rate word": (lambda: Branch("half"), "rate='half' is not usable. Cause: it is the chance..."),
    "rate none": (lambda: Uniform(None), "rate=None is not usable. Cause: it is the chance..."),
    "rate true": (lambda: Uniform(True), "rate=True is not usable. Cause: it is the chance..."),
    "rate list": (lambda: Uniform([0.5]), "rate=[0.5] is not usable. Cause: it is the chance..."),
    "rate complex": (lambda: Uniform(1j), "rate=1j is not usable. Cause: it is the chance..."),
    "rate huge": (
        lambda: Uniform(10**400),
        "rate=1000... is not usable. Cause: it is the chance...",
    ),
    "share 1": (
        lambda: Truncate(1.0),
        "share=1.0 is not usable. Cause: it is the share that is...",
    ),
    "share nan": (lambda: Truncate(math.nan), "share=nan is not usable. Cause: it is the share..."),
    "share word": (lambda: Truncate("0.5"), "share='0.5' is not usable. Cause: it is the share..."),
    "depth": (lambda: Truncate(depth="deep"), "depth='deep' is not usable. Cause: there is no..."),
    "depth number": (
        lambda: Truncate(depth=3),
        "depth=3 is not usable. Cause: there is no such...",
    ),
    "pool 1": (lambda: Truncate(pool=1), "pool=1 is not usable. Cause: a pool holds some masks..."),
    "pool half": (lambda: Uniform(pool=2.5), "pool=2.5 is not usable. Cause: a pool holds..."),
    "pool word": (
        lambda: Uniform(pool="many"),
        "pool='many' is not usable. Cause: a pool holds...",
    ),
    "pool large": (
        lambda: Branch(pool=5000),
        "pool=5000 is not usable. Cause: a pool holds some...",
    ),
    "unit": (
        lambda: Uniform(unit="stage"),
        "unit='stage' is not usable. Cause: there is no such...",
    ),
    "unit none": (
        lambda: Uniform(unit=None),
        "unit=None is not usable. Cause: there is no such...",
    ),
    "unit list": (lambda: Uniform(unit=["layer"]), "unit=['layer'] is not usable. Cause: there..."),
    "unit array": (
        lambda: Uniform(unit=np.array(["layer", "block"])),
        "unit=array(['layer', 'block']...) is not usable. Cause: there is no such unit...",
    ),
    "keep word": (lambda: Truncate(keep="head"), "keep='head' is not usable. Cause: layers are..."),
    "keep number": (lambda: Uniform(keep=3), "keep=3 is not usable. Cause: layers are kept by..."),
    "keep numbers": (
        lambda: Uniform(keep=[1]),
        "keep=(1,) is not usable. Cause: layers are kept...",
    ),
    "keep unknown": (
        lambda: attached(Uniform(keep=["nothing"])),
        "keep='nothing' matches nothing. Cause: no layer or parameter has a name like it; there...",
    ),
    "keep all": (
        lambda: attached(Uniform(keep=["*"])),
        "no layer can be dropped. Cause: of 3 layers all are kept (the last one always is)...",
    ),
    "rates number": (
        lambda: Uniform(rates=3),
        "rates=3 is not usable. Cause: it maps layers to...",
    ),
    "rates list": (lambda: Branch(rates=[0.5]), "rates=[0.5] is not usable. Cause: it maps..."),
    "rates by number": (lambda: Uniform(rates={1: 0.5}), "rates={1: 0.5} is not usable. Cause..."),
    "rates above 1": (
        lambda: Uniform(rates={"a": 2}),
        "rates={'a': 2} is not usable. Cause: it...",
    ),
    "rates none": (lambda: Uniform(rates={"a": None}), "rates={'a': None} is not usable. Cause..."),
    "rates unknown": (
        lambda: attached(Uniform(rates={"no": 0.5})),
        "rates='no' matches nothing. Cause: no layer or parameter has a name like it...",
    ),
    "active 0": (lambda: Blocks(0), "active=0 is not usable. Cause: blocks are counted..."),
    "active half": (lambda: Blocks(1.5), "active=1.5 is not usable. Cause: blocks are counted..."),
    "active none": (
        lambda: Blocks(None),
        "active=None is not usable. Cause: blocks are counted...",
    ),
    "order": (lambda: Blocks(order="up"), "order='up' is not usable. Cause: there is no such..."),
    "train word": (lambda: Blocks(train="head"), "train='head' is not usable. Cause: the parts..."),
    "train": (lambda: Blocks(train=["body"]), "train=('body',) is not usable. Cause: the parts..."),
    "train number": (lambda: Blocks(train=3), "train=3 is not usable. Cause: the parts are..."),
    "state": (
        lambda: Blocks(state="gone"),
        "state='gone' is not usable. Cause: there is no such...",
    ),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("row", MODEL_ROWS)
def test_model(row):
    refused(*MODEL_ROWS[row])


@pytest.mark.parametrize("row", OPTIMIZER_ROWS)
def test_optimizer(row):
    refused(*OPTIMIZER_ROWS[row])


@pytest.mark.parametrize("row", STRATEGY_ROWS)
def test_strategy(row):
    refused(*STRATEGY_ROWS[row])
