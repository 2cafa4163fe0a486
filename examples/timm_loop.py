"""The pieces of timm's own training loop, with LayerDropBack in two lines.

Mixup and CutMix, layer-wise rates, Lookahead, a gradient scaler, clipping, EMA, and a schedule:
python examples/timm_loop.py
"""

import argparse

import torch
from sklearn.datasets import load_digits
from timm.data import Mixup
from timm.loss import SoftTargetCrossEntropy
from timm.models import VisionTransformer
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3, NativeScaler, accuracy
from torch.utils.data import DataLoader, TensorDataset

from layerdropback import LayerDropBack, Truncate


def main() -> None:
    """Train on scikit-learn's digits."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"

    torch.manual_seed(0)
    images, labels = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
    data = TensorDataset(images.float().view(-1, 1, 8, 8) / 8 - 1, labels)
    loader = DataLoader(data, batch_size=32, shuffle=True, drop_last=True)
    model = VisionTransformer(
        img_size=8, patch_size=2, in_chans=1, num_classes=10, embed_dim=64, depth=4, num_heads=4
    ).to(device)
    mixup = Mixup(mixup_alpha=0.2, cutmix_alpha=1.0, prob=0.5, num_classes=10)
    optimizer = create_optimizer_v2(model, opt="lookahead_adamw", lr=4e-3, layer_decay=0.75)
    scheduler, epochs = create_scheduler_v2(
        optimizer, num_epochs=args.epochs, warmup_epochs=1, updates_per_epoch=len(loader)
    )
    ema = ModelEmaV3(model, decay=0.98)
    scaler = NativeScaler(device=device)
    criterion = SoftTargetCrossEntropy()

    ldb = LayerDropBack(model, optimizer, Truncate(0.5))  # line 1
    updates = 0
    for epoch in range(epochs):
        model.train()
        for inputs, targets in ldb.epoch(loader, epoch):  # line 2
            inputs, targets = mixup(inputs.to(device), targets.to(device))
            with torch.autocast(device, torch.float16, enabled=device == "cuda"):
                loss = criterion(model(inputs), targets)
            scaler(loss, optimizer, clip_grad=1.0, parameters=model.parameters())
            optimizer.zero_grad()
            updates += 1
            ema.update(model, step=updates)
            scheduler.step_update(updates)
        scheduler.step(epoch + 1)
        share = ldb.stats()["share_dropped"]
        print(f"epoch {epoch}: {share:.2f} of the layers dropped, loss {loss.item():.3f}")
    ema.eval()
    with torch.no_grad():
        (right,) = accuracy(ema(data.tensors[0].to(device)).cpu(), labels)
    print(f"{right.item():.1f} % of the training images are right")


if __name__ == "__main__":
    main()
