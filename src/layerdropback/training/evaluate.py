"""How good a model is on labelled images."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import UsageError, explain
from ..runs.machine import is_out_of_memory


@dataclass(frozen=True)
class Score:
    """What `score` found.

    Attributes:
        images: how many.
        loss: mean cross-entropy, in nats.
        accuracy: share of right answers, in percent.
        top5: share with the right one among the five best, in percent; None up to 5 classes.
    """

    images: int
    loss: float
    accuracy: float
    top5: float | None


def _alone(totals: Tensor) -> Tensor:
    return totals


@torch.no_grad()
def score(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    device: torch.device,
    summed: Callable[[Tensor], Tensor] = _alone,
) -> Score:
    """Evaluate a model, which is put into evaluation mode meanwhile.

    Args:
        model: gives logits, shape ``(batch, classes)``; on `device`.
        batches: images, shape ``(batch, channels, height, width)``, with int64 labels, shape
            ``(batch,)``; on any device. Images without a label at a batch's end go through the
            model, and do not count.
        device: where to compute.
        summed: adds up what the workers found, each with its share of the images.

    Raises:
        UsageError: memory is short.
        ValueError: there are no images.

    Example:
        >>> batches = [(torch.tensor([[0.0, 9.0], [9.0, 0.0]]), torch.tensor([1, 1]))]
        >>> score(nn.Identity(), batches, torch.device("cpu")).accuracy
        50.0
    """
    modes = [(module, module.training) for module in model.modules()]
    # Loss, right, among five, images.
    totals = torch.zeros(4, dtype=torch.float64, device=device)
    classes = together = 0
    model.eval()
    try:
        for inputs, labels in batches:
            together = len(inputs)
            inputs = inputs.to(device, non_blocking=True)
            labels = labels.to(device, non_blocking=True)
            outputs = model(inputs)[: len(labels)].float()
            # On the device: asking for a number here would make it wait in every batch.
            totals[0] += functional.cross_entropy(outputs, labels, reduction="sum")
            totals[1] += (outputs.argmax(1) == labels).sum()
            totals[3] += len(labels)
            classes = outputs.shape[1]
            if classes > 5:
                best = outputs.topk(5, dim=1).indices
                totals[2] += (best == labels[:, None]).sum()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        fact, cause = (
            "out of memory in the test",
            f"{together} images at once need more than there is",
        )
        cure = "use a smaller --image-size, or another --device"
        raise UsageError(explain(fact, cause, cure)) from error
    finally:
        for module, training in modes:
            module.training = training
    *found, images = summed(totals).tolist()
    if images == 0:
        raise ValueError("there are no images to evaluate on")
    loss, right, among_five = (value / images for value in found)
    return Score(int(images), loss, 100 * right, 100 * among_five if classes > 5 else None)
