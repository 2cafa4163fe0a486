"""Wrong flags of ``ldb train``.

Three dots stand for anything.
"""

import pytest

NEEDS = ("settings", "runs", "weights")

TRAIN = (
    "train --model test_resnet --limit-train 32 --limit-test 20 --batch-size 8 "
    "--epochs 0.5 --out new "
)
TRAIN_ROWS = {
    "--epochs ''": "Invalid value for '--epochs': ... Cure: see ldb --help or ldb COMMAND --help.",
    "--epochs ten": (
        "Invalid value for '--epochs': ... Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--batch-size 8.5": (
        "Invalid value for '--batch-size': ... Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--image-size 2147483647": (
        "cannot build test_resnet for 2147483647x2147483647 images. Cause: Storage size "
        "calculation overflowed with sizes=[2, 1, 2147483647, 2147483647]. Cure: choose "
        "another --model or --image-size."
    ),
    "--limit-train 1": (
        "--batch-size 8 is more than the 1 training images. Cause: there would be no "
        "batch. Cure: use a smaller one."
    ),
    "--lr ''": "Invalid value for '--lr': ... Cure: see ldb --help or ldb COMMAND --help.",
    "--milestones 0": (
        "--milestones 0.0 is not usable. Cause: shares of the run in (0, 1) are needed. "
        "Cure: give one."
    ),
    "--milestones nan": (
        "--milestones nan is not usable. Cause: shares of the run in (0, 1) are needed. "
        "Cure: give one."
    ),
    "--milestones 1": (
        "--milestones 1.0 is not usable. Cause: shares of the run in (0, 1) are needed. "
        "Cure: give one."
    ),
    "--warmup-epochs 0.5": (
        "--warmup-epochs 0.5 is not usable. Cause: the run has 0.5 epochs. Cure: give one."
    ),
    "--seed 18446744073709551616": (
        "--seed 18446744073709551616 is not usable. Cause: it keys the masks. Cure: give "
        "an integer in [0, 2**64)."
    ),
    "--seed -5": (
        "--seed -5 is not usable. Cause: it keys the masks. Cure: give an integer in [0, 2**64)."
    ),
    "--seed 1.5": "Invalid value for '--seed': ... Cure: see ldb --help or ldb COMMAND --help.",
    "--stem big": (
        "--stem big is not usable. Cause: it is one of auto, small, original. Cure: give one."
    ),
    "--stem small --model test_mambaout": (
        "no small stem is known for test_mambaout. Cause: the families are beit, convnext, "
        "deit, densenet, dla, efficientnet, mobilenetv3, regnet, resnet, senet, "
        "swin_transformer, vision_transformer. Cure: leave out --stem small."
    ),
    "--model ''": (
        "--model is unknown. Cause: timm has no model of that name. Cure: see timm.list_models()."
    ),
    "--model resnet18.no_tag --pretrained": (
        "--pretrained: no weights resnet18.no_tag. Cause: timm has 'resnet18.a1_in1k', "
        "'resnet18.a2_in1k', 'resnet18.a3_in1k', 'resnet18.fb_ssl_yfcc100m_ft_in1... Cure: "
        "choose one of these."
    ),
    "--model resnet18.no_tag": (
        "cannot build resnet18.no_tag for 8x8 images. Cause: Invalid pretrained tag "
        "(no_tag) for resnet18. Cure: choose another --model or --image-size."
    ),
    "--model timm/resnet18": (
        "--model timm/resnet18 is unknown. Cause: timm has no model of that name. Cure: "
        "did you mean resnet18, resnet18d, skresnet18."
    ),
    "--model hf_hub:timm/resnet18": (
        "--model hf_hub:timm/resnet18 is unknown. Cause: timm has no model of that name. "
        "Cure: see timm.list_models()."
    ),
    "--model hf-hub:timm/nothing": (
        "--model hf-hub:timm/nothing is unknown. Cause: timm has no model of that name. "
        "Cure: see timm.list_models()."
    ),
    "--model inception_v3 --image-size 8": (
        "cannot build inception_v3 for 8x8 images. Cause: Given input size: (64x1x1). "
        "Calculated output size: (64x0x0). Output size is too small. Cure: choose another "
        "--model or --image-size."
    ),
    "--model-args drop_path_rate": (
        "--model-args drop_path_rate is not usable. Cause: it is KEY=VALUE. Cure: give it "
        "as in drop_path_rate=0.1."
    ),
    "--model-args =3": (
        "--model-args =3 is not usable. Cause: it is KEY=VALUE. Cure: give it as in "
        "drop_path_rate=0.1."
    ),
    "--model-args 1x=3": (
        "--model-args 1x=3 is not usable. Cause: it is KEY=VALUE. Cure: give it as in "
        "drop_path_rate=0.1."
    ),
    "--model-args no_such=3": (
        "cannot build test_resnet for 8x8 images. Cause: ResNet.__init__() got an "
        "unexpected keyword argument 'no_such'. Cure: choose another --model, --model-args "
        "or --image-size."
    ),
    "--model-args num_classes=5": (
        "--model-args num_classes=5 is not usable. Cause: num_classes follows from the "
        "data or from another flag. Cure: leave it out."
    ),
    "--model-args drop_path_rate=a": (
        "cannot build test_resnet for 8x8 images. Cause: unsupported operand type(s) for "
        "/: 'str' and 'int'. Cure: choose another --model, --model-args or --image-size."
    ),
    "--model-args drop_path_rate=0.1 --model-args drop_path_rate=0.2": (
        "--model-args drop_path_rate=0.2 is not usable. Cause: drop_path_rate is given "
        "twice. Cure: give it once."
    ),
    "--model-args channels=[-1,2,3,4]": (
        "cannot build test_resnet for 8x8 images. Cause: Trying to create tensor with "
        "negative dimension -1: [-1, 32, 1, 1]. Cure: choose another --model, --model-args "
        "or --image-size."
    ),
    "--model-args layers=[]": (
        "cannot build test_resnet for 8x8 images. Cause: 'ResNet' object has no attribute "
        "'layer1'. Cure: choose another --model, --model-args or --image-size."
    ),
    "--model-args depths=1000000": (
        "cannot build test_resnet for 8x8 images. Cause: ResNet.__init__() got an "
        "unexpected keyword argument 'depths'. Cure: choose another --model, --model-args "
        "or --image-size."
    ),
    "--optimizer ''": (
        "--optimizer needs --lr. Cause: defaults are known for sgd and adamw alone. Cure: give one."
    ),
    "--optimizer SGD": (
        "--optimizer SGD needs --lr. Cause: defaults are known for sgd and adamw alone. "
        "Cure: give one."
    ),
    "--optimizer sgdd --lr 1": (
        "--optimizer sgdd is unknown. Cause: timm has no optimizer of that name. Cure: did "
        "you mean sgd, sgdw, sgdp."
    ),
    "--optimizer lbfgs --lr 1": (
        "--optimizer lbfgs is unknown. Cause: timm has no optimizer of that name. Cure: "
        "see timm.optim.list_optimizers()."
    ),
    "--optimizer lookahead_sgd --lr 1": (
        "--optimizer lookahead_sgd is unknown. Cause: timm has no optimizer of that name. "
        "Cure: see timm.optim.list_optimizers()."
    ),
    "--optimizer bnbadam --lr 1": (
        "--optimizer bnbadam cannot be made. Cause: CUDA required for bitsandbytes "
        "optimizers. Cure: choose another one."
    ),
    "--optimizer fusedadam --lr 1": (
        "--optimizer fusedadam cannot be made. Cause: CUDA required for APEX optimizers. "
        "Cure: choose another one."
    ),
    "--schedule cos": (
        "--schedule cos is not usable. Cause: it is one of cosine, linear, steps, "
        "constant. Cure: give one."
    ),
    "--precision half": (
        "--precision half is not usable. Cause: it is one of fp32, bf16, fp16. Cure: give one."
    ),
    "--device cuda": (
        "--device cuda is not usable. Cause: torch sees no GPU. Cure: use --device cpu."
    ),
    "--device cuda:0": (
        "--device cuda:0 is not usable. Cause: it is one of auto, cpu, cuda. Cure: give one."
    ),
    "--device mps": (
        "--device mps is not usable. Cause: it is one of auto, cpu, cuda. Cure: give one."
    ),
    "--parallel ddp": (
        "--parallel ddp has no workers. Cause: this process was not started by torchrun. "
        "Cure: use torchrun --nproc-per-node N -m layerdropback train ..., or --parallel "
        "no."
    ),
    "--parallel fsdp": (
        "--parallel fsdp has no workers. Cause: this process was not started by torchrun. "
        "Cure: use torchrun --nproc-per-node N -m layerdropback train ..., or --parallel "
        "no."
    ),
    "--parallel ddp --parallel fsdp": (
        "--parallel fsdp has no workers. Cause: this process was not started by torchrun. "
        "Cure: use torchrun --nproc-per-node N -m layerdropback train ..., or --parallel "
        "no."
    ),
    "--parallel dp": (
        "--parallel dp is not usable. Cause: it is one of no, ddp, fsdp. Cure: give one."
    ),
    "--compile yes": (
        "--compile yes is not usable. Cause: it is one of no, blocks. Cure: give one."
    ),
    "--in-memory no": (
        "--in-memory no is not usable. Cause: --data digits is always in memory. Cure: "
        "leave it out."
    ),
    "--in-memory maybe": (
        "--in-memory maybe is not usable. Cause: it is one of auto, yes, no. Cure: give one."
    ),
    "--crop big": (
        "--crop big is not usable. Cause: it is one of auto, pad, resized, none. Cure: give one."
    ),
    "--bn-eval some": (
        "--bn-eval some is not usable. Cause: it is one of no, dropped, all. Cure: give one."
    ),
    "--bn-eval all": (
        "--bn-eval all needs weights to start from. Cause: BatchNorm layers of a new "
        "network know no mean and variance yet. Cure: give --pretrained, --init FILE or "
        "--bn-eval no."
    ),
    "--recipe Modern": (
        "--recipe 'Modern' is unknown. Cause: no such recipe exists. Cure: give one of "
        "paper-scratch, paper-finetune, finetune, modern."
    ),
    "--recipe finetune": (
        "--warmup-epochs 0.5 is not usable. Cause: the run has 0.5 epochs. Cure: give one."
    ),
    "--recipe finetune --pretrained --init weights/good.safetensors": (
        "--warmup-epochs 0.5 is not usable. Cause: the run has 0.5 epochs. Cure: give one."
    ),
    "--config nowhere.yaml": (
        "cannot read nowhere.yaml. Cause: No such file or directory. Cure: give another file."
    ),
    "--config settings": "cannot read settings. Cause: Is a directory. Cure: give another file.",
    "--config ''": (
        "--config '' is not usable. Cause: it names no place. Cure: give one, or leave the "
        "flag out."
    ),
    "--config runs/done/metrics.jsonl": (
        "runs/done/metrics.jsonl is no YAML. Cause: expected '<document start>', but found "
        "'{'... Cure: mend the file."
    ),
    "--config weights/good.safetensors": (
        "cannot read weights/good.safetensors. Cause: 'utf-8' codec can't decode... Cure: "
        "give another file."
    ),
    "--out runs/a-file": (
        "--out runs/a-file is a file. Cause: a run needs a folder. Cure: give another name."
    ),
    "--out runs/done": (
        "--out runs/done already has settings.yaml. Cause: it would be lost. Cure: give "
        "another folder, or --resume, or --overwrite."
    ),
    "--out runs/a-file/inner": (
        "cannot use runs/a-file/inner. Cause: Not a directory. Cure: check the path, its "
        "rights and room."
    ),
    "--out ''": (
        "--out '' is not usable. Cause: it names no place. Cure: give one, or leave the flag out."
    ),
    "--out runs/done --overwrite --init runs/done": (
        "--init runs/done would be removed by --overwrite. Cause: it is in --out "
        "runs/done. Cure: copy it elsewhere."
    ),
    "--overwrite --resume --out new": (
        "--resume and --overwrite exclude each other. Cause: one keeps what is there. "
        "Cure: give one of them."
    ),
    "--no-augment --rotate 5": (
        "--no-augment and --rotate exclude each other. Cause: the first turns every "
        "augmentation off. Cure: give one of them."
    ),
    "--no-augment --randaugment": (
        "--no-augment and --randaugment exclude each other. Cause: the first turns every "
        "augmentation off. Cure: give one of them."
    ),
    "--pretrained --init x": (
        "--pretrained and --init exclude each other. Cause: both say where to start. Cure: "
        "give one of them."
    ),
    "--no-such": "No such option: --no-such. Cure: see ldb --help or ldb COMMAND --help.",
    "--data-dir nowhere --data cifar10": (
        "no cifar10 in nowhere. Cause: there is no nowhere/cifar-10-batches-py. Cure: give "
        "--download, or --data-dir with the folder that has it."
    ),
    "extra": (
        "Got unexpected extra argument(s) (extra). Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--epochs": (
        "Option '--epochs' requires an argument. Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--tensorboard=3": (
        "Option '--tensorboard' does not take a value. Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--flip=yes": (
        "Option '--flip' does not take a value. Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--lr 0.1 0.2": (
        "Got unexpected extra argument(s) (0.2). Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--nonfinite ignore": (
        "--nonfinite ignore is not usable. Cause: it is one of stop, skip. Cure: give one."
    ),
    "--unreadable replace": (
        "--unreadable replace is not usable. Cause: it is one of stop, skip. Cure: give one."
    ),
    "--lr 1e30": (
        "the loss is nan in epoch 1. Cause: training diverged. Cure: use a smaller --lr, "
        "or --nonfinite skip."
    ),
    "--lr 1000000": (
        "the loss is nan in epoch 1. Cause: training diverged. Cure: use a smaller --lr, "
        "or --nonfinite skip."
    ),
    "--tf32=1": (
        "Option '--tf32' does not take a value. Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--out= ": (
        "--out '' is not usable. Cause: it names no place. Cure: give one, or leave the flag out."
    ),
    "--data-dir ''": (
        "--data-dir '' is not usable. Cause: it names no place. Cure: give one, or leave "
        "the flag out."
    ),
    "--init ''": (
        "--init '' is not usable. Cause: it names no place. Cure: give one, or leave the flag out."
    ),
    "--accumulate 5": (
        "--accumulate 5 is not usable. Cause: each part of a batch needs two images or "
        "more, in drop epochs too. Cure: use fewer parts or a larger batch."
    ),
    "--model-args '{a: 1}'": (
        "--model-args {a: 1} is not usable. Cause: it is KEY=VALUE. Cure: give it as in "
        "drop_path_rate=0.1."
    ),
    "--data digits:01 --init runs/done --no-augment --mixup 1": (
        "--no-augment and --mixup exclude each other. Cause: the first turns every "
        "augmentation off. Cure: give one of them."
    ),
    "--seed 1e3": "Invalid value for '--seed': ... Cure: see ldb --help or ldb COMMAND --help.",
    "-h": "No such option: -h. Cure: see ldb --help or ldb COMMAND --help.",
    "--milestones 0.5 --milestones 2": (
        "--milestones 0.5 2.0 is not usable. Cause: shares of the run in (0, 1) are "
        "needed. Cure: give one."
    ),
    "--num-classes 10": (
        "No such option: --num-classes. Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--img-size 32": (
        "No such option: --img-size. Cause: it is timm's name. Cure: give --image-size."
    ),
    "--learning-rate 0.1": (
        "No such option: --learning-rate. Cause: it is Hugging Face's name. Cure: give --lr."
    ),
    "--out runs/done --overwrite --init runs/done/weights.safetensors": (
        "--init runs/done/weights.safetensors would be removed by --overwrite. Cause: it "
        "is in --out runs/done. Cure: copy it elsewhere."
    ),
    "--out /dev/null": (
        "cannot use /dev/null. Cause: File exists. Cure: check the path, its rights and room."
    ),
    "--init weights/good.safetensors --model resnet10t": (
        "--init ...weights/good.safetensors does not fit the model. Cause: model "
        "test_resnet there and resnet10t here. Cure: give the same --model, --stem and "
        "kind of images, or another file."
    ),
}


@pytest.mark.parametrize("row", TRAIN_ROWS)
def test_train(row, refused):
    refused(TRAIN + row, TRAIN_ROWS[row])
