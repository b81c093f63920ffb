import pytest

from greennas_jax.costs.settings import CostSettings


def test_defaults_are_inference_at_the_peak():
    settings = CostSettings()
    assert (settings.mode, settings.ppp_comp, settings.compat) == ("inference", 1.0, None)
    assert hash(settings) == hash(CostSettings())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "test"}, "mode is 'test'; allowed: inference, training"),
        ({"compat": "caffe"}, "compat is 'caffe'; allowed: none, paleo"),
        ({"conv_algorithm": "fit"}, "conv_algorithm is 'fit'; allowed: gemm, fft, tiled_fft"),
        ({"pipelined": 1}, "pipelined is 1; allowed: true or false"),
        ({"power": "guess"}, "power is 'guess'; allowed: physical"),
        ({"ppp_comp": 62}, "ppp_comp is 62; allowed: a fraction"),
        ({"ppp_comm": 0.0}, "ppp_comm is 0.0; allowed: a fraction"),
        ({"ppp_comp": float("nan")}, "ppp_comp is nan"),
        ({"ppp_comp": True}, "ppp_comp is True"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CostSettings(**change)
