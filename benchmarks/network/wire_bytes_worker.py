"""One of the two workers of `wire_bytes`: trains, and counts what is sent in every step.

Started by it as ``python -m benchmarks.network.wire_bytes_worker RANK FOLDER``.
"""

import json
from typing import Any

import timm
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from layerdropback import LayerDropBack
from layerdropback.training.dropping import Dropping

from .comm_bytes import CommBytes
from .link import SENT, begin_worker, end_worker

# Under FSDP2 a block is dropped as one, as it is sent as one; branches are parts of blocks.
CASES = [
    ("DDP", "uniform", "layer"),
    ("DDP", "truncate", "layer"),
    ("DDP", "branch", "layer"),
    ("FSDP2", "uniform", "block"),
    ("FSDP2", "truncate", "block"),
    ("FSDP2", "branch", "layer"),
]
WARM_UP = 2  # steps of either kind, before anything is counted


def network(plan: dict[str, Any]) -> nn.Module:
    """A vision transformer whose blocks are alike, and whose head is small."""
    torch.manual_seed(0)
    sizes = {"patch_size": 8, "embed_dim": plan["width"], "depth": plan["depth"], "num_heads": 2}
    model: nn.Module = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, num_classes=10, **sizes
    )
    return model


def wrapped(kind: str, model: Any) -> Any:
    if kind == "DDP":
        return DistributedDataParallel(model, find_unused_parameters=True)
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def measure(case: tuple[str, str, str], plan: dict[str, Any], rank: int) -> dict[str, Any]:
    """Bytes of each step, full ones and drop ones in epochs that take turns."""
    kind, strategy, unit = case
    model = wrapped(kind, network(plan))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    settings = Dropping(strategy=strategy, drop_rate=0.5, unit=unit).settings()
    ldb = LayerDropBack(model, optimizer, settings.strategy, settings.schedule)
    if kind == "DDP":
        ldb.register_comm_hook()
    generator = torch.Generator().manual_seed(rank)  # each worker has images of its own
    images = torch.randn(plan["batch"], 3, 32, 32, generator=generator)
    labels = torch.randint(10, (plan["batch"],), generator=generator)
    found: dict[str, Any] = {"full": [], "drop": [], "outside": {"full": [], "drop": []}}
    for epoch in range(2 + 2 * plan["epochs"]):
        mode = ("full", "drop")[epoch % 2]
        batches = [(images, labels)] * (plan["steps"] if epoch > 1 else WARM_UP)
        with ldb.epoch(batches, epoch) as ours:  # here the workers compare their masks
            dist.barrier()
            outside = counter()
            for inputs, targets in ours:
                before = ldb.stats()["gradient_bytes"]
                with CommBytes() as seen:  # DDP's all-reduce is out of its sight
                    cross_entropy(model(inputs), targets).backward()
                reduced = seen.bytes["reduce_scatter"]
                if before is not None:
                    reduced = ldb.stats()["gradient_bytes"] - before
                optimizer.step()
                optimizer.zero_grad()
                if epoch > 1:
                    gathered = seen.bytes["all_gather"]
                    found[mode].append({"gradients": reduced, "gathered": gathered})
            dist.barrier()
            if epoch > 1 and outside is not None:
                found["outside"][mode].append((counter() or 0) - outside)
    ldb.detach()
    return {"wrapper": kind, "strategy": strategy, "unit": unit, **found}


def counter() -> int | None:
    """Bytes that this end of the link has sent, headers and all; None where there is no link."""
    return int(SENT.read_text()) if SENT.exists() else None


def main() -> None:
    rank, folder = begin_worker()
    plan = json.loads((folder / "plan.json").read_text())
    model = network(plan)
    numbers = [p.numel() for p in model.parameters()]
    head = sum(p.numel() for p in model.get_submodule("head").parameters())
    found = {"numbers": sum(numbers), "head": head, "tensors": len(numbers)}
    found["cases"] = [measure(case, plan, rank) for case in CASES]
    if rank == 0:
        (folder / "found.json").write_text(json.dumps(found))
    end_worker()


if __name__ == "__main__":
    main()
