r"""Convert a network: Caffe's prototxt, ONNX or Paleo's JSON into Paleo's JSON, Flax or ONNX.

python experiments/convert.py --input=deploy.prototxt --output=/tmp/net.json --batch_size=16
python experiments/convert.py --input=net.json --output=net_flax.py
python experiments/convert.py --input=net.json --weights=net.safetensors --output=net.onnx
"""

from __future__ import annotations

import os

import command_line
from absl import flags

from greennas_jax.costs import counts, layer_table, settings
from greennas_jax.importers import draft as drafts
from greennas_jax.importers import formats
from greennas_jax.report import files
from greennas_jax.spec import paleo_json
from greennas_jax.spec.network import Network, SpecError

_INPUT = flags.DEFINE_string("input", None, "A .prototxt, .onnx or .json file.", required=True)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "The file to write: NAME.py (Flax), NAME.onnx, else Paleo's JSON.",
    required=True,
)
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "A safetensors file with the weights of an ONNX output; else they are drawn."
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of drawn weights.", lower_bound=0)
_FORMAT = flags.DEFINE_enum(
    "format", None, ["caffe", "onnx"], "The input's format; by default what its name tells."
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "Batch size; by default the one in the file.", lower_bound=1
)
_INPUT_SHAPE = flags.DEFINE_list(
    "input_shape", None, "HEIGHT,WIDTH,CHANNELS of the input, where the file does not state them."
)
_STRICT = flags.DEFINE_bool("strict", False, "Refuse layer types that are not known.")
_MOST_NAMED = 8


def _image() -> tuple[int, int, int] | None:
    """Return the image's height, width and channels that the flags state."""
    if _INPUT_SHAPE.value is None:
        return None
    sizes = [int(text) if text.isdecimal() else 0 for text in _INPUT_SHAPE.value]
    if len(sizes) != 3 or min(sizes) < 1:
        told = ",".join(_INPUT_SHAPE.value)
        raise SpecError(f"--input_shape is '{told}'; HEIGHT,WIDTH,CHANNELS from 1 are needed")
    return sizes[0], sizes[1], sizes[2]


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _summary(network: Network) -> str:
    table = layer_table.from_network(network)
    parameters = int(counts.parameters(table, settings.CostSettings()).sum())
    return f"{_OUTPUT.value}: {len(network.layers)} layers, {parameters} parameters"


def _load(asked: drafts.Asked) -> tuple[Network, tuple[str, ...]]:
    """Return the network and remarks; Paleo's JSON is told by its name."""
    if _FORMAT.value is None and _INPUT.value.endswith(".json"):
        if asked != drafts.Asked(None, None):
            raise SpecError(
                f"{_INPUT.value}: Paleo's JSON states its input; --batch_size and --input_shape "
                "are for other formats"
            )
        return paleo_json.load(_INPUT.value), ()
    network, notes = formats.load(_INPUT.value, _FORMAT.value, asked)
    return network, tuple(notes)


def _write_onnx(network: Network) -> str:
    """Write the network as ONNX and return where its weights come from."""
    import jax

    from greennas_jax.build import flax_network
    from greennas_jax.export import onnx_graph, weights

    module = flax_network.build(network, jax.random.key(_SEED.value))
    statistics = flax_network.initial_statistics(module)
    source = f"not trained: weights are drawn from seed {_SEED.value}"
    if _WEIGHTS.value is not None:
        module, statistics = weights.load(_WEIGHTS.value, module, statistics)
        source = f"weights of {_WEIGHTS.value}"
    files.write_bytes(_OUTPUT.value, onnx_graph.write(module, statistics, network.name))
    return source


def _write(network: Network) -> list[str]:
    """Write the output and return remarks on it."""
    suffix = os.path.splitext(_OUTPUT.value)[1]
    if _WEIGHTS.value is not None and suffix != ".onnx":
        raise SpecError(f"--weights are for an .onnx output; {_OUTPUT.value} holds none")
    if suffix == ".onnx":
        return [_write_onnx(network)]
    if suffix == ".py":
        from greennas_jax.export import flax_source

        files.write_text(_OUTPUT.value, flax_source.write(network))
        return ["not trained: create(key) draws weights, load(path) reads a safetensors file"]
    text = paleo_json.write(network)
    paleo_json.read(text, origin=_INPUT.value)
    files.write_text(_OUTPUT.value, text)
    return []


def main() -> None:
    """Convert the file that the flags name."""
    if os.path.exists(_OUTPUT.value) and os.path.samefile(_INPUT.value, _OUTPUT.value):
        raise SpecError(f"{_OUTPUT.value}: both --input and --output; two files are needed")
    asked = drafts.Asked(_BATCH_SIZE.value, _image())
    network, notes = _load(asked)
    unknown = [
        f"type '{kind}' is not known and costs one read and one write: {_some(names)}"
        for kind, names in paleo_json.unknown_types(network).items()
    ]
    if _STRICT.value and unknown:
        raise SpecError(f"{_INPUT.value}: {unknown[0]}; refused as --strict asks")
    summary = _summary(network)
    notes = (*notes, *_write(network))
    print("\n".join([summary, *(f"note: {note}" for note in (*notes, *unknown))]))


if __name__ == "__main__":
    command_line.run(main)
