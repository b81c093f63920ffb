from greennas_jax.report import footprint_table


def figure(value, unit="", provenance="predicted", source="a model"):
    return {"value": value, "unit": unit, "provenance": provenance, "source": source}


UNKNOWN = {"value": None, "unit": "currency", "provenance": None, "reason": "no price is given"}
LONG = "a source that is too long to stand in a table beside the figure that it is the source of"


def footprint(**figures):
    return {
        "subject": "training",
        "network": "net",
        "device": "gpu",
        "dtype": "fp16",
        "devices": 8,
        "figures": figures,
        "energy_parts": {"computing": figure(0.2, "kWh"), "host": UNKNOWN},
        "shares": {"computing": 0.625, "host": None},
        "green_ai": {
            "of_one": "token",
            "flops_of_one": figure(2e12, "FLOP"),
            "data": figure(3e9),
            "experiments": 2,
            "flops": figure(1.2e22, "FLOP"),
            "energy": figure(1500.0, "MWh"),
            "carbon": UNKNOWN,
        },
        "checks": {"flops_per_parameter_and_token": figure(6.02, "FLOP")},
        "left_out": ["embodied emissions"],
    }


def line(text, word):
    (found,) = [each for each in text.splitlines() if each.startswith(word)]
    return found.split()


def test_every_figure_stands_with_its_unit_and_its_origin():
    text = footprint_table.text(
        footprint(flops=figure(3.14e23, "FLOP", "stated", "as published"), cost=UNKNOWN)
    )
    assert text.startswith("training: net on 8 x gpu (fp16)")
    assert line(text, "operations  ") == "operations 3.14e+23 FLOP stated as published".split()
    assert line(text, "cost") == "cost unknown no price is given".split()


def test_small_amounts_are_readable():
    text = footprint_table.text(
        footprint(energy=figure(0.0786, "MWh"), carbon=figure(0.0044, "t"), tonnes=figure(5, "t"))
    )
    assert line(text, "energy  ")[1:3] == ["78.6", "kWh"]
    assert line(text, "carbon")[1:3] == ["4.40", "kg"]
    assert line(text, "tonnes")[1:3] == ["5.00", "t"]


def test_shares_in_percent():
    text = footprint_table.text(footprint())
    assert line(text, "computing") == "computing 200 Wh 62.5 % a model".split()
    assert line(text, "host") == "host unknown no price is given".split()


def test_long_sources_stand_below_once():
    text = footprint_table.text(
        footprint(one=figure(1.0, source=LONG), two=figure(2.0, source=LONG))
    )
    assert line(text, "one")[-1] == line(text, "two")[-1] == "[1]"
    assert text.count(LONG) == 1


def test_green_ai_is_one_line():
    text = footprint_table.text(footprint())
    assert (
        "Green AI (E x D x H): 2.00 TFLOP a token x 3,000,000,000 tokens x 2 experiments = "
        "1.2e+22 FLOP, 1,500 MWh, unknown"
    ) in text
    assert "operations per parameter and token: 6.02 FLOP (a model)" in text
    assert text.endswith("left out: embodied emissions")


def test_a_deployment_by_a_thousand():
    found = footprint() | {
        "subject": "deployment",
        "per_thousand": {"energy": figure(0.002, "kWh")},
    }
    text = footprint_table.text(found)
    assert "by 1,000 inferences" in text
    assert line(text, "energy  ")[1:3] == ["2.00", "Wh"]
    assert "Green AI" not in text
