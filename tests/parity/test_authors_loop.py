"""The library with the authors' presets equals their algorithm to the last bit."""

from functools import partial

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from layerdropback import LayerDropBack
from reference import train
from zoo import ZOO

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1),
}
STEPS, EPOCHS = 4, 5  # epochs 2 and 4 drop

# Each preset with its scheduler, and the batch factor of drop epochs.
PRESETS = {
    "paper-scratch": (
        partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=EPOCHS),
        1,
    ),
    "paper-finetune": (
        partial(torch.optim.lr_scheduler.MultiStepLR, milestones=[2, 3, 4], gamma=0.2),
        2,
    ),
}
CASES = [
    ("paper-scratch", name, optimizer)
    for name in ("resnet", "densenet", "vit", "attention", "mlp")
    for optimizer in OPTIMIZERS
]
CASES += [("paper-finetune", name, "sgd") for name in ("resnet", "vit")]


@pytest.mark.parametrize(("preset", "name", "optimizer_name"), CASES)
def test_weights_and_gradients_are_the_same_to_the_last_bit(preset, name, optimizer_name):
    entry = ZOO[name]
    make_scheduler, factor = PRESETS[preset]
    inputs, targets = map(torch.cat, zip(*entry.batches(STEPS), strict=True))
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=4)

    def batches(drops):
        return DataLoader(loader.dataset, batch_size=4 * factor if drops else 4)

    model = entry.model()
    optimizer = OPTIMIZERS[optimizer_name](model.parameters())
    scheduler = make_scheduler(optimizer)
    ldb = LayerDropBack.from_preset(model, optimizer, preset, seed=3)
    masks, had_gradient, drop_epochs = [], [], []
    for epoch in range(EPOCHS):
        for batch in ldb.epoch(loader, epoch):
            layers = [] if ldb.mask is None else [ldb.layers[i] for i in ldb.mask.nonzero()[0]]
            masks.append({layer.name for layer in layers})
            drop_epochs += [epoch] * bool(layers)
            optimizer.zero_grad()
            entry.backward(model, batch)
            had_gradient.append({n for n, p in model.named_parameters() if p.grad is not None})
            optimizer.step()
        scheduler.step()

    reference = entry.model()
    reference_optimizer = OPTIMIZERS[optimizer_name](reference.parameters())
    kept = {f"{entry.head}.weight", f"{entry.head}.bias"}
    reached = train(
        reference,
        reference_optimizer,
        make_scheduler(reference_optimizer),
        batches,
        EPOCHS,
        entry.backward,
        masks.__getitem__,
        kept,
    )

    assert set(drop_epochs) == {2, 4}
    assert len(masks) == STEPS * 3 + STEPS // factor * 2
    assert had_gradient == reached
    for (key, mine), theirs in zip(model.named_parameters(), reference.parameters(), strict=True):
        assert torch.equal(mine, theirs), key
    for mine, theirs in zip(model.buffers(), reference.buffers(), strict=True):
        assert torch.equal(mine, theirs)
