"""How every network, given or found, is trained; what is left open follows the network."""

import dataclasses
import math
from typing import Any

from greennas_jax.spec.network import Network

# What a recipe that leaves them open trains with, without and with attention. Of configs/specs:
# vit_digits reaches 99.2 % of validation in 20 epochs at 0.003 and 98.1 % at 0.01; bert_tiny learns
# brackets of 16 tokens at 0.001 to 0.003 and nothing at 0.01.
EPOCHS = (8, 24)
LEARNING_RATES = (1e-2, 2e-3)
# A verdict's training, if left open, is as long as so many of a search.
FINAL_PASSES = 2
OPTIMIZERS = ("adam", "sgd")
SCHEDULES = ("linear", "cosine")
PRECISIONS = ("fp32", "bf16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How every network, given or found, is trained.

    Adam (Kingma and Ba 2015), or stochastic gradient descent with Nesterov's momentum (Sutskever et
    al. 2013), with a linear warm-up and a linear or cosine decay to zero, weights decayed apart
    from the gradient (Loshchilov and Hutter 2017, 2019), gradients clipped (Pascanu et al. 2013),
    labels smoothed (Szegedy et al. 2016), images shifted and, if asked for, mirrored at random.

    Attributes:
      epochs: Passes over the training images; None for 8, and 24 where the network attends.
      batch_size: Images per step.
      learning_rate: Largest learning rate; None for 0.01, and 0.002 where the network attends.
      optimizer: "adam" or "sgd"; Adam with decayed weights is AdamW.
      schedule: How the learning rate falls: "linear" or "cosine".
      weight_decay: Share of a weight that is taken off it at every step, times the learning rate.
      warmup: Share of the steps in which the learning rate rises.
      clipping: Largest global norm of a gradient.
      label_smoothing: Share of a label that is spread over all classes.
      shift: Largest shift of a training image each way, as a share of its height and width, in
        whole pixels rounded down; it suits digits as it suits photographs.
      flip: Whether a training image is mirrored, left for right, every other time at random; for
        what looks alike both ways, as photographs do and digits do not.
      beta1: Decay of the first moment, or momentum.
      beta2: Decay of the second moment.
      precision: Number format of products in a search's trainings, "fp32" or "bf16"; parameters,
        sums, moments and normalisation stay fp32, and so does all of the final test.
      checks: Shares of the steps after which validation accuracy may stop a child.
      margins: How far (fraction of 1) below the given network's mean a child is stopped there.
    """

    epochs: int | None = None
    batch_size: int = 16
    learning_rate: float | None = None
    optimizer: str = "adam"
    schedule: str = "linear"
    weight_decay: float = 0.0
    warmup: float = 0.1
    clipping: float = 1.0
    label_smoothing: float = 0.1
    shift: float = 0.075
    flip: bool = False
    beta1: float = 0.9
    beta2: float = 0.99
    precision: str = "fp32"
    checks: tuple[float, ...] = (0.25, 0.5, 0.75)
    margins: tuple[float, ...] = (0.08, 0.05, 0.03)

    def __post_init__(self):
        if self.batch_size < 1 or (self.epochs is not None and self.epochs < 1):
            raise ValueError(f"epochs {self.epochs}, batch_size {self.batch_size}; both from 1")
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate is {self.learning_rate}; a number above 0 is needed")
        if not 0 < self.clipping <= math.inf:
            raise ValueError(f"clipping is {self.clipping}; a number above 0 is needed")
        choices = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "precision": PRECISIONS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; known are {', '.join(known)}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay is {self.weight_decay}; a number from 0 is needed")
        for name in ("warmup", "label_smoothing", "shift"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; from 0 to below 1 is needed")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise ValueError(f"beta1 {self.beta1}, beta2 {self.beta2}; from 0 to below 1 needed")
        if len(self.checks) != len(self.margins) or list(self.checks) != sorted(self.checks):
            raise ValueError(f"checks {self.checks} and margins {self.margins} do not match")
        if not all(0 < check < 1 for check in self.checks):
            raise ValueError(f"checks {self.checks}: each must be between 0 and 1")


def settled(recipe: Recipe, network: Network, passes: int = 1) -> Recipe:
    """Return a recipe with nothing left open.

    Args:
      recipe: The recipe.
      network: The given network, which decides for all that are compared with it.
      passes: How many times as long as in a search a training is whose epochs are left open.
    """
    attends = any(layer.type == "MultiHeadAttention" for layer in network.layers)
    return dataclasses.replace(
        recipe,
        epochs=passes * EPOCHS[attends] if recipe.epochs is None else recipe.epochs,
        learning_rate=LEARNING_RATES[attends]
        if recipe.learning_rate is None
        else recipe.learning_rate,
    )


def stated(value: Any, name: str) -> Any:
    """Return a value of a recipe that must not be left open any more."""
    if value is None:
        raise ValueError(f"{name} is left open; `settled` gives it a value")
    return value
