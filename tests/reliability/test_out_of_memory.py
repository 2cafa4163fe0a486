"""Memory that runs out in a drop epoch: one line that is true, and a good checkpoint before it."""

import warnings

import pytest
import torch

from layerdropback.training.loop import Trainer
from layerdropback.training.step import Step
from resuming import SMALL, numbers, weights

LACK = "CUDA out of memory. Tried to allocate 2.00 GiB."


def short(patch, kind, name, step):
    """Memory is short from this step on, in the passes or in the optimizer."""
    real, calls = getattr(kind, name), 0

    def lacking(self, *arguments, **settings):
        nonlocal calls
        calls += 1
        if calls >= step:
            raise torch.OutOfMemoryError(LACK)
        return real(self, *arguments, **settings)

    patch.setattr(kind, name, lacking)


OTHERS = [(1, 8, Step, "_run"), (2, 16, torch.optim.SGD, "step")]


@pytest.mark.parametrize(
    ("scale", "images", "kind", "name"),
    [
        (1, 8, torch.optim.SGD, "step"),
        *(pytest.param(*other, marks=pytest.mark.slow) for other in OTHERS),
    ],
)
def test_in_a_drop_epoch(run, tmp_path, scale, images, kind, name):
    flags = ["train", *SMALL, "--epochs", "2", "--batch-scale", scale]
    assert run(*flags, "--out", "whole")[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        short(patch, kind, name, 14)
        code, _, errors = run(*flags, "--out", "run")
    assert (code, errors.count("\n")) == (2, 1)
    assert f"out of memory in epoch 2. Cause: a step on {images} images needs more than" in errors
    assert "Cure: begin anew with --accumulate 2, or a smaller --batch-size" in errors
    code, output, _ = run("train", "--out", "run", "--resume")
    assert code == 0
    assert "epoch 1 of 2 done" in output
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
    assert numbers(tmp_path / "run") == numbers(tmp_path / "whole")


@pytest.mark.slow
def test_where_no_smaller_part_is_left(run, tmp_path):
    """A scaled batch is tried in smaller and smaller parts first, each said."""
    flags = ["train", *SMALL, "--epochs", "2", "--batch-scale", 2, "--out", "run"]
    with pytest.MonkeyPatch.context() as patch:
        short(patch, Step, "_run", 13)
        warnings.simplefilter("always")
        code, _, errors = run(*flags)
    assert code == 2
    assert errors.count("a drop epoch's batch of 16 images does not fit in memory") == 3
    (line,) = [line for line in errors.splitlines() if "ldb: error: " in line]
    assert "out of memory in epoch 2. Cause: a step on 16 images needs more than there is" in line


def test_in_the_test(run, tmp_path):
    """More parts of a batch would not help."""
    with pytest.MonkeyPatch.context() as patch:
        real = Trainer._test_batches

        def lacking(trainer, on_test):
            for number, batch in enumerate(real(trainer, on_test)):
                assert number == 0
                yield batch
                raise torch.OutOfMemoryError(LACK)

        patch.setattr(Trainer, "_test_batches", lacking)
        code, _, errors = run("train", *SMALL, "--epochs", "1", "--out", "run")
    assert (code, errors.count("\n")) == (2, 1)
    assert "out of memory in the test. Cause: 20 images at once need more than there is" in errors
    assert "--accumulate" not in errors
