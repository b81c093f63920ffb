"""Every kind of hostile input: good examples, how they are spoiled, and who reads them."""

import functools
import gzip
import io
import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from greennas_jax.accuracy.oracle import Trial
from greennas_jax.costs import neuralpower_text
from greennas_jax.spec import text_files
from tests.costs import fitted_models
from tests.fuzz import mutations, readers
from tests.fuzz.harness import ROOT
from tests.importers import prototxts

CONFIGS = ROOT / "configs"
Spoil = Callable[[np.random.Generator, bytes, bytes], bytes]


class Subject(NamedTuple):
    """A kind of input.

    Attributes:
      examples: Returns good inputs.
      spoil: (rng, input, another) -> hostile input.
      read: Reads one.
      weight: Its share of all inputs.
    """

    examples: Callable[[], list[bytes]]
    spoil: Spoil
    read: Callable[[bytes], None]
    weight: int = 1


def _bytes(rng, data, other):
    return mutations.of_bytes(rng, data)


def _lines(rng, data, other):
    return mutations.of_lines(rng, data)


def _json_lines(rng, data, other):
    lines = data.splitlines(keepends=True)
    row = int(rng.integers(len(lines)))
    lines[row] = mutations.of_json(rng, lines[row], other.splitlines()[0]) + b"\n"
    return b"".join(lines)


def _files(folder, most=40_000):
    paths = sorted(path for path in (CONFIGS / folder).rglob("*.json") if "." not in path.stem)
    return [data for path in paths if len(data := path.read_bytes()) <= most]


def _dumped(*values):
    return [mutations.dumped(value) for value in values]


def _models():
    return [neuralpower_text.write(fitted_models.model()).encode()]


def _tables():
    text = "\n".join(readers.tabulated.text().splitlines()[:30]) + "\n"
    return [text.encode(), text.encode(), gzip.compress(text.encode(), mtime=0)]


def _evaluated():
    cell = " ".join(["0", "0", "1", "1"] * 10)
    return [f"arch,accuracy,reported_energy\n{cell},0.5,1.5\n".encode()]


def _measured():
    head = "type,mode,dtype,batch,in_height,in_width,in_channels,out_channels,kernel_height,"
    head += "kernel_width,stride_height,stride_width,padding,groups,heads,hidden,runtime_ms,"
    head += "runtime_spread,power_w,power_source"
    rows = [
        "Convolution,inference,fp32,2,8,8,3,4,3,3,1,1,SAME,1,,,1.5,0.01,30.5,fake",
        "MultiHeadAttention,inference,fp32,1,16,1,64,64,,,,,,,4,,0.5,0.02,,no meter",
    ]
    return ["\n".join([head, *rows * 10]).encode() + b"\n"]


def _journals():
    return [b'# request {"seed": 0}\n' + data for data in _measured()]


def _arrays():
    rng = np.random.default_rng(0)
    found = []
    for kind in (np.uint8, np.float32, np.float64, np.int64):
        images = rng.integers(0, 256, (60, 6, 5, 3)).astype(kind)
        for save in (np.savez, np.savez_compressed):
            file = io.BytesIO()
            save(file, x_train=images, y_train=np.arange(60) % 3)
            found.append(file.getvalue())
    return found


def _spoiled_arrays(rng, data, other):
    """Return arrays of strange shapes, kinds and values, or spoiled bytes."""
    if rng.random() < 0.5:
        return mutations.of_bytes(rng, data)
    kinds = (np.float16, np.float32, np.float64, np.int8, np.uint64, np.bool_, np.complex64, "U3")
    kinds += ("datetime64[s]", "V4", [("a", "f4")])
    shape = [(60, 6, 5, 3), (60, 6, 5), (0, 6, 5, 3), (60,), (), (60, 6), (1, 6, 5, 3), (60, 0, 5)]
    size = shape[rng.integers(len(shape))]
    with np.errstate(all="ignore"):
        images = np.zeros(size, kinds[rng.integers(len(kinds))])
        if images.dtype.kind == "f" and images.size:
            strange = (np.nan, np.inf, -np.inf, 1e30, 65504.0)
            images.reshape(-1)[0] = strange[rng.integers(5)]
        labels = (np.arange(60) % 3, np.zeros(60), np.full(60, -1), np.full(60, 2**40), np.ones(3))
        label = labels[rng.integers(5)]
        file = io.BytesIO()
        names = {"x_train": images, "y_train": label}
        if rng.random() < 0.3:
            names["x_test" if rng.random() < 0.5 else "extra"] = images
        np.savez(file, **names)
    return file.getvalue()


def _cifar():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (20, 3073)).astype(np.uint8)
    pixels[:, 0] = np.arange(20) % 10
    return [pixels.tobytes()]


def _pictures():
    from PIL import Image

    found = []
    for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"):
        file = io.BytesIO()
        pixels = np.arange(7 * 5 * 3, dtype=np.uint8).reshape(7, 5, 3)
        Image.fromarray(pixels).save(file, form)
        found.append(file.getvalue())
    return found


def _safetensors():
    import safetensors.numpy

    from greennas_jax.export import weights

    return [safetensors.numpy.save(weights.arrays(*readers.built()))]


def _spoiled_safetensors(rng, data, other):
    """Return a file whose head is spoiled as JSON, or anything as bytes."""
    (size,) = struct.unpack("<Q", data[:8])
    if rng.random() < 0.5:
        front = mutations.of_bytes(rng, data[: 8 + size])
        return front + data[8 + size :]
    head = mutations.of_json(rng, data[8 : 8 + size], data[8 : 8 + size])
    return struct.pack("<Q", len(head)) + head + data[8 + size :]


def _onnx():
    from tests.importers import onnx_models

    model = onnx_models.Model(2, 3, 32, 32)
    end = onnx_models.chain(model, "data")
    return [model.bytes(end)]


def _prototxts():
    return [prototxts.LENET.encode(), prototxts.ALEXNET.encode()]


def _cells():
    nas = b"|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|none~1|none~2|"
    return [nas, b" ".join([b"0", b"0", b"1", b"1"] * 10)]


def _trials():
    rows = [
        {"key": f"{n}:0,1,2", **Trial(0.5, False, 1.0, (0.25, 0.5))._asdict()} for n in range(3)
    ]
    return [b"".join(line + b"\n" for line in _dumped(*rows))]


def _queries():
    lines = readers.tabulated.text().splitlines()[1:6]
    rows = [f"0,{step},{line}" for step, line in enumerate(lines, 1)]
    return ["\n".join(["seed,step,arch_str,accuracy,energy_mj", *rows]).encode() + b"\n"]


def _configs():
    return _dumped({"seed": 0, "network": {"name": "x"}})


def _reports():
    side = {"mean": 0.5}
    accuracy = {"kind": "proxy", "verdict": None, "before": side, "after": side}
    accuracy |= {"difference": {"mean": 0.0, "standard_error": None}}
    search = {"recosted_gain": 0.5, "queries": 4, "trainings": {"search": 4}, "wall_s": 1.5}
    return _dumped({"schema": "greennas.report/1", "accuracy": accuracy, "search": search})


def _arrays_saved():
    path, _ = readers.saved()
    return [path.read_bytes()]


_NOTE = {"dataset": "digits", "sha256": "0" * 64}
_SPENT = text_files.sealed({"seconds": 1.5, "joules": None, "source": "no meter"})

SUBJECTS = {
    "spec": Subject(lambda: _files("specs"), mutations.of_json, readers.spec, 12),
    "device": Subject(lambda: _files("devices"), mutations.of_json, readers.device, 5),
    "link": Subject(lambda: _files("links"), mutations.of_json, readers.link, 2),
    "power_model": Subject(_models, mutations.of_json, readers.power_model, 3),
    "table": Subject(_tables, _lines, readers.table, 2),
    "pool": Subject(_evaluated, _lines, readers.pool),
    "measurements": Subject(_measured, _lines, readers.measured, 2),
    "journal": Subject(_journals, _lines, readers.journal_of_measurements),
    "npz": Subject(_arrays, _spoiled_arrays, readers.arrays, 3),
    "cifar": Subject(_cifar, _bytes, readers.cifar),
    "picture": Subject(_pictures, _bytes, readers.picture),
    "safetensors": Subject(_safetensors, _spoiled_safetensors, readers.tensors, 2),
    "onnx": Subject(_onnx, _bytes, readers.imported("onnx"), 3),
    "prototxt": Subject(_prototxts, _bytes, readers.imported("prototxt"), 3),
    "cells": Subject(_cells, _bytes, readers.cells),
    "trials": Subject(_trials, _json_lines, readers.trials, 2),
    "queries": Subject(_queries, _lines, readers.queries),
    "config": Subject(_configs, mutations.of_json, readers.config),
    "data_note": Subject(lambda: _dumped(_NOTE), mutations.of_json, readers.data_note),
    "spent": Subject(lambda: _dumped(_SPENT), mutations.of_json, readers.account),
    "embedding": Subject(_arrays_saved, _spoiled_safetensors, readers.embedding),
    "report": Subject(_reports, mutations.of_json, readers.report),
} | {
    f"grid_{name}": Subject(
        lambda name=name: [(CONFIGS / "grid" / f"{name}.json").read_bytes()],
        mutations.of_json,
        readers.grids(f"{name}.json"),
    )
    for name in ("intensity", "datacentres", "hosts")
}


@functools.cache
def examples(name: str) -> list[bytes]:
    """Return the good inputs of a subject."""
    return SUBJECTS[name].examples()


def hostile(name: str, seed: int, number: int) -> bytes:
    """Return one input of a subject; the same for the same numbers."""
    rng = mutations.generator(seed, number)
    known = examples(name)
    data, other = (known[rng.integers(len(known))] for _ in range(2))
    return SUBJECTS[name].spoil(rng, data, other)


def shares(inputs: int, names: list[str]) -> dict[str, int]:
    """Return how many of some inputs each subject gets."""
    whole = sum(SUBJECTS[name].weight for name in names)
    return {name: max(1, round(inputs * SUBJECTS[name].weight / whole)) for name in names}
