"""Layers of transformers in numpy, written independently: one loop per sequence, head and place."""

import math

import numpy as np


def rotated(vector, place):
    """Turn each pair of a vector as a complex number (Su et al. 2021)."""
    out = np.empty_like(vector)
    for pair in range(len(vector) // 2):
        angle = place * 10000.0 ** (-2 * pair / len(vector))
        turned = complex(vector[2 * pair], vector[2 * pair + 1]) * complex(
            math.cos(angle), math.sin(angle)
        )
        out[2 * pair], out[2 * pair + 1] = turned.real, turned.imag
    return out


def bucket(asking, read, buckets, causal):
    """Return the bucket of one pair of places, as T5's published function finds it."""
    distance, first = asking - read, 0
    if not causal:
        buckets //= 2
        if distance < 0:
            first, distance = buckets, -distance
    elif distance < 0:
        distance = 0
    exact = buckets // 2
    if distance < exact:
        return first + distance
    large = exact + int(
        math.log(distance / exact) / math.log(128 / exact) * (buckets - exact) + 1e-9
    )
    return first + min(large, buckets - 1)


def attend(layer, own, values, memory):
    attributes = layer.attributes
    heads = attributes["heads"]
    shared = attributes.get("key_value_heads", heads)
    causal, buckets = attributes.get("causal", False), attributes.get("relative_buckets", 0)
    out = np.zeros_like(values)
    for sequence in range(len(values)):
        for head in range(heads):
            source = head * shared // heads
            ask, key, content = (
                part[sequence] @ own[role][:, number] + own.get(f"{role}_bias", no)[number]
                for part, role, number, no in (
                    (values, "query", head, np.zeros((heads, 1))),
                    (memory, "key", source, np.zeros((shared, 1))),
                    (memory, "value", source, np.zeros((shared, 1))),
                )
            )
            if attributes.get("rotary"):
                ask = np.stack([rotated(row, place) for place, row in enumerate(ask)])
                key = np.stack([rotated(row, place) for place, row in enumerate(key)])
            for place in range(len(ask)):
                seen = range(place + 1) if causal else range(len(key))
                wants = np.array(
                    [
                        ask[place] @ key[other] / math.sqrt(ask.shape[1])
                        + (
                            own["relative"][bucket(place, other, buckets, causal), head]
                            if buckets
                            else 0.0
                        )
                        for other in seen
                    ]
                )
                shares = np.exp(wants - wants.max())
                shares /= shares.sum()
                read = sum(
                    share * content[other] for share, other in zip(shares, seen, strict=True)
                )
                out[sequence, place] += read @ own["output"][head]
    return out + own.get("bias", 0.0)


def embed(layer, own, values):
    if layer.attributes.get("vocabulary"):
        values = np.stack([[own["table"][int(token)] for token in row] for row in values])
    if layer.attributes.get("class_token"):
        first = np.tile(own["class_token"], (len(values), 1, 1))
        values = np.concatenate([first, values], axis=1)
    if layer.attributes.get("positions"):
        values = values + own["positions"][: values.shape[1]]
    if layer.attributes.get("segments"):
        values = values + own["segments"][0]
    return values


def layer_norm(layer, own, values):
    out = np.empty_like(values)
    for index in np.ndindex(values.shape[:-1]):
        row = values[index]
        if not layer.attributes.get("rms"):
            row = row - row.mean()
        out[index] = row / math.sqrt((row**2).mean() + 1e-5) * own["scale"] + own.get("shift", 0.0)
    return out


def feed_forward(layer, own, values, activate):
    inner = values @ own["inner"] + own.get("inner_bias", 0.0)
    hidden = activate(layer.attributes.get("activation_fn", "gelu"), inner)
    if layer.attributes.get("gated"):
        hidden = hidden * (values @ own["gate"] + own.get("gate_bias", 0.0))
    return hidden @ own["outer"] + own.get("bias", 0.0)
