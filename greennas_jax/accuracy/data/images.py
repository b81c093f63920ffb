"""Images as a network reads them: resized, given its channels, standardised.

Shapes: N images, h and w their own height and width, H and W the network's, C channels.
"""

from collections.abc import Iterator

import numpy as np

from greennas_jax.accuracy.data.record import DataError

LARGEST_BYTES = 8 * 2**30
RESIZE_FLAG = "--config.resize=true"
# Numbers in one pass over many images: 128 MiB as float64.
BLOCK = 2**24


def blocks(images: np.ndarray) -> Iterator[slice]:
    """Yield slices of images whose numbers fit into one pass each."""
    step = max(1, BLOCK // max(1, images[:1].size))
    for start in range(0, len(images), step):
        yield slice(start, start + step)


def _weights(old: int, size: int) -> np.ndarray:
    """Return float32 [size, old]: the triangle of each new pixel, as wide as it covers old ones."""
    ratio = old / size
    centre = (np.arange(size)[:, None] + 0.5) * ratio - 0.5
    found = np.maximum(0, 1 - np.abs(np.arange(old) - centre) / ratio)
    return (found / found.sum(axis=1, keepdims=True)).astype(np.float32)


def resized(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize images bilinearly with half-pixel centres, height and width each by itself.

    A side that shrinks is averaged with a triangle as wide as a new pixel on either side, so that
    no old pixel is lost (the bilinear filter of Pillow, and of jax.image.resize with antialias).

    Args:
      images: float32 [N, h, w, C].
      height: H.
      width: W.

    Returns:
      float32 [N, H, W, C].
    """
    for axis, size in ((1, height), (2, width)):
        old = images.shape[axis]
        if size < old:
            rows = images.reshape(*images.shape[: axis + 1], -1)
            mixed = np.matmul(_weights(old, size), rows)
            images = mixed.reshape(*images.shape[:axis], size, *images.shape[axis + 1 :])
        elif size > old:
            centre = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
            low = np.floor(centre).astype(int)
            high = np.minimum(low + 1, old - 1)
            share = (centre - low).astype(np.float32)
            share = share[:, None, None] if axis == 1 else share[:, None]
            images = np.take(images, low, axis) * (1 - share) + np.take(images, high, axis) * share
    return images.astype(np.float32)


def target(
    where: str, shape: tuple[int, ...], input_shape: tuple[int, ...], resize: bool
) -> tuple[int, int, int]:
    """Return height, width and channels of images as a network reads them.

    Rows of a sequence of features are an image's rows.

    Args:
      where: What messages call the source.
      shape: h, w and channels of the images.
      input_shape: The network's.
      resize: Whether another size is allowed.

    Raises:
      DataError: If the images do not fit the network.
    """
    size = {2: (*input_shape, 1), 3: input_shape}.get(len(input_shape), shape)
    if shape[2] not in (1, size[2]):
        swapped = shape[0] == size[2] and size[2] in (1, 3)
        needed = str(size[2]) if size[2] == 1 else f"1 or {size[2]}"
        raise DataError(
            f"{where}: images have {shape[2]} channels, the network's input {list(input_shape)} "
            f"has {size[2]}; {needed} needed" + ("; channels come last" if swapped else "")
        )
    if len(input_shape) == 1 and int(np.prod(size)) != input_shape[0]:
        raise DataError(
            f"{where}: images {list(size)} are not the {input_shape[0]} features that the network "
            "reads"
        )
    if shape[:2] != size[:2] and not resize:
        raise DataError(
            f"{where}: images are {list(shape)}, the network reads {list(input_shape)}; "
            f"{RESIZE_FLAG} resizes them"
        )
    return size[0], size[1], size[2]


def check_bytes(where: str, count: int, size: tuple[int, int, int]) -> None:
    """Raise DataError if so many images of a size are too many to hold."""
    if count * int(np.prod(size)) * 4 > LARGEST_BYTES:
        raise DataError(
            f"{where}: {count} images of {list(size)} need more than {LARGEST_BYTES // 2**30} GiB"
        )


def fitted(images: np.ndarray, size: tuple[int, int, int]) -> np.ndarray:
    """Return images [N, h, w, 1 or C] as float32 [N, H, W, C]; one channel is repeated."""
    found = np.empty((len(images), *size[:2], images.shape[3]), np.float32)
    for part in blocks(images):
        found[part] = resized(images[part].astype(np.float32), size[0], size[1])
    return np.broadcast_to(found, (*found.shape[:3], size[2]))


def moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each channel of images [N, H, W, C], float64 [C]."""
    count = int(np.prod(images.shape[:3]))
    axes = (0, 1, 2)
    total = sum(images[part].sum(axes, dtype=np.float64) for part in blocks(images))
    mean = np.asarray(total / count)
    squares = sum(np.square(images[part] - mean).sum(axes) for part in blocks(images))
    return mean, np.sqrt(squares / count)


def standardised(images: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Return (images - mean) / deviation, float32 [N, H, W, C]."""
    found = np.empty(images.shape, np.float32)
    for part in blocks(images):
        found[part] = (images[part] - mean) / deviation
    return found
