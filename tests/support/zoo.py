"""Small models, each with something that makes layers hard to find or to order."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from timm.models.beit import Beit
from timm.models.densenet import DenseNet
from timm.models.resnet import BasicBlock, ResNet
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 5
VOCABULARY = 11


class Attention(nn.Module):
    """``out_proj`` of nn.MultiheadAttention is used without its forward being called."""

    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.randn(6, 16) * 0.1)
        self.embed = nn.Linear(8, 16)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.norm = nn.LayerNorm(16)
        self.classifier = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x) + self.position
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.classifier(self.norm(x).mean(1))


class GPTBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        steps = torch.arange(1, x.shape[1] + 1, device=x.device).view(1, -1, 1)
        x = x + self.mix(self.norm(x).cumsum(1) / steps)
        return x + self.mlp(x)


class TiedGPT(nn.Module):
    """The head's weight is the embedding's: used first, and used last."""

    def __init__(self, width: int = 16):
        super().__init__()
        self.head = nn.Linear(width, VOCABULARY, bias=False)  # registered before what it follows
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.tokens.weight = self.head.weight
        self.positions = nn.Parameter(torch.randn(7, width) * 0.1)
        self.blocks = nn.ModuleList(GPTBlock(width) for _ in range(3))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokens(x) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Auxiliary(nn.Module):
    """Two outputs; the auxiliary head is registered last and used in the middle."""

    def __init__(self):
        super().__init__()
        self.lower = nn.Linear(8, 12)
        self.upper = nn.Linear(12, 12)
        self.classifier = nn.Linear(12, CLASSES)
        self.auxiliary = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = torch.relu(self.lower(x))
        auxiliary = self.auxiliary(x)
        return {"logits": self.classifier(torch.relu(self.upper(x))), "auxiliary": auxiliary}


class Unreached(nn.Module):
    """Has a head that no loss ever sees, registered after the classifier."""

    def __init__(self):
        super().__init__()
        self.lower = nn.Linear(8, 12)
        self.classifier = nn.Linear(12, CLASSES)
        self.unused = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.relu(self.lower(x))
        return self.classifier(x), self.unused(x)


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, CLASSES)
    )


class Skip(nn.Module):
    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


def residual() -> nn.Module:
    """The MLP with a skip connection around its middle."""
    model = mlp()
    model[2] = Skip(model[2])
    return model


def frozen_stem() -> nn.Module:
    model = mlp()
    model[0].requires_grad_(False)
    return model


def resnet() -> nn.Module:
    channels = (8, 8, 16, 16)
    return ResNet(BasicBlock, (1, 1, 1, 1), num_classes=CLASSES, channels=channels, stem_width=8)


def densenet() -> nn.Module:
    return DenseNet(growth_rate=4, block_config=(2, 2), num_classes=CLASSES)


def vit() -> nn.Module:
    return VisionTransformer(
        img_size=16, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=CLASSES
    )


def beit() -> nn.Module:
    """Its attention takes ``qkv`` apart, and one table of position biases serves every block."""
    return Beit(
        img_size=16,
        patch_size=8,
        embed_dim=16,
        depth=2,
        num_heads=2,
        num_classes=CLASSES,
        use_shared_rel_pos_bias=True,
        init_values=0.1,
    )


@dataclass(frozen=True)
class Entry:
    """A model with its inputs, its loss, and what is to be known of its layers."""

    build: Callable[[], nn.Module]
    input: Callable[[], Tensor]
    head: str  # the layer that is always kept
    select: Callable[[object], Tensor] = field(default=lambda output: output)
    frozen: frozenset[str] = frozenset()  # layers that never train
    ends: tuple[str, ...] = ()  # the last layers of other outputs, which are kept as well
    loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy
    target: Callable[[], Tensor] = field(default=lambda: torch.randint(CLASSES, (4,)))

    def model(self) -> nn.Module:
        torch.manual_seed(1)
        return self.build()

    def batches(self, count: int) -> list[tuple[Tensor, Tensor]]:
        torch.manual_seed(2)
        return [(self.input(), self.target()) for _ in range(count)]

    def backward(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        loss = self.loss(self.select(model(batch[0])), batch[1])
        loss.backward()
        return loss.detach()

    def train(self, ldb, model, optimizer, epochs, steps=8) -> list[list[bool] | None]:
        """Train some epochs, and tell the mask of each step."""
        masks = []
        for epoch in epochs:
            for batch in ldb.epoch(self.batches(steps), epoch):
                masks.append(None if ldb.mask is None else ldb.mask.tolist())
                self.backward(model, batch)
                optimizer.step()
                optimizer.zero_grad()
        return masks


def image() -> Tensor:
    return torch.randn(4, 3, 16, 16)


def vector() -> Tensor:
    return torch.randn(4, 8)


def token_loss(logits: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(logits.flatten(0, 1), target.flatten())


def both_heads(output: dict[str, Tensor]) -> Tensor:
    return output["logits"] + 0.3 * output["auxiliary"]


ZOO: dict[str, Entry] = {
    "resnet": Entry(resnet, image, "fc"),
    "densenet": Entry(densenet, image, "classifier"),
    "vit": Entry(vit, image, "head"),
    "beit": Entry(beit, image, "head"),
    "attention": Entry(Attention, lambda: torch.randn(4, 6, 8), "classifier"),
    "tied_gpt": Entry(
        TiedGPT,
        lambda: torch.randint(VOCABULARY, (4, 7)),
        "head+tokens",
        loss=token_loss,
        target=lambda: torch.randint(VOCABULARY, (4, 7)),
    ),
    "auxiliary": Entry(Auxiliary, vector, "classifier", select=both_heads, ends=("auxiliary",)),
    "frozen_stem": Entry(frozen_stem, vector, "4", frozen=frozenset({"0"})),
    "unreached": Entry(
        Unreached,
        vector,
        "classifier",
        select=lambda output: output[0],
        frozen=frozenset({"unused"}),
    ),
    "mlp": Entry(mlp, vector, "4"),
    "residual": Entry(residual, vector, "4"),
}
