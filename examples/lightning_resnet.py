"""A ResNet-18 that Lightning fine-tunes, in which half of the backward pass's cost is cut off.

python examples/lightning_resnet.py                                        # scikit-learn's digits
python examples/lightning_resnet.py --data photos/train --pretrained       # a folder for each class
"""

import argparse
from pathlib import Path

import lightning as L
import timm
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from layerdropback.integrations.lightning import LayerDropBackCallback


class Classifier(L.LightningModule):
    """The network, its loss and its optimizer."""

    def __init__(self, classes: int, pretrained: bool) -> None:
        super().__init__()
        self.net = timm.create_model("resnet18", pretrained=pretrained, num_classes=classes)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """The loss of a batch."""
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss

    def on_train_epoch_end(self) -> None:
        """Print what was logged, by callbacks as well."""
        metrics = (f"{n} {value:.3f}" for n, value in self.trainer.callback_metrics.items())
        print(f"epoch {self.current_epoch}: {', '.join(sorted(metrics))}")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def images_of(folder: Path | None, size: int) -> tuple[Dataset, int]:
    """Images with their labels, and how many classes there are."""
    if folder is None:
        digits, labels = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
        digits = nn.functional.interpolate(digits.float().view(-1, 1, 8, 8) / 16, size=32)
        return TensorDataset(digits.expand(-1, 3, -1, -1), labels), 10
    steps = [transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor()]
    data = ImageFolder(folder, transforms.Compose(steps))
    return data, len(data.classes)


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, help="a folder with one of images for each class")
    parser.add_argument("--size", type=int, default=224, help="of the folder's images")
    parser.add_argument("--pretrained", action="store_true", help="timm downloads the weights")
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()

    L.seed_everything(0)
    data, classes = images_of(args.data, args.size)
    loader = DataLoader(data, batch_size=32, shuffle=True)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(
        max_epochs=args.epochs,
        log_every_n_steps=1,
        callbacks=[LayerDropBackCallback()],
        **quiet,
    )
    trainer.fit(Classifier(classes, args.pretrained), loader)


if __name__ == "__main__":
    main()
