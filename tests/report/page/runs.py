"""Finished runs to draw pages of: true profiles of small networks, with figures set by hand."""

import dataclasses
import json

from greennas_jax import configuration
from greennas_jax.costs import devices, profile
from greennas_jax.costs.settings import CostSettings
from greennas_jax.pipeline import PipelineConfig
from greennas_jax.report import comparison, evidence, files
from greennas_jax.spec import paleo_json

NASTY = "<script>alert('x')</script>&\"'"
HEADER = "step,kind,seed,tokens,accuracy,cost,stopped,expected_accuracy,expected_spread,"


def small(width=8, name="tiny", layer="conv"):
    text = {
        "name": name,
        "layers": {
            "data": {"parents": [], "type": "Input", "tensor": [16, 8, 8, 1]},
            layer: {
                "parents": ["data"],
                "type": "Convolution",
                "filter": [3, 3, 1, width],
                "padding": "SAME",
                "strides": [1, 1, 1, 1],
                "activation_fn": "relu",
            },
            "fc": {"parents": [layer], "type": "InnerProduct", "num_outputs": 10},
            "softmax": {"parents": ["fc"], "type": "Softmax", "num_classes": 10},
        },
    }
    return paleo_json.read(json.dumps(text))


MEASURED = {
    "kind": "measured",
    "dataset": "digits",
    "data": None,
    "split": "test, 360 images, used once",
    "guard": "test accuracy may fall by 1 points at most",
    "before": {"mean": 0.99, "std": 0.003, "seeds": [1, 2], "accuracies": [0.987, 0.993]},
    "after": {"mean": 0.985, "std": 0.004, "seeds": [1, 2], "accuracies": [0.981, 0.989]},
    "difference": {"mean": -0.005, "standard_error": 0.002, "interval_95": [-0.01, 0.0]},
    "verdict": "holds",
    "claim": None,
}
PROXY = {
    "kind": "proxy",
    "proxies": ["NASWOT", "SynFlow"],
    "tolerance": 0.15,
    "guard": "score 0.85 or more",
    "before": {"mean": 1.0, "std": None, "seeds": 1},
    "after": {"mean": 0.9, "std": None, "seeds": 1},
    "difference": {"mean": -0.1, "standard_error": None},
    "verdict": None,
    "reason": "no data set: accuracy was not measured",
}


def history(energy, found):
    """Return a log of two trainings of the given network, four queries and one confirmation."""
    rows = [
        f"0,baseline,0,0,0.99,{energy!r},0,,,",
        f"1,baseline,1,0,0.992,{energy!r},0,,,",
        f"2,search,1000,1,0.984,{found!r},0,,,",
        f"3,search,1001,2,0.3,{energy / 4!r},1,,,",
        f"4,search,1002,3,0.995,{energy / 1.5!r},0,0.99,0.01,{energy / 2!r}",
        f"5,search,1003,4,0.97,{energy / 3!r},0,0.98,0.01,{energy / 4!r}",
        f"6,confirm,100000,1,0.986,{found!r},0,,,",
    ]
    return "\n".join([f"{HEADER}predicted_cost", *rows]) + "\n"


def workdir(folder, given, found, accuracy=MEASURED, device="titan_x", mode="inference"):
    """Write the files of a finished run that a page is drawn from."""
    folder.mkdir(exist_ok=True)
    settings = CostSettings(mode=mode)
    before, after = (
        profile.profile(network, devices.load(device), settings, None) for network in (given, found)
    )
    energies = [side["totals"]["energy_j"] for side in (before, after)]
    text = history(*energies)
    config = dataclasses.replace(PipelineConfig(), settings=settings)
    report = evidence.assemble(
        before=before,
        after=after,
        accuracy=accuracy,
        search={
            "algorithm": "latent",
            "tokens": "0" if given == found else "1",
            "queries": 4,
            "trainings": {"baseline": 2, "search": 4, "confirm": 1},
            "threshold": 0.981,
            "wall_s": 61.0,
            "energy_j": None,
            "energy_provenance": None,
            "energy_source": None,
            "energy_reason": "no meter",
            "predicted_gain": 0.5,
            "recosted_gain": 1 - energies[1] / energies[0],
        },
        bounds={"energy_j": energies[0] / 5},
        layers=comparison.compare(given, found, before, after),
        measured={"before": None, "after": None, "change": None, "reason": "never asked for"},
        pareto=[],
        config=configuration.plain(config),
    )
    files.write_json(folder / "report.json", report)
    files.write_json(folder / "config.json", {"network": json.loads(paleo_json.write(given))})
    files.write_text(folder / "optimized.json", paleo_json.write(found))
    files.write_text(folder / "history.csv", text)
    return folder
