"""Two optimizers that stand for others: what they hold, and that one of them trains."""

import torch
from torch import nn

from layerdropback import LayerDropBack, Schedule, Truncate
from layerdropback.lab import count_memory, predict_memory
from layerdropback.lab.memory.optimizers import OPTIMIZERS, EightBitAdamW, optimizer_of


def model(dtype=torch.bfloat16):
    return nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.Linear(64, 1)).to(dtype)


def batch():
    return torch.ones(4, 8, dtype=torch.bfloat16)


def test_master_weights_are_trained_in_float32():
    plain, lower = model(torch.float32), model()
    lower.load_state_dict(plain.state_dict())
    plain.load_state_dict(lower.state_dict())  # the same numbers
    exact = OPTIMIZERS["adamw-loop"](plain.parameters())
    master = optimizer_of(lower, "adamw-loop", master=True)
    for _ in range(3):
        lower(batch()).sum().backward()
        for one, other in zip(plain.parameters(), lower.parameters(), strict=True):
            one.grad = other.grad.float()
        exact.step()
        master.step()
        master.zero_grad()
    for one, other in zip(plain.parameters(), lower.parameters(), strict=True):
        assert torch.equal(master.state[other]["master"], one)
        assert torch.equal(other, one.bfloat16())


def test_master_weights_are_states_and_predicted():
    def make(own):
        return optimizer_of(own, "adamw-fused", master=True)

    counted = count_memory(model, make, batch)
    assert counted == predict_memory(model, make, batch, device="cpu")
    assert counted.kinds["parameters"] == 2 * counted.parameters
    assert counted.kinds["states"] == 12 * counted.parameters + 6 * 4, "with six step numbers"


def test_what_is_float32_already_is_not_copied():
    def mixed():
        made = model()
        made[3].float()
        made[3].register_forward_pre_hook(lambda module, args: (args[0].float(),))
        return made

    def make(own):
        return optimizer_of(own, "adamw-fused", master=True)

    counted = count_memory(mixed, make, batch)
    assert counted == predict_memory(mixed, make, batch, device="cpu")
    head = 64 + 1
    assert counted.kinds["parameters"] == 2 * (counted.parameters - head) + 4 * head
    assert counted.kinds["states"] == 12 * (counted.parameters - head) + 8 * head + 6 * 4


def test_they_fire_the_hooks_of_steps_and_skip_what_is_dropped():
    for name in OPTIMIZERS:
        own = model()
        master = name == "adamw-loop"  # it lets gradients go inside of its step
        optimizer = optimizer_of(own, name, master)
        always = Schedule(every=1, start=0)
        ldb = LayerDropBack(own, optimizer, Truncate(0.4), always, verify=not master)
        with ldb.epoch(None, 0):
            for _ in range(3):
                own(batch()).sum().backward()
                optimizer.step()
                optimizer.zero_grad()
        assert ldb.stats()["drop_steps"] == 3, name


def test_eight_bits_are_for_large_tensors():
    own = model()
    optimizer = EightBitAdamW(own.parameters())
    own(batch()).sum().backward()
    optimizer.step()
    types = [optimizer.state[p]["exp_avg"].dtype for p in own.parameters()]
    assert types == [torch.float32] * 2 + [torch.uint8] + [torch.float32] * 3
    assert optimizer.state[own[2].weight]["absmax"].shape == (64 * 64 // 256,)


def test_frozen_parameters_are_left_out():
    own = model()
    own[0].requires_grad_(False)
    (group,) = optimizer_of(own, "sgd").param_groups
    assert len(group["params"]) == 4
