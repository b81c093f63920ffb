import numpy as np
import pytest

from greennas_jax.accuracy import datasets
from tests.accuracy.data import examples

BATCHES = [f"data_batch_{number}.bin" for number in range(1, 6)]


@pytest.fixture
def ten(tmp_path):
    """CIFAR-10 with 5 x 12 training and 12 test records of two classes."""
    for number, name in enumerate(BATCHES):
        examples.cifar(tmp_path / name, np.arange(12)[:, None] % 2 * 9, seed=number)
    examples.cifar(tmp_path / "test_batch.bin", np.arange(12)[:, None] % 2 * 9, seed=9)
    return tmp_path


@pytest.fixture
def hundred(tmp_path):
    """CIFAR-100 with two fine classes, 3 and 99, of coarse classes 1 and 19."""
    for name, count in (("train.bin", 60), ("test.bin", 12)):
        second = np.arange(count)[:, None] % 2
        examples.cifar(tmp_path / name, np.hstack([1 + 18 * second, 3 + 96 * second]), seed=count)
    return tmp_path


def test_cifar_10_is_read_channel_by_channel(ten):
    pixels = examples.cifar(ten / "test_batch.bin", np.arange(12)[:, None] % 2 * 9, seed=9)
    data = datasets.load(str(ten), (32, 32, 3), 10)
    assert data.name == "CIFAR-10" and data.classes == 10
    assert data.train_images.shape == (48, 32, 32, 3)
    assert data.test_labels.tolist() == [0, 9] * 6
    # Record 4, green, row 2: standardised, it is still that row but for scale and place.
    row = data.test_images[4, 2, :, 1]
    assert np.corrcoef(row, pixels[4, 1, 2])[0, 1] > 0.9999
    assert data.notes == ("the network tells 10 classes apart, the data have 2",)


def test_class_names_beside_the_data_are_told(ten):
    words = [f"kind {number}" for number in range(10)]
    (ten / "batches.meta.txt").write_text("\n".join(words) + "\n\n")
    assert datasets.load(str(ten), (32, 32, 3), 10).class_names == tuple(words)
    (ten / "batches.meta.txt").write_text("one\n")
    assert datasets.load(str(ten), (32, 32, 3), 10).class_names == ()


def test_cifar_100_has_fine_labels_and_coarse_ones_for_20_outputs(hundred):
    fine = datasets.load(str(hundred), (32, 32, 3), 100)
    coarse = datasets.load(str(hundred), (32, 32, 3), 20)
    assert fine.test_labels.tolist() == [3, 99] * 6 and fine.name == "CIFAR-100 (fine labels)"
    assert coarse.test_labels.tolist() == [1, 19] * 6
    assert coarse.name == "CIFAR-100 (coarse labels)"
    np.testing.assert_array_equal(fine.test_images, coarse.test_images)
    with pytest.raises(datasets.DataError, match="CIFAR-100 has 100 classes; the network tells 50"):
        datasets.load(str(hundred), (32, 32, 3), 50)


def test_size_and_channels_must_fit(ten):
    with pytest.raises(
        datasets.DataError,
        match=r"\[32, 32, 3\], the network reads \[28, 28, 3\]; --config.resize=true",
    ):
        datasets.load(str(ten), (28, 28, 3), 10)
    small = datasets.load(str(ten), (28, 28, 3), 10, resize=True)
    assert small.train_images.shape == (48, 28, 28, 3)
    with pytest.raises(datasets.DataError, match="3 channels, .* has 1; 1 needed"):
        datasets.load(str(ten), (32, 32, 1), 10)
    flat = datasets.load(str(ten), (3072,), 10)
    assert flat.train_images.shape == (48, 3072)


def test_damaged_files_are_named_with_the_length_expected(ten):
    path = ten / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-1])
    # 12 x 3073 - 1 bytes; the public file has 10,000 x 3073.
    with pytest.raises(
        datasets.DataError, match="data_batch_3.bin: 36875 bytes; .* 3073 bytes .* 30730000 bytes"
    ):
        datasets.load(str(ten), (32, 32, 3), 10)
    path.write_bytes(b"")
    with pytest.raises(datasets.DataError, match="data_batch_3.bin: 0 bytes"):
        datasets.load(str(ten), (32, 32, 3), 10)
    path.unlink()
    with pytest.raises(datasets.DataError, match="CIFAR-10 without file 'data_batch_3.bin'"):
        datasets.load(str(ten), (32, 32, 3), 10)


def test_length_of_cifar_100_counts_two_labels(hundred):
    (hundred / "train.bin").write_bytes(bytes(3073))
    with pytest.raises(datasets.DataError, match="train.bin: 3073 bytes; .* 3074 .* 153700000"):
        datasets.load(str(hundred), (32, 32, 3), 100)


def test_labels_out_of_range_are_named(ten, tmp_path):
    examples.cifar(tmp_path / "data_batch_2.bin", [[0], [0], [17]])
    with pytest.raises(
        datasets.DataError, match="data_batch_2.bin: record 2 has label 17; 0 to 9 needed"
    ):
        datasets.load(str(ten), (32, 32, 3), 10)
    with pytest.raises(datasets.DataError, match="CIFAR-10 has 10 classes; the network tells 4"):
        datasets.load(str(ten), (32, 32, 3), 4)


@pytest.mark.parametrize(
    "files, told",
    [
        ([*(name[:-4] for name in BATCHES), "test_batch", "batches.meta"], "data_batch_1.bin to"),
        (["train", "test", "meta"], "train.bin and test.bin"),
    ],
)
def test_python_version_is_refused(tmp_path, files, told):
    for name in files:
        (tmp_path / name).write_bytes(b"\x80\x02}")
    with pytest.raises(
        datasets.DataError, match=f"Python version .* the binary version is wanted .*{told}"
    ) as caught:
        datasets.load(str(tmp_path), (32, 32, 3), 100)
    assert "\n" not in str(caught.value)
