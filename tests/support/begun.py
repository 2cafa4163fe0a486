"""Fixtures: runs to begin with, for the tests of several folders."""

import shutil

import pytest

from folders import make_folder
from resuming import SMALL


@pytest.fixture(scope="session")
def finished_runs(tmp_path_factory):
    """Where runs are kept that several tests begin with."""
    return tmp_path_factory.mktemp("finished")


@pytest.fixture
def unbroken(run, tmp_path, request, finished_runs):
    """A run that nothing stopped, in a copy of the test's own, and its flags."""
    strategy = getattr(request, "param", "uniform")
    flags = [*SMALL, "--epochs", "3", "--batch-scale", "2", "--ema", "0.9", "--strategy", strategy]
    if not (finished_runs / strategy).exists():
        assert run("train", *flags, "--out", finished_runs / strategy)[0] == 0
    shutil.copytree(finished_runs / strategy, tmp_path / "unbroken")
    return tmp_path / "unbroken", flags


@pytest.fixture
def pictures(tmp_path):
    """A folder of images, and the flags of a run on it."""
    make_folder(tmp_path / "images", size=(16, 16), train=24, test=6)
    flags = ["--model", "test_resnet", "--data", "folder:images", "--batch-size", "8"]
    return [*flags, "--epochs", "2", "--workers", "0"]


@pytest.fixture
def images(run, pictures):
    """The same; the run itself, unbroken, beside them."""
    assert run("train", *pictures, "--out", "whole")[0] == 0
    return pictures
