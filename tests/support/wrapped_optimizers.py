"""What others put around an optimizer, in the few lines that matter here."""

import torch


class Accelerated(torch.optim.Optimizer):
    """As Accelerate's ``AcceleratedOptimizer``: an optimizer by type, which never was made one."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    @property
    def param_groups(self):
        return self.optimizer.param_groups

    @param_groups.setter
    def param_groups(self, groups):
        self.optimizer.param_groups = groups

    @property
    def state(self):
        return self.optimizer.state

    def zero_grad(self, set_to_none=True):
        self.optimizer.zero_grad(set_to_none)

    def step(self, closure=None):
        return self.optimizer.step(closure)


class Lightning:
    """As Lightning's ``LightningOptimizer``: its dictionary is the optimizer's own, copied."""

    def __init__(self, optimizer):
        self.__dict__ = {k: v for k, v in vars(optimizer).items() if k != "step"}
        kind = type(optimizer)
        self.__class__ = type(f"Lightning{kind.__name__}", (type(self), kind), {})
        self._optimizer = optimizer

    @property
    def optimizer(self):
        return self._optimizer

    def step(self, closure=None):
        return self._optimizer.step(closure)


class SAM(torch.optim.Optimizer):
    """Sharpness-aware minimisation in its two steps; the second one is the base optimizer's."""

    def __init__(self, parameters, base, rho=0.05, **settings):
        super().__init__(parameters, {"rho": rho, **settings})
        self.base_optimizer = base(self.param_groups, **settings)
        self.param_groups = self.base_optimizer.param_groups

    @torch.no_grad()
    def first_step(self):
        self._old = {}
        for parameter in self._with_gradients():
            self._old[parameter] = parameter.clone()
            parameter.add_(self.param_groups[0]["rho"] * parameter.grad)
        self.zero_grad()

    @torch.no_grad()
    def second_step(self):
        for parameter, old in self._old.items():
            parameter.copy_(old)
        self.base_optimizer.step()
        self.zero_grad()

    def _with_gradients(self):
        everything = (p for group in self.param_groups for p in group["params"])
        return [parameter for parameter in everything if parameter.grad is not None]
