"""Texts of networks that tests of reading and writing share."""

import json

DATA = {"type": "Input", "parents": [], "tensor": [2, 8, 8, 4]}


def conv(*parents: str, **more) -> dict:
    return {
        "type": "Convolution",
        "parents": list(parents),
        "filter": [3, 3, -1, 4],
        "strides": [1, 1, 1, 1],
        "padding": "SAME",
        **more,
    }


def text(layers: dict, **more) -> str:
    return json.dumps({"name": "n", **more, "layers": {"data": DATA, **layers}})


def join(*parents: str) -> dict:
    return {"type": "Concatenate", "parents": list(parents), "dim": 3}


INCEPTION = text(
    {
        "early": {"type": "Dropout", "parents": ["mix"]},  # Reads a block that comes later.
        "mix": {
            "type": "Block",
            "parents": ["stem"],
            "endpoint": "join",
            "author": {"comment": [1, 2.5, None]},
            "layers": {"a": conv(), "b": conv(), "b2": conv("b"), "join": join("a", "b2")},
        },
        "second": {"type": "Block", "parents": ["mix"], "layers": {"c": conv(), "d": conv("c")}},
        "stem": conv("data", groups=2, use_bias=False, colour="green"),
        "long": conv("mix/join"),
        "short": conv("mix"),
        "out": join("long", "short", "second/d", "mix/a"),
    },
    source="somewhere",
    year=2014,
)
