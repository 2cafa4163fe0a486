"""A few blocks train for a period; what rests has no gradient, no state, and no backward pass."""

import copy
import io

import pytest
import torch
from torch import nn

from attached import assert_same_weights
from layerdropback import AttachError, Blocks, LayerDropBack, Schedule
from recipes import ScheduleFree
from zoo import ZOO

EVERY_FOUR = Schedule(steps=4)


class Residual(nn.Module):
    """An embedding, six residual blocks, a norm and a head, which may share the embedding."""

    def __init__(self, blocks=6, width=6, tied=False):
        super().__init__()
        self.embed = nn.Embedding(9, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU())
            for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 9, bias=False)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, tokens):
        hidden = self.embed(tokens)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.head(self.norm(hidden))


def made(**changes):
    torch.manual_seed(0)
    return Residual(**changes)


def adamw(model, **settings):
    return torch.optim.AdamW(model.parameters(), lr=0.01, **settings)


def batch_of(step):
    return torch.randint(0, 9, (3, 5), generator=torch.Generator().manual_seed(step))


def backward(model, step):
    tokens = batch_of(step)
    loss = nn.functional.cross_entropy(model(tokens).flatten(0, 1), tokens.roll(1, 1).flatten())
    loss.backward()


def parts_with(model, has):
    """The blocks' numbers and the other parts' names of which each parameter has something."""
    parts = [(i, block) for i, block in enumerate(model.blocks)]
    parts += [(name, getattr(model, name)) for name in ("embed", "norm", "head")]
    return {name for name, part in parts if all(map(has, part.parameters()))}


def train(model, optimizers, strategy, steps, schedule=EVERY_FOUR, start=0, ldb=None, **settings):
    """Steps of a plain loop; by step which parts had gradients, and which states there were."""
    optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
    if ldb is None:
        settings = {"seed": 3, "verify": True} | settings
        ldb = LayerDropBack(model, optimizers, strategy, schedule, **settings)
    seen = []
    with ldb.epoch(None, 0):
        for step in range(start, start + steps):
            backward(model, step)
            graded = parts_with(model, lambda p: p.grad is not None)
            for optimizer in optimizers:
                optimizer.step()
            stated = parts_with(model, lambda p: any(p in o.state for o in optimizers))
            seen.append((graded, stated))
            for optimizer in optimizers:
                optimizer.zero_grad()
    return ldb, seen


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


# ---- optimizers ----------------------------------------------------------------------------------


def muon_and_adamw(model):
    matrices = [p for block in model.blocks for p in block.parameters() if p.dim() == 2]
    chosen = set(map(id, matrices))
    others = [p for p in model.parameters() if id(p) not in chosen]
    return [torch.optim.Muon(matrices, lr=0.01), torch.optim.AdamW(others, lr=0.01)]


def groups_of_two(model):
    groups = [{"params": list(model.blocks.parameters()), "weight_decay": 0.1}]
    groups.append({"params": [*model.norm.parameters(), model.embed.weight, model.head.weight]})
    return torch.optim.AdamW(groups, lr=0.01)


def sgd(model, **settings):
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01, **settings)


OPTIMIZERS = {
    "adamw": adamw,
    "fused": lambda model: adamw(model, fused=True),
    "foreach": lambda model: adamw(model, foreach=True),
    "amsgrad": lambda model: adamw(model, amsgrad=True),
    "momentum": sgd,
    "nesterov": lambda model: sgd(model, nesterov=True, foreach=True),
    "groups": groups_of_two,
    "adagrad": lambda model: torch.optim.Adagrad(model.parameters(), lr=0.01),
    "radam": lambda model: torch.optim.RAdam(model.parameters(), lr=0.01),
    "adafactor": lambda model: torch.optim.Adafactor(model.parameters(), lr=0.01),
    "rprop": lambda model: torch.optim.Rprop(model.parameters(), lr=0.01),
}
if hasattr(torch.optim, "Muon"):  # from torch 2.9 on
    OPTIMIZERS["muon"] = muon_and_adamw


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_offloading_equals_keeping_bit_for_bit(name):
    models = {}
    for state in ("keep", "offload"):
        models[state] = made()
        train(models[state], OPTIMIZERS[name](models[state]), Blocks(2, state=state), 30)
    assert_same_weights(models["offload"], models["keep"])


@pytest.mark.parametrize("every", [3, 4, 5])
def test_schedule_free_averages_find_the_states_of_what_rests(every):
    """Its ``eval`` and ``train`` exchange all weights by their states, in the midst of a period."""
    models = {}
    for state in ("keep", "offload"):
        model = models[state] = made()
        optimizer = ScheduleFree(model.parameters(), lr=0.05)
        ldb = None
        for start in range(0, 30, every):
            optimizer.train()
            ldb, _ = train(model, optimizer, Blocks(2, state=state), every, start=start, ldb=ldb)
            optimizer.eval()
        ldb.detach()
        assert not {"train", "eval"} & vars(optimizer).keys()
    assert_same_weights(models["offload"], models["keep"])


def test_schedule_free_cannot_do_without_its_states():
    model = made()
    optimizer = ScheduleFree(model.parameters(), lr=0.05)
    words = (
        r"state='release' is not usable with ScheduleFree. Cause: its eval\(\) makes the weights"
    )
    with pytest.raises(AttachError, match=words):
        LayerDropBack(model, optimizer, Blocks(state="release"))


def test_released_blocks_begin_anew():
    model = made()
    optimizer = adamw(model)
    train(model, optimizer, Blocks(3, "cyclic", state="release"), 10)  # the third period's second
    assert {int(optimizer.state[p]["step"]) for p in model.blocks[5].parameters()} == {2}
    assert int(optimizer.state[model.head.weight]["step"]) == 10


def test_adagrad_cannot_do_without_its_state():
    model = made()
    words = "state='release' is not usable with Adagrad. Cause: it makes its state when it is built"
    with pytest.raises(AttachError, match=words):
        LayerDropBack(model, OPTIMIZERS["adagrad"](model), Blocks(state="release"))


def test_an_optimizer_without_the_resting_blocks_is_an_error():
    """It was made from what was trainable then (ms-swift#10140)."""
    model = made()
    for block in model.blocks[:4]:
        block.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    words = "no optimizer holds blocks 'blocks.0'.*which never train.*made from the parameters"
    with pytest.raises(AttachError, match=words):
        LayerDropBack(model, optimizer, Blocks(1))


# ---- checkpoints ---------------------------------------------------------------------------------


def parts_saved(model, optimizer, ldb):
    file = io.BytesIO()
    torch.save([part.state_dict() for part in (model, optimizer, ldb)], file)
    return file.getvalue()


@pytest.mark.parametrize("state", ["offload", "release", "keep"])
@pytest.mark.parametrize("order", ["random", "cyclic"])
@pytest.mark.parametrize("first", ["optimizer", "ldb"])
def test_a_run_that_is_resumed_within_a_period_goes_on_bit_for_bit(state, order, first):
    strategy, whole = Blocks(2, order, state=state), made()
    train(whole, adamw(whole), strategy, 23)
    for done in (1, 4, 6, 13):
        model = made()
        optimizer = adamw(model)
        ldb, _ = train(model, optimizer, strategy, done)
        saved = torch.load(io.BytesIO(parts_saved(model, optimizer, ldb)), weights_only=True)
        model = made()
        optimizer = adamw(model)
        ldb = LayerDropBack(model, optimizer, strategy, EVERY_FOUR, verify=True)
        model.load_state_dict(saved[0])
        loads = [(optimizer, saved[1]), (ldb, saved[2])]
        for part, its in loads if first == "optimizer" else reversed(loads):
            part.load_state_dict(its)
        assert first == "ldb" or state == "keep" or len(optimizer.state) <= 11
        train(model, optimizer, strategy, 23 - done, start=done, ldb=ldb)
        assert_same_weights(model, whole)


def test_an_offloading_runs_checkpoint_is_that_of_a_keeping_one():
    found = []
    for state in ("keep", "offload"):
        model = made()
        optimizer = adamw(model)
        train(model, optimizer, Blocks(2, state=state), 14)
        found.append(optimizer.state_dict())
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_without_it_the_optimizer_goes_on_with_everything():
    """After `detach`, and where nothing but the optimizer was loaded."""
    model = made()
    optimizer = adamw(model)
    ldb, _ = train(model, optimizer, Blocks(2), 14)
    whole = copy.deepcopy(optimizer.state_dict())
    ldb.detach()
    assert len(optimizer.state) == len(whole["state"]) > 11
    torch.testing.assert_close(optimizer.state_dict(), whole, rtol=0, atol=0)


def test_a_step_outside_of_the_epoch_finds_every_state():
    """It is a step of plain training, of all parameters."""
    models = []
    for state in ("keep", "offload"):
        model = made()
        optimizer = adamw(model)
        ldb, _ = train(model, optimizer, Blocks(2, state=state), 14)
        backward(model, 14)
        optimizer.step()
        optimizer.zero_grad()
        train(model, optimizer, None, 6, start=15, ldb=ldb)
        models.append(model)
    assert_same_weights(*models)


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


@pytest.mark.parametrize("scaled", [False, True])
def test_an_optimizer_without_blocks_has_a_gradient_where_a_scaler_needs_one(scaled):
    model = made()
    inside = [p for name, p in model.named_parameters() if not name.startswith("embed")]
    optimizers = [torch.optim.AdamW(inside, lr=0.01), torch.optim.AdamW([model.embed.weight])]
    ldb = LayerDropBack(model, optimizers, Blocks(2), EVERY_FOUR, verify=True)
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
