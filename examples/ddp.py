"""A training loop under DistributedDataParallel, in which dropped layers' gradients are not sent.

torchrun --nproc-per-node 2 examples/ddp.py
"""

import time

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from layerdropback import LayerDropBack, Uniform

EPOCHS, BATCH = 6, 32


def main() -> None:
    """Train a small network on scikit-learn's digits."""
    cuda = torch.cuda.is_available()
    torch.distributed.init_process_group("nccl" if cuda else "gloo")
    rank = torch.distributed.get_rank()
    device = torch.device("cuda", rank % torch.cuda.device_count()) if cuda else "cpu"
    if cuda:
        torch.cuda.set_device(device)
    torch.manual_seed(0)
    images, labels = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
    data = TensorDataset(images.float() / 16, labels)
    sampler = DistributedSampler(data, seed=0)
    loader = DataLoader(data, BATCH, sampler=sampler, drop_last=True)

    network = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU())
    network.append(nn.Linear(256, 10))
    model = DistributedDataParallel(network.to(device), find_unused_parameters=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    ldb = LayerDropBack(model, optimizer, Uniform(0.5))
    ldb.register_comm_hook()

    sent = 0
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        for inputs, targets in ldb.epoch(loader, epoch):
            loss = nn.functional.cross_entropy(model(inputs.to(device)), targets.to(device))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        before, sent = sent, ldb.stats()["gradient_bytes"]
        if rank == 0:
            share = ldb.stats()["share_dropped"]
            kib = (sent - before) / len(loader) / 1024
            print(f"epoch {epoch}: {share:.2f} of the layers dropped, {kib:.0f} KiB sent per step")
    if rank == 0:
        with torch.no_grad():
            right = network(data.tensors[0].to(device)).argmax(1).cpu() == labels
        print(f"{100 * right.float().mean():.1f} % of the training images are right")
    torch.distributed.destroy_process_group()
    time.sleep(0.1)  # else gloo may abort the process: docs/distributed.md


if __name__ == "__main__":
    main()
