import pytest

from greennas_jax.spec import paleo_json
from greennas_jax.spec.network import Layer, Network, SpecError
from tests.spec.paleo_texts import INCEPTION, conv, text


def block(layers: object, **more) -> dict:
    return {"b": {"type": "Block", "parents": ["data"], "layers": layers, **more}}


def parallel(layers: object, **more) -> dict:
    return {"m": {"type": "ModelParallel", "parents": ["data"], "layers": layers, **more}}


BAD = {
    "not JSON": ('{"name": "n",\n "layers": {]}', "not valid JSON at line 2, column 13"),
    "array": ("[1, 2]", "the text is [1, 2]; an object with 'name' and 'layers' is needed"),
    "no layers": ('{"name": "n"}', "'layers' is missing; an object of layers is needed"),
    "list of layers": ('{"layers": []}', "network: 'layers' is []; an object of layers"),
    "empty layers": ('{"layers": {}}', "network: 'layers' is {}; an object of layers"),
    "name": ('{"name": 3, "layers": {"a": 1}}', "'name' is 3; allowed: 1 to 256 printable"),
    "layer is text": (text({"a": "conv"}), "layer 'a' is 'conv'; an object is needed"),
    "layer's name": (text({"a\nb": conv("data")}), r"a layer's name is 'a\nb'; allowed: 1 to 256"),
    "long name": (text({"a" * 300: conv("data")}), "allowed: 1 to 256 printable characters"),
    "no type": (text({"a": {"parents": ["data"]}}), "layer 'a': 'type' is missing"),
    "type": (text({"a": {"type": 1, "parents": []}}), "layer 'a': 'type' is 1; allowed"),
    "no parents": (text({"a": {"type": "LRN"}}), "layer 'a': 'parents' is missing; a list"),
    "parents": (
        text({"a": {"type": "LRN", "parents": "data"}}),
        "layer 'a': 'parents' is 'data'; a list of layer names is needed",
    ),
    "a parent": (text({"a": {"type": "LRN", "parents": [1]}}), "layer 'a': a parent is 1"),
    "missing parent": (text({"a": conv("nope")}), "layer 'a': parent 'nope' is not a layer"),
    "cycle": (text({"a": conv("b"), "b": conv("a")}), "cycle through layers"),
    "no input": (
        '{"layers": {"a": {"type": "LRN", "parents": ["a"]}}}',
        "no layer of type 'Input'",
    ),
    "channels": (
        text({"a": conv("data", filter=[3, 3, 9, 4])}),
        "layer 'a': filter [3, 3, 9, 4] wants 9 input channels",
    ),
    "repeated": ('{"layers": {}, "layers": {}}', "key 'layers' is given twice"),
    "empty block": (text(block({})), "Block 'b': 'layers' is {}; an object of layers is needed"),
    "block without layers": (text({"b": {"type": "Block", "parents": []}}), "'layers' is None"),
    "block in block": (
        text(block({"x": {"type": "Block", "parents": [], "layers": {}}})),
        "Block 'b', layer 'x' is a Block; a Block may hold plain layers only",
    ),
    "endpoint": (
        text(block({"x": conv()}, endpoint="y")),
        "Block 'b': 'endpoint' is 'y'; one of its layers is needed",
    ),
    "endpoint list": (text(block({"x": conv()}, endpoint=["x"])), "'endpoint' is ['x']"),
    "no endpoint": (
        text({**block({"x": conv()}), "a": conv("b")}),
        "layer 'a': parent 'b' is a Block without 'endpoint'; name a layer of it as 'b/LAYER'",
    ),
    "outside from inside": (
        text(block({"x": conv("data")})),
        "layer 'b/x': parent 'data' is not a layer of Block 'b'",
    ),
    "block's clash": (
        text({**block({"x": conv()}), "b/x": {**block({"y": conv()})["b"]}}),
        "'b/x' names a Block and a layer; names must differ",
    ),
    "layers' clash": (text({**block({"x": conv()}), "b/x": conv("data")}), "'b/x' is used twice"),
    "splits": (
        text(parallel({"x": conv()}, splits=0)),
        "ModelParallel 'm': 'splits' is 0; a whole number from 1 needed",
    ),
    "parallel inside": (
        text(parallel({"x": conv("y@self")}, splits=2)),
        "layer 'm/x': parent 'y@self' is not a layer of ModelParallel 'm'",
    ),
    "parallel reader": (
        text({**parallel({"x": conv()}, splits=2), "a": conv("m/x@5")}),
        "layer 'a': parent 'm/x@5' is not a layer of this network",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_text_is_refused_with_one_line(case):
    bad, said = BAD[case]
    with pytest.raises(SpecError) as caught:
        paleo_json.read(bad, origin="here.json")
    message = str(caught.value)
    assert said in message
    assert message.startswith("here.json: ") and "\n" not in message
    assert len(message) < 600


def test_too_many_layers(monkeypatch):
    monkeypatch.setattr(paleo_json, "MOST_LAYERS", 3)
    inside = {"x": conv(), "y": conv("x")}
    paleo_json.read(text({"a": conv("data"), "c": conv("a")}))
    with pytest.raises(SpecError, match="'layers' has 4 layers; at most 3 are read"):
        paleo_json.read(text(block(inside)))


def test_load(tmp_path, monkeypatch):
    path = tmp_path / "net.json"
    path.write_text(INCEPTION, encoding="utf-8")
    assert paleo_json.load(path) == paleo_json.read(INCEPTION)
    path.write_bytes(b"\xef\xbb\xbf" + INCEPTION.encode())
    assert paleo_json.load(str(path)) == paleo_json.read(INCEPTION)
    path.write_bytes(b'{"name": "\xff"}')
    with pytest.raises(SpecError, match=r"net\.json: byte 10 is not UTF-8 text"):
        paleo_json.load(path)
    path.write_text("{")
    with pytest.raises(SpecError, match=r"net\.json: not valid JSON at line 1, column 2"):
        paleo_json.load(path)
    monkeypatch.setattr(paleo_json.limits, "LARGEST_JSON", 1000)
    path.write_bytes(b" " * 1001)
    with pytest.raises(SpecError, match=r"net\.json: larger than 1000 bytes"):
        paleo_json.load(path)
    with pytest.raises(OSError):
        paleo_json.load(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("attributes", "name", "said"),
    [
        ({"k": float("nan")}, "a", "'a' cannot be written as JSON"),
        ({"k": {1, 2}}, "a", "'a' cannot be written as JSON"),
        ({}, "a\nb", r"a layer's name is 'a\\nb'"),
    ],
)
def test_write_refuses(attributes, name, said):
    source = Layer(name="data", type="Input", parents=(), attributes={"tensor": [1, 2]})
    layer = Layer(name=name, type="LRN", parents=("data",), attributes=attributes)
    with pytest.raises(SpecError, match=said):
        paleo_json.write(Network(name="n", layers=(source, layer)))
    with pytest.raises(SpecError, match="parent 'gone' is not a layer"):
        paleo_json.write(Network(name="n", layers=(source, layer.replace(parents=("gone",)))))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("channel_mismatch", "layer 'a': filter [3, 3, 4, 8] wants 4 input channels"),
        ("concat_one_parent", "layer 'a': Concatenate has one parent; two or more needed"),
        ("unknown_parent", "layer 'a': parent 'nope' is not a layer of this network"),
    ],
)
def test_networks_meant_to_fail_do(shared, name, said):
    with pytest.raises(SpecError) as caught:
        paleo_json.load(shared / "paleo" / "nets" / f"syn_fail_{name}.json")
    assert said in str(caught.value) and f"syn_fail_{name}.json: " in str(caught.value)
