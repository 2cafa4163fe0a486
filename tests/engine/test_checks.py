"""What would go wrong is told at attach time, in words, all at once."""

import pytest
import torch
from torch import nn

from attached import sgd
from layerdropback import AttachError, Control, LayerDropBack, Truncate, Uniform
from zoo import ZOO, frozen_stem, mlp


def problems(model, optimizer=None, strategy="uniform", **settings):
    with pytest.raises(AttachError) as error:
        LayerDropBack(model, sgd(model) if optimizer is None else optimizer, strategy, **settings)
    for problem in error.value.problems:
        assert ". Cause: " in problem
        assert ". Cure: " in problem
    return str(error.value)


def test_all_problems_come_at_once():
    model = mlp()
    optimizer = sgd(model[4])
    optimizer.param_groups[0]["lr"] = None
    strategy = Uniform(keep=["nothing.like.it"], rates={"nor.this": 0.1})
    text = problems(model, optimizer, strategy, lr_scale=2)
    assert "cannot attach LayerDropBack: 4 problems" in text
    for part in ("no learning rate", "nothing.like.it", "rates='nor.this'", "in no optimizer"):
        assert part in text


def test_a_strategy_that_does_not_exist_is_named():
    for strategy in ("truncated", None):
        text = problems(mlp(), strategy=strategy)
        assert f"strategy={strategy!r} is not usable" in text
        assert "give one of uniform, truncate, branch, blocks, control" in text


class Wrapper:
    """Looks like an optimizer, fires no hook."""

    param_groups = ()


def test_what_is_no_model_and_no_optimizer():
    assert "model is a int" in problems(3, sgd(mlp()))
    assert "optimizer is a str" in problems(mlp(), "adam")
    assert "optimizer is a Wrapper" in problems(mlp(), Wrapper())
    assert "there is no optimizer" in problems(mlp(), [])


def test_an_optimizer_given_twice():
    model = mlp()
    optimizer = sgd(model)
    assert "an optimizer was given twice" in problems(model, [optimizer, optimizer])


def test_parameters_that_do_not_exist_yet():
    lazy = nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(2))
    assert "the model has uninitialized parameters" in problems(
        lazy, torch.optim.SGD(lazy.parameters(), lr=0.1)
    )


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_a_scripted_model():
    scripted = torch.jit.script(mlp())
    assert "attach to the module before torch.jit.script" in problems(scripted)


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
    assert "optimizer SGD has no learning rate" in problems(model, optimizer, lr_scale=2)
    LayerDropBack(model, optimizer).detach()


def test_two_on_one_model():
    model = mlp()
    optimizer = sgd(model)
    first = LayerDropBack(model, optimizer)
    text = problems(model, optimizer)
    assert "optimizer SGD has a LayerDropBack already" in text
    assert "the model has a LayerDropBack already" in text
    assert "the model has a LayerDropBack already" in problems(nn.Sequential(model))
    assert "optimizer SGD has a LayerDropBack already" in problems(model, [optimizer, sgd(model)])
    first.detach()
    second = LayerDropBack(model, optimizer)
    del second
    LayerDropBack(model, optimizer)


def test_names_that_match_nothing():
    model = ZOO["vit"].model()
    text = problems(model, strategy=Uniform(keep=["blocks.0.atn"]))
    assert "keep='blocks.0.atn' matches nothing" in text
    assert "did you mean 'blocks.0.attn" in text
    text = problems(model, strategy=Uniform(rates={"stem": 0.2}))
    assert "rates='stem' matches nothing" in text


@pytest.mark.parametrize("strategy", [Uniform(keep=["*"]), Truncate(keep=["*"])])
def test_nothing_to_drop(strategy):
    text = problems(mlp(), strategy=strategy)
    assert "no layer can be dropped. Cause: of 3 layers all are kept" in text
    assert "of 1 layers" in problems(nn.Sequential(nn.Linear(2, 2)))


def test_where_nothing_drops_there_is_no_problem():
    model = nn.Sequential(nn.Linear(2, 2))
    LayerDropBack(model, sgd(model), Control()).detach()
    LayerDropBack(model, torch.optim.LBFGS(model.parameters()), Uniform(0)).detach()


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
