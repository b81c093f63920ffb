"""What one inference does: a pass over examples, or a prompt and the tokens that follow it."""

import dataclasses
from typing import Any

from greennas_jax.costs import generation
from greennas_jax.costs import profile as cost_profile
from greennas_jax.costs.deployment import Phase
from greennas_jax.costs.devices import Device
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec.network import Network


def of_examples(
    network: Network,
    device: Device,
    settings: CostSettings,
    batch_size: int | None = None,
    sequence_length: int | None = None,
) -> list[Phase]:
    """Return the forward pass of an example.

    Args:
      network: The network.
      device: The device.
      settings: How it is costed; the mode is taken as inference.
      batch_size: Examples of a batch; as the text says where not given.
      sequence_length: Tokens of an example; as the text says where not given.

    Raises:
      ValueError: If the network does not take the length.
    """
    settings = dataclasses.replace(settings, mode="inference")
    profile = cost_profile.profile(
        network, device, settings, batch_size, sequence_length=sequence_length
    )
    return [_phase("inference", profile)]


def of_tokens(
    network: Network,
    device: Device,
    settings: CostSettings,
    batch_size: int | None,
    prompt: int,
    made: int,
) -> list[Phase]:
    """Return the phases of making tokens: the prompt, which yields the first, and each other one.

    A network with an encoder reads the prompt there and starts its own sequence with one token. A
    step's cost is the mean of the first and the last, which is exact where it grows with the
    context in a straight line.

    Args:
      network: A network that makes one token after another.
      device: The device.
      settings: How it is costed; the mode is that of each phase.
      batch_size: Sequences of a batch; as the text says where not given.
      prompt: Tokens of the prompt, from 1.
      made: Tokens made after it, from 1.

    Raises:
      ValueError: If the network makes no tokens, or not as many.
    """
    for name, value in (("prefill_tokens", prompt), ("decode_tokens", made)):
        if value < 1:
            raise ValueError(f"{name} is {value}; allowed: whole numbers from 1")
    prefill = dataclasses.replace(settings, mode="prefill")
    decode = dataclasses.replace(settings, mode="decode")
    # At two tokens, the inputs that a step shortens to one are those that grow.
    lengths = generation.prepare(network, "decode", 2, 1).lengths
    encodes = any(length > 1 for length in lengths.values())
    start = {name: 1 if encodes and length == 1 else prompt for name, length in lengths.items()}
    read = cost_profile.profile(
        generation.with_lengths(network, start), device, prefill, batch_size
    )
    phases = [_phase("prefill", read)]
    if made == 1:
        return phases
    before = 1 if encodes else prompt
    first, last = (
        cost_profile.profile(
            network, device, decode, batch_size, sequence_length=prompt, context=context
        )["totals"]
        for context in (before + 1, before + made - 1)
    )
    mean = {
        key: None if first[key] is None else (first[key] + last[key]) / 2
        for key in ("time_ms", "flops", "bytes", "energy_j")
    }
    return [*phases, _phase("decode", read | {"totals": mean}, calls=made - 1)]


def _phase(name: str, profile: dict[str, Any], calls: float = 1) -> Phase:
    return Phase(
        name=name,
        totals=profile["totals"],
        batch_size=profile["batch_size"],
        calls=calls,
        model=profile["provenance"],
    )
