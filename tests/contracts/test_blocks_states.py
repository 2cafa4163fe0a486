"""Optimizer states of blocks that rest: the same training to the last bit, whole checkpoints."""

import copy
import io

import pytest
import torch
from torch import nn

from attached import assert_same_weights
from by_hand import skip_net
from layerdropback import AttachError, Blocks, LayerDropBack
from recipes import ScheduleFree
from turns import EVERY_FOUR, adamw, backward, made, train

# ---- optimizers ----------------------------------------------------------------------------------


def muon_and_adamw(model):
    matrices = [p for block in model.blocks for p in block.parameters() if p.dim() == 2]
    chosen = set(map(id, matrices))
    others = [p for p in model.parameters() if id(p) not in chosen]
    return [torch.optim.Muon(matrices, lr=0.01), torch.optim.AdamW(others, lr=0.01)]


def groups_of_two(model):
    groups = [{"params": list(model.blocks.parameters()), "weight_decay": 0.1}]
    groups.append({"params": [*model.norm.parameters(), model.embed.weight, model.head.weight]})
    return torch.optim.AdamW(groups, lr=0.01)


def sgd(model, **settings):
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01, **settings)


OPTIMIZERS = {
    "adamw": adamw,
    "fused": lambda model: adamw(model, fused=True),
    "foreach": lambda model: adamw(model, foreach=True),
    "amsgrad": lambda model: adamw(model, amsgrad=True),
    "momentum": sgd,
    "nesterov": lambda model: sgd(model, nesterov=True, foreach=True),
    "groups": groups_of_two,
    "adagrad": lambda model: torch.optim.Adagrad(model.parameters(), lr=0.01),
    "radam": lambda model: torch.optim.RAdam(model.parameters(), lr=0.01),
    "adafactor": lambda model: torch.optim.Adafactor(model.parameters(), lr=0.01),
    "rprop": lambda model: torch.optim.Rprop(model.parameters(), lr=0.01),
}
if hasattr(torch.optim, "Muon"):  # from torch 2.9 on
    OPTIMIZERS["muon"] = muon_and_adamw


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_offloading_equals_keeping_bit_for_bit(name):
    models = {}
    for state in ("keep", "offload"):
        models[state] = made()
        train(models[state], OPTIMIZERS[name](models[state]), Blocks(2, state=state), 18)
    assert_same_weights(models["offload"], models["keep"])


@pytest.mark.parametrize("every", [3, 4, 5])
def test_schedule_free_averages_find_the_states_of_what_rests(every):
    """Its ``eval`` and ``train`` exchange all weights by their states, in the midst of a period."""
    models = {}
    for state in ("keep", "offload"):
        model = models[state] = made()
        optimizer = ScheduleFree(model.parameters(), lr=0.05)
        ldb = None
        for start in range(0, 30, every):
            optimizer.train()
            ldb, _ = train(model, optimizer, Blocks(2, state=state), every, start=start, ldb=ldb)
            optimizer.eval()
        ldb.detach()
        assert not {"train", "eval"} & vars(optimizer).keys()
    assert_same_weights(models["offload"], models["keep"])


def test_schedule_free_cannot_do_without_its_states():
    model = made()
    optimizer = ScheduleFree(model.parameters(), lr=0.05)
    words = (
        r"state='release' is not usable with ScheduleFree. Cause: its eval\(\) makes the weights"
    )
    with pytest.raises(AttachError, match=words):
        LayerDropBack(model, optimizer, Blocks(state="release"))


def test_released_blocks_begin_anew():
    model = made()
    optimizer = adamw(model)
    train(model, optimizer, Blocks(3, "cyclic", state="release"), 10)  # the third period's second
    assert {int(optimizer.state[p]["step"]) for p in model.blocks[5].parameters()} == {2}
    assert int(optimizer.state[model.head.weight]["step"]) == 10


def test_adagrad_cannot_do_without_its_state():
    model = made()
    words = "state='release' is not usable with Adagrad. Cause: it makes its state when it is built"
    with pytest.raises(AttachError, match=words):
        LayerDropBack(model, OPTIMIZERS["adagrad"](model), Blocks(state="release"))


def test_an_optimizer_without_the_resting_blocks_is_an_error():
    """It was made from what was trainable then (ms-swift#10140)."""
    model = made()
    for block in model.blocks[:4]:
        block.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    words = "no optimizer holds blocks 'blocks.0'.*which never train.*made from the parameters"
    with pytest.raises(AttachError, match=words):
        LayerDropBack(model, optimizer, Blocks(1))


@pytest.mark.parametrize("unit", ["block", "layer"])
def test_a_frozen_teacher_beside_the_student_needs_no_optimizer(unit):
    """None of its blocks is in one, so it is meant to be left alone."""
    student, teacher = skip_net(), skip_net().requires_grad_(False)
    model = nn.ModuleDict({"student": student, "teacher": teacher})
    optimizer = torch.optim.AdamW(student.parameters(), lr=0.01)
    ldb = LayerDropBack(model, optimizer, Blocks(1, unit=unit))
    before = copy.deepcopy(teacher.state_dict())
    for batch in ldb.epoch([torch.randn(4, 8) for _ in range(8)], 0):
        with torch.no_grad():
            wanted = teacher(batch)
        (student(batch) - wanted).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.testing.assert_close(teacher.state_dict(), before, rtol=0, atol=0)
    times = ldb.stats()["times_dropped"]
    assert {name.partition(".")[0] for name, count in times.items() if count} == {"student"}


def test_adapters_are_held_where_what_they_adapt_is_not():
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(target_modules=["1.inner.0", "2.inner.0", "3.inner.0"], r=2)
    model = peft.get_peft_model(skip_net(), config)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    LayerDropBack(model, optimizer, Blocks(1, unit="layer"))


# ---- checkpoints ---------------------------------------------------------------------------------


def parts_saved(model, optimizer, ldb):
    file = io.BytesIO()
    torch.save([part.state_dict() for part in (model, optimizer, ldb)], file)
    return file.getvalue()


@pytest.mark.in_turn("first")
@pytest.mark.parametrize("state", ["offload", "release", "keep"])
@pytest.mark.parametrize("order", ["random", pytest.param("cyclic", marks=pytest.mark.slow)])
@pytest.mark.parametrize("first", ["optimizer", "ldb"])
def test_a_run_that_is_resumed_within_a_period_goes_on_bit_for_bit(state, order, first):
    strategy, whole = Blocks(2, order, state=state), made()
    train(whole, adamw(whole), strategy, 23)
    for done in (1, 4, 6, 13):
        model = made()
        optimizer = adamw(model)
        ldb, _ = train(model, optimizer, strategy, done)
        saved = torch.load(io.BytesIO(parts_saved(model, optimizer, ldb)), weights_only=True)
        model = made()
        optimizer = adamw(model)
        ldb = LayerDropBack(model, optimizer, strategy, EVERY_FOUR, verify=True)
        model.load_state_dict(saved[0])
        loads = [(optimizer, saved[1]), (ldb, saved[2])]
        for part, its in loads if first == "optimizer" else reversed(loads):
            part.load_state_dict(its)
        assert first == "ldb" or state == "keep" or len(optimizer.state) <= 11
        train(model, optimizer, strategy, 23 - done, start=done, ldb=ldb)
        assert_same_weights(model, whole)


def test_an_offloading_runs_checkpoint_is_that_of_a_keeping_one():
    found = []
    for state in ("keep", "offload"):
        model = made()
        optimizer = adamw(model)
        train(model, optimizer, Blocks(2, state=state), 14)
        found.append(optimizer.state_dict())
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_without_it_the_optimizer_goes_on_with_everything():
    """After `detach`, and where nothing but the optimizer was loaded."""
    model = made()
    optimizer = adamw(model)
    ldb, _ = train(model, optimizer, Blocks(2), 14)
    whole = copy.deepcopy(optimizer.state_dict())
    ldb.detach()
    assert len(optimizer.state) == len(whole["state"]) > 11
    torch.testing.assert_close(optimizer.state_dict(), whole, rtol=0, atol=0)


def test_a_step_outside_of_the_epoch_finds_every_state():
    """It is a step of plain training, of all parameters."""
    models = []
    for state in ("keep", "offload"):
        model = made()
        optimizer = adamw(model)
        ldb, _ = train(model, optimizer, Blocks(2, state=state), 14)
        backward(model, 14)
        optimizer.step()
        optimizer.zero_grad()
        train(model, optimizer, None, 6, start=15, ldb=ldb)
        models.append(model)
    assert_same_weights(*models)
