"""What the ranks compare, DDP that comes after the attachment, and what its buckets hold."""

import warnings

import pytest
import torch
from torch import nn

from attached import attach, sgd
from layerdropback import AttachError, Blocks, LayerDropBack, Uniform, find_layers
from layerdropback.engine.agreed import facts_of_attachment, facts_of_epoch, warn_of_buckets
from layerdropback.engine.target import Target
from parallel import Parallel, make_up_ranks, needs_distributed
from twins import ALWAYS
from zoo import ZOO, mlp


def facts(strategy="uniform"):
    ldb, _ = attach(ZOO["mlp"].model(), strategy, seed=3)
    return facts_of_attachment(ldb._engine.target, ldb.settings)


def test_settings_and_layers_are_compared():
    here = facts()
    assert here == facts()
    assert here != facts("truncate")
    assert (here["seed"], here["strategy"]["name"]) == (3, "uniform")


def test_steps_and_knowledge_are_compared():
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model)
    before = facts_of_epoch(ldb._engine.windows)
    entry.train(ldb, model, optimizer, [0, 1], 2)
    after = facts_of_epoch(ldb._engine.windows)
    assert (before["epoch"], before["step"], before["drop_steps"]) == (None, 0, 0)
    assert (after["epoch"], after["step"], after["drop_steps"]) == (1, 4, 2)
    assert before["seed"] == after["seed"] == 0
    learned = "what was learned (a digest)"
    assert before[learned] != after[learned]


@pytest.fixture
def target(monkeypatch):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    return Target(model, [sgd(model)], find_layers(model))


def test_blocks_under_ddp_save_no_gradients(target, monkeypatch):
    monkeypatch.setattr("layerdropback.engine.agreed.data_parallels", lambda *models: models[:1])
    with pytest.warns(UserWarning, match="its buckets hold a gradient for every parameter"):
        warn_of_buckets(target, Blocks())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_buckets(target, Uniform())


def test_one_process_hears_nothing(target):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_buckets(target, Blocks())


pytestmark = needs_distributed


@pytest.fixture
def gathered(monkeypatch):
    """What this rank of two has shown the other one, which says the same of itself."""
    seen = []

    def answer(values):
        seen.append(values)
        return [(1, *values[0][1:])] if isinstance(values[0], tuple) else values

    make_up_ranks(monkeypatch, answer)
    return seen


def attached(model, optimizer=None, **settings):
    optimizer = sgd(model) if optimizer is None else optimizer
    return LayerDropBack(model, optimizer, Uniform(0.5), ALWAYS, **settings)


def told(call):
    with pytest.raises(AttachError) as error:
        call(torch.ones(2, 8))
    return str(error.value)


def test_the_first_forward_pass_compares_and_those_after_it_do_not(gathered):
    model = mlp()
    ldb = attached(model, seed=5)
    ldb.begin_epoch(0)
    parallel = Parallel(model)
    assert not gathered
    with torch.no_grad():
        parallel(torch.ones(2, 8))  # an evaluation, maybe of one rank alone
    assert not gathered
    for _ in range(3):
        parallel(torch.ones(2, 8))
    ((facts,),) = gathered
    assert (facts[1]["seed"], facts[1]["step"], facts[1]["strategy.rate"]) == ("5", "0", "0.5")
    ldb.begin_epoch(1)
    assert len(gathered) == 2, "epochs are compared, too"


def test_what_differs_is_an_error_each_time(monkeypatch):
    make_up_ranks(monkeypatch, lambda values: [(1, values[0][1] | {"seed": "1"}, ())])
    model = mlp()
    ldb = attached(model)
    parallel, before = Parallel(model), [p.detach().clone() for p in model.parameters()]
    with ldb.epoch(None, 0):
        for _ in range(2):
            text = told(parallel)
            assert text.startswith("cannot drop layers in this DDP model: 1 problem\n  1. the rank")
            assert "seed is 0 on rank 0, 1 on rank 1. Cause: " in text
    torch.testing.assert_close(list(model.parameters()), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("find_unused_parameters", False, "the model is DDP without find_unused_parameters. Cause"),
        ("static_graph", True, "the model is DDP with static_graph=True. Cause"),
    ],
)
def test_its_settings_are_looked_at(flag, value, words, gathered):
    model = mlp()
    ldb = attached(model)
    parallel = Parallel(model)
    setattr(parallel, flag, value)
    with ldb.epoch(None, 0):
        assert words in told(parallel)
        assert gathered[0][0][2], "the other ranks hear of it"


def test_a_step_under_no_sync_is_refused(gathered):
    entry = ZOO["mlp"]
    model = entry.model()
    optimizer = sgd(model)
    ldb = attached(model, optimizer)
    parallel = Parallel(model)
    parallel.require_backward_grad_sync = False
    with ldb.epoch(None, 0):
        entry.backward(parallel, entry.batches(1)[0])
        with pytest.raises(AttachError, match="on gradients that DDP has not reduced"):
            optimizer.step()


def test_a_new_one_takes_the_place_of_what_wrapped_the_same(gathered):
    model = mlp()
    ldb = attached(model)
    old, new = Parallel(model), Parallel(model)
    with ldb.epoch(None, 0):
        old(torch.ones(2, 8))
        new(torch.ones(2, 8))
    assert len(gathered) == 2
    assert [each is new for each in ldb._engine.target.adopted] == [True]


def test_parts_in_ddp_of_their_own(gathered):
    model = nn.ModuleDict({"one": mlp(), "other": nn.Linear(5, 5)})
    ldb = attached(model)
    one, other = Parallel(model["one"]), Parallel(model["other"])
    with ldb.epoch(None, 0):
        for _ in range(2):
            other(one(torch.ones(2, 8)))
    assert len(gathered) == 2
    assert [each.module for each in ldb._engine.target.adopted] == list(model.values())


def test_one_that_was_given_is_known(gathered):
    parallel = Parallel(mlp())
    ldb = attached(parallel)
    with ldb.epoch(None, 0):
        compared = len(gathered)
        parallel(torch.ones(2, 8))
    assert len(gathered) == compared == 2
    assert not ldb._engine.target.adopted
