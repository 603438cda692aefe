"""What a layer option may be, checked without importing a model."""

from fractions import Fraction

from simset_bench.errors import RequestError


def layer_share(layer: str | float, allowed: str = "a block's number, or a fraction below 1, such as 0.75") -> Fraction:
    """The number that a layer option is, exactly: a float would give block 28 for 0.29 of 100 blocks.

    Raises RequestError, with what is `allowed`, where it is none.
    """
    text = str(layer).strip()
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise RequestError(f"--layer {text!r} is not a number: {allowed}") from error


def check_layer_name(layer: str | float) -> None:
    """Raise RequestError for a layer that no model has."""
    if layer_share(layer) < 0:
        raise RequestError(f"--layer {layer} is out of range: blocks are counted from 0")
