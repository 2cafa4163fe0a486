"""LayerDropBack on a run's model."""

from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from ..controller import LayerDropBack
from ..errors import UsageError, explain
from ..settings import Settings
from .compiling import compile_blocks
from .config import TrainConfig
from .parallel import replicated


def attached(
    model: nn.Module, optimizer: Optimizer, config: TrainConfig, settings: Settings
) -> tuple[nn.Module, LayerDropBack]:
    """Attach LayerDropBack to a model, which is replicated and compiled as the run asks for it.

    Args:
        model: on its device.
        optimizer: of its parameters.
        config: of the run.
        settings: LayerDropBack's.

    Returns:
        What a training step calls (the model, or DDP around it), and the controller.

    Raises:
        UsageError: the model has nothing to compile.
        AttachError: see `LayerDropBack`.
    """
    called = model
    if config.parallel == "ddp":
        called = replicated(model, settings.ever_drops)
    ldb = LayerDropBack(
        called,
        optimizer,
        settings.strategy,
        settings.schedule,
        lr_scale=settings.lr_scale,
        batch_scale=settings.batch_scale,
        seed=settings.seed,
        verify=settings.verify,
    )
    if isinstance(called, DistributedDataParallel):
        ldb.register_comm_hook()
    if config.compile == "blocks" and compile_blocks(model) == 0:
        fact = f"--compile blocks is not usable with {config.model}"
        raise UsageError(explain(fact, "it has no repeated blocks", "leave it out"))
    return called, ldb
