"""What a report says about a data set, and what tells one from another."""

import hashlib
from typing import Any

import numpy as np

from greennas_jax.accuracy.data.record import DataSet


def summarise(data: DataSet) -> dict[str, Any]:
    """Return a data set's sizes and balance as JSON values.

    Args:
      data: The data set.

    Returns:
      Images of each split, classes, the largest and the smallest class of the training split
      (label, name and images), the share of test images in the training split's largest class,
      which a network that always names it would get right, and notes.
    """
    counts = np.bincount(data.train_labels, minlength=data.classes)
    present = np.flatnonzero(counts)
    largest = int(np.argmax(counts))
    smallest = int(present[np.argmin(counts[present])])

    def side(label: int) -> dict[str, Any]:
        named = label < len(data.class_names)
        name = data.class_names[label] if named else None
        return {"label": label, "name": name, "images": int(counts[label])}

    return {
        "name": data.name,
        "training_images": len(data.train_labels),
        "validation_images": len(data.validation_labels),
        "test_images": len(data.test_labels),
        "classes": len(present),
        "largest_class": side(largest),
        "smallest_class": side(smallest),
        "largest_class_share": float(np.mean(data.test_labels == largest)),
        "notes": list(data.notes),
    }


def digest(data: DataSet) -> str:
    """Return what differs where any image or label of any split does: 64 hexadecimal digits."""
    found = hashlib.sha256()
    for name in DataSet._fields:
        value = getattr(data, name)
        if isinstance(value, np.ndarray):
            found.update(f"{name} {value.dtype.str} {value.shape}".encode())
            found.update(value.tobytes())
    return found.hexdigest()
