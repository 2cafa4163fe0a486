"""How far a model's gradients differ by rounding alone, to hold `compile-step` against.

    python -m benchmarks rounding --model resnet50

The same model and batch as there, uncompiled: float32 in two orders of memory, and float64.
"""

import argparse
import copy

import torch
from torch import Tensor, nn

from layerdropback.training.models import ModelSpec, build_model, choose_stem

from .compile_step import CASES, classify
from .twins import relative


def gradients(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """By the parameters' names; the model itself gets none."""
    model = copy.deepcopy(model)
    classify(model(images)).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def largest(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> str:
    worst, name = max((relative(mine[name], theirs[name]), name) for name in theirs)
    return f"{worst:.1e} ({name})"


def flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", choices=[name for name, *_ in CASES], required=True)


def run(args: argparse.Namespace) -> None:
    """Print both differences."""
    model_name = args.model
    size, batch, _, model_args = next(rest for name, *rest in CASES if name == model_name)
    torch.manual_seed(0)
    torch.set_num_threads(2)
    stem = choose_stem(model_name, size, "auto")
    model = build_model(ModelSpec(model_name, 10, 3, size, stem, model_args))[0]
    with torch.no_grad():  # as in compile_step
        for parameter in model.parameters():
            if not parameter.any():
                parameter.fill_(0.1)
    images = torch.randn(batch, 3, size, size)
    single = gradients(model, images)
    double = gradients(copy.deepcopy(model).double(), images.double())
    last = {"memory_format": torch.channels_last}
    ordered = gradients(copy.deepcopy(model).to(**last), images.to(**last))
    print(f"{model_name}, the largest difference of a tensor's gradient, of its norm")
    print(f"float32 to float64: {largest(single, double)}")
    print(f"channels_last to contiguous: {largest(ordered, single)}")
