"""A training loop under FSDP2, in which dropped blocks' gradients are neither made nor sent.

torchrun --nproc-per-node 2 examples/fsdp.py
"""

import time

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from layerdropback import LayerDropBack, Uniform

EPOCHS, BATCH, WIDTH = 6, 32, 128


def main() -> None:
    """Train a small network on scikit-learn's digits."""
    cuda = torch.cuda.is_available()
    torch.distributed.init_process_group("nccl" if cuda else "gloo")
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    device = torch.device("cuda", rank % torch.cuda.device_count()) if cuda else "cpu"
    if cuda:
        torch.cuda.set_device(device)
    torch.manual_seed(0)
    images, labels = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
    data = TensorDataset(images.float() / 16, labels)
    sampler = DistributedSampler(data, seed=0)
    loader = DataLoader(data, BATCH, sampler=sampler, drop_last=True)

    layer = nn.TransformerEncoderLayer(WIDTH, 4, WIDTH, dropout=0.0, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
    model = nn.Sequential(nn.Unflatten(1, (8, 8)), nn.Linear(8, WIDTH), encoder)
    model.append(nn.Flatten()).append(nn.Linear(8 * WIDTH, 10)).to(device)
    mesh = init_device_mesh("cuda" if cuda else "cpu", (ranks,))
    for block in encoder.layers:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    # Made of the shards, so after fully_shard; and so is LayerDropBack.
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    ldb = LayerDropBack(model, optimizer, Uniform(0.5, unit="block"))

    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        loss = torch.zeros(())
        for inputs, targets in ldb.epoch(loader, epoch):
            loss = nn.functional.cross_entropy(model(inputs.to(device)), targets.to(device))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        if rank == 0:
            share = ldb.stats()["share_dropped"]
            print(f"epoch {epoch}: {share:.2f} of the blocks dropped, loss {loss.item():.3f}")
    torch.distributed.destroy_process_group()
    time.sleep(0.1)  # else gloo may abort the process: docs/distributed.md


if __name__ == "__main__":
    main()
