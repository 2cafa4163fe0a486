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
    "--epochs nan": (
        "--epochs nan is not usable. Cause: a number above 0 is needed. Cure: give one."
    ),
    "--epochs inf": (
        "--epochs inf is not usable. Cause: a number up to 2,147,483,648 is needed. Cure: give one."
    ),
    "--epochs -1": "--epochs -1 is not usable. Cause: a number above 0 is needed. Cure: give one.",
    "--epochs 1e300": (
        "--epochs 1e+300 is not usable. Cause: a number up to 2,147,483,648 is needed. "
        "Cure: give one."
    ),
    "--epochs ''": "Invalid value for '--epochs': ... Cure: see ldb --help or ldb COMMAND --help.",
    "--epochs ten": (
        "Invalid value for '--epochs': ... Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--batch-size 0": (
        "--batch-size 0 is not usable. Cause: a whole number from 2 on is needed. Cure: give one."
    ),
    "--batch-size -4": (
        "--batch-size -4 is not usable. Cause: a whole number from 2 on is needed. Cure: give one."
    ),
    "--batch-size 8.5": (
        "Invalid value for '--batch-size': ... Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--batch-size 2147483648": (
        "--batch-size 2147483648 is not usable. Cause: a number up to 2,147,483,647 is "
        "needed. Cure: give one."
    ),
    "--accumulate 0": (
        "--accumulate 0 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--image-size 0": (
        "--image-size 0 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--image-size -8": (
        "--image-size -8 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--image-size 2147483647": (
        "cannot build test_resnet for 2147483647x2147483647 images. Cause: Storage size "
        "calculation overflowed with sizes=[2, 1, 2147483647, 2147483647]. Cure: choose "
        "another --model or --image-size."
    ),
    "--image-size 2147483648": (
        "--image-size 2147483648 is not usable. Cause: a number up to 2,147,483,647 is "
        "needed. Cure: give one."
    ),
    "--limit-train 0": (
        "--limit-train 0 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--limit-train 1": (
        "--batch-size 8 is more than the 1 training images. Cause: there would be no "
        "batch. Cure: use a smaller one."
    ),
    "--limit-test 0": (
        "--limit-test 0 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--limit-test -1": (
        "--limit-test -1 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--lr 0": "--lr 0.0 is not usable. Cause: a number above 0 is needed. Cure: give one.",
    "--lr -0.1": "--lr -0.1 is not usable. Cause: a number above 0 is needed. Cure: give one.",
    "--lr inf": "--lr inf is not usable. Cause: a number up to 1e+30 is needed. Cure: give one.",
    "--lr ''": "Invalid value for '--lr': ... Cure: see ldb --help or ldb COMMAND --help.",
    "--lr 1e31": (
        "--lr 1e+31 is not usable. Cause: a number up to 1e+30 is needed. Cure: give one."
    ),
    "--momentum -0.1": (
        "--momentum -0.1 is not usable. Cause: a number in [0, 1) is needed. Cure: give one."
    ),
    "--momentum nan": (
        "--momentum nan is not usable. Cause: a number in [0, 1) is needed. Cure: give one."
    ),
    "--weight-decay nan": (
        "--weight-decay nan is not usable. Cause: a number from 0 on is needed. Cure: give one."
    ),
    "--weight-decay inf": (
        "--weight-decay inf is not usable. Cause: a number up to 1e+30 is needed. Cure: give one."
    ),
    "--layer-decay 0": (
        "--layer-decay 0.0 is not usable. Cause: a number in (0, 1] is needed. Cure: give one."
    ),
    "--layer-decay nan": (
        "--layer-decay nan is not usable. Cause: a number in (0, 1] is needed. Cure: give one."
    ),
    "--crop-pct 0": (
        "--crop-pct 0.0 is not usable. Cause: a number in (0, 1] is needed. Cure: give one."
    ),
    "--crop-pct nan": (
        "--crop-pct nan is not usable. Cause: a number in (0, 1] is needed. Cure: give one."
    ),
    "--scale 2": "--scale 2.0 is not usable. Cause: a number in (0, 1] is needed. Cure: give one.",
    "--rotate nan": (
        "--rotate nan is not usable. Cause: a number in [0, 180] is needed. Cure: give one."
    ),
    "--rotate -1": (
        "--rotate -1.0 is not usable. Cause: a number in [0, 180] is needed. Cure: give one."
    ),
    "--erasing -0.1": (
        "--erasing -0.1 is not usable. Cause: a number in [0, 1] is needed. Cure: give one."
    ),
    "--erasing nan": (
        "--erasing nan is not usable. Cause: a number in [0, 1] is needed. Cure: give one."
    ),
    "--mixup -1": (
        "--mixup -1.0 is not usable. Cause: a number from 0 on is needed. Cure: give one."
    ),
    "--mixup nan": (
        "--mixup nan is not usable. Cause: a number from 0 on is needed. Cure: give one."
    ),
    "--mixup inf": (
        "--mixup inf is not usable. Cause: a number up to 1e+30 is needed. Cure: give one."
    ),
    "--cutmix -1": (
        "--cutmix -1.0 is not usable. Cause: a number from 0 on is needed. Cure: give one."
    ),
    "--cutmix inf": (
        "--cutmix inf is not usable. Cause: a number up to 1e+30 is needed. Cure: give one."
    ),
    "--ema -0.5": "--ema -0.5 is not usable. Cause: a number in [0, 1) is needed. Cure: give one.",
    "--ema nan": "--ema nan is not usable. Cause: a number in [0, 1) is needed. Cure: give one.",
    "--clip-grad nan": (
        "--clip-grad nan is not usable. Cause: a number from 0 on is needed. Cure: give one."
    ),
    "--clip-grad inf": (
        "--clip-grad inf is not usable. Cause: a number up to 1e+30 is needed. Cure: give one."
    ),
    "--label-smoothing -1": (
        "--label-smoothing -1.0 is not usable. Cause: a number in [0, 1) is needed. Cure: give one."
    ),
    "--gamma 0": "--gamma 0.0 is not usable. Cause: a number above 0 is needed. Cure: give one.",
    "--gamma nan": "--gamma nan is not usable. Cause: a number above 0 is needed. Cure: give one.",
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
    "--warmup-epochs -1": (
        "--warmup-epochs -1.0 is not usable. Cause: a number from 0 on is needed. Cure: give one."
    ),
    "--warmup-epochs nan": (
        "--warmup-epochs nan is not usable. Cause: a number from 0 on is needed. Cure: give one."
    ),
    "--warmup-epochs 0.5": (
        "--warmup-epochs 0.5 is not usable. Cause: the run has 0.5 epochs. Cure: give one."
    ),
    "--head-init-scale nan": (
        "--head-init-scale nan is not usable. Cause: a number from 0 on is needed. Cure: give one."
    ),
    "--threads -1": (
        "--threads -1 is not usable. Cause: a whole number from 1 to 1024 is needed. Cure: "
        "give one."
    ),
    "--threads 1025": (
        "--threads 1025 is not usable. Cause: a whole number from 1 to 1024 is needed. "
        "Cure: give one."
    ),
    "--workers 1025": (
        "--workers 1025 is not usable. Cause: a whole number from 0 to 1024 is needed. "
        "Cure: give one."
    ),
    "--checkpoint-every 0": (
        "--checkpoint-every 0 is not usable. Cause: a whole number from 1 on is needed. "
        "Cure: give one."
    ),
    "--checkpoints -1": (
        "--checkpoints -1 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--seed 18446744073709551616": (
        "--seed 18446744073709551616 is not usable. Cause: it keys the masks. Cure: give "
        "an integer in [0, 2**64)."
    ),
    "--seed -5": (
        "--seed -5 is not usable. Cause: it keys the masks. Cure: give an integer in [0, 2**64)."
    ),
    "--seed 1.5": "Invalid value for '--seed': ... Cure: see ldb --help or ldb COMMAND --help.",
    "--drop-rate nan": (
        "--drop-rate nan is not usable. Cause: it is the chance to be dropped. Cure: give "
        "a number in [0, 1), 0 for plain training."
    ),
    "--drop-rate inf": (
        "--drop-rate inf is not usable. Cause: it is the chance to be dropped. Cure: give "
        "a number in [0, 1), 0 for plain training."
    ),
    "--drop-rate -0.5": (
        "--drop-rate -0.5 is not usable. Cause: it is the chance to be dropped. Cure: give "
        "a number in [0, 1), 0 for plain training."
    ),
    "--drop-rate 1": (
        "--drop-rate 1.0 is not usable. Cause: it is the chance to be dropped. Cure: give "
        "a number in [0, 1), 0 for plain training."
    ),
    "--drop-rate half": (
        "Invalid value for '--drop-rate': ... Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--lr-scale 0": (
        "--lr-scale 0.0 is not usable. Cause: it multiplies the learning rate in drop "
        "epochs. Cure: give a number above 0, or 'inverse' for 1 / (1 - the drop rate)."
    ),
    "--lr-scale -1": (
        "--lr-scale -1.0 is not usable. Cause: it multiplies the learning rate in drop "
        "epochs. Cure: give a number above 0, or 'inverse' for 1 / (1 - the drop rate)."
    ),
    "--lr-scale nan": (
        "--lr-scale nan is not usable. Cause: it multiplies the learning rate in drop "
        "epochs. Cure: give a number above 0, or 'inverse' for 1 / (1 - the drop rate)."
    ),
    "--lr-scale ''": (
        "--lr-scale '' is not usable. Cause: it multiplies the learning rate in drop "
        "epochs. Cure: give a number above 0, or 'inverse' for 1 / (1 - the drop rate)."
    ),
    "--batch-scale 0": (
        "--batch-scale 0.0 is not usable. Cause: it multiplies the batch size in drop "
        "epochs. Cure: give a number above 0."
    ),
    "--batch-scale nan": (
        "--batch-scale nan is not usable. Cause: it multiplies the batch size in drop "
        "epochs. Cure: give a number above 0."
    ),
    "--batch-scale inf": (
        "--batch-scale inf is not usable. Cause: it multiplies the batch size in drop "
        "epochs. Cure: give a number above 0."
    ),
    "--batch-scale 1e30": (
        "--batch-scale 1e+30 is not usable. Cause: with --batch-size 8 a drop epoch's "
        "batch would have too many images. Cure: give a smaller one."
    ),
    "--every -1": "--every -1 is not usable. Cause: epochs are counted. Cure: give 1 or more.",
    "--every 1.5": "Invalid value for '--every': ... Cure: see ldb --help or ldb COMMAND --help.",
    "--start -1": "--start -1 is not usable. Cause: epochs are counted. Cure: give 0 or more.",
    "--period-steps 0": (
        "--period-steps 0 is not usable. Cause: steps are counted. Cure: give an integer "
        "from 1 on, or None."
    ),
    "--period-steps 4 --batch-scale 2": (
        "--period-steps 4 and --batch-scale 2.0 exclude each other. Cause: a loader's "
        "batch size changes between epochs only. Cure: give one of them."
    ),
    "--ramp up": (
        "--ramp 'up' is not usable. Cause: there is no such ramp. Cure: give one of "
        "constant, rising, falling."
    ),
    "--anneal 1": (
        "--anneal 1.0 is not usable. Cause: it is a share of the run. Cure: give a number "
        "in [0, 1)."
    ),
    "--anneal nan": (
        "--anneal nan is not usable. Cause: it is a share of the run. Cure: give a number "
        "in [0, 1)."
    ),
    "--anneal -1": (
        "--anneal -1.0 is not usable. Cause: it is a share of the run. Cure: give a number "
        "in [0, 1)."
    ),
    "--pool 0": (
        "--pool 0 is not usable. Cause: a pool holds some masks. Cure: give an integer "
        "from 2 to 4096, or None."
    ),
    "--pool 1000000": (
        "--pool 1000000 is not usable. Cause: a pool holds some masks. Cure: give an "
        "integer from 2 to 4096, or None."
    ),
    "--strategy ''": (
        "--strategy '' is not usable. Cause: there is no such strategy. Cure: give one of "
        "uniform, truncate, branch, blocks, control."
    ),
    "--strategy Uniform": (
        "--strategy 'Uniform' is not usable. Cause: there is no such strategy. Cure: give "
        "one of uniform, truncate, branch, blocks, control."
    ),
    "--strategy blocks --drop-rate 0.5": (
        "--drop-rate is not usable with --strategy blocks. Cause: it belongs to uniform, "
        "truncate and branch. Cure: leave it out, or give another --strategy."
    ),
    "--strategy blocks --active-blocks 0": (
        "--active-blocks 0 is not usable. Cause: blocks are counted. Cure: give 1 or more."
    ),
    "--strategy blocks --active-blocks 999": (
        "--active-blocks 999 leaves no block to rest: there are 4. Cause: a block counts "
        "where it trains, is reached by the loss, and is not kept. Cure: give fewer active "
        "ones, or train without LayerDropBack."
    ),
    "--strategy blocks --train-part body": (
        "--train-part ('body',) is not usable. Cause: the parts are head, norm, embedding. "
        "Cure: give a list of some of them; keep is for names of layers."
    ),
    "--strategy blocks --ramp rising": (
        "--ramp 'rising' is not usable with Blocks(). Cause: it has no drop rate that "
        "could change. Cure: leave it out."
    ),
    "--strategy blocks --block-order up": (
        "--block-order 'up' is not usable. Cause: there is no such order. Cure: give one "
        "of random, cyclic, fixed."
    ),
    "--strategy blocks --resting-state gone": (
        "--resting-state 'gone' is not usable. Cause: there is no such state. Cure: give "
        "one of offload, release, keep."
    ),
    "--active-blocks 2": (
        "--active-blocks is not usable with --strategy uniform. Cause: it belongs to "
        "blocks. Cure: leave it out, or give another --strategy."
    ),
    "--strategy truncate --depth deep": (
        "--depth 'deep' is not usable. Cause: there is no such depth. Cure: give one of "
        "uniform, fixed, power."
    ),
    "--strategy branch --depth fixed": (
        "--depth is not usable with --strategy branch. Cause: it belongs to truncate. "
        "Cure: leave it out, or give another --strategy."
    ),
    "--unit ''": (
        "--unit '' is not usable. Cause: there is no such unit. Cure: give one of layer, "
        "block, tensor."
    ),
    "--keep ''": (
        "--keep '' matches nothing. Cause: no layer or parameter has a name like it; there "
        "are 'conv1.0', 'conv1.1', 'conv1.3', 'conv1.4', 'conv1.6' and 26 more. Cure: give "
        "names as in find_layers(model), wildcards allowed."
    ),
    "--keep '['": (
        "--keep '[' matches nothing. Cause: no layer or parameter has a name like it; "
        "there are 'conv1.0', 'conv1.1', 'conv1.3', 'conv1.4', 'conv1.6' and 26 more. "
        "Cure: give names as in find_layers(model), wildcards allowed."
    ),
    "--keep '*.nothing'": (
        "--keep '*.nothing' matches nothing. Cause: no layer or parameter has a name like "
        "it; there are 'conv1.0', 'conv1.1', 'conv1.3', 'conv1.4', 'conv1.6' and 26 more. "
        "Cure: give names as in find_layers(model), wildcards allowed."
    ),
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
    "--model-args drop_path_rate=[1": (
        "--model-args drop_path_rate=[1 is not usable. Cause: '[1' is no value. Cure: give "
        "a number, a word or a [list]."
    ),
    "--model-args drop_path_rate=2001-13-45": (
        "--model-args drop_path_rate=2001-13-45 is not usable. Cause: '2001-13-45' is no "
        "value. Cure: give a number, a word or a [list]."
    ),
    "--model-args 'drop_path_rate=!!bool maybe'": (
        "--model-args drop_path_rate=!!bool maybe is not usable. Cause: '!!bool maybe' is "
        "no value. Cure: give a number, a word or a [list]."
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
    "--compile blocks": (
        "--compile blocks is not usable with --unit layer. Cause: torch would compile a "
        "graph for each mask inside a block, and soon give up. Cure: use --unit block, or "
        "--drop-rate 0."
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
    "--lr 1e30": "the loss is nan in epoch 1. Cause: training diverged. Cure: use a smaller --lr.",
    "--lr 1000000": (
        "the loss is nan in epoch 1. Cause: training diverged. Cure: use a smaller --lr."
    ),
    "--tf32=1": (
        "Option '--tf32' does not take a value. Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--epochs 2 --strategy blocks --active-blocks 4": (
        "--active-blocks 4 leaves no block to rest: there are 4. Cause: a block counts "
        "where it trains, is reached by the loss, and is not kept. Cure: give fewer active "
        "ones, or train without LayerDropBack."
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
    "--limit-train 33000000000": (
        "--limit-train 33000000000 is not usable. Cause: a number up to 2,147,483,647 is "
        "needed. Cure: give one."
    ),
    "--accumulate 5": (
        "--accumulate 5 is not usable. Cause: each part of a batch needs two images or "
        "more, in drop epochs too. Cure: use fewer parts or a larger batch."
    ),
    "--batch-scale 0.1": (
        "--batch-scale 0.1 is not usable. Cause: with --batch-size 8 a drop epoch's batch "
        "would have less than two images. Cure: give a larger one."
    ),
    "--batch-scale 9": (
        "--batch-size 8 times --batch-scale 9 is more than the 32 training images. Cause: "
        "there would be no batch. Cure: use a smaller one."
    ),
    "--model-args '{a: 1}'": (
        "--model-args {a: 1} is not usable. Cause: it is KEY=VALUE. Cure: give it as in "
        "drop_path_rate=0.1."
    ),
    "--data digits:01 --init runs/done --no-augment --mixup 1": (
        "--no-augment and --mixup exclude each other. Cause: the first turns every "
        "augmentation off. Cure: give one of them."
    ),
    "--optimizer adamw --lr 1e-400": (
        "--lr 0.0 is not usable. Cause: a number above 0 is needed. Cure: give one."
    ),
    "--seed 1e3": "Invalid value for '--seed': ... Cure: see ldb --help or ldb COMMAND --help.",
    "--drop-rate=": (
        "Invalid value for '--drop-rate': ... Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--keep": "Option '--keep' requires an argument. Cure: see ldb --help or ldb COMMAND --help.",
    "-h": "No such option: -h. Cure: see ldb --help or ldb COMMAND --help.",
    "--milestones 0.5 --milestones 2": (
        "--milestones 0.5 2.0 is not usable. Cause: shares of the run in (0, 1) are "
        "needed. Cure: give one."
    ),
    "--warmup-epochs 1e300": (
        "--warmup-epochs 1e+300 is not usable. Cause: a number up to 1e+30 is needed. "
        "Cure: give one."
    ),
    "--image-size 9000000000000000000000": (
        "--image-size 9000000000000000000000 is not usable. Cause: a number up to "
        "2,147,483,647 is needed. Cure: give one."
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
