"""Lower precision: autocast, loss scaling, TensorFloat-32."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Runs the forward pass in a lower precision, and steps with what that asks for.

    Args:
        name: ``"fp32"``, ``"bf16"`` or ``"fp16"``; the last one scales the loss.
        device: where the model is.
        clip: largest norm of all gradients; 0 leaves them.
    """

    def __init__(self, name: str, device: torch.device, clip: float = 0.0):
        self._dtype, self._device, self._clip = _DTYPES[name], device.type, clip
        self.scaler = GradScaler(device.type, enabled=name == "fp16")

    def autocast(self) -> AbstractContextManager[None]:
        """For a forward pass and its loss."""
        lower = self._dtype != torch.float32
        return torch.autocast(self._device, self._dtype if lower else None, enabled=lower)

    def backward(self, loss: Tensor) -> None:
        """The backward pass of a loss, scaled where that is needed."""
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def step(self, model: nn.Module, optimizer: Optimizer, good: bool = True) -> None:
        """Clip, step, and clear the gradients. A dropped parameter has none and takes no part.

        Args:
            model: whose gradients are clipped.
            optimizer: of its parameters.
            good: whether the step is made; the scale of the loss is looked after in any case.
        """
        if self._clip > 0 or not good:
            self.scaler.unscale_(optimizer)
        if good:
            if self._clip > 0:
                nn.utils.clip_grad_norm_(model.parameters(), self._clip)
            self.scaler.step(optimizer)
        self.scaler.update()
        optimizer.zero_grad()


def set_tf32(wanted: bool) -> None:
    """Let float32 products on a GPU use TensorFloat-32, or not; for the whole process."""
    torch.set_float32_matmul_precision("high" if wanted else "highest")
    torch.backends.cudnn.allow_tf32 = wanted
