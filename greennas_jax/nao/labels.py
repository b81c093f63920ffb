"""What an accuracy model is fitted to, and the scale it works on.

Labels are padded to a fixed number, so nothing recompiles as they come in.

Shapes: N labels (padded), F features.
"""

import dataclasses

import jax
import numpy as np


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Labels:
    """Observed architectures.

    Attributes:
      features: Float [N, F].
      targets: Float [N], accuracy on the scale of `Warp`.
      repeats: Float [N], trainings averaged in a target; 0 where padded.
    """

    features: jax.Array
    targets: jax.Array
    repeats: jax.Array


@dataclasses.dataclass(frozen=True)
class Warp:
    """The scale accuracies are modelled on: -log(ceiling - accuracy), or themselves.

    Differences near the best then count for more than those among bad architectures. An infinite
    ceiling leaves the values as they are.
    """

    ceiling: float

    def forward(self, accuracy: np.ndarray) -> np.ndarray:
        """Return the modelled scale of accuracies (fractions of 1)."""
        if np.isinf(self.ceiling):
            return np.asarray(accuracy, float)
        return -np.log(np.maximum(self.ceiling - np.asarray(accuracy, float), 1e-4))

    def backward(self, value: np.ndarray) -> np.ndarray:
        """Return the accuracies of modelled values."""
        if np.isinf(self.ceiling):
            return np.asarray(value, float)
        return self.ceiling - np.exp(-np.asarray(value, float))


def warp_for(accuracies: np.ndarray, noise: float) -> Warp:
    """Return the warp for observed accuracies with a given standard deviation of one training."""
    return Warp(float(np.max(accuracies)) + 2 * max(noise, 0.002))
