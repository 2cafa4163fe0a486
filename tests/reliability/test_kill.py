"""Killed at any moment and resumed, a run ends as an unbroken one does; see ``make kills``."""

import pytest
import torch

from forking import Forker
from kills import WAYS, Unbroken, kill_and_resume

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def forker(tmp_path_factory):
    forker = Forker(tmp_path_factory.mktemp("forker"))
    yield forker
    forker.close()


# Together more than twenty.
KILLS = {"train": 8, "compare": 4, "ranks": 4, "blocks": 3, "sweep": 2, "memory": 3}


@pytest.mark.parametrize("name", WAYS)
def test_kills_are_survived(forker, tmp_path, name):
    way = WAYS[name]
    if way.ranks and not torch.distributed.is_available():
        pytest.skip("torch without distributed")
    unbroken = Unbroken.of(way, forker, tmp_path / "unbroken")
    killed, seed = 0, 100
    while killed < KILLS[name]:  # a run may be through before its last kill
        place = tmp_path / str(seed)
        place.mkdir()
        found = kill_and_resume(forker, way, place, unbroken, KILLS[name] - killed, seed)
        killed, seed = killed + found.total(), seed + 1
    assert killed >= KILLS[name]


def test_a_run_that_ends_otherwise_is_seen(forker, tmp_path):
    way = WAYS["blocks"]
    unbroken = Unbroken.of(way, forker, tmp_path / "unbroken")
    (digest, rows), unbroken.result = unbroken.result, None
    assert len(digest) == 64
    assert len(rows) == 4
    with pytest.raises(AssertionError, match="as no unbroken one does"):
        kill_and_resume(forker, way, tmp_path, unbroken, kills=1, seed=0)
