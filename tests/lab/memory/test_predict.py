"""Predictions: what they are made of, of what, and that they leave nothing behind."""

import gc
import sys

import pytest
import torch
from torch import nn

from layerdropback import AttachError, Schedule, Truncate, UsageError
from layerdropback.lab import count_memory, predict_memory
from layerdropback.lab.memory import predict

WIDTH, ROWS = 100, 7


def chain():
    blocks = [nn.Sequential(nn.Linear(WIDTH, WIDTH, bias=False), nn.Sigmoid()) for _ in range(6)]
    return nn.Sequential(*blocks, nn.Linear(WIDTH, 3))


def momentum(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def batch():
    return torch.ones(ROWS, WIDTH)


def test_every_byte_of_a_small_step():
    found = predict_memory(chain, momentum, batch, device="cpu")
    assert found.parameters == found.trained == 6 * WIDTH * WIDTH + 3 * WIDTH + 3
    kinds = dict(found.kinds)
    assert kinds.pop("temporary") + kinds.pop("saved", 0) < 4 * (6 * ROWS * WIDTH + WIDTH * WIDTH)
    weights = 4 * found.parameters
    assert kinds.pop("gradients") <= weights
    assert kinds == {"parameters": weights, "states": weights, "batch": 4 * ROWS * WIDTH}
    assert found.saved == 4 * (6 * ROWS * WIDTH + 1)
    assert found.phases["step"] == 3 * weights + 4 * ROWS * WIDTH + 4
    assert found.peak == max(found.phases.values()) == sum(found.kinds.values())
    assert found.phases[found.phase] == found.peak
    assert found.gib == found.peak / 2**30
    assert found.run == found.peak
    assert found.as_dict()["kinds"] == found.kinds


def test_sizes_are_those_of_cudas_allocator_by_default():
    exact = predict_memory(chain, momentum, batch, device="cpu")
    rounded = predict_memory(chain, momentum, batch)
    assert all(size % 512 == 0 for size in (rounded.peak, rounded.saved))
    assert 0 < rounded.peak - exact.peak < 512 * 60


def test_the_same_comes_out_again():
    made = [predict_memory(chain, momentum, batch, Truncate(0.4)) for _ in range(2)]
    assert made[0] == made[1]


@pytest.mark.parametrize("count", [predict_memory, count_memory])
def test_batches_and_losses_are_what_a_loop_has(count):
    def pair():
        return {"input": torch.ones(ROWS, WIDTH)}

    def loss(outputs):
        return nn.functional.cross_entropy(outputs, torch.zeros(ROWS, dtype=torch.long))

    plain = count(chain, momentum, lambda: (torch.ones(ROWS, WIDTH),), loss=loss)
    named = count(chain, momentum, pair, loss=loss)
    assert plain == named
    assert plain.saved > count(chain, momentum, batch).saved


def test_constants_of_a_loss_are_taken_as_they_are():
    weights = torch.ones(3)
    targets = torch.zeros(ROWS, dtype=torch.long)

    def loss(outputs):
        return nn.functional.cross_entropy(outputs, targets, weights)

    predicted = predict_memory(chain, momentum, batch, loss=loss, device="cpu")
    assert predicted == count_memory(chain, momentum, batch, loss=loss)


def test_a_strategy_goes_by_its_name_and_the_ramp_by_its_lowest():
    by_name = predict_memory(chain, momentum, batch, "truncate")
    assert by_name == predict_memory(chain, momentum, batch, Truncate())
    assert by_name.trained < by_name.parameters
    rising = Schedule(every=2, start=1, ramp="rising", length=10)
    lowest = predict_memory(chain, momentum, batch, "truncate", rising)
    assert lowest.trained == lowest.parameters


def test_the_first_step_of_a_strategy_is_told():
    found = predict_memory(chain, momentum, batch, Truncate(0.5))
    plain = predict_memory(chain, momentum, batch)
    assert plain.first is None
    assert found.first is not None
    assert found.run == max(found.first, found.peak)
    assert found.peak < plain.peak


def test_the_worse_of_two_worst_masks_counts(monkeypatch):
    tried = []
    real = predict.worst_of

    def both(strategy, positions, by, chosen):
        worst = real(strategy, positions, by, chosen)
        kind = type(worst)
        odds = kind.odds

        def differing(self, facts, position):
            found = odds(self, facts, position)
            chosen["parameters"] = ~chosen["depth"]
            tried.append(by)
            return found

        monkeypatch.setattr(kind, "odds", differing)
        return worst

    monkeypatch.setattr(predict, "worst_of", both)
    predict_memory(chain, momentum, batch, Truncate(0.5))
    assert set(tried) == {"depth", "parameters"}


def test_nothing_stays_behind():
    before = sys.modules["transformers.utils.import_utils"].is_fake_tensor if _has_hf() else None
    for count in (predict_memory, count_memory):
        count(chain, momentum, batch, "truncate")
    gc.collect()
    assert not [o for o in gc.get_objects() if type(o).__name__ in ("FakeLedger", "Ledger")]
    assert torch.ones(1).item() == 1.0
    assert gc.isenabled()
    after = sys.modules["transformers.utils.import_utils"].is_fake_tensor if _has_hf() else None
    assert before is after


def _has_hf():
    module = sys.modules.get("transformers.utils.import_utils")
    return hasattr(module, "is_fake_tensor")


def test_a_model_whose_shapes_depend_on_numbers_is_refused_and_can_be_counted():
    class Picks(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(WIDTH, 3)

        def forward(self, x):
            return self.linear(x[x.sum(1) > 0])

    with pytest.raises(UsageError, match="the memory of this model cannot be predicted: it calls"):
        predict_memory(Picks, momentum, batch)
    assert count_memory(Picks, momentum, batch).trained == 3 * WIDTH + 3


def test_what_cannot_be_attached_says_why():
    with pytest.raises(AttachError, match="share=0.9 cannot be reached"):
        predict_memory(chain, momentum, batch, Truncate(0.9, keep=("3",)))


def test_huge_models_take_no_memory():
    def huge():
        return nn.Sequential(*(nn.Linear(2**16, 2**16, bias=False) for _ in range(4)))

    found = predict_memory(huge, momentum, lambda: torch.ones(1, 2**16))
    assert found.kinds["parameters"] == 4 * 4 * 2**32
    assert found.gib > 128
