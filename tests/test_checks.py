"""What would go wrong is told at attach time, in words, all at once."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from layerdropback import AttachError, LayerDropBack
from layerdropback import wrappers as wrappers_module
from zoo import ZOO, frozen_stem, mlp


def sgd(model, **settings):
    return torch.optim.SGD(model.parameters(), **({"lr": 0.1} | settings))


def problems(model, optimizer=None, **settings):
    with pytest.raises(AttachError) as error:
        LayerDropBack(model, sgd(model) if optimizer is None else optimizer, **settings)
    for problem in error.value.problems:
        assert ". Cause: " in problem
        assert ". Cure: " in problem
    return str(error.value)


SETTINGS = {
    "drop_rate": ([1.0, -0.1, 2, float("nan"), "half", True], r"give a number in \[0, 1\)"),
    "strategy": (["truncated", None], "give one of uniform, truncate, branch, adaptive, none"),
    "unit": (["stage"], "give one of layer, block, tensor"),
    "every": ([0, 1.5, -2, True], "give an integer from 1 on"),
    "start": ([-1, 0.5], "give an integer from 0 on"),
    "lr_scale": ([0, -1.0, "double", float("inf")], "or 'inverse'"),
    "batch_scale": ([0, -2, "2"], "give a number above 0"),
    "resample": (["batch"], "give one of step, epoch"),
    "seed": ([-1, 2**64, 0.5], "give an integer in"),
}


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [(name, value, cure) for name, (values, cure) in SETTINGS.items() for value in values],
)
def test_a_setting_that_makes_no_sense_is_named(name, value, cure):
    with pytest.raises(AttachError, match=rf"1 problem\n.*{name}={value!r}.*{cure}"):
        model = mlp()
        LayerDropBack(model, sgd(model), **{name: value})


def test_all_problems_come_at_once():
    model = mlp()
    text = problems(
        model,
        sgd(model[4]),
        drop_rate=1.5,
        every=0,
        lr_scale=-1,
        keep=["nothing.like.it"],
        unit="layer",
    )
    assert "cannot attach LayerDropBack: 5 problems" in text
    for part in ("drop_rate=1.5", "every=0", "lr_scale=-1", "nothing.like.it", "in no optimizer"):
        assert part in text


def test_what_is_no_model_and_no_optimizer():
    assert "model is a int" in problems(3, sgd(mlp()))
    assert "optimizer is a str" in problems(mlp(), "adam")
    assert "optimizer is a Wrapper" in problems(mlp(), Wrapper())
    assert "there is no optimizer" in problems(mlp(), [])


class Wrapper:
    """Looks like an optimizer, fires no hook."""

    param_groups = ()


def test_nothing_to_train():
    model = mlp()
    optimizer = sgd(model)
    model.requires_grad_(False)
    assert "the model has no trainable parameter" in problems(model, optimizer)


def test_a_trainable_parameter_in_no_optimizer_and_a_foreign_optimizer():
    model = mlp()
    text = problems(model, sgd(model[4]))
    assert "trainable parameters are in no optimizer: '0.weight', '0.bias', '2.weight'" in text
    text = problems(model, [sgd(model), sgd(mlp())])
    assert "optimizer SGD has no layer to keep. Cause: it holds no parameter of this model" in text


def test_frozen_parameters_outside_and_foreign_parameters_inside_are_normal():
    model, other = frozen_stem(), nn.Linear(2, 2)
    trained = [p for p in model.parameters() if p.requires_grad]
    LayerDropBack(model, torch.optim.SGD([*trained, *other.parameters()], lr=0.1)).detach()


def test_optimizers_that_cannot_work():
    model = mlp()
    text = problems(model, torch.optim.LBFGS(model.parameters()))
    assert "optimizer LBFGS cannot drop layers. Cause: it moves parameters" in text
    optimizer = sgd(model)
    optimizer.param_groups[0]["lr"] = None
    assert "optimizer SGD has no learning rate" in problems(model, optimizer)
    LayerDropBack(model, optimizer, lr_scale=1).detach()


def test_two_on_one_model():
    model = mlp()
    optimizer = sgd(model)
    first = LayerDropBack(model, optimizer)
    text = problems(model, optimizer)
    assert "optimizer SGD has a LayerDropBack already" in text
    assert "the model has a LayerDropBack already" in text
    assert "the model has a LayerDropBack already" in problems(nn.Sequential(model))
    first.detach()
    second = LayerDropBack(model, optimizer)
    del second
    LayerDropBack(model, optimizer)


def test_keep_names():
    model = ZOO["vit"].model()
    text = problems(model, keep=["blocks.0.atn"])
    assert "keep='blocks.0.atn' matches nothing" in text
    assert "did you mean 'blocks.0.attn" in text
    text = problems(mlp(), keep="*")
    assert "no layer can be dropped. Cause: of 3 layers all are kept" in text
    assert "of 1 layers" in problems(nn.Sequential(nn.Linear(2, 2)))
    for keep in (None, 5, [0], [None]):
        assert "layers are kept by name" in problems(mlp(), keep=keep)


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
    for model, settings in (
        (DistributedDataParallel(mlp(), find_unused_parameters=True), {}),
        (plain, {"drop_rate": 0.0}),
    ):
        LayerDropBack(model, sgd(model), **settings).detach()


def test_data_parallel():
    assert "the model is nn.DataParallel" in problems(nn.DataParallel(mlp()))


def test_compiling_the_whole_model(monkeypatch):
    model = mlp()
    whole = torch.compile(model)
    monkeypatch.setattr(torch, "__version__", "2.11.1+cpu")
    text = problems(whole, sgd(model))
    assert "(the whole model) is compiled as one graph that holds 3 layers" in text
    assert "torch 2.11.1+cpu ignores in compiled graphs that requires_grad changed" in text
    assert "compile block by block" in text
    monkeypatch.setattr(torch, "__version__", "2.12.0")
    assert not wrappers_module.compile_ignores_flags()
    LayerDropBack(whole, sgd(model)).detach()
    model.compile()
    assert "compiled in place as a whole" in problems(model)


def test_compiled_parts_must_be_one_layer_before_torch_2_12(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.9.0")
    model = ZOO["tied_gpt"].model()
    for block in model.blocks:
        block.compile()
    assert "blocks.0 is compiled as one graph that holds 4 layers" in problems(model)
    LayerDropBack(model, sgd(model), unit="block").detach()


def test_parameters_that_come_later():
    model = mlp()
    ldb = LayerDropBack(model, sgd(model))
    model[2] = nn.Sequential(model[2], nn.Linear(16, 16))
    with pytest.raises(AttachError, match=r"cannot begin the epoch.*\n.*new: '2.1.weight'.*LoRA"):
        ldb.epoch([], 0)


def test_a_parameter_that_is_swapped_or_gone():
    model = mlp()
    ldb = LayerDropBack(model, sgd(model))
    model[2] = nn.Identity()
    with pytest.raises(AttachError, match="2 are gone"):
        ldb.epoch([], 0)


def test_a_layer_that_is_unfrozen_must_be_in_an_optimizer():
    model = frozen_stem()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    ldb = LayerDropBack(model, optimizer, every=1, start=0)
    ldb.epoch([], 0)
    model[0].requires_grad_(True)
    with pytest.raises(
        AttachError, match=r"in no optimizer: '0.weight', '0.bias'.*add_param_group"
    ):
        ldb.epoch([], 1)
    optimizer.add_param_group({"params": model[0].parameters()})
    seen = []
    for _ in ldb.epoch(range(30), 1):
        seen.append(ldb.mask is None)
        model(torch.randn(2, 8)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert seen == [True] + [False] * 29, "one full step shows where the new layer belongs"
    assert ldb.stats()["times_dropped"]["0"] > 0
