"""Models without data: ties, loose tensors, and answers to those who ask for numbers."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from layerdropback import UsageError
from layerdropback.lab.memory.fakes import FakeLedger, fake_twin, on_meta, without_data


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(8, 8)
        self.two = nn.Linear(8, 8)
        self.two.weight = self.one.weight
        self.register_buffer("table", torch.ones(8, dtype=torch.int32))
        self.same = self.table  # a mere attribute
        self.rnn = nn.LSTM(8, 8)
        self.one.bias.requires_grad_(False)


def test_what_is_tied_is_tied_and_flags_stay():
    model = on_meta(Odd)
    assert all(p.is_meta for p in model.parameters())
    with without_data():
        twin = fake_twin(model)
        assert twin.one.weight is twin.two.weight
        assert twin.same is twin.table
        assert twin.table.dtype == torch.int32
        assert [p.requires_grad for p in twin.one.parameters()] == [True, False]
        assert all(type(p.data).__name__ == "FakeTensor" for p in twin.parameters())
        assert twin.rnn(twin.one(torch.ones(2, 3, 8)))[0].shape == (2, 3, 8)


def test_a_model_that_looks_at_its_numbers_is_made_with_some():
    def stubborn():
        rate = torch.full((3,), 0.5)[1].item()
        return nn.Sequential(nn.Linear(2, 2), nn.Dropout(rate))

    model = on_meta(stubborn)
    assert model[1].p == 0.5
    assert not model[0].weight.is_meta


def test_who_asks_for_a_number_gets_one():
    with without_data(), FakeLedger():
        numbers = torch.randn(3)
        assert numbers.sum().item() == 1.0
        assert (numbers > 0).any().item() is True
        assert int(numbers.argmax()) == 1
        assert torch.equal(numbers, numbers + 1)


def test_shapes_that_depend_on_numbers_are_refused():
    with without_data(), FakeLedger(), pytest.raises(UsageError) as error:
        torch.randn(3).nonzero()
    assert "it calls aten.nonzero.default. Cause: what comes out has a shape" in str(error.value)
    assert "Cure: count a real step instead" in str(error.value)


def test_other_errors_are_the_users_and_come_once(caplog):
    with without_data(), FakeLedger(), pytest.raises(RuntimeError, match="broadcast"):
        torch.randn(3) + torch.randn(4)
    assert not caplog.records


def test_transformers_takes_the_paths_of_a_training_step_and_is_left_as_it_was(monkeypatch):
    utils = SimpleNamespace(is_fake_tensor=lambda tensor: True)
    before = utils.is_fake_tensor
    monkeypatch.setitem(sys.modules, "transformers.utils.import_utils", utils)
    with pytest.raises(ZeroDivisionError), without_data():
        assert not utils.is_fake_tensor(None)
        raise ZeroDivisionError
    assert utils.is_fake_tensor is before
