"""The callback with either of Lightning's two packages, with both, and with none."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

PACKAGES = ("lightning", "pytorch_lightning")

HIDDEN = """
import sys, warnings
for name in {hidden}:
    sys.modules[name] = None  # importing it fails as if it were not installed
"""

TRAINS = """
from importlib import import_module
import logging
import torch
from torch import nn
from layerdropback import Uniform

warnings.filterwarnings("ignore")  # the framework's own; ours come as UserWarning with a cause
warnings.filterwarnings("error", message=".*Cause:")
{first}
from layerdropback.integrations.lightning import LayerDropBackCallback

def train(package):
    framework = import_module(package)
    logging.getLogger(package).setLevel(logging.ERROR)

    class Net(framework.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))

        def training_step(self, batch, index):
            return self.net(batch).square().sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.01)

    callback = LayerDropBackCallback(Uniform(0.5), verify=True)
    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    quiet |= dict(enable_model_summary=False, accelerator="cpu", devices=1)
    trainer = framework.Trainer(max_epochs=2, callbacks=[callback], **quiet)
    loader = torch.utils.data.DataLoader(torch.randn(8, 4), batch_size=2)
    trainer.fit(Net(), loader)
    stats = callback.ldb.stats()
    print(package, isinstance(callback, framework.Callback), stats["drop_steps"])

for package in {packages}:
    train(package)
"""


def printed(script, **parts):
    """What a process prints that runs a script."""
    done = subprocess.run(
        [sys.executable, "-c", (HIDDEN + script).format(**({"first": ""} | parts))],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize(
    ("hidden", "package"),
    [
        pytest.param("pytorch_lightning", "lightning.pytorch", marks=pytest.mark.slow),
        pytest.param("lightning", "pytorch_lightning", marks=pytest.mark.slow),
    ],
)
def test_either_package_is_enough(hidden, package):
    assert printed(TRAINS, hidden=[hidden], packages=[package]) == [f"{package} True 7"]


@pytest.mark.skipif(
    version("lightning") < "2.6",
    reason="before 2.6 each Trainer asks for a callback of its package",
)
@pytest.mark.parametrize(
    ("first", "own"),
    [
        pytest.param("", "lightning.pytorch", marks=pytest.mark.slow),
        pytest.param("import pytorch_lightning", "pytorch_lightning", marks=pytest.mark.slow),
    ],
)
def test_both_trainers_take_it_in_one_process_and_it_is_of_the_one_in_use(first, own):
    both = ["lightning.pytorch", "pytorch_lightning"]
    lines = printed(TRAINS, hidden=[], packages=both, first=first)
    assert lines == [f"{package} {package == own} 7" for package in both]


NEITHER = """
import layerdropback
layerdropback.LayerDropBack
try:
    import layerdropback.integrations.lightning
except ModuleNotFoundError as error:
    print(error)
"""


@pytest.mark.slow
def test_with_neither_the_library_works_and_the_callback_names_its_extra():
    """In a process of its own; what the error says is quick to see in test_optional.py."""
    others = ("transformers", "accelerate", "peft", "trl", "timm")
    (line,) = printed(NEITHER, hidden=[*PACKAGES, *others])
    assert line == (
        "this callback needs the package lightning or pytorch_lightning. Cause: the extra "
        "'lightning' is not installed. Cure: pip install 'layerdropback[lightning]'."
    )


def test_the_extra_is_in_pyproject():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert '\nlightning = ["lightning>=' in text
