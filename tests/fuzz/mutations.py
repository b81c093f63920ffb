"""Ways to spoil an input: its bytes, its text, or the JSON value that it holds."""

import copy
import json

import numpy as np

LONG = 10**400
SCALARS = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 2**24, 2**31, 2**53 + 1, 2**63, -(2**63), LONG, -LONG),
    *(0.5, -0.5, 1e-300, 5e-324, 1e308, -1e308, 1.5e16),
    *("", " ", "x", "NaN", "-1", "\x00", "a\nb", "\ud83d", "é" * 300, "data", "Input", "SAME"),
    *("Convolution", "MultiHeadAttention", "Block", "ModelParallel", "__proto__", "../../etc"),
)
WHOLE = ([], {}, [[]], [0] * 5, [1, 2, 3, 4], [-1, 1, 1, 1], {"value": 1}, [None], [LONG] * 4)
TOKENS = (
    *(b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"9" * 5000, b"0.1e-9999", b"tru"),
    *(
        b"[" * 5000,
        b'{"a":' * 500,
        b"\xff\xfe",
        b"\x00",
        b"\xef\xbb\xbf",
        b"\r",
        b"\t",
        b'"',
        b"\\",
    ),
    *(
        b"\\ud800",
        b"{",
        b"}",
        b"]",
        b",",
        b":",
        b"'",
        b"#",
        b"//",
        b"-",
        b"1e5",
        b"\n\n",
        b"\x1b[2J",
    ),
)


def _paths(value, path=()):
    """Yield the place of every value within a JSON value."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from _paths(value[key], (*path, key))
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from _paths(value[index], (*path, index))


def _at(value, path):
    for key in path:
        value = value[key]
    return value


def _strange(rng, value, other):
    """Return something that may stand anywhere in a JSON value."""
    kind = rng.integers(8)
    if kind < 4:
        return SCALARS[rng.integers(len(SCALARS))]
    if kind == 4:
        return copy.deepcopy(WHOLE[rng.integers(len(WHOLE))])
    if kind == 5:
        places = list(_paths(other))
        return copy.deepcopy(_at(other, places[rng.integers(len(places))]))
    if kind == 6:
        places = list(_paths(value))
        return copy.deepcopy(_at(value, places[rng.integers(len(places))]))
    return int(rng.integers(-2, 5000))


def _changes(rng):
    """Return how many places to change: mostly one, or nothing is ever read to the end."""
    return int(rng.choice([1, 2, 4], p=[0.65, 0.25, 0.1]))


def nudged(rng, value, other):
    """Return a JSON value with one number or text exchanged for a likely other one."""
    value = copy.deepcopy(value)
    leaves = [p for p in _paths(value) if p and not isinstance(_at(value, p), dict | list)]
    if not leaves:
        return value
    path = leaves[rng.integers(len(leaves))]
    holder, old = _at(value, path[:-1]), _at(value, path)
    if isinstance(old, bool):
        new = not old
    elif isinstance(old, int):
        new = [old + 1, old - 1, 2 * old, old // 2, 1, 0, 3, 64, 10 * old, -old][rng.integers(10)]
    elif isinstance(old, float):
        new = old * [0.5, 2.0, 10.0, 1e6, 1e-6, 0.0, -1.0][rng.integers(7)]
    else:
        texts = [_at(value, p) for p in leaves]
        same = [text for text in texts if isinstance(text, type(old))]
        new = same[rng.integers(len(same))]
    holder[path[-1]] = new
    return value


def of_tree(rng, value, other):
    """Return a JSON value with one to four places changed.

    Args:
      rng: Decides what and where.
      value: The value; it stays as it is.
      other: Another one, of which parts are taken.
    """
    value = copy.deepcopy(value)
    for _ in range(_changes(rng)):
        places = list(_paths(value))[1:]
        if not places:
            return _strange(rng, value, other)
        path = places[rng.integers(len(places))]
        holder, key = _at(value, path[:-1]), path[-1]
        kind = rng.integers(6)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            names = ("x", "", "type", "parents", "value", "groups", "layers", "é", "a b", "name")
            holder[names[rng.integers(len(names))]] = holder.pop(key)
        elif kind == 1:
            holder.insert(int(key), _strange(rng, value, other))
        elif kind == 2 and isinstance(holder[key], bool | int | float):
            factor = (-1, 0, 2, 3, 0.5, 1000, 1e9, 1e300)[rng.integers(8)]
            number = holder[key] * factor if abs(holder[key]) < 1e300 else factor
            holder[key] = int(number) if float(number).is_integer() else number
        else:
            holder[key] = _strange(rng, value, other)
    return value


def of_bytes(rng, data):
    """Return bytes with one to four places changed."""
    found = bytearray(data)
    for _ in range(_changes(rng)):
        size = len(found)
        start = int(rng.integers(size + 1))
        end = min(size, start + int(rng.integers(1, 40)))
        kind = rng.integers(7)
        if kind == 0:
            del found[start:]
        elif kind == 1:
            del found[start:end]
        elif kind == 2:
            found[start:start] = TOKENS[rng.integers(len(TOKENS))]
        elif kind == 3:
            found[start:end] = TOKENS[rng.integers(len(TOKENS))]
        elif kind == 4 and start < size:
            found[start] ^= 1 << int(rng.integers(8))
        elif kind == 5:
            found[start:start] = found[start:end] * int(rng.integers(1, 50))
        else:
            found[start:end] = rng.bytes(end - start)
    return bytes(found)


def dumped(value):
    """Return the bytes of a JSON value, numbers beyond a float among them."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def of_json(rng, data, other):
    """Return a JSON text spoiled as a value (mostly) or as bytes."""
    kind = rng.random()
    if kind < 0.25:
        return of_bytes(rng, data)
    change = nudged if kind < 0.6 else of_tree
    found = dumped(change(rng, json.loads(data), json.loads(other)))
    return of_bytes(rng, found) if rng.random() < 0.1 else found


def of_lines(rng, data):
    """Return a table's or a log's text with cells changed, or spoiled as bytes."""
    if rng.random() < 0.4 or not data.isascii():
        return of_bytes(rng, data)
    lines = data.decode().split("\n")
    for _ in range(int(rng.integers(1, 4))):
        row = int(rng.integers(len(lines)))
        cells = lines[row].split(",")
        kind = rng.integers(5)
        if kind == 0:
            lines.insert(row, lines[row])
        elif kind == 1:
            del cells[int(rng.integers(len(cells)))]
            lines[row] = ",".join(cells)
        else:
            told = str(_strange(rng, {}, {}))[:500] if kind < 4 else "1e999"
            cells[int(rng.integers(len(cells)))] = told.encode("utf-8", "replace").decode()
            lines[row] = ",".join(cells)
    return "\n".join(lines).encode()


def generator(seed, number):
    """Return the random numbers of one input."""
    return np.random.default_rng([seed, number])
