"""What a library can leave on models and optimizers."""

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_always_called")


def everything_on(model):
    hooks = [
        (name, table, list(getattr(module, table)))
        for name, module in model.named_modules()
        for table in HOOKS
    ]
    keys = [(name, sorted(vars(module))) for name, module in model.named_modules()]
    flags = [(name, p.requires_grad, vars(p)) for name, p in model.named_parameters()]
    tensor_hooks = [
        len(p._post_accumulate_grad_hooks or {}) + len(p._backward_hooks or {})
        for p in model.parameters()
    ]
    return type(model), list(model.state_dict()), hooks, keys, flags, tensor_hooks


def everything_in(optimizer):
    tables = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
    hooks = [list(getattr(optimizer, table)) for table in tables]
    groups = [sorted(group) for group in optimizer.param_groups]
    return sorted(vars(optimizer)), hooks, groups, optimizer.param_groups[0]["lr"]
