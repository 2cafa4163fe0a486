"""What a strategy of the user's own is told of a model, as things stand."""

from dataclasses import FrozenInstanceError

import pytest

from attached import attach, train
from facts_of import facts_of
from layerdropback import Schedule, Uniform
from zoo import ZOO

ALWAYS = Schedule(every=1, start=0)


def told(name, costly=False, change=lambda model: None, **fields):
    """The facts in the second step, and the names of the model's layers."""
    seen = []

    class Asks(Uniform):
        needs_costs = needs_branches = costly

        def odds(self, facts, position):
            seen.append(facts)
            return super().odds(facts, position)

    entry = ZOO[name]
    model = entry.model()
    ldb, optimizer = attach(model, Asks(**fields), schedule=ALWAYS)
    train(entry, model, ldb, optimizer, steps=1)
    change(model)
    train(entry, model, ldb, optimizer, epoch=1, steps=1)
    names = [layer.name for layer in ldb.layers]
    assert [layer.name for layer in seen[-1].layers] == names
    return seen[-1], names


def named(names, chosen):
    return [name for name, free in zip(names, chosen, strict=True) if free]


def test_what_is_free_is_reached_and_not_kept():
    facts, names = told("unreached")
    assert named(names, facts.free) == ["lower"]
    facts, names = told("mlp", keep=["0"])
    assert named(names, facts.free) == ["2"]


def test_it_is_told_anew_where_the_user_freezes_the_head():
    facts, names = told("mlp", change=lambda model: model[4].requires_grad_(False))
    assert named(names, facts.free) == ["0"]


@pytest.mark.parametrize("costly", [False, True])
def test_reached_layers_are_in_the_order_of_their_first_use(costly):
    """Of a tied head that is the embedding's, but where cuts drop its early uses."""
    facts, names = told("tied_gpt", costly)
    ascending = [names[i] for i in facts.ascending]
    assert ascending.index("head+tokens") == (len(names) - 1 if costly else 0)
    rest = [name for name in names if name != "head+tokens"]
    assert [name for name in ascending if name != "head+tokens"] == rest
    facts, names = told("unreached")
    assert [names[i] for i in facts.ascending] == ["lower", "classifier"]


def test_what_nobody_asked_for_is_not_there():
    facts, _ = told("tied_gpt")
    assert (facts.shares, facts.groups, facts.early) == (None, (), ())


def test_costs_branches_and_early_uses_are_there_where_they_are_asked_for():
    facts, names = told("tied_gpt", costly=True)
    assert facts.shares.keys() == set(names)
    assert max(facts.shares.values()) == pytest.approx(1.0)
    assert facts.early == ("tokens",)
    assert "blocks.0.mix" in {name for group in facts.groups for name in group.modules}


def test_they_do_not_change():
    with pytest.raises(FrozenInstanceError):
        facts_of(3).free = None
