"""The contract of a search space, and what every space does alike.

A space is a fixed number of positions; a token string picks one choice at each. Every string
decodes to a valid network. Several strings may decode to the same network (the width of a layer
that is absent, say); the canonical one among them has choice 0 wherever nothing depends on the
position, so that canonical strings and networks correspond one to one.

Shapes: n strings, T positions, V choices at most, F labels.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np

from greennas_jax.spec.network import Network

KINDS = ("operation", "kernel", "width", "depth")


class Position(NamedTuple):
    """One place of a token string.

    Attributes:
      name: Unique name, for example `conv2.width`.
      layer: The given layer it belongs to; of a shared width the first layer that has it.
      kind: What it changes.
      choices: What each token means, as text; choice 0 is always "as given".
    """

    name: str
    layer: str
    kind: str
    choices: tuple[str, ...]


class Space(Protocol):
    """What a space offers; see the module's description for `canonical`.

    Attributes:
      name: The space's name.
      given: The network that token string 0 decodes to.
      positions: The positions, in the order of the tokens.
      steps: The positions of each layer, at most four, every position in exactly one step.
      label_names: The names of the labels, [F].
    """

    @property
    def name(self) -> str: ...  # noqa: D102 -- described above
    @property
    def given(self) -> Network: ...  # noqa: D102 -- described above
    @property
    def positions(self) -> tuple[Position, ...]: ...  # noqa: D102 -- described above
    @property
    def steps(self) -> tuple[tuple[int, ...], ...]: ...  # noqa: D102 -- described above
    @property
    def label_names(self) -> tuple[str, ...]: ...  # noqa: D102 -- described above
