"""What can be read from machine code: its loops, and how many instructions of each class they hold.

NVIDIA's is read as ``cuobjdump -sass`` prints it, AMD's as Triton's ``amdgcn`` text. Both become a
list of :class:`Instruction`; loops are found in it as a compiler does, by dominators, since a wait
for an asynchronous copy is a backward branch too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

CLASSES = ("tensor_core", "fma", "special", "global_memory", "shared_memory", "local_memory", "all")


class Instruction(NamedTuple):
    """One instruction: where a branch may go, and whether the next one can follow."""

    opcode: str
    targets: tuple[int, ...] = ()  # positions in the list
    falls_through: bool = True


@dataclass(frozen=True)
class Loop:
    """A natural loop: the positions of its instructions and how deep it lies (1: outermost)."""

    instructions: frozenset[int]
    depth: int


_SASS_LINE = re.compile(
    r"^\s+/\*([0-9a-f]{4,})\*/\s+(?:\{\s*)?(?:@(!?U?P\w+)\s+)?([A-Z][\w.]*)([^;]*);"
)
_SASS_TARGET = re.compile(r"0x([0-9a-f]+)\s*$")
_SASS_ENDS = {"EXIT", "RET", "KILL", "BRX", "JMX", "BPT"}

# The first pattern that fits an opcode names its class. "fma" is the pipe: sums and products too.
_SASS_CLASSES = (
    ("tensor_core", re.compile(r"^(HMMA|HGMMA|IMMA|IGMMA|DMMA|QGMMA|UTC\w*MMA)")),
    ("fma", re.compile(r"^[FDH](FMA|ADD|MUL)")),
    ("special", re.compile(r"^MUFU")),
    ("local_memory", re.compile(r"^(LDL|STL)")),
    (
        "global_memory",
        re.compile(r"^(LDG|STG|LDGSTS|LD|ST|ATOMG|RED|UBLKCP|UTMALDG|UTMASTG)(\.|$)"),
    ),
    ("shared_memory", re.compile(r"^(LDS|STS|LDSM|STSM|ATOMS|LDTM|STTM)(\.|$)")),
)
_AMD_CLASSES = (
    ("tensor_core", re.compile(r"^v_mfma")),
    ("fma", re.compile(r"^v_(pk_)?(fma|fmac|mad|mac|add|sub|subrev|mul)_(f16|f32|f64|legacy)")),
    ("special", re.compile(r"^v_(exp|log|rcp|rsq|sqrt|sin|cos)_")),
    ("local_memory", re.compile(r"^scratch_")),
    ("global_memory", re.compile(r"^(global|buffer|flat)_(load|store|atomic)")),
    ("shared_memory", re.compile(r"^ds_")),
)


def read_sass(text: str) -> list[Instruction]:
    """Return the instructions of a kernel as ``cuobjdump -sass`` prints them."""
    lines = [match for match in map(_SASS_LINE.match, text.splitlines()) if match]
    position = {int(match[1], 16): number for number, match in enumerate(lines)}
    found = []
    for match in lines:
        predicate, opcode, operands = match[2], match[3], match[4]
        base = opcode.split(".")[0]
        targets: tuple[int, ...] = ()
        falls_through = True
        if base in ("BRA", "JMP"):
            target = _SASS_TARGET.search(operands)
            if target is not None and int(target[1], 16) in position:
                targets = (position[int(target[1], 16)],)
            # BRA.U names its uniform predicate as an operand
            falls_through = predicate is not None or re.search(r"\bU?P\d", operands) is not None
        elif base in _SASS_ENDS:
            falls_through = predicate is not None
        found.append(Instruction(opcode, targets, falls_through))
    return found


_AMD_LINE = re.compile(r"^\s+([vsd]s?_\w+|(?:global|buffer|flat|scratch)_\w+)\s*([^;]*)")
_AMD_LABEL = re.compile(r"^(\.?L\w+):")


def read_amdgcn(text: str) -> list[Instruction]:
    """Return the instructions of a kernel in Triton's ``amdgcn`` text."""
    labels: dict[str, int] = {}
    lines = []
    for line in text.splitlines():
        label = _AMD_LABEL.match(line)
        if label:
            labels[label[1]] = len(lines)
        match = _AMD_LINE.match(line)
        if match:
            lines.append((match[1], match[2].strip()))
    found = []
    for opcode, operands in lines:
        is_branch = opcode.startswith(("s_branch", "s_cbranch"))
        targets = (labels[operands],) if is_branch and operands in labels else ()
        falls_through = opcode not in ("s_branch", "s_endpgm", "s_setpc_b64")
        found.append(Instruction(opcode, targets, falls_through))
    return found


def class_of(opcode: str) -> str | None:
    """Return the class of ``CLASSES`` that an opcode counts in, or None."""
    table = _AMD_CLASSES if opcode[0].islower() else _SASS_CLASSES
    return next((name for name, pattern in table if pattern.match(opcode)), None)


def count(code: Sequence[Instruction], positions: Iterator[int] | frozenset[int]) -> dict[str, int]:
    """Return how many instructions of each class lie at some positions."""
    counts = dict.fromkeys(CLASSES, 0)
    for position in positions:
        counts["all"] += 1
        name = class_of(code[position].opcode)
        if name is not None:
            counts[name] += 1
    return counts


def tensor_core_opcodes(code: Sequence[Instruction]) -> list[str]:
    """Return the kinds of tensor-core instruction in a kernel, the most frequent first."""
    kinds = Counter(i.opcode for i in code if class_of(i.opcode) == "tensor_core")
    return [name for name, _ in kinds.most_common()]


def loops(code: Sequence[Instruction]) -> list[Loop]:
    """Return the natural loops of a kernel, those of one header as one."""
    if not code:
        return []
    starts = _block_starts(code)
    ends = [*starts[1:], len(code)]
    number = {start: block for block, start in enumerate(starts)}
    successors: list[list[int]] = []
    for end in ends:
        last = code[end - 1]
        following = [number[target] for target in last.targets]
        if last.falls_through and end < len(code):
            following.append(number[end])
        successors.append(following)
    predecessors: list[list[int]] = [[] for _ in starts]
    for block, following in enumerate(successors):
        for other in following:
            predecessors[other].append(block)
    dominators = _dominators(successors, predecessors)
    bodies: dict[int, set[int]] = {}
    for block, following in enumerate(successors):
        for header in following:
            if block in dominators and header in dominators[block]:
                bodies.setdefault(header, {header}).update(_body(header, block, predecessors))
    return [
        Loop(
            frozenset(i for block in body for i in range(starts[block], ends[block])),
            sum(body <= other for other in bodies.values()),
        )
        for body in bodies.values()
    ]


def inner_loop(code: Sequence[Instruction]) -> Loop | None:
    """Return the loop that decides a kernel's speed, None if there is none.

    It is the innermost that holds tensor-core instructions, of several the one with most of them;
    else the innermost that touches memory or multiplies, of several the longest.
    """
    found = loops(code)

    def n_of(loop: Loop, *names: str) -> int:
        counts = count(code, loop.instructions)
        return sum(counts[name] for name in names)

    for names in (("tensor_core",), ("global_memory", "shared_memory", "fma", "special")):
        holding = [loop for loop in found if n_of(loop, *names)]
        innermost = [
            loop
            for loop in holding
            if not any(other.instructions < loop.instructions for other in holding)
        ]
        if innermost:
            return max(innermost, key=lambda loop: (n_of(loop, names[0]), len(loop.instructions)))
    return None


def _block_starts(code: Sequence[Instruction]) -> list[int]:
    """Return where basic blocks start."""
    starts = {0}
    for position, instruction in enumerate(code):
        starts.update(instruction.targets)
        if (instruction.targets or not instruction.falls_through) and position + 1 < len(code):
            starts.add(position + 1)
    return sorted(starts)


def _dominators(
    successors: Sequence[Sequence[int]], predecessors: Sequence[Sequence[int]]
) -> dict[int, set[int]]:
    """Return block -> the blocks through which every path to it goes; reachable blocks only."""
    order = []
    seen = {0}
    stack = [0]
    while stack:
        block = stack.pop()
        order.append(block)
        for other in successors[block]:
            if other not in seen:
                seen.add(other)
                stack.append(other)
    dominators = {block: set(seen) for block in order}
    dominators[0] = {0}
    changed = True
    while changed:
        changed = False
        for block in order[1:]:
            through = [dominators[other] for other in predecessors[block] if other in seen]
            new = set.intersection(*through) | {block}
            if new != dominators[block]:
                dominators[block] = new
                changed = True
    return dominators


def _body(header: int, tail: int, predecessors: Sequence[Sequence[int]]) -> set[int]:
    """Return the blocks from which a back edge's tail is reached without passing the header."""
    body = {header}
    stack = [tail]
    while stack:
        block = stack.pop()
        if block not in body:
            body.add(block)
            stack.extend(predecessors[block])
    return body
