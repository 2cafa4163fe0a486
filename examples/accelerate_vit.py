"""A vision transformer from timm, trained with Accelerate, in which a share of backward is cut off.

accelerate launch examples/accelerate_vit.py    # one device, or what `accelerate config` was told
accelerate launch --cpu --num_processes 2 examples/accelerate_vit.py
"""

import argparse
from pathlib import Path

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from sklearn.datasets import load_digits
from timm.models import VisionTransformer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from layerdropback import LayerDropBack, Truncate


def main() -> None:
    """Train on scikit-learn's digits; a run that was stopped goes on where it was saved."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--checkpoint", type=Path, default=Path("accelerate-vit"))
    args = parser.parse_args()

    accelerator = Accelerator(
        gradient_accumulation_steps=2,
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True),
        # DDP must not wait for the gradients of dropped layers.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    set_seed(0)
    images, labels = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
    data = TensorDataset(images.float().view(-1, 1, 8, 8) / 8 - 1, labels)
    loader = DataLoader(data, batch_size=16, shuffle=True, drop_last=True)
    model = VisionTransformer(
        img_size=8, patch_size=2, in_chans=1, num_classes=10, embed_dim=64, depth=4, num_heads=4
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)

    ldb = LayerDropBack(model, optimizer, Truncate(0.5))  # of what prepare() has made
    accelerator.register_for_checkpointing(ldb)
    saved = sorted(args.checkpoint.glob("epoch*"))
    if saved:
        accelerator.load_state(str(saved[-1]))

    for epoch in range(len(saved), args.epochs):
        loader.set_epoch(epoch)
        for inputs, targets in ldb.epoch(loader, epoch):
            with accelerator.accumulate(model):
                loss = nn.functional.cross_entropy(model(inputs), targets)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
        accelerator.save_state(str(args.checkpoint / f"epoch{epoch:03}"))
        share = ldb.stats()["share_dropped"]
        loss = accelerator.reduce(loss.detach(), "mean").item()
        accelerator.print(f"epoch {epoch}: {share:.2f} of the layers dropped, loss {loss:.3f}")
    accelerator.end_training()


if __name__ == "__main__":
    main()
