r"""Print the energy, cost and carbon of a training run or of a deployment.

GPT-3, of which Patterson et al. (2021) report 1287 MWh and 552 t, and Meena, 232 MWh and 96 t:

python experiments/footprint.py --spec=configs/specs/gpt3_175b.json --tokens=300e9 --device=v100 \
    --dtype=fp16 --devices=10000 --utilisation=0.197 --datacentre=gpt3
python experiments/footprint.py --flops=1.12e23 --device=tpu_v3 --devices=1024 \
    --utilisation=0.344 --datacentre=meena

T5-11B, 85.7 MWh and 46.7 t: 10^12 tokens of text, 568 of which make an example of 512 + 114:

python experiments/footprint.py --spec=configs/specs/t5_11b.json --examples=1.7606e9 \
    --device=tpu_v3 --devices=512 --utilisation=0.371 --datacentre=t5

A small network, in France, five runs:

python experiments/footprint.py --spec=configs/specs/resnet50.json --device=k80 --devices=8 \
    --examples=1281167 --epochs=90 --batch_size=32 --network=infiniband --country=France \
    --year=2024 --price=0.2 --experiments=5

A million requests to a device that waits nine tenths of the time:

python experiments/footprint.py --subject=deployment --spec=configs/specs/resnet50.json \
    --device=titan_x --requests=1e6 --batch_size=8 --idle_share=0.9 --idle_watts=15 --country=FR

A thousand answers of 100 tokens to prompts of 500, one at a time, on one of the eight devices of a
machine that is otherwise idle:

python experiments/footprint.py --subject=deployment --spec=configs/specs/llama2_7b.json \
    --device=a100_80gb --dtype=fp16 --batch_size=1 --prefill_tokens=500 --decode_tokens=100 \
    --idle_devices=7
"""

from __future__ import annotations

import command_line
from absl import flags

from greennas_jax.costs import (
    communication,
    deployment,
    device_power,
    devices,
    inferences,
    links,
    neuralpower_text,
    settings,
    sites,
    training_run,
    workload,
)
from greennas_jax.report import files, footprint_table
from greennas_jax.spec import paleo_json
from greennas_jax.spec.network import Network

_SUBJECT = flags.DEFINE_enum(
    "subject", "training", ["training", "deployment"], "What the footprint is of."
)
_SPEC = flags.DEFINE_string("spec", None, "The network, a file in Paleo's JSON.")
_DEVICE = flags.DEFINE_string(
    "device", None, f"One of {', '.join(devices.names())}, or a device file.", required=True
)
_DTYPE = flags.DEFINE_string(
    "dtype", None, "The number format that is computed in; the device's own by default."
)
_DEVICES = flags.DEFINE_integer("devices", 1, "How many devices share the work.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "Batch of one device; by default the one in the text.", lower_bound=1
)
_PPP_COMP = flags.DEFINE_float(
    "ppp_comp", 1.0, "Attainable share of the peak where times are predicted, above 0, at most 1."
)
_ATTENTION = flags.DEFINE_enum(
    "attention",
    "materialised",
    settings.ATTENTIONS,
    "Whether attention writes its scores, or computes them on the chip, masked ones left out.",
)
_IDLE_SHARE = flags.DEFINE_float(
    "idle_share", 0.0, "Share of all hours in which the devices are held without work, below 1."
)

_FLOPS = flags.DEFINE_float("flops", None, "Published operations of the run, in place of --spec.")
_PARAMETERS = flags.DEFINE_float("parameters", None, "Parameters, beside --flops, for the check.")
_TOKENS = flags.DEFINE_float("tokens", None, "Tokens that are trained on, in all.")
_EXAMPLES = flags.DEFINE_float("examples", None, "Examples of one epoch, in place of --tokens.")
_EPOCHS = flags.DEFINE_float("epochs", 1.0, "How often every example is seen.")
_UTILISATION = flags.DEFINE_float(
    "utilisation",
    None,
    "Share of the peak rate that is reached, above 0, at most 1: of the whole run, or, with "
    "--network, of the computing alone. As the layers predict if left out.",
)
_NETWORK = flags.DEFINE_string(
    "network",
    None,
    f"What links the devices: one of {', '.join(links.names())}, or a link file; tells the time "
    "of summing gradients apart.",
)
_COLLECTIVE = flags.DEFINE_string(
    "collective", "ring", f"How gradients are summed: {', '.join(communication.names())}."
)
_PPP_COMM = flags.DEFINE_float(
    "ppp_comm", 1.0, "Attainable share of the peak between devices, above 0, at most 1."
)
_EXPERIMENTS = flags.DEFINE_integer(
    "experiments", 1, "Runs made for the result, hyper-parameters included.", lower_bound=1
)

_REQUESTS = flags.DEFINE_float("requests", 1000.0, "Inferences in all.")
_PREFILL_TOKENS = flags.DEFINE_integer(
    "prefill_tokens", None, "Tokens of a request's prompt, or of an example.", lower_bound=1
)
_DECODE_TOKENS = flags.DEFINE_integer(
    "decode_tokens", None, "Tokens that a request makes one after another.", lower_bound=1
)
_IDLE_DEVICES = flags.DEFINE_integer(
    "idle_devices", 0, "Further devices of the same machines, idle all the time.", lower_bound=0
)

_MEASURED_WATTS = flags.DEFINE_float(
    "measured_watts", None, "Measured mean power of a device with its share of the machine [W]."
)
_IDLE_WATTS = flags.DEFINE_float("idle_watts", None, "Power of a device without work [W].")
_HOST_WATTS = flags.DEFINE_float("host_watts", None, "The machine's power for each device [W].")
_POWER_MODEL = flags.DEFINE_enum(
    "power_model",
    None,
    ["utilisation", "physical"],
    "The power of a busy device; by default the model that suits the device.",
)
_POWER = flags.DEFINE_string(
    "power",
    "physical",
    f"The power of layers: {', '.join(settings.POWER_MODELS)}, or neuralpower:FILE for runtime and "
    "power by layer types fitted to measurements.",
)
_PUE = flags.DEFINE_float("pue", None, "Power usage effectiveness of the building, from 1.")
_INTENSITY = flags.DEFINE_float("intensity", None, "What the electricity emits [gCO2e/kWh].")
_COUNTRY = flags.DEFINE_string("country", None, "A country of the table, by name or code.")
_YEAR = flags.DEFINE_integer("year", None, "The year of the country's electricity.")
_DATACENTRE = flags.DEFINE_string(
    "datacentre", None, "A data centre of the table, for its PUE and its electricity."
)
_PRICE = flags.DEFINE_float("price", None, "Price of the electricity [currency/kWh].")
_STRICT = flags.DEFINE_bool("strict", False, "Refuse layer types that are not known.")
_JSON = flags.DEFINE_string("json", None, "Write the footprint into this file.")

_OF_TRAINING = (_FLOPS, _PARAMETERS, _TOKENS, _EXAMPLES, _EPOCHS, _UTILISATION, _NETWORK)
_OF_TRAINING += (_COLLECTIVE, _PPP_COMM, _EXPERIMENTS)
_OF_DEPLOYMENT = (_REQUESTS, _PREFILL_TOKENS, _DECODE_TOKENS, _IDLE_DEVICES)


def _check_flags() -> None:
    """Refuse flags that say nothing about the subject, and those that exclude each other."""
    subject = _SUBJECT.value
    for flag in _OF_DEPLOYMENT if subject == "training" else _OF_TRAINING:
        if flag.present:
            raise ValueError(f"--{flag.name} says nothing about --subject={subject}")
    if _FLOPS.present and _SPEC.present:
        raise ValueError("both --flops and --spec are given; one of them is needed")
    for flag in (_BATCH_SIZE, _PPP_COMP, _ATTENTION, _POWER, _STRICT):
        if _FLOPS.present and flag.present:
            raise ValueError(f"--{flag.name} says nothing beside --flops")
    if _PARAMETERS.present and not _FLOPS.present:
        raise ValueError("--parameters goes with --flops; a --spec says its own")
    if not _FLOPS.present and not _SPEC.present:
        needed = "--spec or --flops" if subject == "training" else "--spec"
        raise ValueError(f"{needed} is needed")


def _device() -> devices.Device:
    device = devices.load(_DEVICE.value)
    return device.at(_DTYPE.value) if _DTYPE.value else device


def _settings(device: devices.Device, mode: str) -> settings.CostSettings:
    return settings.CostSettings(
        mode=mode,
        ppp_comp=_PPP_COMP.value,
        ppp_comm=_PPP_COMM.value,
        power=neuralpower_text.chosen(_POWER.value),
        dtype=device.dtype,
        attention=_ATTENTION.value,
    )


def _given() -> device_power.Given:
    return device_power.Given(
        model=_POWER_MODEL.value,
        measured_w=_MEASURED_WATTS.value,
        idle_w=_IDLE_WATTS.value,
        host_w=_HOST_WATTS.value,
    )


def _site() -> sites.Site:
    return sites.site(
        pue=_PUE.value,
        intensity=_INTENSITY.value,
        country=_COUNTRY.value,
        year=_YEAR.value,
        datacentre=_DATACENTRE.value,
        price=_PRICE.value,
    )


def _network() -> Network:
    if _SPEC.value is None:
        raise ValueError("--spec is needed")
    return paleo_json.load(_SPEC.value, strict=_STRICT.value)


def _workload(device: devices.Device) -> workload.Workload:
    amount = workload.Amount(tokens=_TOKENS.value, examples=_EXAMPLES.value, epochs=_EPOCHS.value)
    if _FLOPS.value is not None:
        return workload.published(_FLOPS.value, amount, _PARAMETERS.value)
    costs = _settings(device, "training")
    return workload.of_network(_network(), device, costs, amount, _BATCH_SIZE.value)


def _training() -> dict:
    device = _device()
    fabric = None
    if _NETWORK.value is not None:
        fabric = communication.Fabric(link=links.load(_NETWORK.value), share=_PPP_COMM.value)
    run = training_run.TrainingRun(
        device=device,
        devices=_DEVICES.value,
        utilisation=_UTILISATION.value,
        fabric=fabric,
        scheme=_COLLECTIVE.value,
        given=_given(),
        idle_share=_IDLE_SHARE.value,
        experiments=_EXPERIMENTS.value,
    )
    return training_run.report(_workload(device), run, _site())


def _deployment() -> dict:
    device = _device()
    asked = deployment.Deployment(
        device=device,
        requests=_REQUESTS.value,
        devices=_DEVICES.value,
        idle_share=_IDLE_SHARE.value,
        idle_devices=_IDLE_DEVICES.value,
        given=_given(),
    )
    network, costs = _network(), _settings(device, "inference")
    prompt, made, batch = _PREFILL_TOKENS.value, _DECODE_TOKENS.value, _BATCH_SIZE.value
    if made is None:
        phases = inferences.of_examples(network, device, costs, batch, prompt)
    elif prompt is None:
        raise ValueError("--decode_tokens goes with --prefill_tokens")
    else:
        phases = inferences.of_tokens(network, device, costs, batch, prompt, made)
    return deployment.report(network.name, phases, asked, _site())


def main() -> None:
    """Reckon the footprint that the flags ask for."""
    _check_flags()
    found = _training() if _SUBJECT.value == "training" else _deployment()
    if _JSON.value:
        files.write_json(_JSON.value, found)
    print(footprint_table.text(found))


if __name__ == "__main__":
    command_line.run(main)
