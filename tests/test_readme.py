"""The README's training loop is run as it stands, and its tables are compared with the code."""

import re
from pathlib import Path

import pytest

from layerdropback import PRESETS, LayerDropBack

README = (Path(__file__).parents[1] / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_training_loop_runs():
    names = {}
    exec(blocks("python")[0], names)
    assert names["ldb"].stats()["drop_steps"] == 2 * 8


def test_every_argument_is_in_the_signature_and_in_the_table():
    shown = re.search(r"`(LayerDropBack\(model, optimizer, drop_rate.*?\))`", README, re.DOTALL)[1]
    parameters = LayerDropBack.__init__.__kwdefaults__
    for name, default in parameters.items():
        assert f"{name}={default!r}".replace("'", '"') in shown
        assert f"`{name}`" in README


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_in_the_table(preset):
    row = next(line for line in README.splitlines() if line.startswith(f"| `{preset}`"))
    settings = PRESETS[preset]
    assert f"| {settings['unit']} | {settings['drop_rate']} |" in row
    assert row.endswith(f"x {settings['batch_scale']} |")
