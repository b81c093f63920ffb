"""What an accuracy oracle offers a search."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from greennas_jax.spec.network import Network

Kind = Literal["measured", "proxy", "table"]
Progress = Callable[[int], None]


class Trial(NamedTuple):
    """One evaluation of one network under one seed.

    Attributes:
      accuracy: Share of held-out images classified right; of a proxy a score, 1 as the given
        network.
      stopped: Whether training was stopped early, `accuracy` then being that of the stop.
      epochs: Epochs trained; 0 where nothing was.
      curve: Accuracy at each of the recipe's checks that was reached, and at the end.
      restarts: How often the training began anew under another key, because its numbers were no
        longer finite.
      diverged: Whether they were not finite in the last one either, which counts as stopped.
    """

    accuracy: float
    stopped: bool
    epochs: float
    curve: tuple[float, ...] = ()
    restarts: int = 0
    diverged: bool = False


class Oracle(Protocol):
    """Evaluates variants of one given network.

    The trial of a (network, seed) depends on the two alone, never on what is evaluated beside it.
    """

    @property
    def kind(self) -> Kind:
        """Whether accuracy is measured by training, scored without, or read from a table."""
        ...

    def evaluate(self, networks: Sequence[Network], seeds: Sequence[int]) -> list[Trial]:
        """Return one trial per network, each under its own seed."""
        ...

    def block(self, seed: int) -> int:
        """Return what the trainings of a seed are judged on; those of one block share it."""
        ...

    def baseline(self, seeds: Sequence[int]) -> list[Trial]:
        """Return one trial of the given network per seed, never stopped early."""
        ...

    def after_baseline(self, trials: Sequence[Trial]) -> "Oracle":
        """Return the oracle that uses what is known of the given network (to stop early)."""
        ...


def check_seeds(networks: int, seeds: Sequence[int]) -> None:
    """Raise ValueError unless there is one seed from 0 to 2^32 - 1 per network."""
    if len(seeds) != networks:
        raise ValueError(f"{len(seeds)} seeds for {networks} networks; one each needed")
    wrong = [seed for seed in seeds if not 0 <= seed < 2**32]
    if wrong:
        raise ValueError(f"seed {wrong[0]}: from 0 to {2**32 - 1} allowed")
