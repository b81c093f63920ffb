import pytest

from greennas_jax.report import breakdown_table


def amounts(arithmetic, movement, static):
    return {
        "arithmetic_j": arithmetic,
        "movement_j": movement,
        "static_j": static,
        "energy_j": arithmetic + movement + static,
    }


@pytest.fixture
def told():
    """Return what of a profile the breakdown needs: two layers of 6 and 2 mJ."""
    first = {"forward": amounts(1e-3, 1e-3, 2e-3), "update": amounts(0.0, 1e-3, 1e-3)}
    second = {"forward": amounts(0.0, 1e-3, 1e-3), "update": amounts(0.0, 0.0, 0.0)}
    return {
        "network": "net",
        "device": "dev",
        "mode": "training",
        "batch_size": 1,
        "settings": {"dtype": "fp32"},
        "reasons": {},
        "layers": [
            {"name": "dense", "kind": "inner_product", "energy_parts_j": first},
            {"name": "pool", "kind": "pooling", "energy_parts_j": second},
        ],
        "breakdown": {
            "total": amounts(1e-3, 3e-3, 4e-3),
            "idle": {"power_w": 15.0, "energy_j": 1e-3},
            "passes": {"forward": amounts(1e-3, 2e-3, 3e-3), "update": amounts(0.0, 1e-3, 1e-3)},
            "kinds": {
                "inner_product": {"layers": 1, **amounts(1e-3, 2e-3, 3e-3)},
                "pooling": {"layers": 1, **amounts(0.0, 1e-3, 1e-3)},
            },
            "limited_layers": ["pool"],
        },
    }


def test_text(told):
    lines = [line.split() for line in breakdown_table.text(told).splitlines()]
    assert ["dense", "inner_product", "1.000", "2.000", "3.000", "6.000", "75.0", "%"] in lines
    assert ["total", "1.000", "3.000", "4.000", "8.000", "100.0", "%"] in lines
    assert ["pooling", "1", "0.000", "1.000", "1.000", "2.000", "25.0", "%"] in lines
    assert ["update", "0.000", "1.000", "1.000", "2.000", "25.0", "%"] in lines
    text = breakdown_table.text(told)
    assert "mJ data movement" in text
    assert "would draw 15.0 W: 1.00 mJ of the static part" in text
    assert "limited by the TDP, all parts made smaller alike: pool" in text


def test_what_is_not_known_says_why(told):
    told["breakdown"]["idle"] = {"power_w": None, "energy_j": None, "reason": "nobody looked"}
    told["breakdown"]["limited_layers"] = []
    assert breakdown_table.notes(told) == ["idle power: unknown (nobody looked)"]
    dark = told | {"breakdown": None, "reasons": {"power": "no TDP"}}
    assert breakdown_table.text(dark) == "energy by part: unknown (no TDP)"
    dark["reasons"] = {"passes": "a fitted model", "breakdown": "not divided"}
    assert breakdown_table.text(dark) == "energy by part: unknown (not divided)"


def test_an_unknown_part_makes_the_sum_unknown(told):
    layer = told["layers"][0]
    layer["energy_parts_j"]["forward"]["static_j"] = None
    found = breakdown_table.of_layer(layer)
    assert found["static_j"] is None
    assert found["movement_j"] == pytest.approx(2e-3)
