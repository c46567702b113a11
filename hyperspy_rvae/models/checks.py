"""What an estimator may be given: everything is checked here, before any work."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse

SMALLEST_WINDOW = 5
FEWEST_SUBIMAGES = 10
INVARIANCES = ("rotation", "translation", "scale")
DECODERS = ("steerable", "spatial")
ENCODERS = ("mlp", "conv")
LARGEST_STEERABLE = 128
LARGEST_PIXEL = 1e150  # whose square is a number, too
_WIDEST_PRIOR = 1e4  # px
_HIGHEST_ORDER = 1000


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Refuse parameters of an estimator that have no meaning."""
    _check_count("latent_dim", parameters["latent_dim"])
    _check_count("n_models", parameters["n_models"], "; 1 trains a single model")
    if parameters["batch_size"] is not None:
        _check_count("batch_size", parameters["batch_size"], "; None takes what suits the data")
    for name in ("epochs", "patience"):
        if parameters[name] is not None:
            _check_count(name, parameters[name], "; None trains as long as the data asks")
    check_share(parameters["max_subimages"])
    _check_buffer(parameters["buffer_subimages"], parameters["decoder"])
    rate, beta = parameters["learning_rate"], parameters["beta"]
    fraction, seed = parameters["validation_fraction"], parameters["seed"]
    if not _is_real(rate) or not rate > 0:
        raise ValueError(f"learning_rate must be a positive number, got {rate!r}; try 0.002")
    if not _is_real(beta) or not beta >= 0:
        raise ValueError(f"beta must be zero or a positive number, got {beta!r}; 1 is the ELBO")
    check_divergence(parameters)
    check_classes(parameters)
    if not _is_real(fraction) or not 0 <= fraction < 1:
        raise ValueError(
            f"validation_fraction must be at least 0 and below 1, got {fraction!r}; "
            "0 trains on all subimages"
        )
    if seed is not None and not (_is_integer(seed) and 0 <= seed < 2**63):
        raise ValueError(f"seed must be None or an integer from 0 to 2**63 - 1, got {seed!r}")
    if parameters["decoder"] not in DECODERS:
        raise ValueError(f"decoder must be one of {DECODERS}, got {parameters['decoder']!r}")
    check_encoder(parameters)
    check_invariances(parameters["invariances"])
    check_priors(parameters)
    check_symmetry(parameters)
    choose_device(parameters["device"])


def check_encoder(parameters: Mapping[str, Any]) -> None:
    """Refuse an encoder that is unknown, or that the decoder has no pixels for."""
    encoder, decoder = parameters["encoder"], parameters["decoder"]
    if encoder not in ENCODERS:
        raise ValueError(f"encoder must be one of {ENCODERS}, got {encoder!r}")
    if encoder == "conv" and decoder != "spatial":
        raise ValueError(
            f"encoder='conv' needs decoder='spatial', got {decoder!r}, whose encoder reads "
            "coefficients of the window and no pixels; leave one of them out"
        )


def check_divergence(parameters: Mapping[str, Any]) -> None:
    """Refuse a schedule of the divergence that has no meaning."""
    epochs, capacity, free = (parameters[key] for key in ("kl_warmup", "capacity", "free_bits"))
    if epochs is not None and not (_is_integer(epochs) and epochs >= 0):
        raise ValueError(
            f"kl_warmup must be None or a whole number of epochs, from 0 on, got {epochs!r}"
        )
    if capacity is not None and not (_is_real(capacity) and capacity >= 0):
        raise ValueError(f"capacity must be None or a number of nats, from 0 on, got {capacity!r}")
    if not _is_real(free) or not free >= 0:
        raise ValueError(f"free_bits must be a number of nats, from 0 on, got {free!r}; 0 is none")


def check_classes(parameters: Mapping[str, Any]) -> None:
    """Refuse a number of classes that has no meaning, or what is not offered with classes."""
    count, decoder = parameters["discrete_classes"], parameters["decoder"]
    if not _is_integer(count) or count < 0 or count == 1:
        raise ValueError(
            f"discrete_classes must be 0 for none, or a whole number from 2 on, got {count!r}"
        )
    if count and decoder != "steerable":
        raise ValueError(
            f"discrete_classes={count} needs decoder='steerable', got {decoder!r}; the spatial "
            "decoder has no classes"
        )
    if count and parameters["buffer_subimages"] is not None:
        raise ValueError(
            f"discrete_classes={count} is learned from subimages in memory; give max_subimages in "
            "place of buffer_subimages"
        )


def check_enough(classes: int, count: int) -> None:
    """Refuse more classes than there are subimages to learn from."""
    if classes > count:
        raise ValueError(
            f"discrete_classes must be at most the number of subimages to learn from, got "
            f"{classes} for {count} that are not held out; take fewer"
        )


def check_rows(name: str, given: Any, count: int) -> Any:
    """Give what belongs to so many subimages, row by row; one label or number is for all."""
    if np.ndim(given) == 0:
        return np.full(count, given)
    if len(given) != count:
        raise ValueError(
            f"{name} must have one entry for each of the {count} subimages, got {len(given)}"
        )
    return given


def check_share(most: int | None) -> None:
    """Refuse a number of subimages to learn from that is too small or none."""
    if most is not None and not (_is_integer(most) and most >= FEWEST_SUBIMAGES):
        raise ValueError(
            f"max_subimages must be a whole number, at least {FEWEST_SUBIMAGES}, got {most!r}; "
            "None takes all"
        )


def _check_buffer(size: int | None, decoder: str) -> None:
    if size is None:
        return
    if not (_is_integer(size) and size >= FEWEST_SUBIMAGES):
        raise ValueError(
            f"buffer_subimages must be a whole number, at least {FEWEST_SUBIMAGES}, got {size!r}; "
            "tens of thousands are usual, and None learns from memory"
        )
    if decoder != "steerable":
        raise ValueError(
            f"buffer_subimages is for decoder='steerable', got {decoder!r}; take max_subimages"
        )


def check_invariances(invariances: Sequence[str]) -> None:
    """Refuse invariances that are unknown or named twice."""
    if isinstance(invariances, str) or not isinstance(invariances, Sequence):
        raise TypeError(
            f"invariances must be a tuple of names, got {invariances!r}; "
            f"choose from {INVARIANCES}, or () for none"
        )
    unknown = [name for name in invariances if name not in INVARIANCES]
    if unknown:
        raise ValueError(
            f"invariances must be among {INVARIANCES}, got {unknown[0]!r}; correct or drop it"
        )
    if len(set(invariances)) < len(invariances):
        raise ValueError(f"invariances must differ, got {tuple(invariances)}; name each once")


def check_priors(parameters: Mapping[str, Any]) -> None:
    """Refuse priors of a pose that has none, or of no width."""
    for name, invariance, widest, unit in (
        ("rotation_prior", "rotation", math.pi, "rad"),
        ("translation_prior", "translation", _WIDEST_PRIOR, "px"),
    ):
        width = parameters[name]
        if width is None:
            continue
        if not _is_real(width) or not 0 < width <= widest:
            raise ValueError(
                f"{name} must be None or a positive width up to {widest:.4g} {unit}, "
                f"got {width!r}; it is the standard deviation about 0"
            )
        if invariance not in parameters["invariances"]:
            raise ValueError(
                f"{name} needs {invariance!r} among the invariances, "
                f"got {tuple(parameters['invariances'])}; add it, or leave the prior out"
            )


def check_symmetry(parameters: Mapping[str, Any]) -> None:
    """Refuse a symmetry of content that is no order, or of a model that can't tell angles by it."""
    order = parameters["rotation_symmetry"]
    if order is None:
        return
    if order != "auto" and not (_is_integer(order) and 1 <= order <= _HIGHEST_ORDER):
        raise ValueError(
            f"rotation_symmetry must be None, 'auto' or a whole number from 1 on, up to "
            f"{_HIGHEST_ORDER}, got {order!r}; 3 gives angles modulo 120 degrees"
        )
    if "rotation" not in parameters["invariances"] or parameters["decoder"] != "steerable":
        raise ValueError(
            f"rotation_symmetry={order!r} needs 'rotation' among the invariances and the steerable "
            f"decoder, got {tuple(parameters['invariances'])} and {parameters['decoder']!r}; leave "
            "it out"
        )


def choose_device(device: str | None) -> torch.device:
    """Device of that name; None is the CPU."""
    if device not in (None, "cpu", "cuda"):
        raise ValueError(f"device must be None, 'cpu' or 'cuda', got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "device='cuda' needs a CUDA device and torch finds none; use 'cpu' or None"
        )
    return torch.device(device or "cpu")


def check_new_subimages(X: Any) -> tuple[np.ndarray, tuple[int, int], int]:
    """Subimages to learn from and their window's shape.

    Parameters
    ----------
    X
        Shape ``(n, h, w)``, ``(n, channels, h, w)`` or, flattened squares, ``(n, h * h)``.

    Returns
    -------
    X, window, channels
        The array, flattened to ``(n, channels * h * w)``, ``(h, w)``, and how many channels.
    """
    X = _numeric("X", X)
    channels = X.shape[1] if X.ndim == 4 else 1
    if X.ndim == 2:
        side = math.isqrt(X.shape[1])
        if side * side != X.shape[1]:
            raise ValueError(
                f"X has rows of {X.shape[1]} pixels, which are no square window; "
                "give windows that are not square as (n, height, width)"
            )
        window = (side, side)
    elif X.ndim in (3, 4) and channels:
        window = (X.shape[-2], X.shape[-1])
    else:
        raise ValueError(_wrong_dimensions(X.shape))
    if min(window) < SMALLEST_WINDOW:
        raise ValueError(
            f"windows must be at least {SMALLEST_WINDOW} px high and wide, got {window}; a window "
            "should hold the nearest neighbours"
        )
    if len(X) < FEWEST_SUBIMAGES:
        raise ValueError(
            f"X must hold at least {FEWEST_SUBIMAGES} subimages to learn from, got {len(X)}; "
            "hundreds are better: take more atoms or frames"
        )
    X = _finite("X", X).reshape(len(X), -1)
    if max(-float(X.min()), float(X.max())) > LARGEST_PIXEL:
        raise ValueError(
            f"pixels must be at most {LARGEST_PIXEL:g}, got {max(X.max(), -X.min()):g}; scale them"
        )
    if (X == X[0]).all() and (X != X[0, 0]).any():
        raise ValueError(
            f"the subimages must differ, got one window {len(X)} times; look at the positions "
            "that they were cut at"
        )
    return X, window, channels


def check_decoder(decoder: str, window: tuple[int, int]) -> None:
    """Refuse windows that a decoder can't take."""
    if decoder == "steerable" and max(window) > LARGEST_STEERABLE:
        raise ValueError(
            f"windows for the steerable decoder must be at most {LARGEST_STEERABLE} px high and "
            f"wide, got {window}; rebin the images, or use decoder='spatial'"
        )


def check_subimages(X: Any, window: tuple[int, int], channels: int) -> np.ndarray:
    """Subimages of a known window, flattened to ``(n, channels * h * w)``."""
    X = _numeric("X", X)
    check_window(X.shape, window, channels)
    return _finite("X", X).reshape(len(X), channels * math.prod(window))


def check_window(shape: tuple[int, ...], window: tuple[int, int], channels: int) -> None:
    """Refuse subimages of another shape than ``(n, channels, *window)``.

    They may be flattened, and a single channel needs no axis.
    """
    if len(shape) not in (2, 3, 4):
        raise ValueError(_wrong_dimensions(shape))
    whole = (channels, *window)
    fitted = window if channels == 1 else whole
    if shape[1:] not in (fitted, whole, (math.prod(whole),)):
        raise ValueError(
            f"X has windows of shape {shape[1:]}, and the model was fitted to {fitted}; "
            "cut windows of that size, or fit a model to these"
        )


def check_latents(Z: Any, names: tuple[str, ...], classes: int = 0) -> np.ndarray:
    """Latents, one row for each subimage, as float32; of so many classes."""
    Z = _numeric("Z", Z)
    if Z.ndim != 2 or Z.shape[1] != len(names):
        raise ValueError(
            f"Z must be of shape (n, {len(names)}), with the columns {', '.join(names)}, "
            f"got {Z.shape}"
        )
    with np.errstate(over="ignore"):
        Z = _finite("Z", Z.astype(np.float32))
    if classes and not np.isin(Z[:, names.index("class")], np.arange(classes)).all():
        raise ValueError(f"the column class of Z must hold whole numbers from 0 to {classes - 1}")
    if "scale" in names and not (Z[:, names.index("scale")] > 0).all():
        smallest = Z[:, names.index("scale")].min()
        raise ValueError(f"scales in Z must be positive, got {smallest:g}; 1 is the usual size")
    return Z


def _numeric(name: str, values: Any) -> np.ndarray:
    if issparse(values):
        raise TypeError(f"{name} must be dense, got a sparse array; give {name}.toarray()")
    values = np.asarray(values)
    if values.dtype.kind == "c":
        raise ValueError(
            f"{name} must hold real numbers, got {values.dtype}. Complex data not supported: "
            "take the modulus"
        )
    if values.dtype.kind not in "buif":
        raise TypeError(f"{name} must hold real numbers, got {values.dtype}; convert it to float")
    return values


def _finite(name: str, values: np.ndarray) -> np.ndarray:
    bad = values.size - np.count_nonzero(np.isfinite(values))
    if bad:
        raise ValueError(
            f"{name} must be finite, got {bad} NaN or infinite values of {values.size}; "
            "drop the rows or fill the values"
        )
    return values


def _wrong_dimensions(shape: tuple[int, ...]) -> str:
    return (
        "X must be of shape (n, height, width), (n, channels, height, width) or "
        f"(n, height * width), got {shape}; reshape it, one subimage to a row"
    )


def _check_count(name: str, value: Any, otherwise: str = "") -> None:
    if not _is_integer(value):
        raise TypeError(f"{name} must be an integer, got {value!r}{otherwise}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}{otherwise}")


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_real(value: Any) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False
