"""Wrong schedules, factors, epochs and saved states of the library.

Three dots stand for anything.
"""

import math

import numpy as np
import pytest
from torch import nn

from layerdropback import Control, LayerDropBack, Schedule
from wrong_calls import attached, detached, loader, net, refused, sgd

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


@pytest.mark.parametrize("row", SCHEDULE_ROWS)
def test_schedule(row):
    refused(*SCHEDULE_ROWS[row])


@pytest.mark.parametrize("row", FACTOR_ROWS)
def test_factor(row):
    refused(*FACTOR_ROWS[row])


@pytest.mark.parametrize("row", EPOCH_ROWS)
def test_epoch(row):
    refused(*EPOCH_ROWS[row])


@pytest.mark.parametrize("row", STATE_ROWS)
def test_state(row):
    refused(*STATE_ROWS[row])
