"""What is costed: inference or training, at which share of the peak, by which rules."""

import dataclasses
from typing import Any

from greennas_jax.costs import conv_algorithms, dtypes
from greennas_jax.costs.neuralpower_model import Model

MODES = ("inference", "training", "prefill", "decode")
# Those that run a network over its whole input, whatever its layers.
WHOLE_MODES = ("inference", "training")
ATTENTIONS = ("materialised", "fused")
COMPATIBILITIES = (None, "paleo")
POWER_MODELS = ("physical",)

# Of a peak; below, times leave what numbers can hold.
SMALLEST_SHARE = 1e-9


@dataclasses.dataclass(frozen=True, kw_only=True)
class CostSettings:
    """Settings of every cost function; static, hashable.

    Attributes:
      mode: "inference" (the forward pass) or "training" (forward, backward and update); of
        networks that make one token after another, "prefill" (the forward pass over a prompt,
        which fills a cache of keys and values) or "decode" (that of one more token, which reads
        the cache).
      ppp_comp: Platform percent of peak of computation and device memory, as a fraction (Paleo:
        memory time is divided by the share of computation).
      ppp_comm: Platform percent of peak of the network between devices, as a fraction.
      compat: "paleo" reproduces the original's figures, mistakes included; None puts them right.
      conv_algorithm: How convolutions are computed, by its registered name, or "fastest": in each
        pass of each layer the quickest of those that apply.
      pipelined: Whether computing and moving overlap: a layer then takes the longer of the two
        instead of their sum.
      power: "physical" (Paleo's times and the device's power figures), or a fitted model that
        gives runtime and power of layers like those that were measured.
      dtype: Number format of weights and activations, and of the arithmetic. Momentum, gradients
        and the weights that an update changes are fp32 in any (Micikevicius et al., "Mixed
        precision training", ICLR 2018).
      attention: "materialised" (scores are written, masked pairs computed) or "fused" (neither).
    """

    mode: str = "inference"
    ppp_comp: float = 1.0
    ppp_comm: float = 1.0
    compat: str | None = None
    conv_algorithm: str = "gemm"
    pipelined: bool = False
    power: str | Model = "physical"
    dtype: str = "fp32"
    attention: str = "materialised"

    @property
    def element_bytes(self) -> int:
        """Return the bytes of a weight or of an activation."""
        return dtypes.ELEMENT_BYTES[self.dtype]

    def __post_init__(self):
        _one_of("mode", self.mode, MODES)
        _one_of("compat", self.compat, COMPATIBILITIES)
        named = conv_algorithms.ALIASES.get(self.conv_algorithm, self.conv_algorithm)
        object.__setattr__(self, "conv_algorithm", named)
        _one_of("conv_algorithm", named, conv_algorithms.choices())
        if not isinstance(self.pipelined, bool):
            raise ValueError(f"pipelined is {self.pipelined!r}; allowed: true or false")
        if not isinstance(self.power, Model):
            _one_of("power", self.power, POWER_MODELS)
        elif self.compat == "paleo":
            raise ValueError(
                "power is a fitted model with compat 'paleo'; allowed: physical, the original's"
            )
        _one_of("dtype", self.dtype, dtypes.DTYPES)
        if self.compat == "paleo" and self.dtype != "fp32":
            raise ValueError(
                f"dtype is {self.dtype!r} with compat 'paleo'; allowed: fp32, the only one it knows"
            )
        if self.dtype == "int8" and self.mode == "training":
            raise ValueError("dtype is 'int8' with mode 'training'; int8 is for inference only")
        _one_of("attention", self.attention, ATTENTIONS)
        for name in ("ppp_comp", "ppp_comm"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not SMALLEST_SHARE <= value <= 1:
                raise ValueError(
                    f"{name} is {value!r}; allowed: a fraction of the peak, from "
                    f"{SMALLEST_SHARE:g} to 1"
                )

    @property
    def trains(self) -> bool:
        """Return whether gradients and an update follow the forward pass."""
        return self.mode == "training"

    @property
    def caches(self) -> bool:
        """Return whether keys and values are kept for tokens to come."""
        return self.mode in ("prefill", "decode")


def _one_of(name: str, value: Any, allowed: tuple) -> None:
    if value not in allowed:
        listed = ", ".join("none" if choice is None else choice for choice in allowed)
        raise ValueError(f"{name} is {value!r}; allowed: {listed}")
