"""Promise 4: a mask is a function of seed, step and layers; no global generator is used."""

import random

import numpy as np
import torch
from torch.utils.data import DataLoader

from attached import attach, each_strategy, sgd, small
from layerdropback import LayerDropBack
from zoo import ZOO


def masks_of(strategy, seed):
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = attach(model, strategy, seed=seed)
    return entry.train(ldb, model, optimizer, range(4), steps=5)


@each_strategy
def test_masks_follow_from_the_seed_alone(strategy):
    first = masks_of(strategy, seed=4)
    torch.manual_seed(99)
    np.random.seed(99)
    assert first == masks_of(strategy, seed=4)
    assert first != masks_of(strategy, seed=5)


@each_strategy
def test_every_step_draws_anew(strategy):
    masks = [tuple(mask) for mask in masks_of(strategy, seed=4) if mask is not None]
    assert len(masks) == 10
    assert len(set(masks)) > 4


def generators():
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()


@each_strategy
def test_the_global_generators_are_neither_read_nor_moved(strategy):
    entry = small(strategy)
    model = entry.model()
    before = generators()
    ldb, optimizer = attach(model, strategy)
    data = [(torch.ones(4, 8), torch.zeros(4, dtype=torch.long))] * 3
    for epoch in range(3):
        for batch in ldb.epoch(data, epoch):
            entry.backward(model, batch)
            optimizer.step()
    ldb.load_state_dict(ldb.state_dict())
    ldb.detach()
    assert generators() == before


@each_strategy
def test_batches_and_augmentation_are_those_of_a_plain_run(strategy):
    def seen(attached):
        model = small(strategy).model()
        optimizer = sgd(model)
        loader = DataLoader(torch.arange(24.0), batch_size=4, shuffle=True)
        ldb = LayerDropBack(model, optimizer, strategy) if attached else None
        torch.manual_seed(3)
        values = []
        for epoch in range(3):
            for batch in ldb.epoch(loader, epoch) if ldb else loader:
                noise = torch.randn(4, 8)
                values.append(torch.cat([batch, noise.flatten()]))
                model(noise).sum().backward()
                optimizer.step()
                optimizer.zero_grad()
        return torch.stack(values)

    assert torch.equal(seen(True), seen(False))
