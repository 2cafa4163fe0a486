"""Which comparisons stand where in docs/evidence.md and README.md."""

# Each task with its cards, the latest first.
TASKS = {
    "fine-tuning, EfficientNet-Lite0, 1,000 images, 3 epochs": (
        "2026-11-29-cifar1000-efficientnet-kept",
        "2026-11-29-cifar1000-efficientnet",
    ),
    "fine-tuning, EfficientNet-Lite0, 5,000 images, 3 epochs": (
        "2026-11-30-cifar5000-efficientnet-kept",
        "2026-11-29-cifar5000-efficientnet",
    ),
    "fine-tuning, MiniLM on TREC, 1 epoch": (
        "2026-11-29-trec-minilm-half",
        "2026-11-29-trec-minilm-falling",
        "2026-11-28-trec-minilm",
        "2026-11-29-trec-ways",
    ),
    "fine-tuning, MiniLM on SST-2, 1 epoch": ("2026-11-29-sst2-minilm",),
    "fine-tuning, MiniLM on SST-2, 3 epochs": ("2026-11-30-sst2-minilm-three",),
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
    ("the same on 5,000 images", "the same", "2026-11-30-cifar5000-efficientnet-kept", "ldb"),
    (
        "fine-tuning MiniLM (real weights) on TREC, 1 epoch",
        "the same",
        "2026-11-29-trec-minilm-half",
        "half",
    ),
    ("the same on SST-2", "the same", "2026-11-29-sst2-minilm", "half"),
    ("the same on SST-2, 3 epochs", "the same", "2026-11-30-sst2-minilm-three", "half"),
    ("the same on Subj, 1 epoch", "the same", "2026-11-29-subj-minilm", "half"),
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
