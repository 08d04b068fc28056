"""How gradients become steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from orangecontrib.imagemining.training.plan import Recipe

__all__ = ["RMSProp", "optimizer_for"]


class RMSProp(torch.optim.Optimizer):
    """RMSProp as in the software of the Inception papers' authors.

    With the running mean of squares s, which begins at 1, and the velocity v::

        s = decay · s + (1 − decay) · g²
        v = momentum · v + rate · g / √(s + ε)
        w = w − v

    torch's has √s + ε, and s begins at 0: with ε = 1, as in the papers (Inception-v3,
    section 8), that is another method.

    Parameters
    ----------
    params
        Parameters, or groups of them.
    lr
        The rate.
    decay
        Of the mean of squares, a step.
    momentum
        Share of the velocity that is left after a step.
    eps
        ε, inside the root.
    weight_decay
        What of the parameters is added to their gradients (L2).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.045,
        decay: float = 0.9,
        momentum: float = 0.0,
        eps: float = 1.0,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "decay": decay,
            "momentum": momentum,
            "eps": eps,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Callable[[], float] | None = None
    ) -> float | None:
        """Change the parameters once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._change(parameter, parameter.grad, group)
        return loss

    def _change(self, parameter: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["square_avg"] = torch.ones_like(parameter)
            state["velocity"] = torch.zeros_like(parameter)
        if group["weight_decay"]:
            grad = grad.add(parameter, alpha=group["weight_decay"])
        squares, velocity = state["square_avg"], state["velocity"]
        squares.mul_(group["decay"]).addcmul_(grad, grad, value=1 - group["decay"])
        root = (squares + group["eps"]).sqrt_()
        velocity.mul_(group["momentum"]).addcdiv_(grad, root, value=group["lr"])
        parameter.sub_(velocity)


def optimizer_for(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimizer of the parameters that are to be trained.

    Its rate is still to be set, by the groups' "lr".

    Parameters
    ----------
    network
        What need not be trained has ``requires_grad`` off.
    recipe
        How; with `decays` "weights", what has one dimension (biases, normalisation) is
        spared the weight decay.
    """
    learning = [p for p in network.parameters() if p.requires_grad]
    spared = [p for p in learning if p.ndim < 2 and recipe.decays == "weights"]
    known = {id(p) for p in spared}
    groups = [
        {
            "params": [p for p in learning if id(p) not in known],
            "weight_decay": recipe.weight_decay,
        },
        {"params": spared, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(
            groups, lr=recipe.learning_rate, betas=(recipe.momentum, 0.999)
        )
    if recipe.optimizer == "rmsprop":
        return RMSProp(
            groups,
            lr=recipe.learning_rate,
            decay=recipe.rms_decay,
            momentum=recipe.momentum,
            eps=recipe.epsilon,
        )
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
