import pytest

from greennas_jax.costs import dtypes
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
        ({"dtype": "fp64"}, "dtype is 'fp64'; allowed: fp32, tf32, bf16, fp16, int8"),
        ({"dtype": "bf16", "compat": "paleo"}, "with compat 'paleo'; allowed: fp32"),
        ({"dtype": "int8", "mode": "training"}, "int8 is for inference only"),
        ({"ppp_comp": 62}, "ppp_comp is 62; allowed: a fraction"),
        ({"ppp_comm": 0.0}, "ppp_comm is 0.0; allowed: a fraction"),
        ({"ppp_comp": float("nan")}, "ppp_comp is nan"),
        ({"ppp_comp": True}, "ppp_comp is True"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CostSettings(**change)


def test_bytes_of_an_element():
    found = {dtype: CostSettings(dtype=dtype).element_bytes for dtype in dtypes.DTYPES}
    assert found == {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2, "int8": 1}
