"""How much one program of a kernel computes and moves, counted in Triton's representation of it.

The text of ``ttir`` is walked as program (0, 0, 0) would run it: integers that follow from the
arguments are known, so loops are counted as often as they run. Where a bound is not known (read
from memory), a loop counts once and the result says so.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_TENSOR = re.compile(r"tensor<((?:\d+x)*)(\w+)>")
_ELEMENT = r"(?:!tt\.ptr<(\w+)[^>]*>|(\w+))"
_TYPE = re.compile(rf"tensor<((?:\d+x)+){_ELEMENT}>|(?<=[ (]){_ELEMENT}(?= |,|\)|$)")
_RESULT = re.compile(r"^(%[\w#]+)(?::\d+)? = (.*)$")
_FOR = re.compile(r"scf\.for %(\S+) = (%\S+) to (%\S+) step (%\S+)(?: iter_args\((.*?)\))?")
_BYTES = {"f64": 8, "i64": 8, "f32": 4, "i32": 4, "f16": 2, "bf16": 2, "i16": 2, "i8": 1, "i1": 1}
_SPECIAL = {"exp2", "exp", "log2", "log", "sqrt", "rsqrt", "sin", "cos", "tanh", "erf"}
_VECTOR = {"addf", "subf", "mulf", "maxnumf", "minnumf", "maximumf", "minimumf", "negf"}

_INTEGER: Mapping[str, Callable[[int, int], int]] = {
    "addi": operator.add,
    "subi": operator.sub,
    "muli": operator.mul,
    "divsi": lambda a, b: int(a / b) if b else 0,
    "divui": lambda a, b: a // b if b else 0,
    "remsi": lambda a, b: int(math.fmod(a, b)) if b else 0,
    "remui": lambda a, b: a % b if b else 0,
    "minsi": min,
    "maxsi": max,
    "minui": min,
    "maxui": max,
    "andi": operator.and_,
    "ori": operator.or_,
    "xori": operator.xor,
    "shli": operator.lshift,
    "shrsi": operator.rshift,
    "shrui": operator.rshift,
}
_POINTER = {"tt.splat", "tt.addptr", "tt.broadcast", "tt.expand_dims", "tt.bitcast"} | {
    "tt.reshape",
    "arith.select",
}
_COMPARE: Mapping[str, Callable[[int, int], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "slt": operator.lt,
    "sle": operator.le,
    "sgt": operator.gt,
    "sge": operator.ge,
    "ult": operator.lt,
    "ule": operator.le,
    "ugt": operator.gt,
    "uge": operator.ge,
}


@dataclass
class Tile:
    """What one program does."""

    product_flops: float = 0.0  # before a precision's splitting
    precision: str = "ieee"  # of tl.dot; "fp64" for products of float64
    vector_flops: float = 0.0  # float32
    double_flops: float = 0.0  # float64
    special_functions: float = 0.0
    read: dict[str, float] = field(default_factory=dict)  # argument -> bytes asked for
    written: dict[str, float] = field(default_factory=dict)
    loop_product_flops: float = 0.0  # one turn of the innermost loop that holds a product,
    loop_bytes: float = 0.0  # or, without products, that moves most
    bounds_known: bool = True

    @property
    def n_bytes(self) -> float:
        """Bytes that one program asks for, tails included."""
        return sum(self.read.values()) + sum(self.written.values())


def count_tile(ttir: str, arguments: Mapping[str, Any], grid: Sequence[int] = ()) -> Tile:
    """Return the work of program (0, 0, 0).

    Parameters
    ----------
    ttir : str
        Triton's ``ttir`` text of a kernel, its functions inlined.
    arguments : mapping of str to object
        The launch's arguments by name; integers and booleans are used.
    grid : sequence of int
        How many programs there are along each axis, where it is known.

    Raises
    ------
    ValueError
        If the text holds no kernel, or is cut.
    """
    lines = [re.sub(r" loc\(.*$", "", line).strip() for line in ttir.splitlines()]
    starts = [i for i, line in enumerate(lines) if line.startswith("tt.func public")]
    if not starts:
        raise ValueError("ttir: expected a public function, found none")
    walk = _Walk(lines, arguments, grid)
    walk.run(starts[0] + 1, 1.0)
    return walk.tile


@dataclass
class _Loop:
    """One turn of a loop, while it is walked."""

    product_flops: float = 0.0
    n_bytes: float = 0.0


class _Walk:
    """One walk: what is known of scalars, and which argument each pointer came from."""

    def __init__(
        self, lines: Sequence[str], arguments: Mapping[str, Any], grid: Sequence[int]
    ) -> None:
        self.lines = lines
        self.tile = Tile()
        self.grid = dict(zip("xyz", grid, strict=False))
        self.values: dict[str, int] = {
            f"%{name}": int(value) for name, value in arguments.items() if isinstance(value, int)
        }
        self.roots = {f"%{name}": name for name in arguments}
        self.loops: list[_Loop] = []

    def run(self, at: int, times: float) -> int:
        """Walk a region from its first line, counted so often; return the line that closes it."""
        while not self.lines[at].startswith("}"):
            line = self.lines[at]
            result = _RESULT.match(line)
            name, text = (result[1], result[2]) if result else ("", line)
            if text.startswith("scf.for"):
                at = self.run_loop(name, text, at, times)
            elif text.startswith("scf.if"):
                at = self.run_branches(name, text, at, times)
            elif text.endswith("{") and text.startswith("scf.while"):
                self.tile.bounds_known = False
                at = self.run(self.run(at + 1, times) + 1, times)
            elif text.endswith("({"):  # tt.reduce, tt.scan: their region is of scalars
                while not self.lines[at].startswith("})"):
                    at += 1
                self.count_vector(self.lines[at].partition("->")[0], times)
            else:
                self.operation(name, text, times)
            at += 1
        return at

    def run_loop(self, name: str, text: str, at: int, times: float) -> int:
        """Walk a for loop as often as it runs."""
        found = _FOR.match(text)
        if found is None:
            raise ValueError(f"ttir: expected a for loop, got {text!r}")
        variable, *bounds = found.groups()[:4]
        low, high, step = (self.values.get(bound) for bound in bounds)
        n_turns = 1
        if low is None or high is None or not step:
            self.tile.bounds_known = False
        else:
            n_turns = max(0, -(-(high - low) // step))
        if low is not None:
            self.values[f"%{variable}"] = low
        carried = re.findall(r"(%[\w#]+) = (%[\w#]+)", found[5] or "")
        for number, (inside, initial) in enumerate(carried):
            if initial in self.roots:
                for other in (inside, name, f"{name}#{number}"):
                    self.roots[other] = self.roots[initial]
        self.loops.append(_Loop())
        at = self.run(at + 1, times * n_turns)
        turn = self.loops.pop()
        if self.loops:  # an outer loop's turn holds all turns of the inner one
            self.loops[-1].n_bytes += turn.n_bytes * n_turns
        if (turn.product_flops, turn.n_bytes) > (
            self.tile.loop_product_flops,
            self.tile.loop_bytes,
        ):
            self.tile.loop_product_flops = turn.product_flops
            self.tile.loop_bytes = turn.n_bytes
        return at

    def run_branches(self, name: str, text: str, at: int, times: float) -> int:
        """Walk the branch that is taken; both, where that is not known."""
        condition = self.values.get(text.split()[1])
        at = self.run(at + 1, 0.0 if condition == 0 else times)
        if self.lines[at].startswith("} else {"):
            if condition is None:
                self.tile.bounds_known = False
            at = self.run(at + 1, 0.0 if condition else times)
        return at

    def operation(self, name: str, text: str, times: float) -> None:
        """Count one operation, and learn what it says of scalars and pointers."""
        opcode = text.split(" ", 1)[0]
        dialect, _, kind = opcode.partition(".")
        operands = re.findall(r"%[\w#]+", text)
        if opcode == "tt.dot":
            self.count_product(text, times)
        elif opcode in ("tt.load", "tt.store"):
            self.count_memory(opcode, operands[0], text, times)
        elif dialect == "math" and kind in _SPECIAL:
            self.tile.special_functions += times * _elements(text)[0]
        elif opcode == "math.fma":
            self.count_vector(text, 2 * times)
        elif dialect == "arith" and kind in _VECTOR:
            self.count_vector(text, times)
        elif opcode == "arith.divf":
            self.count_vector(text, times)
            self.tile.special_functions += times * _elements(text)[0]
        elif opcode in _POINTER:
            root = next((self.roots[o] for o in operands if o in self.roots), None)
            if root is not None:
                self.roots[name] = root
        if name and "tensor<" not in text:
            value = self.scalar(opcode, kind, operands, text)
            if value is not None:
                self.values[name] = value

    def scalar(self, opcode: str, kind: str, operands: Sequence[str], text: str) -> int | None:
        """Return what a scalar operation gives, None where it is not known."""
        if opcode == "arith.constant":
            literal = text.split()[1]
            if literal in ("true", "false"):
                return int(literal == "true")
            return int(literal) if re.fullmatch(r"-?\d+", literal) else None
        if opcode == "tt.get_program_id":
            return 0
        if opcode == "tt.get_num_programs":
            return self.grid.get(text.split()[1])
        known = [self.values.get(operand) for operand in operands]
        if opcode == "arith.select" and known[0] is not None:
            return known[1] if known[0] else known[2]
        if not known or any(value is None for value in known):
            return None
        if kind in ("extsi", "extui", "trunci", "index_cast", "index_castui"):
            return known[0]
        if opcode == "arith.cmpi":
            return int(_COMPARE[text.split()[1].rstrip(",")](*known))
        return _INTEGER[kind](*known) if kind in _INTEGER else None

    def count_product(self, text: str, times: float) -> None:
        """Count 2 m n k flops."""
        shapes = [[int(n) for n in sizes.split("x") if n] for sizes, _ in _TENSOR.findall(text)]
        flops = 2.0 * shapes[0][0] * shapes[0][1] * shapes[1][1]
        self.tile.product_flops += times * flops
        if self.loops:
            self.loops[-1].product_flops += flops
        precision = re.search(r"inputPrecision = (\w+)", text)
        self.tile.precision = precision[1] if precision else "ieee"
        if "xf64>" in text:
            self.tile.precision = "fp64"

    def count_memory(self, opcode: str, pointer: str, text: str, times: float) -> None:
        """Count the bytes that a load or a store asks for, tails included."""
        n_elements, kind = _elements(text)
        n_bytes = float(n_elements * _BYTES[kind])
        counted = self.tile.written if opcode == "tt.store" else self.tile.read
        root = self.roots.get(pointer, "")
        counted[root] = counted.get(root, 0.0) + times * n_bytes
        if self.loops and times:
            self.loops[-1].n_bytes += n_bytes

    def count_vector(self, text: str, times: float) -> None:
        """Count floating-point operations on the elements of a tensor."""
        n_elements, kind = _elements(text)
        if kind == "f32":
            self.tile.vector_flops += times * n_elements
        elif kind == "f64":
            self.tile.double_flops += times * n_elements


def _elements(text: str) -> tuple[int, str]:
    """Return how many elements the last type of a text has, and of which type they or it points."""
    found = _TYPE.findall(text.rpartition(": ")[2].join("  "))[-1]
    sizes, element = found[0], "".join(found[1:])
    return math.prod(int(size) for size in sizes.split("x") if size), element
