import numpy as np
import pytest

from greennas_jax.spaces import edits_choices
from greennas_jax.spaces.edits_choices import EditsConfig
from greennas_jax.spec import layers as layer_views
from greennas_jax.spec.network import Layer
from tests.spaces import examples


def view(kernel, padding="SAME", stride=1):
    kind, parents, attributes = examples.conv("data", kernel, 8, padding=padding, stride=stride)
    return layer_views.convolution(
        Layer(name="c", type=kind, parents=parents, attributes=attributes)
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # Multiples of 8 from 16 on, below it any number.
        (64, (64, 56, 48, 40, 32, 24, 16, 8)),
        (6, (6, 5, 4, 3, 2, 1)),
        (1, (1,)),
        (84, (84, 72, 64, 56, 40, 32, 24, 11)),
        (1001, (1001, 872, 752, 624, 504, 376, 248, 128)),
    ],
)
def test_widths(given, expected):
    assert edits_choices.widths(EditsConfig(), given) == expected


def test_widths_take_the_hardware_multiple():
    # 112 rounds up to the given 128, 80 to 96, 48 to 64, and 16 to 32.
    assert edits_choices.widths(EditsConfig(hardware_multiple=32), 128) == (128, 96, 64, 32)


def test_kernels_are_odd_and_keep_the_shape():
    shape = (1, 32, 32, 3)
    assert edits_choices.kernels(view(7), shape, False) == ((7, 7), (5, 5), (3, 3), (1, 1))
    assert edits_choices.kernels(view((1, 7)), shape, False) == ((1, 7), (1, 5), (1, 3), (1, 1))
    assert edits_choices.kernels(view((3, 5)), shape, False) == ((3, 5), (3, 3), (1, 1))
    assert edits_choices.kernels(view(4), shape, False) == ((4, 4), (3, 3), (1, 1))


def test_unpadded_kernels_change_the_size():
    shape = (1, 32, 32, 3)
    assert edits_choices.kernels(view(5, "VALID"), shape, False) == ((5, 5),)
    assert edits_choices.kernels(view(5, "VALID"), shape, True) == ((5, 5), (3, 3), (1, 1))
    assert edits_choices.kernels(view(4, "VALID"), shape, True) == ((4, 4),)
    # ceil((32 - k + 1) / 4) is 7 for 7 and 5, and 8 for 3 and 1.
    assert edits_choices.kernels(view(7, "VALID", 4), shape, False) == ((7, 7), (5, 5))


def test_middle_follows_the_narrower_end():
    config = EditsConfig()
    found = edits_choices.middle(config, np.array([64, 256, 3, 8]), np.array([256, 64, 64, 8]))
    np.testing.assert_array_equal(found, [16, 16, 1, 2])


def test_paleo_reads_neither_groups_nor_depthwise():
    assert EditsConfig(paleo_compatible=True).offered == ("given", "bottleneck", "skip", "pooled")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width_ratios": ()}, "width_ratios"),
        ({"width_ratios": (1.5,)}, "above 0, at most 1"),
        ({"operations": ("given", "winograd")}, "'winograd' is not known; allowed: given"),
        ({"hardware_multiple": 0}, "hardware_multiple is 0"),
        ({"groups": True}, "groups is True"),
        ({"bottleneck_ratio": 1.0}, "bottleneck_ratio is 1.0"),
    ],
)
def test_config_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        EditsConfig(**change)
