"""Small data sets as files, made by the tests themselves."""

import numpy as np
from PIL import Image


def arrays(**changes):
    """Return 60 training and 12 test images of three classes; None leaves an array out."""
    rng = np.random.default_rng(0)
    found = {
        "x_train": rng.integers(0, 256, (60, 6, 5, 3)).astype(np.uint8),
        "y_train": np.arange(60) % 3,
        "x_test": rng.integers(0, 256, (12, 6, 5, 3)).astype(np.uint8),
        "y_test": np.arange(12) % 3,
    }
    return {key: value for key, value in {**found, **changes}.items() if value is not None}


def npz(folder, **changes):
    """Write such arrays and return the path."""
    path = folder / "own.npz"
    np.savez(path, **arrays(**changes))
    return str(path)


def pictures(folder, classes, size=(7, 5), seed=0, suffix="png", mode="RGB"):
    """Write images of `size` (width, height) in class folders, as many as `classes` states."""
    rng = np.random.default_rng(seed)
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
            image = Image.fromarray(pixels).convert(mode)
            image.save(folder / name / f"{number:03d}.{suffix}")
    return folder


def cifar(path, labels, seed=0):
    """Write CIFAR records with the label bytes [N, 1 or 2]; return the pixels [N, 3, 32, 32]."""
    labels = np.asarray(labels, np.uint8)
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3072)).astype(np.uint8)
    path.write_bytes(np.concatenate([labels, pixels], axis=1).tobytes())
    return pixels.reshape(-1, 3, 32, 32)
