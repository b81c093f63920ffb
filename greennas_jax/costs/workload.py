"""What a training run computes: from a network and its data, or as published."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from greennas_jax.costs import profile as cost_profile
from greennas_jax.costs import provenance
from greennas_jax.costs.devices import Device
from greennas_jax.costs.provenance import Figure, unknown
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec.network import Network


@dataclasses.dataclass(frozen=True, kw_only=True)
class Amount:
    """How much data a run processes: tokens, or examples times epochs.

    Attributes:
      tokens: Tokens in all, None where examples are given.
      examples: Examples of one epoch, None where tokens are given.
      epochs: How often every example is seen.
    """

    tokens: float | None = None
    examples: float | None = None
    epochs: float = 1.0

    def __post_init__(self):
        if self.tokens is not None and self.examples is not None:
            raise ValueError("both tokens and examples are given; one of them is needed")
        if self.examples is None and self.epochs != 1:
            raise ValueError("epochs go with examples; tokens are those of the whole run")
        for name in ("tokens", "examples", "epochs"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name} is {value:g}; allowed: numbers above 0")

    @property
    def given(self) -> bool:
        """Return whether there is any."""
        return self.tokens is not None or self.examples is not None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """The work of one run.

    Attributes:
      network: The network's name, None where only FLOPs are known.
      flops: Operations of the run [FLOP].
      bytes_per_flop: Memory traffic for each of them [byte/FLOP].
      parameters: Trainable parameters.
      examples: Examples processed, epochs counted.
      tokens: Tokens processed.
      step: Totals of a step's profile (`greennas.profile/1`), None without a network.
      batch_size: Examples of that step.
      model: What predicted that step, empty without a network.
      fitted: Whether its power is of a model fitted to measured layers.
    """

    network: str | None
    flops: Figure
    bytes_per_flop: Figure
    parameters: Figure
    examples: Figure
    tokens: Figure
    step: Mapping[str, Any] | None = None
    batch_size: int | None = None
    model: str = ""
    fitted: bool = False

    @property
    def steps(self) -> float:
        """Return how many such steps the run takes on one device, NaN where not known."""
        return self.examples.known / (self.batch_size or float("nan"))


def published(flops: float, amount: Amount, parameters: float | None = None) -> Workload:
    """Return the work of a run whose operations are published.

    Args:
      flops: Operations of the run [FLOP].
      amount: Its data, as far as known.
      parameters: The network's parameters, where known.

    Raises:
      ValueError: If a number is not positive.
    """
    for name, value in (("flops", flops), ("parameters", parameters)):
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{name} is {value:g}; allowed: numbers above 0")
    no_network = "no network is given"
    return Workload(
        network=None,
        flops=Figure(flops, "FLOP", "stated", "as published"),
        bytes_per_flop=unknown("byte/FLOP", f"{no_network}, so no memory traffic is known"),
        parameters=_stated(parameters, f"{no_network}, and no parameters"),
        examples=_stated(_passes(amount), f"{no_network}, and no examples"),
        tokens=_stated(amount.tokens, f"{no_network}, and no tokens"),
    )


def _passes(amount: Amount) -> float | None:
    return None if amount.examples is None else amount.examples * amount.epochs


def _stated(value: float | None, reason: str) -> Figure:
    return unknown("", reason) if value is None else Figure(value, "", "stated", "as given")


def of_network(
    network: Network,
    device: Device,
    settings: CostSettings,
    amount: Amount,
    batch_size: int | None = None,
) -> Workload:
    """Return the work of training a network on some data.

    Args:
      network: The network.
      device: The device; it decides how convolutions are computed.
      settings: How the network is costed, with mode "training".
      amount: The data.
      batch_size: Batch of one device; as the text says where not given.

    Raises:
      ValueError: If there is no data, the network does nothing, or tokens are given for one that
        reads none.
    """
    if not amount.given:
        raise ValueError("neither tokens nor examples are given; one of them is needed")
    profile = cost_profile.profile(network, device, settings, batch_size)
    step, batch = profile["totals"], profile["batch_size"]
    if not step["flops"]:
        raise ValueError(f"'{network.name}' does no operations; nothing is trained")
    per_example = tokens_per_example(network, profile)
    if amount.tokens is not None and not per_example:
        raise ValueError(
            f"tokens are given, but '{network.name}' holds no Embedding that reads any; "
            "allowed: examples and epochs"
        )
    passes = _passes(amount)
    if passes is None:
        source = f"tokens / {per_example:g} of one example of '{network.name}'"
        examples = Figure(float(amount.tokens or 0) / per_example, "", "predicted", source)
    else:
        examples = Figure(passes, "", "stated", "examples x epochs")
    flops = step["flops"] / batch * examples.known
    return Workload(
        network=network.name,
        flops=Figure(
            flops, "FLOP", "predicted", f"layers of '{network.name}': forward, backward, update"
        ),
        bytes_per_flop=Figure(
            step["bytes"] / step["flops"],
            "byte/FLOP",
            "predicted",
            f"layers of '{network.name}', every operand moved once a pass",
        ),
        parameters=Figure(
            step["parameters"], "", "predicted", f"layers of '{network.name}', shared ones once"
        ),
        examples=examples,
        tokens=_tokens(amount, examples, per_example, network.name),
        step=step,
        batch_size=batch,
        model=profile["provenance"],
        fitted=settings.power != "physical",
    )


def _tokens(amount: Amount, examples: Figure, per_example: float, name: str) -> Figure:
    if amount.tokens is not None:
        return Figure(amount.tokens, "", "stated", "as given")
    if not per_example:
        return unknown("", f"'{name}' holds no Embedding that reads tokens")
    source = f"examples x {per_example:g} tokens of one example of '{name}'"
    return provenance.predicted(examples.known * per_example, "", source, examples=examples)


def tokens_per_example(network: Network, profile: Mapping[str, Any]) -> float:
    """Return the tokens that a network reads for one example: those of all its inputs.

    Args:
      network: The network.
      profile: Its profile, `greennas.profile/1`.
    """
    by_name = network.by_name()
    read = {}
    for layer in profile["layers"]:
        shape = layer["input_shape"]
        if layer["type"] == "Embedding" and len(shape) == 2 and layer["name"] in by_name:
            read[by_name[layer["name"]].parents] = shape[1]
    return float(sum(read.values()))
