"""Canaries for private names of torch's modules, optimizers, DDP, FSDP2 and compiler."""

import pytest
import torch
from torch import nn
from torch._dynamo import config as dynamo
from torch.nn.parallel import DistributedDataParallel

from layerdropback.interop import private

# ---- modules and optimizers ----------------------------------------------------------------------


def test_the_wrapper_of_torch_compile_is_told_or_models_are_not_unwrapped():
    model = nn.Linear(2, 2)
    assert private.is_compile_wrapper(torch.compile(model))
    assert torch.compile(model).get_submodule("_orig_mod") is model
    assert not private.is_compile_wrapper(model)


def test_what_is_compiled_in_place_is_told_or_its_mask_is_silently_ignored():
    model = nn.Linear(2, 2)
    assert not private.is_compiled_in_place(model)
    model.compile()
    assert private.is_compiled_in_place(model)


def test_a_modules_own_parameters_are_a_table_or_old_compilers_miss_flags():
    model = nn.Sequential(nn.Linear(2, 2))
    assert set(private.own_parameters(model[0])) == {"weight", "bias"}
    assert not private.own_parameters(model)
    assert private.own_parameters(model[0])["bias"] is model[0].bias


def test_hooks_before_a_forward_pass_are_listed_or_a_second_controller_is_not_refused():
    model = nn.Linear(2, 2)
    model.register_forward_pre_hook(hook := lambda *_: None)
    assert list(private.forward_pre_hooks(model)) == [hook]


def test_hook_tables_have_these_names_or_copies_carry_hooks():
    model = nn.Linear(2, 2)
    tables = (*private.HOOK_TABLES, *private.FACT_TABLES)
    assert not any(vars(model)[table] for table in tables)
    before = model.register_forward_pre_hook(lambda *_: None, with_kwargs=True)
    after = model.register_forward_hook(lambda *_: None, always_call=True, with_kwargs=True)
    numbers = {before.id, after.id}
    assert {n for table in tables for n in vars(model)[table]} == numbers
    assert all(vars(model)[table] for table in tables)


class Partial(torch.optim.Optimizer):
    """As optimizers that wrap another are often written."""

    def __init__(self, inner):
        self.param_groups = inner.param_groups


def test_step_hooks_are_told_and_listed_or_steps_go_unseen():
    optimizer = torch.optim.SGD([torch.ones(2, requires_grad=True)], lr=0.1)
    assert private.has_step_hooks(optimizer)
    assert not private.has_step_hooks(Partial(optimizer))
    assert not private.has_step_hooks(nn.Linear(2, 2))
    optimizer.register_step_pre_hook(hook := lambda *_: None)
    assert list(private.step_pre_hooks(optimizer)) == [hook]


# ---- distributed, compiler -----------------------------------------------------------------------


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_ddp_shows_that_its_forward_pass_runs_or_one_that_came_late_is_not_seen(tmp_path):
    """Then the ranks' seeds would not be compared, and no step under ``no_sync()`` refused."""
    seen = []

    class Looking(nn.Linear):
        def forward(self, x):
            seen.append(private.active_parallel())
            return super().forward(x)

    store = f"file://{tmp_path / 'rendezvous'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        model = DistributedDataParallel(Looking(2, 2))
        model(torch.ones(1, 2))
        assert seen[0] is model
        assert private.active_parallel() is None
        model.module(torch.ones(1, 2))
        assert seen[1] is None
        seen.clear()
        del model
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_ddp_lists_its_communication_hooks_or_a_second_one_fails_late(tmp_path):
    store = f"file://{tmp_path / 'rendezvous'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        model = DistributedDataParallel(nn.Linear(2, 2))
        assert not private.has_comm_hook(model)
        model.register_comm_hook(None, lambda state, bucket: None)
        assert private.has_comm_hook(model)
        del model
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_fsdp_decides_on_its_types_at_once_or_a_resumed_run_has_the_wrong_ones():
    """A first pass that drops would cost what is dropped its precision (pytorch#186998)."""
    from torch.distributed.fsdp import FSDPModule

    asked = []

    class State:
        def _lazy_init(self):
            asked.append("types")

    class Sharded(FSDPModule, nn.Linear):
        def __new__(cls, *args, **kwargs):
            return nn.Linear.__new__(nn.Linear)

    assert callable(getattr(FSDPModule, "_get_fsdp_state", None))
    fake = nn.Linear(2, 2)
    fake._get_fsdp_state = State
    private.settle_sharded(fake)
    assert asked == ["types"]


def test_the_compilers_guard_of_hooks_has_this_name_or_switches_are_missed():
    with dynamo.patch({"skip_nnmodule_hook_guards": True}):
        assert private.ignores_new_hooks() is True
        assert private.ignores_new_hooks(False) is True
        assert dynamo.skip_nnmodule_hook_guards is False
        assert private.ignores_new_hooks(True) is False


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
def test_fake_tensors_have_no_numbers_or_nothing_is_predicted():
    with private.fake_mode():
        tensor = torch.ones(2**40)
        assert (tensor + torch.ones(1)).untyped_storage().nbytes() == 2**42
        assert tensor.data_ptr() == 0
        with pytest.raises(RuntimeError) as number:
            tensor.sum().item()
        with pytest.raises(RuntimeError) as shape:
            tensor.nonzero()
    assert private.asks_for_numbers(number.value) is True
    assert private.asks_for_numbers(shape.value) is None
    assert private.asks_for_numbers(RuntimeError("another")) is False
