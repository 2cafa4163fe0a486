"""Issue 2, point 1: the library equals the authors' algorithm to the last bit."""

import pytest
import torch

from layerdropback import LayerDropBack
from reference import train
from zoo import ZOO

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1),
}
STEPS, EPOCHS = 5, 3


@pytest.mark.parametrize("optimizer_name", OPTIMIZERS)
@pytest.mark.parametrize("name", ["resnet", "densenet", "vit", "attention", "mlp"])
def test_weights_and_gradients_are_the_same_to_the_last_bit(name, optimizer_name):
    entry = ZOO[name]
    batches = entry.batches(STEPS)

    model = entry.model()
    optimizer = OPTIMIZERS[optimizer_name](model.parameters())
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    ldb = LayerDropBack.from_preset(model, optimizer, "paper-scratch", seed=3)
    masks, had_gradient = [], []
    for epoch in range(EPOCHS):
        for batch in ldb.epoch(batches, epoch):
            layers = [] if ldb.mask is None else [ldb.layers[i] for i in ldb.mask.nonzero()[0]]
            masks.append({layer.name for layer in layers})
            optimizer.zero_grad()
            entry.backward(model, batch)
            had_gradient.append({n for n, p in model.named_parameters() if p.grad is not None})
            optimizer.step()
        scheduler.step()

    reference = entry.model()
    reference_optimizer = OPTIMIZERS[optimizer_name](reference.parameters())
    reference_scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(reference_optimizer, EPOCHS)
    kept = {f"{entry.head}.weight", f"{entry.head}.bias"}
    reached = train(
        reference,
        reference_optimizer,
        reference_scheduler,
        batches,
        EPOCHS,
        entry.backward,
        masks.__getitem__,
        kept,
    )

    assert any(masks[STEPS : 2 * STEPS]), "nothing was dropped: the test would show nothing"
    assert not any(masks[:STEPS] + masks[2 * STEPS :])
    assert had_gradient == reached
    for (key, mine), theirs in zip(model.named_parameters(), reference.parameters(), strict=True):
        assert torch.equal(mine, theirs), key
    for mine, theirs in zip(model.buffers(), reference.buffers(), strict=True):
        assert torch.equal(mine, theirs)
