"""How each line for a shell in README and docs is run by `run_lines`, or why it is not.

A new line on a page needs a row here: tests/docs/test_lines.py asks for it.
"""

import re
from dataclasses import dataclass, field


@dataclass(frozen=True)
class How:
    """How a line is run.

    Attributes:
        flags: put into it, in the place of those that it has, so that it takes seconds.
        slow: whether it takes minutes all the same.
        reason: why it is not run at all; None where it is.
    """

    flags: dict[str, str] = field(default_factory=dict)
    slow: bool = False
    reason: str | None = None


def not_run(reason):
    return How(reason=reason)


AS_IT_IS = How()
SLOW = How(slow=True)

BRIEF = {"--epochs": "2", "--limit-train": "64", "--limit-test": "32", "--batch-size": "16"}
TINY = BRIEF | {"--model": "test_resnet"}
TRAIN, SETTINGS = How(TINY), How(BRIEF | {"--epochs": "3"})
MODERN = How(TINY | {"--epochs": "6"})  # its warm-up takes five
COMPARE = How(TINY | {"--seeds": "2"})
TASK = How({"--seeds": "2"})
SWEEP = How(TINY | {"--seeds": "1", "--rates": "0.5"})
PROFILE = How({"--model": "test_resnet", "--batch-size": "4", "--pairs": "3"})

INSTALLS = not_run("make check-dist installs, in an environment of its own")

# What stands for something that a fresh clone on a machine without network lacks. `...` are the
# flags that the line was begun with.
STAND_INS = (
    ("--pretrained", "--init FILE.safetensors"),
    ("--data cifar10 --download", "--data folder:squares"),
    ("--data cifar10", "--data folder:squares"),
    ("--nproc-per-node 4", "--nproc-per-node 2"),
    (" ...", ""),
)

# Page by page, the lines in their order.
LINES = {
    "README.md": (
        ("make demo", SLOW),
        ("make test", not_run("it runs the test of this table")),
    ),
    "docs/command-line.md": (
        ("ldb train", TRAIN),
        ("ldb train --data digits:0123", TRAIN),
        ("ldb train --data cifar10 --download", TRAIN),
        ("ldb train --data folder:DIR --image-size 224", TRAIN),
        ("ldb train --recipe finetune --pretrained --data folder:DIR --image-size 224", TRAIN),
        ("ldb train --drop-rate 0", TRAIN),
        ("ldb train --recipe modern --out runs/mine", MODERN),
        ("ldb train --out runs/mine --resume", AS_IT_IS),
        ("torchrun --nproc-per-node 4 -m layerdropback train --parallel ddp ...", TRAIN),
        ("ldb compare --data digits --epochs 8 --seeds 3", COMPARE),
        ("ldb compare --task mine:study --seeds 5", TASK),
        ("ldb sweep --data digits --epochs 8", SWEEP),
        ("ldb memory --model resnet50 --budget 24GiB", AS_IT_IS),
        ("ldb profile --model resnet50 --image-size 32", PROFILE),
        ("ldb paper figure3 --scale tiny", SLOW),
        ("ldb report runs/mine", AS_IT_IS),
        ("ldb evaluate runs/mine", AS_IT_IS),
        ("ldb export runs/mine --to model.safetensors", AS_IT_IS),
    ),
    "docs/compare.md": (
        ("ldb compare --data digits --epochs 8 --seeds 3", COMPARE),
        (
            "ldb compare --task sentences --task-arg model=FOLDER --task-arg data=FOLDER "
            '--task-arg epochs=1 --arm "half: strategy=truncate, drop_rate=0.5, every=1, start=0" '
            '--arm "lora: lora=8, lr=0.001" --seeds 5',
            TASK,
        ),
        ("ldb sweep --data digits --epochs 8 --rates 0.25,0.5,0.75 --every 1,2", SWEEP),
        ("ldb paper figure3 --dry-run", AS_IT_IS),
        ("ldb paper figure3 --scale tiny", not_run("docs/command-line.md has it, too")),
        ("ldb paper figure3 --data-dir data --download", not_run("days on a GPU")),
    ),
    "docs/distributed.md": (
        ("torchrun --nproc-per-node 4 -m layerdropback train --parallel ddp ...", TRAIN),
    ),
    "docs/memory.md": (
        (
            "ldb memory --hf-config llama-3.1-8b --tokens 1024 --precision bf16 --checkpointing "
            "--budget 22GiB",
            AS_IT_IS,
        ),
    ),
    "docs/profile.md": (("ldb profile --model resnet50 --image-size 32 --batch-size 16", PROFILE),),
    "docs/start-images.md": (
        ("pip install '.[cli]'", INSTALLS),
        (
            "ldb train --recipe finetune --model tf_efficientnet_lite0 --pretrained "
            "--data folder:pictures --image-size 128 --out runs/first",
            TRAIN,
        ),
        (
            "ldb compare --recipe finetune --model tf_efficientnet_lite0 --pretrained "
            "--data folder:pictures --image-size 128 --seeds 3 --out runs/compared",
            COMPARE,
        ),
    ),
    "docs/start-text.md": (
        ("pip install '.[transformers]'", INSTALLS),
        ("pip install '.[cli,transformers]'", INSTALLS),
        (
            "ldb compare --task sentences --task-arg model=minilm --task-arg data=. "
            '--task-arg epochs=1 --arm "half: strategy=truncate, drop_rate=0.5, every=1, start=0" '
            "--seeds 5 --lr-grid 0.0001,0.0002,0.0004,0.0008 --out runs/text-compared",
            TASK,
        ),
    ),
    "docs/training.md": (
        ("ldb train --recipe modern --config my.yaml --epochs 50", SETTINGS),
        (
            "ldb train --recipe finetune --model resnet50 --pretrained --data folder:DIR "
            "--image-size 224",
            TRAIN,
        ),
        (
            "ldb train --recipe finetune --model resnet50 --init FILE.safetensors "
            "--data folder:DIR --image-size 224 --drop-rate 0",
            TRAIN,
        ),
        (
            "torchrun --nproc-per-node 4 -m layerdropback train --parallel ddp --out runs/ranks "
            "--resume ...",
            TRAIN,
        ),
        ("ldb train --out runs/mine --resume ...", TRAIN),
        ("ldb train --out runs/mine --resume", AS_IT_IS),
        ("ldb evaluate runs/mine", AS_IT_IS),
        ("ldb export runs/mine --to model.safetensors", AS_IT_IS),
        ("ldb train --config examples/cifar10-cpu.yaml --data cifar10 --download", SETTINGS),
        (
            "ldb train --config examples/cifar10-cpu.yaml --data cifar10 --drop-rate 0",
            SETTINGS,
        ),
    ),
}


def as_run(line, how):
    """What is typed in its place."""
    for name, other in STAND_INS:
        line = line.replace(name, other)
    for flag, value in how.flags.items():
        line, found = re.subn(rf"(?<=\s){re.escape(flag)} \S+", f"{flag} {value}", line)
        line = line if found else f"{line} {flag} {value}"
    return line
