import numpy as np
import pytest

from greennas_jax.export import onnx_graph
from greennas_jax.spec.network import SpecError
from tests.accuracy import networks, transformers
from tests.export import cases

pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")


@pytest.mark.parametrize("name", networks.ALL)
def test_onnxruntime_gives_the_same_logits(name):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    module, statistics = cases.built(networks.ALL[name]())
    images = cases.inputs(module)
    data = onnx_graph.write(module, statistics, name)
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": images})
    expected = cases.logits(module, statistics, images)
    assert np.std(expected) > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_sequences_are_refused():
    with pytest.raises(SpecError, match=r"'place' \(Embedding\): sequences cannot|'tokens'"):
        onnx_graph.write(*cases.built(transformers.vit(blocks=1)), "vit")
