"""What recorded steps tell of a model goes on growing, and survives a checkpoint."""

import json

import pytest
import torch
from torch import nn

from attached import attach, dropping
from layerdropback import AttachError, Branch, Schedule, Truncate, Uniform, find_layers
from layerdropback.engine.knowledge import Knowledge
from recorded import recorded, recorded_entry
from zoo import ZOO

ALWAYS = Schedule(every=1, start=0)


def unreached(knowledge, model):
    first = knowledge.learned.order.first
    return {name: p for name, p in model.named_parameters() if name not in first}


def knowledge_of(entry, strategy):
    recorder, model = recorded_entry(entry)
    knowledge = Knowledge(model, find_layers(model, strategy.unit), strategy)
    knowledge.learn(recorder, [{id(p) for p in model.parameters()}])
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
    knowledge = Knowledge(model, find_layers(model), Uniform())
    knowledge.learn(recorder, [])
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
    knowledge = Knowledge(model, find_layers(model), Uniform())
    knowledge.learn(recorder, [])
    model.unused.weight.grad = torch.zeros(3, 12)
    knowledge.notice(unreached(knowledge, model))
    for _ in range(8):
        assert knowledge.is_stale
        knowledge.learn(recorded_entry(entry)[0], [])
    assert not knowledge.is_stale
    knowledge.begin_epoch()
    assert knowledge.is_stale
    recorder = recorded(model, lambda m: sum(out.sum() for out in m(torch.ones(2, 8))).backward())
    knowledge.learn(recorder, [])
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
    knowledge = Knowledge(model, find_layers(model), Branch())
    with pytest.raises(AttachError, match=r"Sequential has no residual branch.*use Truncate\(\)"):
        knowledge.learn(recorder, [])
    assert knowledge.learned is None
    assert knowledge.to_state() == {"order": None}
