import dataclasses
import json

import pytest

from greennas_jax.costs import neuralpower_text
from greennas_jax.costs.neuralpower_text import ModelError
from greennas_jax.report import files
from tests.costs import fitted_models

MODEL = fitted_models.model(
    fitted_models.fit("convolution", "CONVOLUTION", fused=("activation", "bias")),
    fitted_models.fit("inner_product", "INNER_PRODUCT", runtime=fitted_models.RELATIVE, power=None),
)


def stated():
    return json.loads(neuralpower_text.write(MODEL))


def test_round_trip_is_exact():
    odd = dataclasses.replace(fitted_models.RUNTIME, constant=0.1 + 0.2, lowest=1e-300)
    model = fitted_models.model(
        fitted_models.fit("convolution", "CONVOLUTION", runtime=odd, batch=(1 / 3, 2 / 3 * 1e9))
    )
    for each in (MODEL, model):
        again = neuralpower_text.read(neuralpower_text.write(each))
        assert again == each
        assert hash(again) == hash(each)
    assert neuralpower_text.write(again) == neuralpower_text.write(model)


def test_the_text_reads_like_the_formula():
    found = stated()
    assert found["schema"] == "greennas.neuralpower/1"
    assert [found[key] for key in ("device", "driver", "date")] == [
        "bench",
        "driver 1",
        "2025-01-31",
    ]
    convolution = found["layers"]["convolution"]
    assert convolution["runtime_ms"]["terms"] == {
        "operations": 3.0,
        "batch * size * size": 0.5,
        "out_channels": 0.25,
    }
    assert convolution["range"]["kernel"] == [1.0, 7.0]
    assert convolution["errors_percent"] == {"runtime": {"used": 12.5, "constant": 80.0}}
    inner = found["layers"]["inner_product"]
    assert inner["power_w"] is None
    assert inner["runtime_ms"]["counted"] == {"1": 0.01, "filter_data": 0.5, "operations": 0.2}


def test_files(tmp_path):
    path = tmp_path / "bench.json"
    files.write_text(path, neuralpower_text.write(MODEL))
    assert neuralpower_text.load(path) == MODEL
    assert neuralpower_text.chosen(f"neuralpower:{path}") == MODEL
    assert neuralpower_text.chosen("physical") == "physical"
    with pytest.raises(OSError, match="missing.json"):
        neuralpower_text.chosen(f"neuralpower:{tmp_path / 'missing.json'}")
    path.write_bytes(b'{"schema": "\xff"}')
    with pytest.raises(ModelError, match="bench.json: byte 12 is not UTF-8 text"):
        neuralpower_text.load(path)


def test_whole_numbers_are_numbers():
    changed = stated()
    changed["layers"]["convolution"]["runtime_ms"]["constant"] = 2
    found = neuralpower_text.read(json.dumps(changed)).fits[0].runtime.constant
    assert isinstance(found, float)
    assert found == 2.0


CONVOLUTION = ("layers", "convolution")
RUNTIME = (*CONVOLUTION, "runtime_ms")
INNER = ("layers", "inner_product", "runtime_ms")
MISSING = object()
BAD = [
    (("schema",), "greennas.neuralpower/2", "'schema' \"greennas.neuralpower/1\" is needed"),
    (("maker",), "me", "key 'maker' is not known; allowed: schema, device"),
    (("date",), MISSING, "'date' is missing"),
    (("device",), 3, "'device' is 3; a text needed"),
    (("mode",), "sleep", "'mode' is 'sleep'; allowed: inference, training"),
    (("dtype",), ["fp32"], r"'dtype' is \['fp32'\]; allowed: fp32"),
    (("seed",), 0.5, "'seed' is 0.5; a whole number from 0 needed"),
    (("layers",), {}, "'layers' needs an object with one entry per kind"),
    (("layers",), {"free": {}}, "kind is 'free'; allowed: convolution"),
    (CONVOLUTION, 3, "convolution is 3; an object needed"),
    ((*CONVOLUTION, "samples"), True, "'samples' is True; a whole number from 1 needed"),
    ((*CONVOLUTION, "operations"), [], "'operations' is empty; what was measured is needed"),
    ((*CONVOLUTION, "operations"), ["CONV"], "'operations' is 'CONV'; allowed: INPUT, CONV"),
    ((*CONVOLUTION, "operations"), "CONVOLUTION", "'operations' is 'CONVOLUTION'; a list of names"),
    ((*CONVOLUTION, "fused"), ["bias", "bias"], "'fused' is .*; sorted names, each once, needed"),
    ((*CONVOLUTION, "range"), [1, 2], r"'range' is \[1, 2\]; an object needed"),
    ((*CONVOLUTION, "range", "batch"), MISSING, "'range': 'batch' is missing"),
    ((*CONVOLUTION, "range", "width"), [1, 2], "'range': key 'width' is not known; allowed: batch"),
    ((*CONVOLUTION, "range", "batch"), [1], r"'batch' is \[1\]; \[smallest, largest\] needed"),
    ((*CONVOLUTION, "range", "batch"), [4, 2], r"'batch' is \[4, 2\]; smallest first needed"),
    ((*CONVOLUTION, "range", "batch"), [-4, 2], "'batch' is -4; a number from 0 needed"),
    ((*CONVOLUTION, "range", "batch"), [1, 10**400], "'batch' is 1000.*; a number from 0 needed"),
    ((*CONVOLUTION, "errors_percent"), [], r"'errors_percent' is \[\]; an object needed"),
    ((*CONVOLUTION, "errors_percent", "heat"), {}, "'heat'; allowed: runtime, power, energy"),
    (
        (*CONVOLUTION, "errors_percent", "runtime", "guess"),
        1,
        "'guess'; allowed: constant, count",
    ),
    ((*CONVOLUTION, "errors_percent", "runtime", "used"), -1, "'used' is -1; a number from 0"),
    ((*CONVOLUTION, "power_w"), 200, "'power_w' is 200; an object needed"),
    (RUNTIME, None, "'runtime_ms' is None; an object needed"),
    ((*RUNTIME, "form"), "cubic", "'form' is 'cubic'; allowed: constant, counted, poly"),
    ((*RUNTIME, "constant"), "1", "'constant' is '1'; a number needed"),
    ((*RUNTIME, "lowest"), 0, "'lowest' 0 and 'highest' 1000; 0 < lowest <= highest needed"),
    ((*RUNTIME, "highest"), 0.001, "'lowest' 0.015 and 'highest' 0.001; 0 < lowest"),
    ((*RUNTIME, "terms"), [], r"'terms' is \[\]; an object needed"),
    ((*RUNTIME, "terms", "width"), 1, "'terms': 'width' is not among the features of 'range'"),
    ((*RUNTIME, "terms", "batch*size"), 1, r"'batch\*size' is not among the features"),
    ((*RUNTIME, "terms", "log2 padding"), 1, "'log2 padding' needs a range above 0"),
    (
        (*RUNTIME, "terms", "batch * batch * batch * batch"),
        1,
        "'batch \\* batch \\* batch \\* batch' has more than 3 factors",
    ),
    ((*RUNTIME, "terms", "batch"), None, "'batch' is None; a number needed"),
    ((*INNER, "counted", "operations"), -0.5, "'counted' has -0.5; 0 or more needed"),
]


@pytest.mark.parametrize(("path", "value", "message"), BAD)
def test_bad_entries_are_refused_in_one_line(path, value, message):
    changed = stated()
    place = changed
    for key in path[:-1]:
        place = place[key]
    if value is MISSING:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    with pytest.raises(ModelError, match=message) as caught:
        neuralpower_text.read(json.dumps(changed), origin="a.json")
    assert str(caught.value).startswith("layer models a.json: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON at line 1"),
        ("[]", "an object with 'schema'"),
        ('{"schema": 1, "schema": 2}', "key 'schema' is given twice"),
        ('{"schema": NaN}', "NaN is not a JSON number"),
    ],
)
def test_what_is_no_model_is_refused(text, message):
    with pytest.raises(ModelError, match=message):
        neuralpower_text.read(text)
