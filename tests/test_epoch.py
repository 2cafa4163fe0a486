"""One epoch: an iterable over its batches, a block, and the batch factor."""

import gc

import pytest
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler

from attached import attach
from layerdropback import EpochError, LoaderError, Schedule
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


ALWAYS = Schedule(every=1, start=0)


class Endless(IterableDataset):
    def __iter__(self):
        return iter(range(20))


class Custom(BatchSampler):
    def __iter__(self):
        yield [0, 1]


@pytest.fixture
def controller():
    model = mlp()
    return lambda **settings: attach(model, **({"batch_scale": 2} | settings))[0]


def sizes(ldb, loader, epoch):
    return [len(batch) for batch in ldb.epoch(loader, epoch)]


@pytest.mark.parametrize("workers", [0, 1])
def test_the_batch_is_scaled_in_drop_epochs_without_new_workers(workers, controller):
    loader = DataLoader(
        range(22), batch_size=4, num_workers=workers, persistent_workers=bool(workers)
    )
    ldb = controller()
    processes = set()
    for epoch in range(4):
        assert len(ldb.epoch(loader, epoch)) == (3 if epoch % 2 else 6)
        expected = [8, 8, 6] if epoch % 2 else [4, 4, 4, 4, 4, 2]
        assert sizes(ldb, loader, epoch) == expected
        if workers:
            processes |= {worker.pid for worker in loader._iterator._workers}
        assert loader.batch_sampler.batch_size == 4
    assert len(processes) == workers


@pytest.mark.parametrize("drop_last", [False, True])
def test_the_size_is_put_back_on_break_and_exception(drop_last, controller):
    loader = DataLoader(range(22), batch_size=4, drop_last=drop_last)
    ldb = controller(schedule=ALWAYS)
    for batch in ldb.epoch(loader, 0):
        assert len(batch) == 8
        break
    assert loader.batch_sampler.batch_size == 4
    with pytest.raises(KeyError), ldb.epoch(loader, 1) as batches:
        assert len(batches) == (2 if drop_last else 3)
        next(iter(batches))
        raise KeyError
    assert loader.batch_sampler.batch_size == 4


@pytest.mark.parametrize("way", ["detach", "next epoch", "garbage"])
def test_the_size_is_put_back_however_an_epoch_ends(way, controller):
    loader = DataLoader(range(22), batch_size=4)
    ldb = controller()
    ldb.begin_epoch(1, loader)
    assert loader.batch_sampler.batch_size == 8
    if way == "detach":
        ldb.detach()
    elif way == "next epoch":
        ldb.begin_epoch(2, loader)
    else:
        del ldb
    assert loader.batch_sampler.batch_size == 4


def test_fractions_are_rounded_to_at_least_one(controller):
    ldb = controller(batch_scale=0.4, schedule=ALWAYS)
    assert sizes(ldb, DataLoader(range(4), batch_size=4), 0) == [2, 2]
    assert sizes(ldb, DataLoader(range(2), batch_size=1), 1) == [1, 1]


def test_an_iterable_dataset_works_too(controller):
    ldb = controller(schedule=ALWAYS)
    loader = DataLoader(Endless(), batch_size=4)
    with pytest.raises(TypeError, match="this DataLoader has no length"):
        len(ldb.epoch(loader, 0))
    assert sizes(ldb, loader, 0) == [8, 8, 4]


LOADERS = {
    "no DataLoader": ([1, 2], "applied to this list. Cause: it is not a torch DataLoader"),
    "none": (None, "no loader to work on. Cause: None was given"),
    "no batches": (DataLoader([1, 2], batch_size=None), "made with batch_size=None"),
    "custom": (
        DataLoader(range(4), batch_sampler=Custom(SequentialSampler(range(4)), 2, False)),
        "batch sampler Custom makes the batches itself",
    ),
    "list": (DataLoader(range(4), batch_sampler=[[0, 1], [2, 3]]), "batch sampler list makes"),
}


@pytest.mark.parametrize("name", LOADERS)
def test_a_loader_that_cannot_be_scaled(name, controller):
    loader, message = LOADERS[name]
    ldb = controller()
    ldb.epoch(loader, 0)  # a full epoch needs nothing of the loader
    with pytest.raises(LoaderError, match=f"{message}.*set batch_scale=1"):
        ldb.epoch(loader, 1)
    assert not ldb.is_drop_epoch


def test_a_drop_epoch_without_a_batch(controller):
    loader = DataLoader(range(6), batch_size=4, drop_last=True)
    ldb = controller()
    words = "no batch of 8 samples.*use a smaller batch_scale or drop_last=False"
    with pytest.raises(LoaderError, match=words):
        ldb.epoch(loader, 1)
    assert not ldb.is_drop_epoch
    assert loader.batch_sampler.batch_size == 4
