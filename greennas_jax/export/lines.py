"""Expressions of Python as lines that stand as a formatter would leave them.

What does not fit on a line is broken with one argument on each and a comma behind the last, which
ruff and black keep at any line length from WIDTH on.
"""

from typing import NamedTuple, Union

WIDTH = 88

Expression = Union[str, "Call"]


class Call(NamedTuple):
    """A call, or with no function a list.

    Attributes:
      function: What is called.
      arguments: Each with its keyword, or with the empty string.
    """

    function: str
    arguments: tuple[tuple[str, Expression], ...]


def call(function: str, *arguments: Expression, **keywords: Expression) -> Call:
    """Return a call with positional arguments and keywords."""
    return Call(function, (*(("", value) for value in arguments), *keywords.items()))


def items(values: list[str]) -> Call:
    """Return a list."""
    return call("", *values)


def text(expression: Expression) -> str:
    """Return an expression on one line."""
    if isinstance(expression, str):
        return expression
    inner = ", ".join(
        f"{keyword}={text(value)}" if keyword else text(value)
        for keyword, value in expression.arguments
    )
    opening, closing = _brackets(expression)
    return f"{opening}{inner}{closing}"


def _brackets(expression: Call) -> tuple[str, str]:
    return (f"{expression.function}(", ")") if expression.function else ("[", "]")


def fits(prefix: str, expression: Expression, indent: int = 8) -> bool:
    """Return whether an expression fits on a line behind a prefix."""
    return indent + len(prefix) + len(text(expression)) <= WIDTH


def statement(prefix: str, expression: Expression, indent: int = 8, suffix: str = "") -> list[str]:
    """Return the lines of a prefix and an expression, broken where they are too long.

    Args:
      prefix: What stands in front, such as "x = ".
      expression: The expression.
      indent: Spaces in front of all lines.
      suffix: What stands behind.
    """
    if isinstance(expression, str):
        return [f"{' ' * indent}{prefix}{expression}{suffix}"]
    if not expression.arguments or fits(prefix, f"{text(expression)}{suffix}", indent):
        return [f"{' ' * indent}{prefix}{text(expression)}{suffix}"]
    opening, closing = _brackets(expression)
    found = [f"{' ' * indent}{prefix}{opening}"]
    for keyword, value in expression.arguments:
        found += statement(f"{keyword}=" if keyword else "", value, indent + 4, ",")
    return [*found, f"{' ' * indent}{closing}{suffix}"]
