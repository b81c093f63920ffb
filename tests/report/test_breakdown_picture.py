import pytest

from greennas_jax.costs import devices, profile
from greennas_jax.costs.settings import CostSettings
from greennas_jax.report import breakdown_picture, plots
from greennas_jax.spec import paleo_json


@pytest.fixture(scope="module")
def trained(specs):
    network = paleo_json.load(specs / "alexnet.json")
    return profile.profile(network, devices.load("titan_x"), CostSettings(mode="training"))


def test_bars_are_the_parts(trained, tmp_path):
    path = tmp_path / "parts.png"
    figure = breakdown_picture.draw(path, trained)
    assert path.read_bytes().startswith(b"\x89PNG")
    layers, kinds, steps = figure.axes
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "energy by layer [J]",
        "energy by kind [J]",
        "energy by pass [J]",
    ]
    known = trained["breakdown"]
    for axes in figure.axes:
        for container, part in zip(axes.containers, ("arithmetic_j", "movement_j"), strict=False):
            drawn = sum(bar.get_width() for bar in container)
            assert drawn == pytest.approx(known["total"][part])
    # The data layer and the views cost nothing.
    named = [label.get_text() for label in layers.get_yticklabels()]
    assert named[0] == "conv1"
    assert "data" not in named
    assert "grouped convolution" in [label.get_text() for label in kinds.get_yticklabels()]
    assert [label.get_text() for label in steps.get_yticklabels()] == [
        *("forward", "backward", "update")
    ]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["arithmetic", "data movement", "static"]


def test_the_smallest_of_many_layers_are_counted(specs, tmp_path):
    network = paleo_json.load(specs / "resnet50.json")
    found = profile.profile(network, devices.load("h100"), CostSettings(dtype="bf16"))
    figure = breakdown_picture.draw(tmp_path / "parts.png", found)
    layers, _ = figure.axes
    assert len(layers.get_yticklabels()) == plots.MOST_BARS
    shown, others = breakdown_picture.bars_of_layers(found["layers"])
    assert f"; {len(others)} smaller layers, " in layers.get_xlabel()
    assert min(bar.total for bar in shown) >= max(bar.total for bar in others)


def test_no_picture_of_the_unknown(specs, tmp_path):
    network = paleo_json.load(specs / "lenet5.json")
    found = profile.profile(network, devices.load("tpu_v5e"), CostSettings(dtype="bf16"))
    path = tmp_path / "parts.png"
    with pytest.raises(ValueError, match="energy that is not known: .*'tpu_v5e'"):
        breakdown_picture.draw(path, found)
    assert not path.exists()
