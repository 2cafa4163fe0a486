"""A small GPT-2, trained from its configuration on the bytes of a text with transformers' Trainer.

python examples/transformers_gpt2.py --text FILE
"""

import argparse
from pathlib import Path

import torch
from torch.utils.data import Dataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from layerdropback import Branch
from layerdropback.integrations.transformers import LayerDropBackCallback


class Bytes(Dataset):
    """A text in pieces of equal length."""

    def __init__(self, path, length):
        data = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8).long()
        self.pieces = data[: len(data) // length * length].view(-1, length)

    def __len__(self):
        return len(self.pieces)

    def __getitem__(self, index):
        return {"input_ids": self.pieces[index], "labels": self.pieces[index]}


def main() -> None:
    """Train; each residual branch drops in three of ten steps, all blocks stay in the forward."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--out", default="gpt2")
    args = parser.parse_args()

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=256, n_positions=64, n_embd=64, n_layer=4, n_head=4, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    callback = LayerDropBackCallback(Branch(0.3))
    trainer = Trainer(
        model=GPT2LMHeadModel(config),
        args=TrainingArguments(
            args.out, num_train_epochs=args.epochs, per_device_train_batch_size=16,
            learning_rate=1e-3, logging_steps=20, report_to="none",
        ),
        train_dataset=Bytes(args.text, 64),
        callbacks=[callback],
    )  # fmt: skip
    result = trainer.train()
    share, steps = callback.ldb.stats()["share_dropped"], callback.ldb.stats()["drop_steps"]
    print(f"{share:.2f} of the layers dropped in {steps} steps, loss {result.training_loss:.3f}")


if __name__ == "__main__":
    main()
