"""Promises 2 and 3 in each block of docs/recipes.md, run as it stands there."""

import pytest
import torch

from attached import assert_same_weights, dropped_names, dropping, flags
from layerdropback import LayerDropBack
from recipes import blocks, yours
from twins import ALWAYS

# These run with Accelerate, and are tested in tests/integrations.
PLAIN = [name for name in blocks() if name != "Accelerate"]

# What stands still by itself: its gradient is zero, whatever is dropped.
IDLE = {"Gradient penalty": {"head.bias"}, "Siamese networks": {"head.bias"}}

needed = {
    "Muon and AdamW": pytest.mark.skipif(
        not hasattr(torch.optim, "Muon"), reason="this torch has no Muon"
    )
}
each_recipe = pytest.mark.parametrize(
    "heading", [pytest.param(name, marks=needed.get(name, ())) for name in PLAIN]
)


class Plain:
    """In the place of LayerDropBack, and nothing of it."""

    def __init__(self, model, optimizer, strategy):
        self.model = model

    def epoch(self, loader, epoch):
        return loader


def state_of(optimizers):
    optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
    return [optimizer.state_dict() for optimizer in optimizers]


def watched(strategy, found):
    """A LayerDropBack that drops in every epoch, and writes down what each batch moved."""

    class Watched(LayerDropBack):
        def __init__(self, model, optimizer, _):
            super().__init__(model, optimizer, strategy, ALWAYS, verify=True, seed=2, lr_scale=2.0)

        def epoch(self, loader, epoch):
            inner = super().epoch(loader, epoch)

            def batches():
                for batch in inner:
                    steps, names = self.stats()["step"], dropped_names(self)
                    before = {n: p.detach().clone() for n, p in self.model.named_parameters()}
                    yield batch
                    still = {
                        n for n, p in self.model.named_parameters() if torch.equal(before[n], p)
                    }
                    stepped = self.stats()["step"] > steps
                    found.append((names if stepped else set(before), still))

            return batches()

    return Watched


def run(heading, **changes):
    names = yours(heading) | changes
    exec(blocks()[heading], names)
    return names


@each_recipe
@pytest.mark.parametrize("strategy", ["uniform", "truncate", "branch"])
def test_it_drops_and_what_is_dropped_stands_still(heading, strategy):
    found = []
    names = run(heading, LayerDropBack=watched(dropping(strategy), found))
    stats = names["ldb"].stats()
    assert stats["drop_steps"] > 0
    assert stats["share_dropped"] > 0
    idle = IDLE.get(heading, set())
    assert [still - idle for _, still in found] == [dropped - idle for dropped, _ in found]
    assert any(dropped for dropped, _ in found)
    assert all(flags(names["ldb"].model).values())


@each_recipe
@pytest.mark.parametrize("strategy", ["uniform", "truncate", "branch"])
def test_rate_0_is_the_recipe_without_it_bit_for_bit(heading, strategy):
    plain = run(heading, LayerDropBack=Plain)
    mine = run(heading, LayerDropBack=watched(dropping(strategy, 0.0), []))
    assert mine["ldb"].stats()["drop_steps"] == 0
    assert_same_weights(plain["ldb"].model, mine["ldb"].model)
    states = [state_of(names.get("optimizers", names["optimizer"])) for names in (plain, mine)]
    torch.testing.assert_close(*states, rtol=0, atol=0)
    if "average" in mine:
        assert_same_weights(plain["average"], mine["average"])
    assert not torch.equal(mine["ldb"].model.head.weight, yours(heading)["model"].head.weight)


@each_recipe
def test_it_is_short_and_as_the_page_shows_it_it_drops(heading):
    lines = blocks()[heading].strip().splitlines()
    assert 7 <= len(lines) <= 25
    stats = run(heading)["ldb"].stats()
    assert 0 < stats["drop_steps"] < stats["step"]
    assert stats["share_dropped"] > 0
