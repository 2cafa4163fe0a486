"""Modules whose outputs require a gradient with no parameter before them."""

import torch
from torch import nn

from layerdropback.engine.sources import Sources


def forced(module):
    """As ``enable_input_require_grads`` does."""
    module.register_forward_hook(lambda m, args, out: out.requires_grad_(True))
    return module


def model():
    frozen = nn.Linear(3, 3).requires_grad_(False)
    return nn.Sequential(forced(frozen), nn.Linear(3, 3), nn.Linear(3, 2))


def test_it_is_found_and_detached_there_and_then():
    net = model()
    net[1].requires_grad_(False)
    sources = Sources(net)
    sources.look([])
    seen = []
    net[1].register_forward_hook(lambda m, args, out: seen.append(out.requires_grad))
    net(torch.ones(1, 3))
    assert seen == [False]
    assert sources.stop() == ("0",)
    net(torch.ones(1, 3))
    assert seen == [False, True], "its hooks are gone"


def test_what_comes_of_parameters_is_no_source():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    sources = Sources(net)
    sources.look([])
    assert net(torch.ones(1, 3)).requires_grad
    assert sources.stop() == ()


def test_an_argument_of_the_model_is_the_users():
    net = nn.Sequential(nn.Identity(), nn.Linear(3, 2))
    x = torch.ones(1, 3, requires_grad=True)
    sources = Sources(net)
    sources.look([x])
    net(x).sum().backward()
    assert x.grad is not None
    assert sources.stop() == ()


def test_a_module_that_gives_its_parameter_is_no_source():
    class Gives(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return self.table

    net = nn.Sequential(Gives(), nn.Linear(3, 2))
    sources = Sources(net)
    sources.look([])
    net(torch.ones(1, 3)).sum().backward()
    assert net[0].table.grad is not None
    assert sources.stop() == ()


def test_nested_outputs_keep_their_kind():
    class Two(nn.Module):
        def forward(self, x):
            return {"hidden": x.detach().requires_grad_(), "names": ("a", "b")}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.two, self.head = Two(), nn.Linear(3, 2)

        def forward(self, x):
            out = self.two(x)
            assert out["names"] == ("a", "b")
            assert not out["hidden"].requires_grad
            return self.head(out["hidden"])

    sources = Sources(net := Net())
    sources.look([])
    net(torch.ones(1, 3))
    assert sources.stop() == ("two",)


def test_looking_anew_forgets_and_stopping_twice_is_nothing():
    net = model()
    sources = Sources(net)
    sources.look([])
    net(torch.ones(1, 3))
    sources.look([])
    assert sources.stop() == ()
    assert sources.stop() == ()
    assert not net[1]._forward_hooks
