"""Arithmetic on the fields of an event's data, such as ``input_tokens - cached_input_tokens``.

Parsed against an allow-list with Python's own parser, and never run as Python: names, whole and decimal numbers,
``+ - * /``, parentheses, ``min`` and ``max``. A name may lead into an object, ``usage.cached_tokens``. Nothing else
exists.
"""

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from functools import reduce

LENGTH_MAX = 500
_DEPTH_MAX = 20
_CONTEXT = Context(prec=60, traps=[InvalidOperation, DivisionByZero, Overflow])
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

_Evaluate = Callable[[Mapping[str, Decimal]], Decimal]
_OPERATORS: dict[type[ast.operator], Callable[[Decimal, Decimal], Decimal]] = {
    ast.Add: _CONTEXT.add,
    ast.Sub: _CONTEXT.subtract,
    ast.Mult: _CONTEXT.multiply,
    ast.Div: _CONTEXT.divide,
}
_FUNCTIONS: dict[str, Callable[[Decimal, Decimal], Decimal]] = {"min": min, "max": max}


class BadExpression(ValueError):
    """It cannot be read; the message says where and what is allowed."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression. ``fields`` are the names it uses, in order of appearance."""

    fields: tuple[str, ...]
    _evaluate: _Evaluate
    name: str | None = None
    """The field that it is, where it is no more than one."""

    def evaluate(self, values: Mapping[str, Decimal]) -> Decimal:
        """Its value, to 60 digits. Raises ``ArithmeticError`` for a division by zero."""
        return self._evaluate(values)


def parse(text: str) -> Expression:
    """Read ``text``, or raise ``BadExpression``."""
    if len(text) > LENGTH_MAX:
        raise BadExpression(f"is longer than {LENGTH_MAX} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise BadExpression("is not arithmetic on field names") from None
    fields: dict[str, None] = {}
    evaluate = _build(tree.body, text, fields, depth=0)
    if not fields:
        raise BadExpression("names no field")
    return Expression(tuple(fields), evaluate, _path(tree.body))


def _path(node: ast.expr) -> str | None:
    """The field that the node names: ``a``, or ``a.b`` for b in the object a. None for anything else."""
    if isinstance(node, ast.Name) and _FIELD.match(node.id):
        return node.id
    if isinstance(node, ast.Attribute) and _FIELD.match(node.attr) and not node.attr.startswith("__"):
        outer = _path(node.value)
        return None if outer is None else f"{outer}.{node.attr}"
    return None


def _build(node: ast.expr, text: str, fields: dict[str, None], *, depth: int) -> _Evaluate:
    if depth > _DEPTH_MAX:
        raise BadExpression("is nested too deeply")
    if (name := _path(node)) is not None:
        fields[name] = None
        return lambda values: values[name]
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        source = ast.get_source_segment(text.strip(), node) or ""
        try:
            number = Decimal(source.replace("_", ""))
        except InvalidOperation:
            raise BadExpression(f"has a number that cannot be read: {source}") from None
        return lambda values: number
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        operator = _OPERATORS[type(node.op)]
        left = _build(node.left, text, fields, depth=depth + 1)
        right = _build(node.right, text, fields, depth=depth + 1)
        return lambda values: operator(left(values), right(values))
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _FUNCTIONS
        and node.args
        and not node.keywords
    ):
        function = _FUNCTIONS[node.func.id]
        parts = [_build(argument, text, fields, depth=depth + 1) for argument in node.args]
        return lambda values: reduce(function, [part(values) for part in parts])
    raise BadExpression("allows only field names, numbers, + - * /, parentheses, min and max")
