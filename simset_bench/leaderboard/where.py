"""`--where`: a condition on columns in the form of Python comparisons, which is never run as Python."""

import ast
from typing import Any

import pandas as pd

from simset_bench.errors import RequestError, did_you_mean

_FORM = "write comparisons such as \"alpha>=1 and allocation=='simset1'\", with and, or, not, in and parentheses"
_COMPARE = {
    ast.Eq: lambda left, right: left == right,
    ast.NotEq: lambda left, right: left != right,
    ast.Lt: lambda left, right: left < right,
    ast.LtE: lambda left, right: left <= right,
    ast.Gt: lambda left, right: left > right,
    ast.GtE: lambda left, right: left >= right,
}


def matching(frame: pd.DataFrame, condition: str) -> pd.Series:
    """Which rows of `frame` fulfil `condition`, as a boolean series.

    `'text' in column` holds where the column's text contains it. A row without a value in a column (a bare base has no
    alpha) fulfils neither a comparison nor its opposite. Raises RequestError for an unknown column, for values that
    cannot be compared, and for anything but columns, numbers, strings, lists, comparisons, and, or, not.
    """
    try:
        tree = ast.parse(condition.strip(), mode="eval").body
        condition_holds = _value(tree, frame)
    except RequestError:
        raise
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise RequestError(f"--where {condition[:80]!r}: cannot be read; {_FORM}") from error
    except (TypeError, OverflowError) as error:
        raise RequestError(f"--where {condition!r}: compares values that cannot be compared; {_FORM}") from error
    if not isinstance(condition_holds, pd.Series) or condition_holds.dtype != "boolean":
        raise RequestError(f"--where {condition!r}: is not a condition; {_FORM}")
    return condition_holds.fillna(False).astype(bool)


def _value(node: ast.expr, frame: pd.DataFrame) -> Any:
    match node:
        case ast.Constant(value=str() | int() | float() | bool() as value):
            return value
        case ast.Name(id=name):
            if name not in frame:
                raise RequestError(f"--where: unknown column {name!r}{did_you_mean(name, frame)}: {', '.join(frame)}")
            return frame[name]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item, frame) for item in items]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return ~_value(operand, frame)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.BoolOp(op=operator, values=parts):
            values = [_value(part, frame) for part in parts]
            result = values[0]
            for other in values[1:]:
                result = (result & other) if isinstance(operator, ast.And) else (result | other)
            return result
        case ast.Compare(left=left, ops=operators, comparators=rights):
            return _compare(left, operators, rights, frame)
        case _:
            raise RequestError(f"--where: {ast.unparse(node)!r} is not allowed; {_FORM}")


def _is_text(value: Any) -> bool:
    return isinstance(value, pd.Series) and pd.api.types.is_string_dtype(value.dtype)


def _compare(left: ast.expr, operators: list[ast.cmpop], rights: list[ast.expr], frame: pd.DataFrame) -> Any:
    result: Any = None
    before = _value(left, frame)
    for operator, right in zip(operators, rights, strict=True):
        after = _value(right, frame)
        if isinstance(operator, ast.In | ast.NotIn):
            column = after if isinstance(before, str) else before
            if isinstance(before, str) and _is_text(after):
                is_in = after.str.contains(before, regex=False).fillna(False).astype(bool)
            elif isinstance(before, pd.Series) and isinstance(after, list):
                is_in = before.isin(after)
            else:
                raise RequestError(f"--where: `in` needs a column and a list, or a text and a column of texts; {_FORM}")
            holds = ((is_in if isinstance(operator, ast.In) else ~is_in) & column.notna()).astype("boolean")
        elif type(operator) in _COMPARE:
            holds = _COMPARE[type(operator)](before, after)
            # Arrow keeps text columns, and its truth values do not combine with those of pandas.
            holds = holds.astype("boolean") if isinstance(holds, pd.Series) else holds
        else:
            raise RequestError(f"--where: `is` is not allowed; {_FORM}")
        result = holds if result is None else result & holds
        before = after
    return result
