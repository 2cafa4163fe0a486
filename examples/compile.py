"""Blocks that are compiled one by one, in a training loop that cuts off the lower ones.

python examples/compile.py
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.utils.data import DataLoader, TensorDataset

from layerdropback import Branch, LayerDropBack, Truncate, Uniform

EPOCHS, BATCH, WIDTH, DEPTH = 6, 64, 64, 4
STRATEGIES = {
    "uniform": Uniform(0.5, unit="block"),
    "truncate": Truncate(0.5, depth="uniform", unit="block"),
    "branch": Branch(0.5, unit="block"),
}


class Block(nn.Module):
    """Attention, and two layers for each token, with skip connections around both."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
        self.mlp = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(batch, tokens, width)``, before and after."""
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(x)


class Transformer(nn.Module):
    """Reads an image's eight rows as eight tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, WIDTH)
        self.places = nn.Parameter(0.1 * torch.randn(8, WIDTH))
        self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, images: Tensor) -> Tensor:
        """The classes' scores, of images with shape ``(batch, 8, 8)``."""
        x = self.blocks(self.embed(images) + self.places)
        return self.head(self.norm(x).mean(1))


def main() -> None:
    """Train a small transformer on scikit-learn's digits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="inductor", help="of torch.compile")
    parser.add_argument("--strategy", default="truncate", choices=STRATEGIES)
    arguments = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    images, labels = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
    images, labels = (images.float() / 16).view(-1, 8, 8).to(device), labels.to(device)
    loader = DataLoader(TensorDataset(images, labels), BATCH, shuffle=True, drop_last=True)

    model = Transformer().to(device)
    for block in model.blocks:
        block.compile(backend=arguments.backend)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    ldb = LayerDropBack(model, optimizer, STRATEGIES[arguments.strategy])

    for epoch in range(EPOCHS):
        losses = []
        for inputs, targets in ldb.epoch(loader, epoch):
            loss = nn.functional.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.detach())
        share, mean = ldb.stats()["share_dropped"], torch.stack(losses).mean()
        graphs = counters["stats"]["unique_graphs"]  # torch's own count
        print(
            f"epoch {epoch}: {share:.2f} of the layers dropped, loss {mean:.3f}, "
            f"{graphs} graphs so far"
        )
    # Another batch size would be another graph.
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        right = model(images).argmax(1) == labels
    print(f"{100 * right.float().mean():.1f} % of the training images are right")


if __name__ == "__main__":
    main()
