"""Masks are drawn by what is known; a full step comes first where it is not enough."""

import numpy as np
import pytest
import torch

from attached import attach, dropping
from layerdropback import AttachError, Schedule, Uniform
from layerdropback.engine.counters import Counters
from layerdropback.engine.planner import Planner
from layerdropback.engine.target import Target
from layerdropback.engine.window import Decision
from layerdropback.model.layers import find_layers
from layerdropback.settings import Settings
from recorded import recorded_entry
from zoo import ZOO, frozen_stem

ALWAYS = Schedule(every=1, start=0)


def planner_of(entry, **settings):
    """Of a model of which one step was recorded."""
    recorder, model = recorded_entry(entry)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    chosen = Settings(**settings)
    target = Target(model, [optimizer], find_layers(model, chosen.strategy.unit))
    planner = Planner(target, chosen)
    assert planner.must_record()
    assert planner.decide(True, 0.5) == Decision(records=True)
    planner.knowledge.learn(recorder, target.held())
    planner.replan()
    return planner, model


def at_step(layers, step, drop_steps=0):
    counters = Counters(layers)
    counters.step, counters.drop_steps = step, drop_steps
    return counters


def draws(planner, steps, drop_steps=lambda step: 0):
    heads = planner.plan.heads()
    for step in steps:
        mask, *_ = planner.draw(heads, at_step(3, step, drop_steps(step)), 0.5)
        yield mask.tolist()


def test_masks_depend_on_the_step_alone():
    planner, _ = planner_of(ZOO["mlp"])
    forwards = list(draws(planner, range(20)))
    assert list(draws(planner, reversed(range(20)))) == forwards[::-1]
    assert list(draws(planner, range(20), lambda step: step + 7)) == forwards
    assert len({tuple(mask) for mask in forwards}) == 4
    assert not any(mask[2] for mask in forwards), "the head is kept"


def test_a_pool_is_gone_through_by_drop_steps():
    planner, _ = planner_of(ZOO["mlp"], strategy=Uniform(pool=4))
    masks = [
        planner.draw(planner.plan.heads(), at_step(3, 9, n), 0.5)[0].tolist() for n in range(8)
    ]
    assert sorted(masks[:4]) == sorted(masks[4:])
    assert np.sum(masks, axis=0).tolist() == [4, 4, 0]


def test_the_factor_is_that_of_the_mean_rate():
    planner, _ = planner_of(ZOO["mlp"], strategy=Uniform(0.75), lr_scale="inverse")
    factor = planner.draw(planner.plan.heads(), at_step(3, 0), 0.5)[2]
    assert factor == pytest.approx(4)


def test_the_users_flags_are_what_a_decision_depends_on():
    planner, model = planner_of(ZOO["mlp"])
    before = planner.decide(True, 0.5)
    assert before == Decision(heads=frozenset({2}), can_drop=True)
    assert planner.decide(False, 0.5) == Decision()
    model[4].requires_grad_(False)
    both = frozenset({1, 2})
    assert planner.decide(True, 0.5) == Decision(heads=both, can_drop=True)
    model[0].requires_grad_(False)
    assert planner.decide(True, 0.5) == Decision(heads=both, can_drop=False), "all else is frozen"
    model.requires_grad_(True)
    assert planner.decide(True, 0.5) == before


def test_what_is_unfrozen_must_be_recorded_first():
    recorder, model = recorded_entry(ZOO["frozen_stem"])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    target = Target(model, [optimizer], find_layers(model))
    planner = Planner(target, Settings())
    planner.knowledge.learn(recorder, target.held())
    planner.replan()
    assert not planner.must_record()
    model[0].requires_grad_(True)
    assert planner.must_record()


def test_a_layer_that_is_unfrozen_must_be_in_an_optimizer_and_is_learnt():
    model = frozen_stem()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    ldb, _ = attach(model, Uniform(), optimizer, schedule=ALWAYS)
    ldb.epoch([], 0)
    model[0].requires_grad_(True)
    with pytest.raises(
        AttachError, match=r"in no optimizer: '0.weight', '0.bias'.*add_param_group"
    ):
        ldb.epoch([], 1)
    optimizer.add_param_group({"params": model[0].parameters()})
    seen = []
    for _ in ldb.epoch(range(30), 1):
        seen.append(ldb.mask is None)
        model(torch.randn(2, 8)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert seen == [True] + [False] * 29, "one full step shows where the new layer belongs"
    assert ldb.stats()["times_dropped"]["0"] > 0


@pytest.mark.parametrize("name", ["truncate", "branch"])
def test_switches_come_with_the_mask(name):
    planner, _ = planner_of(ZOO["tied_gpt"], strategy=dropping(name, 0.5))
    plan = planner.plan
    for step in range(20):
        mask, names, *_ = planner.draw(plan.heads(), at_step(len(plan.reached), step), 0.5)
        assert bool(names) == bool(np.any(mask))
        if name == "truncate" and names:
            assert names == ("tokens",)
