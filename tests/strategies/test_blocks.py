"""Which layers take turns, which always train, and which always rest."""

import numpy as np
import pytest
from torch import nn

from layerdropback import AttachError, Blocks, Schedule, find_layers
from layerdropback.settings import Settings
from layerdropback.strategies.facts import Facts


def block():
    return nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))


class Model(nn.Module):
    """With something of each kind around its blocks, in the order of use."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.embed_norm = nn.LayerNorm(3)
        self.blocks = nn.ModuleList(block() for _ in range(4))
        self.norm = nn.LayerNorm(3)
        self.pooler = nn.Linear(3, 3)
        self.head = nn.Linear(3, 2)


def facts(kept=("head",), unit="block", between=False, **known):
    layers = find_layers(Model(), unit)
    names = [layer.name for layer in layers]
    ascending = list(range(len(layers)))
    if between:  # the norm is used in the midst of the blocks
        ascending.remove(names.index("norm"))
        ascending.insert(names.index("blocks.2"), names.index("norm"))
    free = np.array([name not in kept for name in names])
    return Facts(layers, free, tuple(ascending), **known)


def parts(strategy, found):
    """The names of what takes turns, and of what always rests."""
    odds = strategy.odds(found, 0.5)
    names = [layer.name for layer in found.layers]
    return [names[i] for i in odds.blocks], [names[i] for i in odds.resting]


BLOCKS = ["blocks.0", "blocks.1", "blocks.2", "blocks.3"]
BEFORE = ["embed", "embed_norm"]


@pytest.mark.parametrize(
    ("train", "rests"),
    [
        (("head", "norm"), BEFORE),
        (("head",), [*BEFORE, "norm"]),
        (["norm"], [*BEFORE, "pooler"]),
        (("embedding",), ["norm", "pooler"]),
        (("embedding", "head", "norm"), []),
        ((), [*BEFORE, "norm", "pooler"]),
    ],
)
def test_the_parts_are_told_by_their_place_and_their_shape(train, rests):
    assert parts(Blocks(train=train), facts()) == (BLOCKS, rests)


def test_what_lies_between_blocks_rests_whatever_it_is():
    found = facts(between=True)
    assert parts(Blocks(train=("embedding", "head", "norm")), found) == (BLOCKS, ["norm"])


def test_what_is_kept_takes_no_turn():
    found = facts(kept=("head", "blocks.3", "embed"))
    assert parts(Blocks(), found) == (BLOCKS[:3], ["embed_norm"])


def test_finer_units_take_turns_where_they_have_a_matrix():
    turns, rests = parts(Blocks(unit="layer"), facts(unit="layer"))
    assert turns == ["embed", *(f"{name}.0" for name in BLOCKS), "pooler"]
    assert rests == ["embed_norm", *(f"{name}.1" for name in BLOCKS), "norm"]


def test_too_few_blocks_are_an_error():
    words = "active=4 leaves no block to rest: there are 4.*give fewer active ones"
    with pytest.raises(AttachError, match=words):
        Blocks(4).check(facts())
    Blocks(3).check(facts())
    with pytest.raises(AttachError, match="no block can take turns.*unit='block'.*unit='layer'"):
        Blocks(1).check(facts(kept=("head", *BLOCKS)))
    assert parts(Blocks(1), facts(kept=("head", *BLOCKS))) == ([], [])


def test_early_uses_are_cut_off_unless_the_embedding_trains():
    found, some, none = facts(early=("a",), sources=("a", "b")), np.array([True]), np.array([False])
    assert Blocks().switches(found, some) == ("a", "b")
    assert Blocks(train=("embedding", "head")).switches(found, some) == ("b",)
    assert Blocks().switches(found, none) == ()


def test_its_schedule_is_periods_of_steps_unless_one_is_given():
    assert Settings(Blocks()).schedule == Schedule(1, 0, 20)
    assert Settings(Blocks(), Schedule(steps=7)).schedule == Schedule(1, 0, 7)
    assert Settings(Blocks(), Schedule(every=3)).schedule == Schedule(3, 0)
    assert Blocks().resting == "offload"
    assert not Blocks().has_rate
    assert Blocks(1, "cyclic").rate_text == "1 active (cyclic)"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"active": 0}, "active=0 is not usable. Cause: blocks are counted"),
        ({"active": 1.5}, "active=1.5 is not usable"),
        ({"order": "up"}, "order='up' is not usable.*give one of random, cyclic, fixed"),
        ({"state": "cpu"}, "state='cpu' is not usable.*give one of offload, release, keep"),
        ({"train": ["tail"]}, r"train=\('tail',\) is not usable.*the parts are head, norm, embed"),
        ({"train": "head"}, "train='head' is not usable.*give a list"),
        ({"unit": "stage"}, "unit='stage' is not usable"),
    ],
)
def test_what_makes_no_sense_is_an_error(fields, words):
    with pytest.raises(AttachError, match=f"cannot make this Blocks: 1 problem\n.*{words}"):
        Blocks(**fields)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lr_scale": "inverse"}, r"lr_scale='inverse' is not usable with Blocks\(\)"),
        (
            {"schedule": Schedule(ramp="rising", length=9)},
            r"ramp='rising' is not usable with Blocks\(\)",
        ),
    ],
)
def test_what_needs_a_drop_rate_does_not_go_with_it(settings, words):
    with pytest.raises(AttachError, match=f"{words}.*it has no drop rate"):
        Settings(Blocks(), **settings)
