"""A few blocks train for a period; what rests has no gradient, no state, and no backward pass."""

import copy

import pytest
import torch
from torch import nn

from attached import assert_same_weights, sgd
from layerdropback import Blocks, LayerDropBack, Schedule
from turns import EVERY_FOUR, Residual, adamw, backward, batch_of, made, parts_with, train
from zoo import ZOO

# ---- which ---------------------------------------------------------------------------------------


def test_cyclic_turns_go_down_from_the_last_block_for_whole_periods():
    model = made()
    _, seen = train(model, adamw(model), Blocks(2, "cyclic"), 16)
    blocks = [sorted(part for part in graded if isinstance(part, int)) for graded, _ in seen]
    assert blocks == [[4, 5]] * 4 + [[2, 3]] * 4 + [[0, 1]] * 4 + [[4, 5]] * 4
    assert all(graded - set(range(6)) == {"norm", "head"} for graded, _ in seen)


def test_random_turns_are_a_function_of_seed_and_period():
    first = train(model := made(), adamw(model), Blocks(2), 24)[1]
    again = train(other := made(), adamw(other), Blocks(2), 24)[1]
    assert [graded for graded, _ in first] == [graded for graded, _ in again]
    turns = [frozenset(first[period * 4][0]) for period in range(6)]
    assert all(first[step][0] == turns[step // 4] for step in range(24))
    assert len(set(turns)) > 2
    other_seed = train(third := made(), adamw(third), Blocks(2), 24, seed=4)[1]
    assert [graded for graded, _ in other_seed] != [graded for graded, _ in first]


def test_in_the_very_first_step_what_rests_gets_neither_gradient_nor_state():
    model, optimizer = made(), None
    optimizer = adamw(model)
    ldb, seen = train(model, optimizer, Blocks(1, "cyclic"), 1)
    assert seen == [({5, "norm", "head"}, {5, "norm", "head"})]
    assert ldb.stats()["drop_steps"] == 1
    assert ldb.stats()["times_dropped"]["embed"] == 1


def test_what_always_trains_is_named():
    for train_too, parts in (
        ((), set()),
        (("head",), {"head"}),
        (("embedding", "head", "norm"), {"embed", "head", "norm"}),
    ):
        model = made()
        _, seen = train(model, adamw(model), Blocks(1, "fixed", train=train_too), 3)
        assert [graded for graded, _ in seen] == [{5} | parts] * 3


class EarlyExit(Residual):
    """Has one more output, made after the second block."""

    def __init__(self):
        super().__init__()
        self.exit = nn.Linear(6, 9)

    def forward(self, tokens):
        hidden = self.embed(tokens)
        for number, block in enumerate(self.blocks):
            hidden = hidden + block(hidden)
            if number == 1:
                early = self.exit(hidden)
        return early, self.head(self.norm(hidden))


@pytest.mark.parametrize("train_too", [(), ("norm",)])
def test_an_output_that_no_active_block_makes_keeps_its_last_layer(train_too):
    """Else its loss, which a loop may take by itself, would have nothing to train."""
    torch.manual_seed(0)
    model = EarlyExit()
    optimizer = adamw(model)
    strategy = Blocks(1, "cyclic", train=train_too)
    ldb = LayerDropBack(model, optimizer, strategy, Schedule(steps=1), verify=True)
    with ldb.epoch(None, 0):
        for step in range(12):
            tokens = batch_of(step)
            exits = [logits.flatten(0, 1) for logits in model(tokens)]
            for logits in exits:
                nn.functional.cross_entropy(logits, tokens.flatten()).backward(retain_graph=True)
            graded = {n for n, p in model.named_parameters() if p.grad is not None}
            assert len({n.split(".")[1] for n in graded if n.startswith("blocks")}) == 1
            # All blocks make the last output: its head rests, as it was asked to.
            rest = {n.partition(".")[0] for n in graded if not n.startswith("blocks")}
            assert rest == {"exit", *train_too}
            optimizer.step()
            optimizer.zero_grad()


def test_frozen_blocks_have_no_turn():
    model = made()
    for i in (0, 2, 5):
        model.blocks[i].requires_grad_(False)
    _, seen = train(model, adamw(model), Blocks(1, "cyclic"), 16)
    blocks = [next(part for part in graded if isinstance(part, int)) for graded, _ in seen]
    assert blocks == [4] * 4 + [3] * 4 + [1] * 4 + [4] * 4


def test_a_block_that_the_user_freezes_meanwhile_loses_its_turn():
    model = made()
    optimizer = adamw(model)
    ldb, _ = train(model, optimizer, Blocks(1, "cyclic"), 2)
    model.blocks[5].requires_grad_(False)
    _, seen = train(model, optimizer, None, 1, start=2, ldb=ldb)
    assert seen[0][0] == {4, "norm", "head"}


def test_backward_stops_below_the_lowest_active_block():
    model = made(tied=True)
    optimizer, visited = adamw(model), []
    for i, block in enumerate(model.blocks):
        block.register_full_backward_pre_hook(lambda *_, i=i: visited.append(i))
    ldb, _ = train(model, optimizer, Blocks(2, "cyclic"), 1)
    visited.clear()
    train(model, optimizer, None, 1, start=1, ldb=ldb)
    assert sorted(visited) == [4, 5]


@pytest.mark.parametrize("tied", [False, True])
def test_gradients_of_what_trains_are_those_of_plain_training(tied):
    """A tied head's are those without the embedding's use, which rests."""
    model, plain = made(tied=tied), made(tied=tied)
    ldb, _ = train(model, torch.optim.SGD(model.parameters(), lr=0.0), Blocks(2), 1)
    with ldb.epoch(None, 0):
        backward(model, 1)
    if tied:
        kept = plain.embed.forward
        plain.embed.forward = lambda tokens: kept(tokens).detach()
    backward(plain, 1)
    named = dict(plain.named_parameters())
    graded = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert len(graded) == 2 * 4 + 3
    for name, gradient in graded.items():
        torch.testing.assert_close(gradient, named[name].grad, rtol=0, atol=0)


@pytest.mark.in_turn("order")
@pytest.mark.parametrize("name", ["vit", "resnet", "tied_gpt", "densenet"])
@pytest.mark.parametrize("order", ["random", "cyclic", "fixed"])
def test_what_rests_does_not_move(name, order):
    entry = ZOO[name]
    model = entry.model()
    optimizer = adamw(model)
    ldb = LayerDropBack(model, optimizer, Blocks(1, order), Schedule(steps=2), verify=True)
    for batch in ldb.epoch(entry.batches(6), 0):
        before = copy.deepcopy(model.state_dict())
        entry.backward(model, batch)
        resting = None if ldb.mask is None else ldb.mask
        optimizer.step()
        optimizer.zero_grad()
        if resting is not None:
            names = [
                n
                for la, rests in zip(ldb.layers, resting, strict=True)
                if rests
                for n in la.parameter_names
            ]
            assert all(torch.equal(before[n], dict(model.named_parameters())[n]) for n in names)
            assert len(names) > 3


# ---- bytes ---------------------------------------------------------------------------------------


def state_bytes(optimizer):
    return sum(v.nbytes for entry in optimizer.state.values() for v in entry.values())


@pytest.mark.parametrize("state", ["offload", "release"])
def test_states_and_gradients_are_those_of_what_trains_to_the_byte(state):
    """In every step, over more than 20 periods: what is there does not grow."""
    model = made()
    optimizer = adamw(model)
    ldb = LayerDropBack(model, optimizer, Blocks(2, state=state), Schedule(steps=2), seed=3)
    block = sum(p.nbytes for p in model.blocks[0].parameters())
    rest = sum(p.nbytes for part in (model.norm, model.head) for p in part.parameters())
    tensors, stepping = 4 * 2 + 3, 4  # each has a `step` of four bytes
    with ldb.epoch(None, 0):
        for step in range(46):
            backward(model, step)
            assert sum(p.grad.nbytes for p in model.parameters() if p.grad is not None) == (
                2 * block + rest
            )
            optimizer.step()
            if step % 2 == 0:
                assert state_bytes(optimizer) == 2 * (2 * block + rest) + stepping * tensors
            optimizer.zero_grad()


def test_after_a_switch_what_rests_has_no_gradient():
    model = made()
    optimizer = adamw(model)
    ldb = LayerDropBack(model, optimizer, Blocks(2, "cyclic", train=()), Schedule(steps=3))
    with ldb.epoch(None, 0):
        for step in range(3):
            backward(model, step)
            optimizer.step()
    assert all(p.grad is None for p in model.parameters())
    assert not optimizer.state


# ---- loops ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["offload", "release"])
def test_gradients_are_accumulated_under_one_mask(state):
    model = made()
    optimizer = adamw(model)
    ldb = LayerDropBack(model, optimizer, Blocks(2, "cyclic", state=state), EVERY_FOUR, verify=True)
    with ldb.epoch(None, 0):
        for step in range(12):
            for micro in range(3):
                backward(model, 3 * step + micro)
            parts = parts_with(model, lambda p: p.grad is not None)
            assert parts == {*range(4 - 2 * (step // 4), 6 - 2 * (step // 4)), "norm", "head"}
            optimizer.step()
            optimizer.zero_grad()


@pytest.mark.parametrize("train_too", [("head", "norm"), ()])
@pytest.mark.parametrize("scaled", [False, True])
def test_an_optimizer_without_blocks_has_a_gradient_where_a_scaler_needs_one(scaled, train_too):
    model = made()
    inside = [p for name, p in model.named_parameters() if not name.startswith("embed")]
    optimizers = [torch.optim.AdamW(inside, lr=0.01), torch.optim.AdamW([model.embed.weight])]
    ldb = LayerDropBack(model, optimizers, Blocks(2, train=train_too), EVERY_FOUR, verify=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    with ldb.epoch(None, 0):
        for step in range(9):
            tokens = batch_of(step)
            loss = nn.functional.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())
            (scaler.scale(loss) if scaled else loss).backward()
            for optimizer in optimizers:
                scaler.step(optimizer) if scaled else optimizer.step()
                optimizer.zero_grad()
            if scaled:
                scaler.update()
    assert (model.embed.weight in optimizers[1].state) == scaled


def test_passes_inside_of_the_step_are_the_same():
    closed, plain = made(), made()
    train(plain, sgd(plain), Blocks(2), 12)
    optimizer = sgd(closed)
    ldb = LayerDropBack(closed, optimizer, Blocks(2), EVERY_FOUR, seed=3, verify=True)
    with ldb.epoch(None, 0):
        for step in range(12):

            def passes(step=step):
                optimizer.zero_grad()
                backward(closed, step)

            optimizer.step(passes)
    assert_same_weights(closed, plain)


def test_full_periods_train_everything_and_find_their_states():
    schedule = Schedule(every=2, start=1, steps=3)
    models = []
    for state in ("keep", "offload"):
        model = made()
        _, seen = train(model, adamw(model), Blocks(2, state=state), 15, schedule)
        assert [len(graded) for graded, _ in seen] == [9] * 3 + [4] * 3 + [9] * 3 + [4] * 3 + [
            9
        ] * 3
        models.append(model)
    assert_same_weights(*models)


def test_epochs_are_periods_where_the_schedule_says_so():
    model = made()
    optimizer = adamw(model)
    ldb = LayerDropBack(model, optimizer, Blocks(2, "cyclic"), Schedule(every=1, start=0))
    found = []
    for epoch in range(3):
        with ldb.epoch(None, epoch):
            for step in range(2):
                backward(model, 2 * epoch + step)
                found.append(parts_with(model, lambda p: p.grad is not None) - {"norm", "head"})
                optimizer.step()
                optimizer.zero_grad()
    assert found == [{4, 5}] * 2 + [{2, 3}] * 2 + [{0, 1}] * 2


def test_the_summary_says_what_each_would_cost():
    model = made()
    ldb, _ = train(model, adamw(model), Blocks(2, "cyclic"), 1)
    rows = {line.split()[0]: line.split(maxsplit=3) for line in ldb.summary().splitlines()[2:]}
    assert rows["embed"][2:] == ["648", "always rests"]  # 54 numbers, their gradient, two moments
    assert rows["norm"][2:] == ["144", "always trains"]
    assert rows["blocks.0"][3] == "0.667"
    assert "2 active (cyclic)" in ldb.summary()
    assert "of 4 steps" in ldb.summary()
