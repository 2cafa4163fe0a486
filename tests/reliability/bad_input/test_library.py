"""Wrong arguments of the library's own classes: each is refused where it is given.

A row is a call and what is said of it; three dots stand for anything.
"""

import math
import re

import numpy as np
import pytest
import torch
from torch import nn

from layerdropback import (
    Blocks,
    Branch,
    Control,
    LayerDropBack,
    Schedule,
    Truncate,
    Uniform,
)
from layerdropback.errors import AttachError, LayerDropBackError


def net():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 2))


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def attached(*arguments, model=None, **changes):
    model = net() if model is None else model
    return LayerDropBack(model, sgd(model), *arguments, **changes)


def to_model(model):
    return LayerDropBack(model, sgd(net()))


def to_optimizer(make):
    model = net()
    return LayerDropBack(model, make(model))


def to_frozen(model):
    model.requires_grad_(False)
    return LayerDropBack(model, sgd(model))


def to_traced(model):
    return LayerDropBack(torch.jit.trace(model, torch.ones(1, 4)), sgd(model))


def attach_twice():
    model = net()
    optimizer = sgd(model)
    first = LayerDropBack(model, optimizer)
    try:
        LayerDropBack(model, optimizer)
    finally:
        first.detach()


def one_optimizer_twice(model):
    optimizer = sgd(model)
    return [optimizer, optimizer]


def loader(**changes):
    return torch.utils.data.DataLoader([1, 2], **changes)


def detached():
    ldb = attached()
    ldb.detach()
    return ldb


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

SCHEDULE_ROWS = {
    "none": (
        lambda: attached("uniform", None),
        "schedule=None is not usable. Cause: it is a None...",
    ),
    "a number": (lambda: attached("uniform", 2), "schedule=2 is not usable. Cause: it is a int..."),
    "a word": (lambda: attached("uniform", "all"), "schedule='all' is not usable. Cause: it is..."),
    "a class": (
        lambda: attached("uniform", Schedule),
        "schedule=<class... is not usable. Cause...",
    ),
    "every 0": (lambda: Schedule(every=0), "every=0 is not usable. Cause: epochs are counted..."),
    "every below": (lambda: Schedule(every=-1), "every=-1 is not usable. Cause: epochs are..."),
    "every half": (lambda: Schedule(every=1.5), "every=1.5 is not usable. Cause: epochs are..."),
    "every word": (lambda: Schedule(every="2"), "every='2' is not usable. Cause: epochs are..."),
    "every true": (lambda: Schedule(every=True), "every=True is not usable. Cause: epochs are..."),
    "start below": (lambda: Schedule(start=-1), "start=-1 is not usable. Cause: epochs are..."),
    "start half": (lambda: Schedule(start=0.5), "start=0.5 is not usable. Cause: epochs are..."),
    "steps 0": (lambda: Schedule(steps=0), "steps=0 is not usable. Cause: steps are counted..."),
    "steps half": (lambda: Schedule(steps=1.5), "steps=1.5 is not usable. Cause: steps are..."),
    "steps word": (lambda: Schedule(steps="x"), "steps='x' is not usable. Cause: steps are..."),
    "ramp": (
        lambda: Schedule(ramp="up"),
        "ramp='up' is not usable. Cause: there is no such ramp...",
    ),
    "ramp none": (
        lambda: Schedule(ramp=None),
        "ramp=None is not usable. Cause: there is no such...",
    ),
    "ramp, no length": (
        lambda: Schedule(ramp="rising"),
        "ramp='rising' needs a length. Cause: it refers to the whole run...",
    ),
    "anneal, no length": (
        lambda: Schedule(anneal=0.2),
        "anneal=0.2 needs a length. Cause: it refers to the whole run...",
    ),
    "anneal 1": (lambda: Schedule(anneal=1, length=3), "anneal=1 is not usable. Cause: it is a..."),
    "anneal nan": (
        lambda: Schedule(anneal=math.nan, length=3),
        "anneal=nan is not usable. Cause: it is a share of the run...",
    ),
    "length 0": (lambda: Schedule(length=0), "length=0 is not usable. Cause: a run has some..."),
    "length nan": (lambda: Schedule(length=math.nan), "length=nan is not usable. Cause: a run..."),
    "length inf": (lambda: Schedule(length=math.inf), "length=inf is not usable. Cause: a run..."),
    "length word": (
        lambda: Schedule(length="10"),
        "length='10' is not usable. Cause: a run has...",
    ),
    "steps and batch": (
        lambda: attached("uniform", Schedule(steps=3), batch_scale=2),
        "steps=3 and batch_scale=2 exclude each other. Cause: a loader's batch size changes...",
    ),
    "a ramp of blocks": (
        lambda: attached("blocks", Schedule(ramp="rising", length=9)),
        "ramp='rising' is not usable with Blocks(). Cause: it has no drop rate that could...",
    ),
}

FACTOR_ROWS = {
    "lr 0": (lambda: attached(lr_scale=0), "lr_scale=0 is not usable. Cause: it multiplies..."),
    "lr below": (
        lambda: attached(lr_scale=-1),
        "lr_scale=-1 is not usable. Cause: it multiplies...",
    ),
    "lr nan": (lambda: attached(lr_scale=math.nan), "lr_scale=nan is not usable. Cause: it mul..."),
    "lr word": (lambda: attached(lr_scale="double"), "lr_scale='double' is not usable. Cause: ..."),
    "lr none": (lambda: attached(lr_scale=None), "lr_scale=None is not usable. Cause: it mult..."),
    "lr huge": (lambda: attached(lr_scale=10**400), "lr_scale=1000... is not usable. Cause: ..."),
    "lr array": (
        lambda: attached(lr_scale=np.array([1.0, 2.0])),
        "lr_scale=array([1., 2.]) is not usable. Cause: it multiplies the learning rate...",
    ),
    "lr inverse of none": (
        lambda: attached(Control(), lr_scale="inverse"),
        "lr_scale='inverse' is not usable with Control(). Cause: it has no drop rate...",
    ),
    "batch 0": (lambda: attached(batch_scale=0), "batch_scale=0 is not usable. Cause: it mult..."),
    "batch word": (lambda: attached(batch_scale="2"), "batch_scale='2' is not usable. Cause: ..."),
    "batch true": (lambda: attached(batch_scale=True), "batch_scale=True is not usable. Cause..."),
    "batch nan": (
        lambda: attached(batch_scale=math.nan),
        "batch_scale=nan is not usable. Cause...",
    ),
    "seed below": (lambda: attached(seed=-1), "seed=-1 is not usable. Cause: it keys the masks..."),
    "seed half": (
        lambda: attached(seed=1.5),
        "seed=1.5 is not usable. Cause: it keys the masks...",
    ),
    "seed none": (lambda: attached(seed=None), "seed=None is not usable. Cause: it keys the..."),
    "seed large": (
        lambda: attached(seed=2**64),
        "seed=18446744073709551616 is not usable. Cause...",
    ),
    "verify word": (
        lambda: attached(verify="no"),
        "verify='no' is not usable. Cause: it is asked...",
    ),
    "verify none": (
        lambda: attached(verify=None),
        "verify=None is not usable. Cause: it is asked...",
    ),
    "preset": (
        lambda: LayerDropBack.from_preset(net(), None, "fine"),
        "preset='fine' is unknown. Cause: no such preset exists. Cure: give one of paper...",
    ),
    "preset list": (
        lambda: LayerDropBack.from_preset(net(), None, ["finetune"]),
        "preset=['finetune'] is unknown. Cause: no such preset exists. Cure: give one of...",
    ),
}

EPOCH_ROWS = {
    "below 0": (
        lambda: attached().epoch([1], -1),
        "epoch=-1 is no epoch. Cause: epochs are count...",
    ),
    "a half": (lambda: attached().epoch([1], 0.5), "epoch=0.5 is no epoch. Cause: epochs are..."),
    "a word": (lambda: attached().epoch([1], "1"), "epoch='1' is no epoch. Cause: epochs are..."),
    "none": (lambda: attached().epoch([1], None), "epoch=None is no epoch. Cause: epochs are..."),
    "true": (lambda: attached().begin_epoch(True), "epoch=True is no epoch. Cause: epochs are..."),
    "no loader": (lambda: list(attached().epoch(None, 0)), "this epoch has no batches. Cause: ..."),
    "over": (
        lambda: [list(batches) for batches in [attached().epoch([1], 0)] * 2],
        "epoch 0 has ended. Cause: each call of ldb.epoch(...) is good for one pass...",
    ),
    "scaled, no loader": (
        lambda: attached(batch_scale=2).epoch(None, 1),
        "the batch factor has no loader to work on. Cause: None was given...",
    ),
    "scaled list": (
        lambda: attached(batch_scale=2).epoch([1], 1),
        "the batch factor cannot be applied to this list. Cause: it is not a torch DataLoader...",
    ),
    "scaled by hand": (
        lambda: attached(batch_scale=2).epoch(loader(batch_size=None), 1),
        "the batch factor cannot be applied to this DataLoader. Cause: it was made with...",
    ),
    "scaled, too few": (
        lambda: attached(batch_scale=9).epoch(loader(drop_last=True), 1),
        "a drop epoch would have no batch of 9 samples. Cause: the loader has drop_last=True...",
    ),
    "detached": (
        lambda: detached().epoch([1], 0),
        "this LayerDropBack is not attached. Cause: ...",
    ),
    "redrawn": (
        lambda: detached().redraw(),
        "this LayerDropBack is not attached. Cause: detach...",
    ),
    "no replicas": (
        lambda: attached().register_comm_hook(),
        "Sequential takes no communication hook. Cause: no Dist...",
    ),
}

STATE_ROWS = {
    "none": (lambda: attached().load_state_dict(None), "this NoneType is no state of LayerDrop..."),
    "a number": (lambda: attached().load_state_dict(3), "this int is no state of LayerDropBack..."),
    "empty": (lambda: attached().load_state_dict({}), "this dict is no state of LayerDropBack..."),
    "a list": (
        lambda: attached().load_state_dict([1]),
        "this list is no state of LayerDropBack...",
    ),
    "the model's": (
        lambda: attached().load_state_dict(net().state_dict()),
        "this OrderedDict is no state of LayerDropBack. Cause: it has no version...",
    ),
    "the optimizer's": (
        lambda: attached().load_state_dict(sgd(net()).state_dict()),
        "this dict is no state of LayerDropBack. Cause: it has no version...",
    ),
    "cut": (
        lambda: attached().load_state_dict({"version": 4}),
        "the state has no usable 'layers'. Cause: it was cut or changed...",
    ),
    "another version": (
        lambda: attached().load_state_dict({"version": 99, "release": "9.9"}),
        "the state has version 99, this release reads 4. Cause: layerdropback 9.9 saved it...",
    ),
    "another model's own": (
        lambda: attached().load_state_dict(
            attached(model=nn.Sequential(*net(), net())).state_dict()
        ),
        "the state belongs to another model: layer '4.0' is only in the state; ...",
    ),
}


ALL = {
    f"{table}: {name}": row
    for table, rows in (
        ("model", MODEL_ROWS),
        ("optimizer", OPTIMIZER_ROWS),
        ("strategy", STRATEGY_ROWS),
        ("schedule", SCHEDULE_ROWS),
        ("factor", FACTOR_ROWS),
        ("epoch", EPOCH_ROWS),
        ("state", STATE_ROWS),
    )
    for name, row in rows.items()
}


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("row", ALL)
def test_what_is_wrong_is_refused(row):
    call, expected = ALL[row]
    with pytest.raises(LayerDropBackError) as error:
        call()
    problems = error.value.problems if isinstance(error.value, AttachError) else [str(error.value)]
    pattern = ".*".join(map(re.escape, expected.split("...")))
    assert re.fullmatch(pattern, problems[0]), problems
    assert "\n" not in problems[0]
    assert re.search(r"\. Cause: .+\. Cure: .+\.$", problems[0]), problems
