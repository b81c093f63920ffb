import numpy as np
import pytest

from greennas_jax.costs import counts, passes, traffic
from greennas_jax.costs.settings import CostSettings

INFERENCE = CostSettings()
# 2 sequences of 3 token numbers, each looked up in a table of 10 rows of 4.
IDS = (2, 3)
TEXT = {"width": 4, "vocabulary": 10}


def elements(table):
    work = traffic.work(table, INFERENCE)
    assert all(float(step.flops[0]) == 0 for step in work[:-1])
    steps = (work.forward, work.backward_data, work.backward_filter)
    return tuple(float(passes.moved_bytes(step)[0]) / 4 for step in steps)


def test_only_the_rows_looked_up_are_read(row):
    small, large = (row("Embedding", IDS, width=4, vocabulary=v) for v in (10, 10_000))
    # 6 numbers, 6 rows of 4, 24 written.
    assert elements(small)[0] == elements(large)[0] == 6 + 24 + 24
    assert counts.parameters(small, INFERENCE)[0] == 40


def test_the_gradient_of_a_table_is_dense(row):
    # Zeros in 40 entries; 6 numbers, 24 of the output's gradient, 24 read and written.
    assert elements(row("Embedding", IDS, **TEXT))[1:] == (0, 40 + 6 + 3 * 24)


def test_positions_and_segments(row):
    table = row("Embedding", IDS, **TEXT, positions=5, segments=2)
    # Three rows of positions and two of segments, once for the batch.
    assert elements(table)[0] == 54 + 12 + 8
    # Each reads the output's gradient, 24; five and two rows are written.
    assert elements(table)[2] == 118 + (24 + 20) + (24 + 8)
    assert counts.parameters(table, INFERENCE)[0] == 40 + 20 + 8


def test_class_token_and_positions_of_vectors(row):
    table = row("Embedding", (2, 3, 4), width=4, positions=4, class_token=True)
    # 24 read, 2*4*4 written, four rows of positions, one class token.
    assert elements(table)[0] == 24 + 32 + 16 + 4
    # The gradient of the three vectors is copied; that of positions reads all, that of the class
    # token its own.
    assert elements(table)[1:] == (48, (32 + 16) + (2 * 4 + 4))
    assert counts.parameters(table, INFERENCE)[0] == 16 + 4
    source = table.replace(reads_input=np.ones(1))
    assert elements(source)[1] == 0


def test_a_table_that_two_layers_use_counts_once(network_of):
    layers = {
        "ids": {"type": "Input", "parents": [], "tensor": [2, 3]},
        "embed": {"type": "Embedding", "parents": ["ids"], **TEXT},
        "again": {"type": "Embedding", "parents": ["ids"], **TEXT, "weights_of": "embed"},
        "sum": {"type": "Elementwise", "parents": ["embed", "again"]},
        "head": {
            "type": "InnerProduct",
            "parents": ["sum"],
            "num_outputs": 10,
            "per_position": True,
            "weights_of": "embed",
            "use_bias": False,
        },
    }
    from greennas_jax.costs import layer_table

    table = layer_table.from_network(network_of(layers))
    assert counts.parameters(table, INFERENCE).tolist() == [0, 40, 0, 0, 0]
    work = traffic.work(table, INFERENCE)
    moved = {name: passes.moved_bytes(step) / 4 for name, step in work._asdict().items()}
    # The head reads 24, 40 weights and writes 60: 2 * 6 * 4 * 10 FLOP.
    assert (work.forward.flops[4], moved["forward"][4]) == (480, 124)
    # Its gradient and the second embedding's are added to the table's: 40 twice read, once written.
    assert moved["backward_filter"][4] == 124 + 120
    assert moved["backward_filter"][2] == moved["backward_filter"][1] + 120
    assert moved["update"].tolist() == [0, 5 * 40, 0, 0, 0]


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_gradients_of_tables_are_single_precision(row, dtype):
    settings = CostSettings(mode="training", dtype=dtype)
    work = traffic.work(row("Embedding", IDS, **TEXT), settings)
    # 40 entries and 24 of them read and written in four bytes; numbers and output's gradient in
    # two.
    assert passes.moved_bytes(work.backward_filter)[0] == 4 * (40 + 48) + 2 * (6 + 24)
