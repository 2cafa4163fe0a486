import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import BatchSampler

from layerdropback import UsageError
from layerdropback.epoch import BatchScaler
from layerdropback.training.images.augment import Augments
from layerdropback.training.images.loaders import Read
from pipelines import (
    COUNT,
    MESSAGE,
    MIXED,
    PAD,
    by_number,
    epoch,
    every_way,
    from_files,
    in_memory,
    made,
    pipeline,
    same,
)

# ---- pure functions of (seed, epoch, sample) -----------------------------------------------------


@every_way
@pytest.mark.parametrize("mixed", [False, True])
def test_an_epoch_depends_on_its_seed_and_number_alone(way, mixed):
    first = epoch(made(way, mixed, seed=5), 3)
    torch.manual_seed(99)  # read by nobody
    other = made(way, mixed, seed=5)
    epoch(other, 2)
    same(epoch(other, 3), first)
    for changed in (epoch(other, 4), epoch(made(way, mixed, seed=6), 3)):
        assert not torch.equal(changed[0][1], first[0][1])


@every_way
def test_an_image_is_augmented_alike_in_batches_of_any_size(way):
    first, second = (by_number(made(way, batch_size=size), 1) for size in (4, 8))
    assert first.keys() == second.keys() == set(range(COUNT))
    assert all(torch.equal(first[index], second[index]) for index in first)
    again = by_number(made(way), 2)
    assert not any(torch.equal(first[index], again[index]) for index in first)


@every_way
@pytest.mark.parametrize("mixed", [False, True])
def test_workers_change_nothing(way, mixed):
    alone, helped = made(way, mixed), made(way, mixed, workers=2)
    for number in (0, 1):  # the second one by workers that are there already
        same(epoch(alone, number), epoch(helped, number))
    tested = [torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in both(alone, helped)]
    assert tested == [True]


def both(*pipes):
    return zip(*(pipe.test_batches() for pipe in pipes), strict=True)


@pytest.mark.in_turn("workers")
@every_way
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_goes_on_where_it_stopped(way, mixed, workers):
    whole = epoch(made(way, mixed), 2)
    resumed = made(way, mixed, workers=workers)
    same(epoch(resumed, 2, skip=12), whole[3:])
    assert epoch(resumed, 2, skip=COUNT) == []
    same(epoch(resumed, 2), whole)


@every_way
def test_a_pass_that_was_left_early_leaves_nothing_behind(way):
    pipe = made(way, workers=1)
    for _ in pipe.loader:
        break
    same(epoch(pipe, 1), epoch(made(way), 1))


@settings(max_examples=40)
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(0, 5), st.integers(1, 5))
def test_any_skip_gives_the_rest_of_any_epoch(seed, number, batches, batch_size):
    def pipe():
        images = in_memory(1, 4, 4, 10)
        augments = Augments(rotate=5, **MIXED)
        return pipeline(images, augments, 1, seed=seed, batch_size=batch_size)

    whole = epoch(pipe(), number)
    assert len({index for chosen, _, _ in whole for index in chosen}) == len(whole) * batch_size
    skip = min(batches, len(whole))
    same(epoch(pipe(), number, skip * batch_size), whole[skip:])


@pytest.mark.in_turn("workers")
@every_way
@pytest.mark.parametrize("workers", [0, 2])
def test_global_generators_stay_where_they_are(way, workers):
    def states():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

    before = states()
    pipe = made(way, mixed=True, workers=workers)
    epoch(pipe)
    epoch(pipe, 1, skip=4)
    list(pipe.test_batches())
    assert states() == before


def test_more_than_there_is_cannot_be_skipped():
    with pytest.raises(ValueError, match="cannot skip 25 of 24 images"):
        made("files").set_epoch(0, skip=25)


# ---- the loader ----------------------------------------------------------------------------------


@pytest.mark.in_turn("workers")
@every_way
@pytest.mark.parametrize("workers", [0, 2])
def test_the_batch_size_can_be_scaled_for_an_epoch(way, workers):
    pipe = made(way, workers=workers)
    assert type(pipe.loader.batch_sampler) is BatchSampler
    scaler = BatchScaler(pipe.loader, 2)
    assert len(scaler) == 3
    for number in range(2):
        scaler.apply()
        same(epoch(pipe, number), epoch(made(way, batch_size=8), number))
        scaler.restore()
        same(epoch(pipe, number), epoch(made(way), number))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_is_one_line(workers):
    broken = pipeline(from_files(train=(5,)), PAD, workers=workers)
    with pytest.raises(UsageError) as caught:
        epoch(broken)
    assert str(caught.value) == MESSAGE
    assert len(list(broken.test_batches())) == 1
    broken.close()
    broken = pipeline(from_files(test=(20,)), PAD, workers=workers)
    with pytest.raises(UsageError) as caught:
        list(broken.test_batches())
    assert str(caught.value) == MESSAGE
    assert len(epoch(broken)) == 6
    broken.close()


@pytest.mark.parametrize("way", ["memory, by image", "files"])
def test_workers_can_be_started_anew_where_forking_is_not_safe(way):
    """There they get their images and transforms pickled."""
    pipe = made(way)
    for images in (pipe.loader.dataset, pipe._test.dataset):
        if isinstance(images, Read):
            (one, *_), (other, *_) = images[3, 5], pickle.loads(pickle.dumps(images))[3, 5]
            assert torch.equal(one, other)


def test_closing_ends_the_workers_and_a_new_pass_has_new_ones():
    pipe = made("files", workers=2)
    first = epoch(pipe)
    list(pipe.test_batches())
    workers = multiprocessing.active_children()
    assert len(workers) >= 4
    pipe.close()
    assert len(multiprocessing.active_children()) <= len(workers) - 4
    same(epoch(pipe), first)
    pipe.close()
    pipe.close()


def test_workers_leave_signals_to_the_main_process(tmp_path, monkeypatch):
    monkeypatch.setattr("layerdropback.training.images.loaders._GRACE", 2.0)

    def handler(number, frame):
        (tmp_path / str(os.getpid())).touch()

    before = {kind: signal.signal(kind, handler) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        pipe = made("files", workers=2)
        epoch(pipe)
        workers = pipe.loader._iterator._workers
        for worker in workers:
            os.kill(worker.pid, signal.SIGINT)
        same(epoch(pipe, 1), epoch(made("files"), 1))
        time.sleep(0.5)  # idle workers take it at once, others after 5 seconds
        # From another process: torch looks away where the worker's own parent has sent it.
        subprocess.run(["kill", "-TERM", *(str(worker.pid) for worker in workers)], check=True)
        same(epoch(pipe, 1), epoch(made("files"), 1))
        for worker in workers:
            worker.join(10)
            assert worker.exitcode == 0
        assert list(tmp_path.iterdir()) == []
        os.kill(os.getpid(), signal.SIGTERM)
        assert [file.name for file in tmp_path.iterdir()] == [str(os.getpid())]
    finally:
        for kind, previous in before.items():
            signal.signal(kind, previous)
