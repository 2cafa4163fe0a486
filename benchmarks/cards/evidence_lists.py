"""Which cards stand where in docs/evidence.md and README.md."""

# Each task with its cards, the latest first.
TASKS = {
    "fine-tuning, EfficientNet-Lite0, 1,000 images, 3 epochs": (
        "2026-11-29-cifar1000-efficientnet-kept",
        "2026-11-29-cifar1000-efficientnet",
    ),
    "fine-tuning, EfficientNet-Lite0, 5,000 images, 3 epochs": (
        "2026-11-29-cifar5000-efficientnet-kept",
        "2026-11-29-cifar5000-efficientnet",
    ),
    "fine-tuning, MiniLM on TREC, 1 epoch": (
        "2026-11-29-trec-minilm-half",
        "2026-11-29-trec-minilm-falling",
        "2026-11-28-trec-minilm",
        "2026-11-29-trec-ways",
    ),
    "fine-tuning, MiniLM on SST-2, 1 epoch": ("2026-11-29-sst2-minilm",),
    "fine-tuning, MiniLM on Subj, 1 epoch": ("2026-11-29-subj-minilm",),
    "fine-tuning, ResNet, 3 epochs": (
        "2026-11-29-evidence-tune-resnet-kept",
        "2026-11-24-evidence-tune-resnet-short-2",
        "2026-11-23-evidence-tune-resnet-short-16",
        "2026-11-23-evidence-tune-resnet-short",
        "2026-11-23-evidence-tune-resnet-short-screen",
    ),
    "fine-tuning, ViT, 3 epochs": (
        "2026-11-29-evidence-tune-vit-kept",
        "2026-11-24-evidence-tune-vit-short-2",
        "2026-11-23-evidence-tune-vit-short",
        "2026-11-23-evidence-tune-vit-short-screen",
    ),
    "fine-tuning, ResNet, 8 epochs": (
        "2026-11-23-evidence-tune-resnet-screen-2",
        "2026-11-23-evidence-tune-resnet-screen",
    ),
    "fine-tuning, ViT, 8 epochs": ("2026-11-23-evidence-tune-vit-screen-8",),
    "fine-tuning, two ranks, slow link": (
        "2026-11-25-slow-link-tune-cpu",
        "2026-11-25-slow-link-tune-first-cpu",
    ),
    "from scratch, two ranks, slow link": ("2026-11-25-slow-link-cpu",),
    "from scratch, ResNet, 8 epochs": (
        "2026-11-24-evidence-scratch-resnet",
        "2026-11-24-evidence-scratch-resnet-screen",
    ),
    "from scratch, ResNet, 8 epochs, not tuned": ("2026-11-23-scratch-look",),
    "from scratch, ResNet, 12 epochs": ("2026-11-23-compare-cifar10-cpu",),
    "from scratch, ViT, 8 epochs": (
        "2026-11-25-evidence-scratch-vit",
        "2026-11-24-evidence-scratch-vit-screen",
    ),
}

# README's rows: the task, what is left out, and where it stands.
STATUS = (
    (
        "fine-tuning EfficientNet-Lite0 (real weights), 1,000 images, 3 epochs",
        "the lower half, in every step (preset `finetune`)",
        "2026-11-29-cifar1000-efficientnet-kept",
        "ldb",
    ),
    ("the same on 5,000 images", "the same", "2026-11-29-cifar5000-efficientnet-kept", "ldb"),
    (
        "fine-tuning MiniLM (real weights) on TREC, 1 epoch",
        "the same",
        "2026-11-29-trec-minilm-half",
        "half",
    ),
    ("the same on SST-2", "the same", "2026-11-29-sst2-minilm", "half"),
    ("the same on Subj", "the same", "2026-11-29-subj-minilm", "half"),
    (
        "fine-tuning a ResNet, 3 epochs",
        "the same",
        "2026-11-29-evidence-tune-resnet-kept",
        "truncate.5-fixed",
    ),
    (
        "fine-tuning a ViT, 3 epochs",
        "the same",
        "2026-11-29-evidence-tune-vit-kept",
        "truncate.5-fixed",
    ),
    (
        "fine-tuning, two ranks, slow link",
        "residual blocks, four of five updates",
        "2026-11-25-slow-link-tune-cpu",
        "blocks.8",
    ),
    (
        "a ResNet from scratch, 8 epochs",
        "as in the paper",
        "2026-11-24-evidence-scratch-resnet",
        "uniform.5-paper",
    ),
    (
        "a ViT from scratch, 8 epochs",
        "the lower part, more and more of it",
        "2026-11-25-evidence-scratch-vit",
        "freeze.2",
    ),
)

# The sweep or comparison that README's figure is drawn from: `python -m benchmarks figure`.
FIGURE = "2026-11-29-trec-ways"

# Cards that compare no accuracies at equal time: what was measured, and what came out.
MEASURED = {
    "2026-11-29-families-cpu": (
        "the paper's six families from scratch, small, 3 seeds: its presets, and controls",
        "0.923 to 0.978 of plain's time, 0.883 to 0.941 with twice the batch; no gain is shown",
    ),
    "2026-11-29-step-profile-strategies-cpu": (
        "a drop step's time, six models, three strategies: what is realised of the ideal saving",
        "median 0.95 of it, from 0.74 to 1.39; predicted and measured differ by at most 6.9 %",
    ),
    "2026-11-29-start-up-cpu": (
        "before anything happens: help, a wrong flag, the import",
        "`ldb --help` 86 ms, a wrong flag 134; `import torch` 2252 ms, with the library 2171",
    ),
    "2026-11-29-controller-cost-cpu": (
        "the controller's own cost, by layers, and as a part of a ResNet-18's step",
        "7.71 microseconds for each of 100 layers, 9.18 of 10,000; 0.43 % of the step",
    ),
    "2026-11-29-trainer-cost-cpu": (
        "`ldb train`'s trainer against a plain loop by hand, two small networks",
        "1.00 and 1.02 of its time; 1.0 and 2.3 % of it waits for data",
    ),
    "2026-11-29-authors-loop-cpu": (
        "`ldb train` against a loop in the style of the authors' scripts, two small networks",
        "1.15 times the images in a second for the ResNet, 1.62 for the ViT",
    ),
    "2026-11-29-freed-memory-cpu": (
        "plain steps and the preset's where freed memory is kept, and where it is given back",
        "MiniLM: a plain step 0.824, the preset's 0.988; preset to plain 0.593, not 0.499",
    ),
    "2026-11-29-blocks-sst2": (
        "MiniLM on SST-2, 1 epoch, 5 seeds: blocks that take turns, a fixed cut, LISA, LoRA",
        "points to full: two random blocks -1.16, fixed -2.12; `Truncate(0.5)` -0.93; LoRA -1.32",
    ),
    "2026-11-28-blocks-trec": (
        "MiniLM on TREC, 1 epoch, 5 seeds: blocks that take turns, a fixed cut, LISA, LoRA",
        "points to full: two random blocks -1.12, fixed +0.44; `Truncate(0.5)` +0.80; LoRA -2.20",
    ),
    "2026-11-29-finetune-recipe-224": (
        "`ldb train --recipe finetune` on ants and bees at 224 pixels, the network's own size",
        "plain 92.2 %, with the preset 92.4 % and 223.9 MB held by a step instead of 1271.9",
    ),
    "2026-11-28-finetune-recipe": (
        "`ldb train --recipe finetune` on ants and bees, 5 epochs at 128 pixels, 5 seeds",
        "plain 91.5 %, with the preset 92.0 % and 74 MB held by a step instead of 418",
    ),
    "2026-11-28-finetune-recipe-choice": (
        "how that recipe's values were chosen, on held-out training images",
        "with a small new classifier 88.4 % instead of 53.1 % on held-out images",
    ),
    "2026-11-28-trainer-minilm-cpu": (
        "MiniLM in transformers' Trainer: step and saved bytes",
        "`Truncate(0.5)`: 0.724 of plain's step, 237.9 MB saved instead of 475.1",
    ),
    "2026-11-28-memory-public-table": (
        "peak memory on a GPU, predicted, against somebody else's measurements",
        "they differ by at most 0.31 %",
    ),
    "2026-11-25-wire-bytes-cpu": (
        "gradients on the wire at rate 0.5, DDP and FSDP2",
        "DDP with `Uniform`: a drop step sends 0.502 of a full one's",
    ),
    "2026-11-25-compile-step-cpu": (
        "blocks compiled one by one: gradients, graphs, step times",
        "ViT-Ti, `Truncate` 0.5: a drop step takes 0.63 of a full one, compiled or not",
    ),
    "2026-11-23-step-profile-strategies-cpu": (
        "a drop step's time, six models, three strategies",
        "predicted and measured differ by at most 11.8 %",
    ),
    "2026-11-23-step-profile-cpu": (
        "a drop step's time, six models, `Uniform` at three rates",
        "predicted and measured differ by at most 7.1 %",
    ),
    "2026-11-23-cifar10-cpu": (
        "that `ldb train` trains: all of CIFAR-10, 12 epochs, one seed",
        "plain 86.73 % in 26.7 minutes, dropping 86.01 % in 24.2",
    ),
    "2026-11-22-cifar10-cpu": (
        "the same with settings that were not tuned, 9 epochs, on a busy machine",
        "plain 84.69 % in 28.3 minutes, dropping 83.00 % in 24.8",
    ),
    "2026-11-22-step-time-cpu": (
        "step time of `Uniform(0.5)`, five models; the controller's own cost",
        "0.76 to 0.90 of a full step; 224.40 microseconds for 100 layers",
    ),
}
