"""What recorded steps tell of a model goes on growing, and masks are drawn by it."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from attached import attach, dropping
from layerdropback import AttachError, Branch, Schedule, Truncate, Uniform, find_layers
from layerdropback.engine.planner import Knowledge, Planner
from layerdropback.engine.target import Target
from layerdropback.engine.window import Counters, Decision
from layerdropback.settings import Settings
from recorded import recorded, recorded_entry
from zoo import ZOO, frozen_stem

ALWAYS = Schedule(every=1, start=0)


def unreached(knowledge, model):
    first = knowledge.learned.order.first
    return {name: p for name, p in model.named_parameters() if name not in first}


def knowledge_of(entry, strategy):
    recorder, model = recorded_entry(entry)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    knowledge = Knowledge(Target(model, [optimizer], find_layers(model, strategy.unit)), strategy)
    knowledge.learn(recorder)
    return knowledge


@pytest.mark.parametrize("name", ["uniform", "truncate", "branch"])
def test_it_survives_a_checkpoint(name):
    strategy = dropping(name)
    knowledge = knowledge_of(ZOO["tied_gpt"], strategy)
    saved = json.loads(json.dumps(knowledge.to_state(), sort_keys=True))
    assert knowledge.from_state(saved) == knowledge.learned
    assert knowledge.learned.order.first
    assert (knowledge.learned.shares is not None) == (name == "truncate")
    assert (knowledge.learned.branches is not None) == (name == "branch")


def test_a_strategy_that_must_know_more_records_anew():
    saved = knowledge_of(ZOO["tied_gpt"], Uniform()).to_state()
    for name in ("truncate", "branch"):
        knowledge = knowledge_of(ZOO["tied_gpt"], dropping(name))
        assert knowledge.from_state(saved) is None
    assert knowledge_of(ZOO["tied_gpt"], Uniform()).from_state(saved) is not None
    assert knowledge.from_state({"order": None}) is None


def test_the_early_use_of_a_tied_head_is_known_where_cuts_are_made():
    learned = knowledge_of(ZOO["tied_gpt"], Truncate()).learned
    assert learned.early == {"head.weight": ("tokens",)}
    assert learned.cut_off == ("tokens",)
    assert knowledge_of(ZOO["vit"], Truncate()).learned.early == {}


def test_sources_are_added_once():
    knowledge = knowledge_of(ZOO["mlp"], Truncate())
    knowledge.note_sources(["a"])
    knowledge.note_sources(["b", "a"])
    assert knowledge.learned.sources == ("a", "b")


def test_what_trains_though_no_recording_reached_it_makes_it_stale():
    entry = ZOO["unreached"]
    recorder, model = recorded_entry(entry)
    knowledge = Knowledge(Target(model, [], find_layers(model)), Uniform())
    knowledge.learn(recorder)
    late = unreached(knowledge, model)
    assert late.keys() == {"unused.weight", "unused.bias"}
    knowledge.notice(late)
    assert not knowledge.is_stale, "it has no gradient"
    model.unused(torch.randn(2, 12)).sum().backward()
    knowledge.notice(late)
    assert knowledge.is_stale


def test_its_patience_ends_and_comes_back_with_the_next_epoch():
    entry = ZOO["unreached"]
    recorder, model = recorded_entry(entry)
    knowledge = Knowledge(Target(model, [], find_layers(model)), Uniform())
    knowledge.learn(recorder)
    model.unused.weight.grad = torch.zeros(3, 12)
    knowledge.notice(unreached(knowledge, model))
    for _ in range(8):
        assert knowledge.is_stale
        knowledge.learn(recorded_entry(entry)[0])
    assert not knowledge.is_stale
    knowledge.begin_epoch()
    assert knowledge.is_stale
    recorder = recorded(model, lambda m: sum(out.sum() for out in m(torch.ones(2, 8))).backward())
    knowledge.learn(recorder)
    assert not knowledge.is_stale
    assert unreached(knowledge, model) == {}


class Experts(nn.Module):
    """Each batch goes to one of two."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))

    def forward(self, x, number):
        return self.head(self.experts[number](self.stem(x)))


@pytest.mark.parametrize("name", ["uniform", "truncate"])
def test_an_expert_that_the_first_step_missed_is_learnt_when_it_is_reached(name):
    """In drop epochs too."""
    model = Experts()
    ldb, optimizer = attach(model, dropping(name), schedule=ALWAYS, verify=False)
    full = []
    for number in ldb.epoch([0] * 3 + [1] * 40, 0):
        full.append(ldb.mask is None)
        model(torch.randn(4, 8), number).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert full == [True, False, False, False, True] + [False] * 38
    times = ldb.stats()["times_dropped"]
    assert times["experts.1"] > 0
    assert times["head"] == 0
    chances = ldb.stats()["drop_chances"]
    assert chances["experts.0"] > 0, "what is known already stays known"


def test_nothing_is_changed_where_learning_raises():
    recorder, model = recorded_entry(ZOO["mlp"])
    knowledge = Knowledge(Target(model, [], find_layers(model)), Branch())
    with pytest.raises(AttachError, match=r"Sequential has no residual branch.*use Truncate\(\)"):
        knowledge.learn(recorder)
    assert knowledge.learned is None
    assert knowledge.to_state() == {"order": None}


def planner_of(entry, **settings):
    """Of a model of which one step was recorded."""
    recorder, model = recorded_entry(entry)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    chosen = Settings(**settings)
    target = Target(model, [optimizer], find_layers(model, chosen.strategy.unit))
    planner = Planner(target, chosen)
    assert planner.must_record()
    assert planner.decide(True, 0.5) == Decision(records=True)
    planner.knowledge.learn(recorder)
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
    planner.knowledge.learn(recorder)
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
