"""Hostile inputs through the programs' own main functions.

Each subject is for a process of its own: two programs cannot define their flags in one.
"""

import functools
import importlib.util
import json
import sys
import tempfile

from absl import flags

from tests.fuzz import harness, mutations, readers, subjects
from tests.fuzz.subjects import Subject

FOLDER = harness.ROOT / "experiments"
LENET = f"--spec={readers.LENET}"
TITAN = "--device=titan_x"


@functools.cache
def _main(program: str):
    """Return the main function of a program, its flags defined."""
    sys.path.insert(0, str(FOLDER))
    made = importlib.util.spec_from_file_location(f"program_{program}", FOLDER / f"{program}.py")
    module = importlib.util.module_from_spec(made)
    made.loader.exec_module(module)
    return module.main


def run(program: str, *arguments: str) -> None:
    """Run a program as its command line does; flags that it refuses are refused."""
    main = _main(program)
    import command_line

    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    try:
        flags.FLAGS([program, *arguments])
    except flags.Error as error:
        raise ValueError(command_line.one_line(str(error))) from None
    try:
        main()
    except ValueError as error:
        error.args = (command_line.one_line(str(error)),)
        raise


def _out(suffix: str) -> str:
    return f"{tempfile.gettempdir()}/greennas_fuzz_out{suffix}"


def with_spec(program: str, *arguments: str):
    return lambda data: run(program, f"--spec={readers.place(data, '.json')}", *arguments)


def with_device(program: str, *arguments: str):
    return lambda data: run(program, f"--device={readers.place(data, '.json')}", *arguments)


def with_input(suffix: str, output: str):
    def read(data: bytes) -> None:
        source = readers.place(data, suffix)
        run("convert", f"--input={source}", f"--output={_out(output)}")

    return read


def with_flags(program: str):
    """Return the reader of flags, a JSON list of texts."""

    def read(data: bytes) -> None:
        try:
            told = json.loads(data)
        except (ValueError, RecursionError):
            raise ValueError("no list of flags") from None
        if not isinstance(told, list):
            raise ValueError("no list of flags")
        run(program, *(flag for flag in told if isinstance(flag, str) and flag.startswith("--")))

    return read


VALUES = (
    *("0", "-1", "1", "2", "1e400", "nan", "inf", "-inf", "9" * 400, "0.5", "", " ", "x", "1,2"),
    *("é", "\x07", "true", "training", "titan_x", "h100", "bf16", "int8", "fastest", "paleo"),
    *("1e-320", "4294967296", "16777217", "neuralpower:", "../x.json", "/", "lenet5", "World"),
)


def other_flags(rng, data, other):
    """Return flags with one to three values exchanged, left out or taken from another list."""
    told = json.loads(data)
    for _ in range(int(rng.integers(1, 4))):
        row = int(rng.integers(len(told)))
        name = told[row].partition("=")[0]
        value = VALUES[rng.integers(len(VALUES))]
        told[row] = f"{name}={value}" if rng.random() < 0.85 else name
    return mutations.dumped(told)


def _listed(*lists):
    return lambda: [json.dumps(list(each)).encode() for each in lists]


PROFILE = (LENET, TITAN, "--batch_size=8", "--mode=training", "--ppp_comp=0.5", "--ppp_comm=0.5")
PROFILE += ("--conv_algorithm=gemm", "--power=physical", "--dtype=fp32", "--measured_ms=3")
SCALE = (LENET, TITAN, "--network=ethernet", "--workers=1,2,4", "--scaling=weak", "--host_w=10")
SCALE += ("--parallel=data", "--scheme=ring", "--batch_size=64", "--workers_per_node=2")
PRINT = (LENET, TITAN, "--examples=1000", "--epochs=2", "--devices=4", "--utilisation=0.3")
PRINT += ("--country=France", "--year=2015", "--pue=1.1", "--price=0.2", "--idle_share=0.1")
GPU_RUN = (TITAN, "--flops=1e18", "--devices=2", "--utilisation=0.3", "--intensity=100")

_specs = functools.partial(subjects._files, "specs", 20_000)
_devices = functools.partial(subjects._files, "devices")


def _written_out():
    """Return the specs without layers that stand for several devices' layers."""
    return [data for data in _specs() if b"ModelParallel" not in data]


_json = mutations.of_json

SUBJECTS = {
    "profile --spec": Subject(
        _specs, _json, with_spec("profile", TITAN, "--mode=training", "--explain", "--summary"), 3
    ),
    "profile --device": Subject(_devices, _json, with_device("profile", LENET, "--breakdown"), 2),
    "profile flags": Subject(_listed(PROFILE), other_flags, with_flags("profile"), 3),
    "scale --spec": Subject(_specs, _json, with_spec("scale", TITAN, "--workers=1,2,4"), 2),
    "scale flags": Subject(_listed(SCALE), other_flags, with_flags("scale"), 2),
    "footprint --spec": Subject(
        _specs, _json, with_spec("footprint", TITAN, "--examples=1000", "--country=FR"), 2
    ),
    "footprint flags": Subject(_listed(PRINT, GPU_RUN), other_flags, with_flags("footprint"), 2),
    "convert to Flax": Subject(_written_out, _json, with_input(".json", ".py"), 2),
    "convert from Caffe": Subject(
        subjects._prototxts, subjects._bytes, with_input(".prototxt", ".json"), 2
    ),
    "convert from ONNX": Subject(subjects._onnx, subjects._bytes, with_input(".onnx", ".json"), 2),
}
