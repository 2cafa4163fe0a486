"""The cards of docs/evidence.md that are no comparison: what was measured, and what came out."""

MEASURED = {
    "2026-11-30-stem-cpu": (
        "a cut that leaves the stem untrained, from scratch: ResNet and ConvNeXt, 6 seeds",
        "0.898 to 0.979 of plain's time, and 0.927 to 0.999; of 18 cuts none is shown to gain",
    ),
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
