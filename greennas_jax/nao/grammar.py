"""What the networks of the embedding must know of a space: its steps, choices and valid tokens.

Shapes: T tokens, V vocabulary (largest number of choices), S steps, F labels, K cost terms.
"""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Grammar:
    """Static facts of a space.

    Attributes:
      valid: bool [T, V], the choices each position has.
      step_of: int32 [T], the step each position is written in.
      steps: Number of steps S.
      outputs: Number of values the heads predict, labels and costs (F + K).
    """

    valid: np.ndarray
    step_of: np.ndarray
    steps: int
    outputs: int

    @property
    def tokens(self) -> int:
        """Number of positions T."""
        return self.valid.shape[0]

    @property
    def vocabulary(self) -> int:
        """Largest number of choices V."""
        return self.valid.shape[1]

    def padded_steps(self) -> np.ndarray:
        """Return int32 [S, G], the positions of every step, T where a step has fewer than G."""
        members = [np.flatnonzero(self.step_of == step) for step in range(self.steps)]
        table = np.full((self.steps, max(map(len, members))), self.tokens, np.int32)
        for step, positions in enumerate(members):
            table[step, : len(positions)] = positions
        return table


def from_space(space: Any, outputs: int) -> Grammar:
    """Return the grammar of a search space.

    Args:
      space: Any object of the space contract (`valid_mask`, `steps`).
      outputs: Number of values the heads predict.
    """
    step_of = np.zeros(len(space.positions), np.int32)
    for step, positions in enumerate(space.steps):
        step_of[list(positions)] = step
    return Grammar(
        valid=np.asarray(space.valid_mask),
        step_of=step_of,
        steps=len(space.steps),
        outputs=outputs,
    )
