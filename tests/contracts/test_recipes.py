"""Promises 2 and 3 in each block of docs/recipes.md, run as it stands there."""

import pytest
import torch

from attached import dropping, each_strategy
from recipes import blocks, check_drops, check_rate_0, run

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


@each_recipe
@each_strategy
def test_it_drops_and_what_is_dropped_stands_still(heading, strategy):
    check_drops(heading, dropping(strategy), IDLE.get(heading, set()))


@each_recipe
@each_strategy
def test_rate_0_is_the_recipe_without_it_bit_for_bit(heading, strategy):
    check_rate_0(heading, dropping(strategy, 0.0))


@each_recipe
def test_it_is_short_and_as_the_page_shows_it_it_drops(heading):
    assert 7 <= len(blocks()[heading].strip().splitlines()) <= 25
    stats = run(heading)["ldb"].stats()
    assert 0 < stats["drop_steps"] < stats["step"]
    assert stats["share_dropped"] > 0
