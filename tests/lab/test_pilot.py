"""The pilot's arithmetic, with steps of known length."""

import pytest

from layerdropback.lab import pilot
from layerdropback.tasks.arms import make_arms
from layerdropback.tasks.images import ImageTask
from layerdropback.training.config import TrainConfig
from layerdropback.training.dropping import Dropping
from layerdropback.training.images.data import load_data


@pytest.mark.parametrize(
    ("dropping", "epochs", "ratio"),
    [
        # Rates 0.6, 0.3, 0: by the median of these epochs it would be 0.9.
        (
            Dropping(drop_rate=0.3, strategy="truncate", every=1, start=0, ramp="falling"),
            3,
            (0.2 + 0.9 + 1.0) / 3,
        ),
        (Dropping(drop_rate=0.3, strategy="truncate", every=1, start=0), 3, 0.9),
        (Dropping(drop_rate=0.3, strategy="truncate", every=2, start=1), 4, (1.0 + 0.9) / 2),
        (Dropping(drop_rate=0.3, strategy="truncate", every=1, start=0), 2.5, 0.9),
    ],
)
def test_a_runs_time_is_that_of_all_its_epochs(dropping, epochs, ratio, monkeypatch):
    config = TrainConfig(model="test_resnet", epochs=epochs, batch_size=16, dropping=dropping)
    plain, method, *_ = make_arms(config)

    def steps(player, epoch, count):
        if player.arm.name == "plain":
            return 1.0
        if dropping.given.get("ramp") == "falling":
            return (0.2, 0.9, 1.0)[epoch]
        return 0.9 if dropping.settings().is_drop_epoch(epoch) else 1.0

    monkeypatch.setattr(pilot, "timed_steps", steps)
    monkeypatch.setattr(pilot, "SavedBytes", _NoBytes)
    data = load_data("digits", limit_train=160, limit_test=40)
    found = pilot.pilot([plain, method], ImageTask(config, data))
    assert found["ldb"].ratio == pytest.approx(ratio)
    assert found["ldb"].error == 0
    assert found["plain"].per_step == {"full": 1.0}
    drop = found["ldb"].per_step["drop"]
    assert drop == pytest.approx(ratio if dropping.given.get("ramp") == "falling" else 0.9)
    steps_of_run = 10 * epochs
    assert found["ldb"].seconds == pytest.approx(ratio * steps_of_run)


def test_the_first_step_which_is_recorded_does_not_count_as_a_drop_steps_memory(known_times):
    data, found = load_data("digits", limit_train=160, limit_test=40), []
    for start in (0, 1):  # in the second the first step is in a full epoch
        dropping = Dropping(drop_rate=0.5, strategy="truncate", every=1, start=start)
        config = TrainConfig(model="test_vit", epochs=2, batch_size=16, dropping=dropping)
        arms = [arm for arm in make_arms(config) if arm.role != "same time"]
        found.append(pilot.pilot(arms, ImageTask(config, data)))
    first, second = (timings["ldb"].saved for timings in found)
    assert first["drop"] == second["drop"] < second["full"]
    assert "full" not in first


class _NoBytes:
    total, passes = 0, 1

    def __init__(self, model):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass
