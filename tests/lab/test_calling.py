"""A model that was called to be looked at is as it was."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from layerdropback.lab.calling import first_output, undisturbed
from layerdropback.model.recording import in_analysis


def draws():
    return random.random(), float(np.random.rand()), torch.rand(2).tolist()


def test_buffers_and_generators_are_put_back():
    norm = nn.BatchNorm1d(3)
    before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    expected = draws()
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    with undisturbed(norm):
        norm(torch.randn(4, 3))
        draws()
    assert draws() == expected
    torch.testing.assert_close(dict(norm.named_buffers()), before, rtol=0, atol=0)


class Counts(nn.Module):
    """Puts a new tensor in its buffer's place."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls = self.calls + 1
        return x * self.calls


def test_a_buffer_that_was_replaced_is_the_old_one_again():
    model = nn.Sequential(Counts())
    buffer = model[0].calls
    with undisturbed(model):
        model(torch.ones(2))
        assert model[0].calls == 1
    assert model[0].calls is buffer
    assert buffer == 0


@pytest.mark.parametrize("training", [True, False])
def test_a_backward_pass_that_waits_can_go_on(training):
    norm = nn.BatchNorm1d(3).train(training)
    loss = norm(torch.randn(4, 3)).square().sum()
    with undisturbed(norm):
        norm(torch.randn(4, 3))
    loss.backward()
    assert norm.weight.grad is not None


def test_everything_is_put_back_where_the_model_raises():
    norm = nn.BatchNorm1d(3)
    with pytest.raises(KeyError), undisturbed(norm):
        norm(torch.randn(4, 3))
        raise KeyError
    assert int(norm.num_batches_tracked) == 0
    assert not in_analysis()


def test_it_runs_with_gradients_also_where_the_caller_wants_none():
    with torch.no_grad():
        with undisturbed(nn.Linear(2, 2)):
            assert torch.is_grad_enabled()
            assert in_analysis()
        assert not torch.is_grad_enabled()
    assert not in_analysis()


def test_outputs_without_floating_point_need_a_loss():
    with pytest.raises(TypeError, match="no floating-point tensor; give a loss"):
        first_output({"classes": torch.ones(2, dtype=torch.long)})
