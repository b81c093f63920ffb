r"""Print what training takes on several devices: time, speed-up, power and energy.

python experiments/scale.py --spec=configs/specs/resnet50.json --device=k80 --network=infiniband \
    --workers=1,2,4,8,16,32,64 --workers_per_node=4 --inner_network=pcie3 --host_w=400 \
    --batch_size=256 --ppp_comp=0.62 --examples=1281167 --picture=/tmp/scale.png

FireCaffe's Network in Network as the original Paleo predicts it, speed-up 15.5 on 32 workers:

python experiments/scale.py --spec=configs/specs/paleo/nin.json --device=k20x \
    --network=infiniband --workers=1,32 --scheme=tree --batch_size=256 --ppp_comp=0.21 \
    --ppp_comm=0.56 --compat=paleo

AlexNet split as in "One weird trick", speed-up 1.94 and 3.79 on 2 and 4 workers:

python experiments/scale.py --spec=configs/specs/paleo/alex_v2_4gpu.json --device=k20 \
    --network=pcie2 --workers=1,2,4 --parallel=hybrid --scaling=weak --scheme=tree \
    --splits=workers --batch_size=128 --ppp_comp=0.46 --ppp_comm=0.75 --compat=paleo
"""

from __future__ import annotations

import command_line
from absl import flags

from greennas_jax.costs import communication, devices, dtypes, links, scaling, settings
from greennas_jax.report import files, scaling_table
from greennas_jax.spec import paleo_json, parallel, shapes
from greennas_jax.spec.network import Network

_SPEC = flags.DEFINE_string("spec", None, "The network, a file in Paleo's JSON.", required=True)
_DEVICE = flags.DEFINE_string(
    "device", None, f"One of {', '.join(devices.names())}, or a device file.", required=True
)
_NETWORK = flags.DEFINE_string(
    "network",
    "ethernet",
    f"What links the nodes: one of {', '.join(links.names())}, or a link file.",
)
_INNER_NETWORK = flags.DEFINE_string(
    "inner_network", None, "What links the workers of a node; as between nodes if left out."
)
_WORKERS_PER_NODE = flags.DEFINE_integer(
    "workers_per_node", 1, "Workers that share a node and its link.", lower_bound=1
)
_WORKERS = flags.DEFINE_list(
    "workers",
    ["1", "2", "4", "8", "16", "32", "64", "128"],
    "Numbers of workers, parted by commas.",
)
_SCALING = flags.DEFINE_enum(
    "scaling",
    "strong",
    ["weak", "strong"],
    "Whether --batch_size is shared out (strong) or each worker's own (weak).",
)
_PARALLEL = flags.DEFINE_enum(
    "parallel", "data", ["data", "model", "hybrid"], "What is shared out."
)
_SCHEME = flags.DEFINE_string(
    "scheme", "ring", f"How gradients are summed: {', '.join(communication.names())}."
)
_SPLITS = flags.DEFINE_enum(
    "splits",
    None,
    ["workers", "text"],
    "How often a ModelParallel is split: as often as there are workers, or as its text says; by "
    "default as the text says under --compat=paleo, else as there are workers.",
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "Batch size; by default the one in the network's text.", lower_bound=1
)
_EXAMPLES = flags.DEFINE_integer(
    "examples", None, "Examples of an epoch: adds its time and energy.", lower_bound=1
)
_HOST_W = flags.DEFINE_float(
    "host_w", 0.0, "Power of a node besides its devices [W], from 0.", lower_bound=0.0
)
_PPP_COMP = flags.DEFINE_float(
    "ppp_comp", 1.0, "Attainable share of the peak of computation and memory, above 0, at most 1."
)
_PPP_COMM = flags.DEFINE_float(
    "ppp_comm", 1.0, "Attainable share of the peak between devices, above 0, at most 1."
)
_CONV_ALGORITHM = flags.DEFINE_string("conv_algorithm", "gemm", "How convolutions are computed.")
_PIPELINED = flags.DEFINE_bool(
    "pipelined", False, "Let a layer compute while it moves its operands."
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
_JSON = flags.DEFINE_string("json", None, "Write the study into this file.")
_PICTURE = flags.DEFINE_string("picture", None, "Draw the study into this PNG file.")
flags.DEFINE_alias("link", "network")
flags.DEFINE_alias("collective", "scheme")


def _workers() -> list[int]:
    wrong = [text for text in _WORKERS.value if not text.strip().isdecimal()]
    if wrong or not _WORKERS.value:
        found = wrong[0] if wrong else ""
        raise ValueError(f"--workers has {found!r}; whole numbers parted by commas needed")
    # A number beyond all sense is refused by the study, whatever its length.
    return [int(text.strip()[:20]) for text in _WORKERS.value]


def _batch(network: Network) -> int:
    if _BATCH_SIZE.value is not None:
        return _BATCH_SIZE.value
    compat = "paleo" if _COMPAT.value else None
    whole = parallel.expand(network, splits=1, compat=compat)
    return shapes.batch_size(shapes.infer(whole.network, compat=compat))


def _job() -> scaling.Job:
    """Return what the flags ask for."""
    device = devices.load(_DEVICE.value)
    costs = settings.CostSettings(
        mode="training",
        ppp_comp=_PPP_COMP.value,
        ppp_comm=_PPP_COMM.value,
        compat=_COMPAT.value,
        conv_algorithm=_CONV_ALGORITHM.value,
        pipelined=_PIPELINED.value,
        dtype=devices.chosen_dtype(device, _DTYPE.value),
    )
    splits = _SPLITS.value or ("text" if _COMPAT.value else "workers")
    asked = scaling.ScalingSettings(
        scaling=_SCALING.value,
        parallel=_PARALLEL.value,
        scheme=communication.get(_SCHEME.value).name,
        splits=splits,
        host_w=_HOST_W.value,
        examples=_EXAMPLES.value,
    )
    inner = links.load(_INNER_NETWORK.value) if _INNER_NETWORK.value else None
    fabric = communication.Fabric(
        link=links.load(_NETWORK.value),
        inner_link=inner,
        workers_per_node=_WORKERS_PER_NODE.value,
    )
    network = paleo_json.load(_SPEC.value, strict=_STRICT.value)
    return scaling.Job(
        network=network,
        device=device,
        fabric=fabric,
        costs=costs,
        settings=asked,
        batch=_batch(network),
    )


def main() -> None:
    """Study the network that the flags name."""
    workers = _workers()
    found = scaling.study(_job(), workers)
    if _JSON.value:
        files.write_json(_JSON.value, found)
    if _PICTURE.value:
        # The drawing library takes longer to load than everything else to run.
        from greennas_jax.report import scaling_picture

        scaling_picture.draw(_PICTURE.value, found)
    print(scaling_table.text(found))


if __name__ == "__main__":
    command_line.run(main)
