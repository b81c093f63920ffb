r"""Print a network's time, power and energy on a device, per layer and in total.

python experiments/profile.py --spec=configs/specs/alex_v2.json --device=titan_x \
    --batch_size=128 --json=/tmp/profile.json
"""

import command_line
from absl import flags

from greennas_jax.costs import (
    devices,
    dtypes,
    neuralpower_text,
    profile_text,
    settings,
)
from greennas_jax.costs import profile as cost_profile
from greennas_jax.report import breakdown_table, files
from greennas_jax.spec import paleo_json

_SPEC = flags.DEFINE_string("spec", None, "The network, a file in Paleo's JSON.", required=True)
_DEVICE = flags.DEFINE_string(
    "device", None, f"One of {', '.join(devices.names())}, or a device file.", required=True
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "Batch size; by default the one in the network's text.", lower_bound=1
)
_MODE = flags.DEFINE_enum(
    "mode",
    "inference",
    settings.MODES,
    "What is costed; of networks that make one token after another, prefill is the prompt and "
    "decode one more token of each sequence.",
)
_SEQUENCE_LENGTH = flags.DEFINE_integer(
    "sequence_length", None, "Length of the sequences; by default the text's.", lower_bound=1
)
_CONTEXT = flags.DEFINE_integer(
    "context",
    None,
    "Tokens that a new one attends to when decoding, itself included; by default the sequence's "
    "length.",
    lower_bound=1,
)
_ATTENTION = flags.DEFINE_enum(
    "attention",
    "materialised",
    settings.ATTENTIONS,
    "How attention is computed: scores written to memory and masked ones computed, or neither.",
)
_PPP_COMP = flags.DEFINE_float(
    "ppp_comp", 1.0, "Attainable share of the peak of computation and memory, above 0, at most 1."
)
_PPP_COMM = flags.DEFINE_float(
    "ppp_comm", 1.0, "Attainable share of the peak between devices, above 0, at most 1."
)
_CONV_ALGORITHM = flags.DEFINE_string(
    "conv_algorithm",
    "gemm",
    "How convolutions are computed: gemm, fft, tiled_fft, im2col, or the fastest of them.",
)
_PIPELINED = flags.DEFINE_bool(
    "pipelined", False, "Computing and moving overlap: a layer takes the longer of the two."
)
_POWER = flags.DEFINE_string(
    "power",
    "physical",
    f"The power model: {', '.join(settings.POWER_MODELS)}, or neuralpower:FILE for runtime and "
    "power by layer models fitted to measurements.",
)
_COMPAT = flags.DEFINE_enum(
    "compat", None, ["paleo"], "Reproduce the original Paleo's times, mistakes included."
)
_DTYPE = flags.DEFINE_enum(
    "dtype",
    None,
    dtypes.DTYPES,
    "Number format of weights, activations and arithmetic; fp32 by default where the device "
    "computes in it, else the device's own.",
)
_STRICT = flags.DEFINE_bool("strict", False, "Refuse layer types that are not known.")
_SUMMARY = flags.DEFINE_bool(
    "summary", False, "Print what the network holds: outputs, parameters, bytes, peak memory."
)
_EXPLAIN = flags.DEFINE_bool(
    "explain", False, "Print where, by how much and why the times differ from the original Paleo's."
)
_MEASURED_MS = flags.DEFINE_float(
    "measured_ms", None, "Time of the passes measured elsewhere [ms]: energy is that of this time."
)
_BREAKDOWN = flags.DEFINE_bool(
    "breakdown", False, "Print what energy is spent on: by pass, by layer and by kind of layer."
)
_PICTURE = flags.DEFINE_string("picture", None, "Draw what energy is spent on into this PNG file.")
_JSON = flags.DEFINE_string("json", None, "Write the profile into this file.")


def main() -> None:
    """Profile the network that the flags name."""
    device = devices.load(_DEVICE.value)
    chosen = settings.CostSettings(
        mode=_MODE.value,
        ppp_comp=_PPP_COMP.value,
        ppp_comm=_PPP_COMM.value,
        compat=_COMPAT.value,
        conv_algorithm=_CONV_ALGORITHM.value,
        pipelined=_PIPELINED.value,
        power=neuralpower_text.chosen(_POWER.value),
        dtype=devices.chosen_dtype(device, _DTYPE.value),
        attention=_ATTENTION.value,
    )
    network = paleo_json.load(_SPEC.value, strict=_STRICT.value)
    result = cost_profile.profile(
        network,
        device,
        chosen,
        _BATCH_SIZE.value,
        sequence_length=_SEQUENCE_LENGTH.value,
        context=_CONTEXT.value,
        explained=_EXPLAIN.value,
        measured_ms=_MEASURED_MS.value,
    )
    if _PICTURE.value:
        # The drawing library takes longer to load than everything else to run.
        from greennas_jax.report import breakdown_picture

        breakdown_picture.draw(_PICTURE.value, result)
    if _JSON.value:
        files.write_json(_JSON.value, result)
    print(profile_text.summary_text(result) if _SUMMARY.value else profile_text.text(result))
    if _BREAKDOWN.value:
        print(f"\n{breakdown_table.text(result)}")
    if _EXPLAIN.value:
        print(f"\n{profile_text.explain_text(result)}")


if __name__ == "__main__":
    command_line.run(main)
