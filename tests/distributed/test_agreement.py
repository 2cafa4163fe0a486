"""What the ranks must have in common; an error on one of them is raised on all."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from layerdropback import AttachError, LayerDropBack, LayerDropBackError, Schedule, Truncate
from layerdropback.distributed.agreement import Ranks
from parallel import Parallel, make_up_ranks, needs_distributed
from workers import in_workers
from zoo import ZOO

pytestmark = needs_distributed

CANNOT = "cannot begin: 1 problem\n  1. "
CURE = (
    "Cause: masks are drawn from it, and the ranks would train different models. Cure: give every "
    "rank the same seed, settings and model, and load the same state on all."
)

# ---- ranks that are made up ----------------------------------------------------------------------


def disagreeing(monkeypatch, facts, *others):
    """The error where other ranks have these other facts."""
    made = [{rank: other} for rank, other in enumerate(others, 1)]

    def answer(other):
        ((rank, values),) = other.items()
        return lambda values_here: [(rank, {k: repr(v) for k, v in values.items()}, ())]

    make_up_ranks(monkeypatch, *map(answer, made))
    with pytest.raises(AttachError) as error:
        Ranks(Parallel(nn.Linear(2, 2))).require_agreement(facts, "cannot begin")
    return str(error.value)


def test_one_process_agrees_with_itself():
    ranks = Ranks(nn.Linear(2, 2))
    ranks.require_agreement({"seed": 1}, "cannot begin")
    assert ranks.gathered("mine") == ["mine"]
    assert ranks.first_of(lambda: 3) == 3
    with pytest.raises(AttachError, match="cannot begin: 2 problems"):
        ranks.require_agreement({}, "cannot begin", ("one", "two"))


def test_what_differs_is_named_with_the_ranks(monkeypatch):
    facts = {"seed": 1, "step": 5, "epoch": 2}
    text = disagreeing(monkeypatch, facts, facts | {"seed": 2}, facts | {"seed": 2, "step": 6})
    differences = "seed is 1 on rank 0, 2 on ranks 1, 2; step is 5 on ranks 0, 1, 6 on rank 2"
    assert text == f"{CANNOT}the ranks disagree: {differences}. {CURE}"


def test_facts_in_levels_are_named_by_their_path(monkeypatch):
    here = {"strategy": {"name": "uniform", "rate": 0.5}}
    there = {"strategy.name": "truncate", "strategy.share": 0.5}
    text = disagreeing(monkeypatch, here, there)
    assert text.startswith(
        f"{CANNOT}the ranks disagree: strategy.name is 'uniform' on rank 0, 'truncate' on rank 1; "
        "strategy.rate is 0.5 on rank 0, unknown on rank 1; "
        "strategy.share is unknown on rank 0, 0.5 on rank 1. Cause: "
    )


def test_another_ranks_problem_is_raised_here_with_its_rank(monkeypatch):
    make_up_ranks(monkeypatch, lambda here: [(1, {}, ("it is too hot",))])
    with pytest.raises(AttachError) as error:
        Ranks(Parallel(nn.Linear(2, 2))).require_agreement({}, "cannot begin")
    assert str(error.value) == f"{CANNOT}on rank 1: it is too hot"


def test_the_first_ranks_result_is_everyones(monkeypatch):
    make_up_ranks(monkeypatch, lambda here: [("theirs", None)])
    assert Ranks(Parallel(nn.Linear(2, 2))).first_of(lambda: "mine") == "mine"


@pytest.mark.parametrize("mine", [None, LayerDropBackError("mine")])
def test_work_that_fails_anywhere_fails_here(mine, monkeypatch):
    def work():
        if mine is not None:
            raise mine
        return "done"

    make_up_ranks(monkeypatch, lambda here: [(None, LayerDropBackError("theirs"))])
    with pytest.raises(LayerDropBackError, match="theirs" if mine is None else "mine"):
        Ranks(Parallel(nn.Linear(2, 2))).first_of(work)


# ---- real ones -----------------------------------------------------------------------------------


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def parallel(model):
    return DistributedDataParallel(model, find_unused_parameters=True)


def told(work):
    with pytest.raises(AttachError) as error:
        work()
    return str(error.value)


def pooled():
    """Its last layers cost more than the first one for a small image, and nothing for a big one."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(4), nn.Flatten())
    return parallel(model.append(nn.Linear(64, 16)).append(nn.Linear(16, 16)))


def learning(rank, share):
    """A first step on images of each rank's own size."""
    torch.manual_seed(0)
    model = pooled()
    optimizer = sgd(model)
    ldb = LayerDropBack(model, optimizer, Truncate(share), Schedule(every=1, start=0))
    with ldb.epoch(None, 0):
        model(torch.ones(2, 3, *((4, 4) if rank else (32, 32)))).sum().backward()
        before = [p.detach().clone() for p in model.parameters()]
        try:
            optimizer.step()
        except AttachError as error:
            torch.testing.assert_close(list(model.parameters()), before, rtol=0, atol=0)
            return str(error)
    return ldb.state_dict()["shares"]


def on_each(rank):
    model = parallel(ZOO["mlp"].model())
    optimizer = sgd(model)
    texts = {}

    def attach(**settings):
        return LayerDropBack(model, optimizer, **settings)

    texts["settings"] = told(lambda: attach(seed=rank, schedule=Schedule(every=1 + rank)))
    twice = [optimizer] * (1 + rank)
    texts["types"] = told(lambda: LayerDropBack(model, twice))
    if rank == 1:
        model.module[2].requires_grad_(False)
        model.module[0].weight = nn.Parameter(model.module[0].weight.detach().clone())
    texts["one rank's problem"] = told(attach)
    model = parallel(ZOO["mlp"].model())
    optimizer = sgd(model)
    ldb = attach()
    ldb.begin_epoch(0)
    if rank == 1:
        ldb.redraw()
    texts["steps"] = told(lambda: ldb.begin_epoch(1))
    ldb.detach()
    inside = nn.Sequential(parallel(ZOO["mlp"].model()))
    texts["container"] = told(lambda: LayerDropBack(inside, sgd(inside), seed=rank))
    texts["cannot be cut"] = learning(rank, 0.95)
    texts["learned"] = learning(rank, 0.2)
    return texts


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return in_workers(tmp_path_factory.mktemp("ranks"), on_each)


def test_settings_that_differ_are_refused_when_attached(ranks):
    first, second = (texts["settings"] for texts in ranks)
    assert first == second
    assert first == (
        "cannot attach LayerDropBack: 1 problem\n  1. the ranks disagree: schedule.every is 1 on "
        f"rank 0, 2 on rank 1; seed is 0 on rank 0, 1 on rank 1. {CURE}"
    )


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        ("types", "an optimizer was given twice. Cause: "),
        ("one rank's problem", "trainable parameters are in no optimizer: '0.weight'. Cause: "),
    ],
)
def test_a_problem_of_one_rank_is_raised_on_both(case, problem, ranks):
    first, second = (texts[case] for texts in ranks)
    assert second.startswith(f"cannot attach LayerDropBack: 1 problem\n  1. {problem}")
    assert first == second.replace("1. ", "1. on rank 1: ", 1)


def test_steps_that_differ_are_refused_at_the_next_epoch(ranks):
    first, second = (texts["steps"] for texts in ranks)
    assert first == second
    fact = "the ranks disagree: step is 0 on rank 0, 1 on rank 1. Cause: "
    assert first.startswith(f"cannot begin the epoch: 1 problem\n  1. {fact}")


def test_parallel_models_in_a_container_are_several_processes(ranks):
    first, second = (texts["container"] for texts in ranks)
    assert first == second
    assert "the ranks disagree: seed is 0 on rank 0, 1 on rank 1" in first


def test_what_one_rank_cannot_learn_is_raised_on_both_before_a_weight_moves(ranks):
    """Of the second rank's small images the head's part is too large."""
    first, second = (texts["cannot be cut"] for texts in ranks)
    assert first == second
    assert "share=0.95 cannot be reached: cuts skip at most 0.914 of" in first


def test_ranks_with_batches_of_their_own_learn_the_first_ones_costs(ranks):
    first, second = (texts["learned"] for texts in ranks)
    assert first == second
    assert 0.9 < first["0"] < 1
