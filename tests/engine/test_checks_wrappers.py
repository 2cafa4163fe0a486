"""What others put around a model, and how it can be in the way, told at attach time."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from attached import sgd
from layerdropback import AttachError, LayerDropBack, Uniform
from layerdropback.interop.compiling import compile_ignores_flags
from zoo import ZOO, mlp


def problems(model):
    with pytest.raises(AttachError) as error:
        LayerDropBack(model, sgd(model))
    return str(error.value)


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    rendezvous = tmp_path_factory.mktemp("group") / "file"
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def test_ddp_flags(group):
    plain = DistributedDataParallel(mlp())
    text = problems(plain)
    assert "the model is DDP without find_unused_parameters" in text
    assert "Cure: DistributedDataParallel(..., find_unused_parameters=True)" in text
    assert "module '0' is DDP without" in problems(nn.Sequential(plain, nn.Linear(5, 5)))
    static = DistributedDataParallel(mlp(), static_graph=True)
    assert "DDP with static_graph=True" in problems(static)
    for model, strategy in (
        (DistributedDataParallel(mlp(), find_unused_parameters=True), Uniform()),
        (plain, Uniform(0)),
    ):
        LayerDropBack(model, sgd(model), strategy).detach()


def test_data_parallel():
    assert "the model is nn.DataParallel" in problems(nn.DataParallel(mlp()))


def test_fsdp_of_the_old_kind():
    class FullyShardedDataParallel(nn.Sequential):
        """By its name."""

    text = problems(nn.Sequential(FullyShardedDataParallel(nn.Linear(2, 2)), nn.Linear(2, 2)))
    assert "module '0' is FullyShardedDataParallel" in text
    assert "use fully_shard (FSDP2)" in text


def test_compiling_the_whole_model(monkeypatch):
    model = mlp()
    whole = torch.compile(model)
    monkeypatch.setattr(torch, "__version__", "2.11.1+cpu")
    text = problems(whole)
    assert "(the whole model) is compiled as one graph that holds 3 layers" in text
    assert "torch 2.11.1+cpu ignores in compiled graphs that requires_grad changed" in text
    assert "compile block by block" in text
    monkeypatch.setattr(torch, "__version__", "2.12.0")
    assert not compile_ignores_flags()
    LayerDropBack(whole, sgd(model)).detach()
    model.compile()
    assert "compiled in place as a whole" in problems(model)


def test_compiled_parts_must_be_one_layer_before_torch_2_12(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.9.0")
    model = ZOO["tied_gpt"].model()
    for block in model.blocks:
        block.compile()
    assert "blocks.0 is compiled as one graph that holds 4 layers" in problems(model)
    LayerDropBack(model, sgd(model), Uniform(unit="block")).detach()
