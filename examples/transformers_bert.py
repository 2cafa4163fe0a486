"""A BERT-like model fine-tuned on sentences with transformers' Trainer, half of backward cut off.

python examples/transformers_bert.py --model FOLDER --train train.txt --test test.txt

Each line of a text file is `<label> <text>`; FOLDER is what `save_pretrained` has written, or a
name on the Hugging Face hub.
"""

import argparse
from pathlib import Path

from torch.utils.data import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from layerdropback.integrations.transformers import LayerDropBackCallback


class Sentences(Dataset):
    """The lines of a file; labels are numbered in the order of their names."""

    def __init__(self, path, tokenizer):
        lines = [line.split(maxsplit=1) for line in path.read_text("utf-8").splitlines()]
        self.names = sorted({label for label, _ in lines})
        self.labels = [self.names.index(label) for label, _ in lines]
        self.tokens = tokenizer([text for _, text in lines], truncation=True, max_length=64)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        sample = {name: values[index] for name, values in self.tokens.items()}
        return sample | {"labels": self.labels[index]}


def main() -> None:
    """Train, and say how many test sentences are right."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--out", default="bert")
    args = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    train, test = Sentences(args.train, tokenizer), Sentences(args.test, tokenizer)
    model = AutoModelForSequenceClassification.from_pretrained(
        args.model, num_labels=len(train.names)
    )
    callback = LayerDropBackCallback()
    steps = int(args.epochs * len(train) / 32)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            args.out, num_train_epochs=args.epochs, per_device_train_batch_size=32,
            learning_rate=args.lr, warmup_steps=steps // 10, logging_steps=20, report_to="none",
        ),
        train_dataset=train,
        eval_dataset=test,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda p: {"accuracy": (p.predictions.argmax(1) == p.label_ids).mean()},
        callbacks=[callback],
    )  # fmt: skip
    trainer.train()
    share, steps = callback.ldb.stats()["share_dropped"], callback.ldb.stats()["drop_steps"]
    print(f"{share:.2f} of the layers dropped in {steps} steps")
    print(f"accuracy {trainer.evaluate()['eval_accuracy']:.3f}")


if __name__ == "__main__":
    main()
