"""States that stay after a block's turn are counted, as if all had had theirs."""

import pytest
import torch

import memory_models as models
from layerdropback import Blocks, LayerDropBack, Schedule
from layerdropback.lab import count_memory, predict_memory
from layerdropback.lab.memory.steps import make_states_of_all_turns


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=1e-3)


@pytest.mark.parametrize(
    "state", ["keep", "release", pytest.param("offload", marks=pytest.mark.slow)]
)
def test_kept_states_are_those_of_all_blocks_and_what_always_trains(state):
    model = models.llama()
    sizes = {name: p.nbytes for name, p in model.named_parameters()}
    blocks = sum(size for name, size in sizes.items() if ".layers." in name)
    always = sizes["model.norm.weight"] + sizes["lm_head.weight"]
    given = (models.llama, adamw, models.tokens, Blocks(1, state=state))
    predicted, counted = predict_memory(*given, device="cpu"), count_memory(*given)
    assert predicted == counted
    count = len(model.model.layers)
    each = len([name for name in sizes if ".layers.0." in name])
    turns = count if state == "keep" else 1
    steps = 4 * (turns * each + 2)
    assert counted.kinds["states"] == 2 * (turns * blocks // count + always) + steps


def test_they_are_those_of_a_run_in_which_all_have_had_their_turn():
    found = []
    for made_up in (False, True):
        model = models.llama()
        optimizer = adamw(model)
        strategy = Blocks(1, "cyclic", state="keep")
        ldb = LayerDropBack(model, optimizer, strategy, Schedule(steps=1))
        with ldb.epoch(None, 0):
            for _ in range(1 if made_up else 6):
                model(**models.tokens()).loss.backward()
                optimizer.step()
                optimizer.zero_grad()
        make_states_of_all_turns(ldb)
        state = {name: optimizer.state.get(p, {}) for name, p in model.named_parameters()}
        found.append({n: {k: (v.shape, v.dtype) for k, v in s.items()} for n, s in state.items()})
    assert found[0] == found[1]
