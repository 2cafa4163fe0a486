"""One epoch: an iterable over its batches, and a block."""

import gc

import pytest

from attached import attach
from layerdropback import EpochError, Schedule
from zoo import mlp


@pytest.fixture
def ldb():
    model = mlp()
    controller, optimizer = attach(model, schedule=Schedule(every=1, start=0))
    yield controller
    del model, optimizer


def test_any_iterable_will_do_and_a_generator_has_no_length(ldb):
    batches = ldb.epoch((number for number in range(3)), 0)
    with pytest.raises(TypeError):
        len(batches)
    assert list(batches) == [0, 1, 2]
    assert not ldb.is_drop_epoch


def test_an_epoch_is_good_for_one_pass(ldb):
    batches = ldb.epoch([1], 0)
    assert list(batches) == [1]
    with pytest.raises(EpochError, match=r"epoch 0 has ended.*call ldb.epoch\(loader, epoch\)"):
        iter(batches)


def test_without_a_loader_it_is_a_block(ldb):
    with ldb.epoch(None, 0) as block:
        assert ldb.is_drop_epoch
        with pytest.raises(EpochError, match="this epoch has no batches"):
            iter(block)
        with pytest.raises(TypeError, match="no loader"):
            len(block)
    assert not ldb.is_drop_epoch


def test_a_block_holds_over_several_loops(ldb):
    with ldb.epoch([1, 2], 0) as batches:
        assert list(batches) == [1, 2]
        assert ldb.is_drop_epoch, "the block has not ended"
    assert not ldb.is_drop_epoch


def test_the_next_epoch_closes_one_that_was_left_open(ldb):
    left = iter(ldb.epoch([1, 2], 0))
    assert next(left) == 1
    current = ldb.epoch([3], 1)
    assert ldb.stats()["epoch"] == 1
    left.close()  # must not end the epoch that came after it
    assert ldb.is_drop_epoch
    assert list(current) == [3]
    assert not ldb.is_drop_epoch


def test_an_epoch_that_was_overtaken_before_its_first_batch_has_none(ldb):
    left = iter(ldb.epoch([1, 2], 0))
    current = ldb.epoch([3], 1)
    assert list(left) == []
    assert list(current) == [3]


@pytest.mark.parametrize("way", ["break", "exception"])
def test_a_loop_that_is_left_ends_it(ldb, way):
    def loop():
        for _ in ldb.epoch([1, 2], 0):
            assert ldb.is_drop_epoch
            if way == "break":
                break
            raise KeyError

    if way == "break":
        loop()
    else:
        with pytest.raises(KeyError):
            loop()
    gc.collect()
    assert not ldb.is_drop_epoch


def test_saving_ends_nothing(ldb):
    seen = []
    for batch in ldb.epoch([1, 2, 3], 0):
        ldb.state_dict()
        seen.append((batch, ldb.is_drop_epoch))
    assert seen == [(1, True), (2, True), (3, True)]
    with ldb.epoch(None, 1):
        ldb.state_dict()
        assert ldb.is_drop_epoch
    ldb.begin_epoch(2)
    ldb.state_dict()
    assert ldb.is_drop_epoch
    held = ldb.epoch([1], 3)
    ldb.state_dict()
    assert ldb.is_drop_epoch, "nor one that has not begun to run"
    assert list(held) == [1]


def test_detach_closes_it(ldb):
    iterator = iter(ldb.epoch([1, 2], 0))
    next(iterator)
    ldb.detach()
    assert not ldb.is_drop_epoch
    assert next(iterator) == 2
