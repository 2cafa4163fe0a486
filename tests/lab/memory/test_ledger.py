"""Every storage counts once, with its size, for as long as it lives."""

import gc
import weakref
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from layerdropback.lab.memory.fakes import without_data
from layerdropback.lab.memory.ledger import Ledger

KB = 1000  # of uint8


def some(count=1):
    return torch.empty(count * KB, dtype=torch.uint8)


@pytest.fixture(params=["real", "fake"])
def ledger(request):
    with nullcontext() if request.param == "real" else without_data(), Ledger() as ledger:
        yield ledger


def test_a_storage_counts_once_whatever_views_there_are(ledger):
    whole = some(4)
    views = [whole[:KB], whole.view(2, -1), whole.detach(), whole.t()]
    assert ledger.total == 4 * KB
    del whole
    assert ledger.total == 4 * KB, "views hold it"
    del views
    assert ledger.total == 0


def test_writing_in_place_makes_nothing(ledger):
    tensor = some()
    tensor.add_(1).mul_(2)
    torch.add(tensor, tensor, out=tensor)
    assert ledger.total == KB


def test_it_counts_what_there_was_before_once_it_is_used():
    before = some(2)
    with Ledger() as ledger:
        assert ledger.total == 0
        more = before + 1
        assert ledger.total == 4 * KB
    del before
    assert ledger.total == 2 * KB
    assert more.numel() == 2 * KB


def test_it_goes_on_counting_what_is_freed_after_its_end():
    with Ledger() as ledger:
        tensor = some()
    assert ledger.total == KB
    del tensor
    assert ledger.total == 0


def test_a_resized_storage_counts_with_its_new_size(ledger):
    tensor = some()
    tensor.resize_(3 * KB)
    assert ledger.total == 3 * KB


def test_a_storage_that_is_resized_without_an_operation_is_found():
    with Ledger() as ledger:
        tensor = some(3)
        with ledger.phase("empty"):
            tensor.untyped_storage().resize_(0)
            assert ledger.live == {}
            tensor.untyped_storage().resize_(2 * KB)
        assert ledger.total == 2 * KB
        assert ledger.peak("empty").bytes == 3 * KB


def test_nothing_is_kept_alive(ledger):
    tensor = some()
    watched = [weakref.ref(tensor), weakref.ref(tensor.untyped_storage())]
    ledger.assign(tensor, "batch")
    del tensor
    assert [one() for one in watched] == [None, None]
    assert ledger.live == {}


def test_the_storages_of_a_graph_live_as_long_as_it_does(ledger):
    weight = torch.ones(KB, requires_grad=True)
    loss = (weight.exp() * 2).sum()
    assert ledger.total == 4 * (KB + KB + 1), "exp keeps its result"
    loss.backward()
    del loss
    assert ledger.total == 4 * (KB + KB), "weight and gradient"


def test_sizes_are_rounded_up_to_blocks():
    with Ledger(block=512) as ledger:
        kept = [some(), torch.ones(1), torch.ones(128), torch.ones(0)]
        assert ledger.total == 1024 + 512 + 512 + 0
    assert len(kept) == 4


def test_sparse_tensors_count_with_indices_and_values():
    table = nn.Embedding(50, 10, sparse=True)
    with Ledger() as ledger:
        ledger.assign_model(table)
        table(torch.tensor([3, 3, 7])).sum().backward()
        ledger.assign_gradients(table)
        held = table.weight.grad
        size = (
            held._indices().untyped_storage().nbytes() + held._values().untyped_storage().nbytes()
        )
        assert ledger.live["gradients"] == size == 3 * (8 + 10 * 4)


def test_a_peak_has_its_phase_its_operation_and_its_kinds(ledger):
    weight = torch.ones(KB)
    ledger.assign(weight, "parameters")
    with ledger.phase("forward"):
        (weight + 1).exp()
        weight + 1
    with ledger.phase("backward"):
        weight.exp()
    peak = ledger.peak()
    assert (peak.bytes, peak.phase, peak.op) == (12 * KB, "forward", "aten.exp.default")
    assert peak.kinds == {"parameters": 4 * KB, "temporary": 8 * KB}
    assert ledger.peak("backward").bytes == 8 * KB
    ledger.restart()
    with ledger.phase("step"):
        pass
    assert ledger.phases == ("step",)
    assert ledger.peak().bytes == 4 * KB, "what is there at the beginning of a phase counts"


def test_what_tensors_are_for_may_be_said_after_the_peak(ledger):
    with ledger.phase("step"):
        state = some(3)
        some(2)
        later = some()
    ledger.assign([state, later], "states")
    assert ledger.live == {"states": 4 * KB}
    assert ledger.peak().kinds == {"states": 3 * KB, "temporary": 2 * KB}


def test_what_lives_after_forward_was_saved(ledger):
    model = nn.Sequential(nn.Linear(10, 20, bias=False), nn.Sigmoid(), nn.Linear(20, 5, bias=False))
    ledger.assign_model(model)
    batch = torch.ones(7, 10)
    ledger.assign(batch, "batch")
    with ledger.phase("forward"):
        loss = model(batch).sum()
    ledger.settle()
    assert ledger.live == {
        "parameters": 4 * (200 + 100),
        "batch": 4 * 70,
        "saved": 4 * (7 * 20 + 1),  # what the sigmoid made, and the loss
    }
    peak = ledger.peak("forward").kinds
    assert peak["saved"] + peak["temporary"] == 4 * (7 * 20 + 7 * 20), "the sigmoid's step"
    with ledger.phase("backward"):
        loss.backward()
    ledger.assign_gradients(model)
    assert ledger.live["gradients"] == 4 * (200 + 100)


def test_a_models_buffers_and_loose_tensors_and_an_optimizers_states_have_their_kinds():
    model = nn.Sequential(nn.Linear(10, 10), nn.BatchNorm1d(10))
    model[0].table = torch.ones(30)
    optimizer = torch.optim.AdamW(model.parameters())
    with Ledger() as ledger:
        ledger.assign_model(model)
        assert ledger.live == {"parameters": 4 * 130, "buffers": 4 * (30 + 20) + 8}
        model(torch.ones(4, 10)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        ledger.assign_states(optimizer)
        gc.collect()
        assert ledger.live["states"] == 2 * 4 * 130 + 4 * 4


def test_tied_parameters_count_once():
    model = nn.ModuleList([nn.Linear(10, 10, bias=False), nn.Linear(10, 10, bias=False)])
    model[1].weight = model[0].weight
    with Ledger() as ledger:
        ledger.assign_model(model)
        assert ledger.live == {"parameters": 400}


def test_an_error_ends_a_phase(ledger):
    with pytest.raises(ZeroDivisionError), ledger.phase("forward"):
        raise ZeroDivisionError
    some()
    assert ledger.phases == ("forward", "outside")
