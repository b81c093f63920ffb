import copy

import pytest

from greennas_jax.report import comparison, tables


def change(layer, kind, before, after, energies, parameters):
    unknown = None in energies
    return comparison.LayerChange(
        layer=layer,
        type="Convolution",
        change=kind,
        before=before,
        after=after,
        energy_before_j=energies[0],
        energy_after_j=energies[1],
        saved_j=None if unknown else energies[0] - energies[1],
        parameters_before=parameters[0],
        parameters_after=parameters[1],
    )


CHANGES = [
    change("conv1", "kept", "conv 5x5 1->6", "conv 5x5 1->6", (0.002, 0.002), (156, 156)),
    change("fc", "removed", "inner product 400->84", "-", (0.0345, 0.0), (33684, 0)),
]


def test_comparison_table():
    # 34.5 mJ is the largest, so the unit is mJ; 2 + 34.5 = 36.5 mJ; 156 + 33,684 = 33,840.
    assert tables.comparison_table(CHANGES).splitlines() == [
        "layer  change   before                 after          mJ before  mJ after  mJ saved"
        "  parameters before  parameters after",
        "conv1  kept     conv 5x5 1->6          conv 5x5 1->6      2.000     2.000     0.000"
        "                156               156",
        "fc     removed  inner product 400->84  -                 34.500     0.000    34.500"
        "             33,684                 0",
        "total                                                    36.500     2.000    34.500"
        "             33,840               156",
    ]


def test_unknown_energies_are_said_and_not_summed():
    unknown = change("x", "kept", "conv", "conv", (0.001, None), (1, 1))
    lines = tables.comparison_table([*CHANGES, unknown]).splitlines()
    assert lines[3].split() == [
        "x",
        "kept",
        "conv",
        "conv",
        "1.000",
        "unknown",
        "unknown",
        "1",
        "1",
    ]
    assert lines[4].split() == ["total", "37.500", "unknown", "unknown", "33,841", "157"]


def test_a_rounded_loss_has_no_negative_zero():
    same = change("x", "kept", "conv", "conv", (1.0, 1.0 + 1e-9), (1, 1))
    assert "-0.000" not in tables.comparison_table([same])


TOTALS = {
    "time_ms": 2.5,
    "energy_j": 0.2,
    "energy_per_example_j": 0.025,
    "power_w": 80.0,
    "flops": 4_000_000_000,
    "bytes": 12_300_000,
    "parameters": 61706,
    "peak_memory_bytes": 2_000_000,
}


def profile(reasons=None, batch_size=8, **totals):
    return {"batch_size": batch_size, "totals": {**TOTALS, **totals}, "reasons": reasons or {}}


def test_totals_table():
    after = profile(time_ms=2.0, energy_j=0.05, energy_per_example_j=0.00625, parameters=30853)
    assert tables.totals_table(profile(), after).splitlines() == [
        "                        before       after   change",
        "time                   2.50 ms     2.00 ms  -20.0 %",
        "energy                  200 mJ     50.0 mJ  -75.0 %",
        "energy per example     25.0 mJ     6.25 mJ  -75.0 %",
        "power                   80.0 W      80.0 W    0.0 %",
        "operations          4.00 GFLOP  4.00 GFLOP    0.0 %",
        "memory traffic         12.3 MB     12.3 MB    0.0 %",
        "parameters              61,706      30,853  -50.0 %",
        "peak memory            2.00 MB     2.00 MB    0.0 %",
    ]


def test_unknown_totals_give_their_reason():
    reasons = {"power": "no TDP stated", "backward": "not costed"}
    table = tables.totals_table(profile(), profile(reasons, energy_j=None, time_ms=None))
    rows = {line[:18].strip(): line for line in table.splitlines()}
    assert rows["energy"].split(maxsplit=3)[3] == "unknown (no TDP stated)  unknown"
    assert rows["time"].split(maxsplit=3)[3].strip() == "unknown (not costed)  unknown"


REPORT = {
    "schema": "greennas.report/1",
    "before": profile(),
    "after": profile(energy_j=0.05, energy_per_example_j=0.00625, time_ms=2.0, parameters=30853),
    "accuracy": {
        "kind": "measured",
        "before": {"mean": 0.9812, "std": 0.0021, "seeds": 8},
        "after": {"mean": 0.9790, "std": 0.0034, "seeds": [8, 9, 10]},
        "difference": {"mean": -0.0022, "standard_error": 0.0011},
        "verdict": "holds",
        "guard": "at most 1.00 point below the given network",
    },
    "search": {
        "queries": 1280,
        "wall_s": 1234.5,
        "energy_j": 45600.0,
        "predicted_gain": 0.81,
        "recosted_gain": 0.75,
    },
    # 45,600 J over 0.025 - 0.00625 J an inference.
    "payback_inferences": 2432000,
    "bounds": {"energy_j": 0.02},
}


CLAIM = {
    "split": "validation",
    "difference": {"mean": -0.0031, "standard_error": 0.0022},
    "trainings": 12,
    "standard_errors_apart": 1.55,
    "agrees": True,
}


def test_final_trainings_that_began_anew_are_told():
    accuracy = REPORT["accuracy"]
    assert "began anew" not in "".join(tables.headline(REPORT))
    after = accuracy["after"] | {"seeds": [1, 2, 3], "restarted": 2, "diverged": 1}
    text = "\n".join(tables.headline(REPORT | {"accuracy": accuracy | {"after": after}}))
    assert (
        "2 of 3 trainings of the found network came to numbers that are not finite and began anew "
        "under another key; 1 of them came to such numbers every time" in text
    )
    assert "given network came to" not in text


@pytest.mark.parametrize(("agrees", "words"), [(True, "agree"), (False, "do NOT agree")])
def test_claim_of_the_search_stands_beside_the_verdict(agrees, words):
    accuracy = REPORT["accuracy"] | {"claim": CLAIM | {"agrees": agrees}}
    lines = tables.headline(REPORT | {"accuracy": accuracy})
    assert lines[3] == (
        "the search's own estimate: -0.31 points (standard error 0.22, 12 trainings, validation "
        f"images); fresh seeds {words} (1.6 standard errors apart)"
    )


def test_headline_of_a_measured_report():
    assert tables.headline(REPORT) == [
        "Accuracy holds: 75.0 % less energy (200 mJ -> 50.0 mJ a batch of 8)",
        "accuracy: 98.12 % ± 0.21 (8 seeds) -> 97.90 % ± 0.34 (3 seeds), difference -0.22 points "
        "(standard error 0.11)",
        "guard: at most 1.00 point below the given network",
        "change: time -20.0 %, energy -75.0 %, operations 0.0 %, parameters -50.0 %, peak memory "
        "0.0 %",
        "search: 1,280 queries, 21 min, energy 45.6 kJ",
        "gain: 81.0 % predicted, 75.0 % re-costed exactly",
        "payback: the search's own energy is saved after 2,432,000 inferences",
        "bound: no network of this space needs less than 20.0 mJ, whatever its accuracy; the found "
        "one needs 2.50 times that",
    ]


def test_headline_tells_sizes_and_balance_of_the_data():
    data = {
        "name": "pets",
        "training_images": 60,
        "validation_images": 20,
        "test_images": 20,
        "classes": 3,
        "largest_class": {"label": 0, "name": "ant", "images": 36},
        "smallest_class": {"label": 2, "name": None, "images": 6},
        "largest_class_share": 0.6,
        "notes": ["2 of 20 test images are training images too"],
    }
    report = REPORT | {"accuracy": REPORT["accuracy"] | {"data": data}}
    assert tables.headline(report)[3:5] == [
        "data: pets, 60 training, 20 validation, 20 test examples of 3 classes; training examples "
        "of a class from 6 (2) to 36 ('ant'); the largest class is 60.0 % of the test",
        "note on the data: 2 of 20 test images are training images too",
    ]


@pytest.mark.parametrize(
    ("verdict", "first"),
    [
        (
            "fails",
            "Accuracy FAILS the guard: 75.0 % less energy (200 mJ -> 50.0 mJ a batch of 8), but "
            "accuracy falls too far",
        ),
        (
            "undecided",
            "UNDECIDED whether accuracy holds: 75.0 % less energy (200 mJ -> 50.0 mJ a batch of 8)",
        ),
    ],
)
def test_other_verdicts(verdict, first):
    report = copy.deepcopy(REPORT)
    report["accuracy"]["verdict"] = verdict
    assert tables.headline(report)[0] == first


def test_a_verdict_from_a_table_says_so():
    report = copy.deepcopy(REPORT)
    report["accuracy"]["kind"] = "table"
    assert tables.headline(report)[0].startswith("Accuracy holds (from a benchmark table): 75.0 %")


def test_proxies_are_no_measurement():
    report = copy.deepcopy(REPORT)
    report["accuracy"] = {
        "kind": "proxy",
        "proxies": ["naswot", "synflow"],
        "tolerance": 0.15,
        "before": {"mean": 1.0, "std": None, "seeds": 1},
        "after": {"mean": 0.91234, "std": None, "seeds": 1},
        "difference": {"mean": -0.08766, "standard_error": None},
        "verdict": "holds",
    }
    lines = tables.headline(report)
    assert lines[0] == (
        "Accuracy was NOT measured (training-free proxies only: naswot, synflow; tolerance 0.15): "
        "75.0 % less energy (200 mJ -> 50.0 mJ a batch of 8)"
    )
    assert lines[1] == "proxy score: 1 (1 seed) -> 0.9123 (1 seed), difference -0.0877"
    assert not any("holds" in line for line in lines)


@pytest.mark.parametrize("accuracy", [None, {}, {"kind": "proxy"}])
def test_a_report_without_accuracy_claims_none(accuracy):
    report = {"before": profile(), "after": profile(), "accuracy": accuracy}
    lines = tables.headline(report)
    assert lines[0].startswith("Accuracy was NOT measured")
    assert lines[0].endswith("the same energy (200 mJ -> 200 mJ a batch of 8)")
    assert len(lines) == 2


def test_unknown_figures_of_a_report_are_unknown():
    report = copy.deepcopy(REPORT)
    report["after"] = profile({"power": "device 'x' states no power"}, energy_j=None)
    report["search"] = {"queries": 3, "energy_j": None, "energy_reason": "no meter"}
    report["payback_inferences"] = None
    report["payback_reason"] = "no meter"
    lines = tables.headline(report)
    first = "Accuracy holds: change of energy unknown (device 'x' states no power)"
    assert lines[0] == first
    assert "energy unknown" in lines[3]
    assert lines[4:] == [
        "search: 3 queries, energy unknown (no meter)",
        "payback: unknown (no meter)",
        "bound: no network of this space needs less than 20.0 mJ, whatever its accuracy",
    ]


def test_more_energy_is_called_more():
    report = {**REPORT, "after": profile(energy_j=0.21)}
    assert tables.headline(report)[0].startswith("Accuracy holds: 5.0 % more energy")


def test_what_was_run_stands_beside_what_was_predicted():
    def side(time_ms, energy_j, predicted_ms):
        measured = {"time_ms": time_ms, "energy_j": energy_j, "power_source": "no meter: a test"}
        return {"measured": measured, "predicted": {"time_ms": predicted_ms, "energy_j": 1.0}}

    part = {
        "before": side(4.0, None, 2.0),
        "after": side(3.0, None, 1.0),
        "change": {"time_ms": -0.25, "energy_j": None},
    }
    (line,) = [x for x in tables.headline(REPORT | {"measured": part}) if x.startswith("measured")]
    assert line == (
        "measured here: time 4.00 ms -> 3.00 ms, -25.0 % (predicted -50.0 %); "
        "energy unknown (no meter: a test)"
    )
