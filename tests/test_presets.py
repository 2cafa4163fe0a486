"""Presets that bear the authors' name follow their scripts exactly."""

import pytest

from layerdropback import PRESETS, AttachError, Schedule, Truncate, Uniform
from layerdropback.presets import preset_of
from layerdropback.settings import Settings


def test_there_are_three():
    assert list(PRESETS) == ["paper-scratch", "paper-finetune", "finetune"]
    assert all(isinstance(settings, Settings) for settings in PRESETS.values())


@pytest.mark.parametrize(
    ("name", "lr_scale", "batch_scale"),
    [("paper-scratch", 2.0, 1), ("paper-finetune", "inverse", 2)],
)
def test_the_papers(name, lr_scale, batch_scale):
    """The table of the authors' published scripts (arXiv 2412.18027)."""
    settings = preset_of(name)
    drops = [epoch for epoch in range(9) if settings.is_drop_epoch(epoch)]
    assert drops == [2, 4, 6, 8]
    assert settings.strategy == Uniform(0.5, unit="tensor")
    assert (settings.lr_scale, settings.batch_scale) == (lr_scale, batch_scale)


def test_a_factor_by_the_rate_is_the_authors_relative():
    assert preset_of("paper-finetune").lr_factor(mean_rate=0.5) == 2.0


def test_what_has_shown_to_gain():
    settings = preset_of("finetune")
    assert settings == Settings(Truncate(0.5, "fixed"), Schedule(every=1, start=0))
    assert (settings.lr_scale, settings.batch_scale) == (1.0, 1)


def test_nobody_can_change_them():
    with pytest.raises(TypeError):
        PRESETS["mine"] = Settings()


@pytest.mark.parametrize("name", ["paper", "", None])
def test_an_unknown_one(name):
    words = f"preset={name!r} is unknown.*give one of paper-scratch, paper-finetune, finetune"
    with pytest.raises(AttachError, match=words):
        preset_of(name)
