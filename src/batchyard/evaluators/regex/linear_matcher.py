"""Runs a regular expression in time linear in the text: all ways side by side, one step a character (Pike's VM).

The threads are in the order in which backtracking would try them, so that it finds the same match.
"""

from __future__ import annotations

from typing import NamedTuple

from batchyard.evaluators.regex.syntax import Chars, Edge, Either, Group, InvalidRegex, Node, Repeat, Sequence

MAX_INSTRUCTIONS = 4000  # repetitions are written out; one step costs at most all of them


class Instruction(NamedTuple):
    """`char`: one character of `chars`, then the next; `split`: go on at `one`, then at `other`; `save`: note the
    position in slot `one`; `edge`: go on if the position is one of `kind`; `match`: the end."""

    name: str
    one: int = 0
    other: int = 0
    chars: Chars | None = None
    kind: str = ""


Spans = tuple[int, ...]  # start and end of the match, then of each group; -1 for one that took no part


class LinearMatcher:
    """A compiled expression."""

    def __init__(self, node: Node, groups: int) -> None:
        self.program: list[Instruction] = []
        self.slots = 2 * (groups + 1)
        self._write(node)
        self._add(Instruction("match"))
        self.steps = 0  # over all searches, for those who want to know what they cost

    # -- writing the program --

    def _add(self, instruction: Instruction) -> int:
        if len(self.program) >= MAX_INSTRUCTIONS:
            raise InvalidRegex(f"The regular expression is too large: its repetitions make over {MAX_INSTRUCTIONS}.")
        self.program.append(instruction)
        return len(self.program) - 1

    def _write(self, node: Node) -> None:
        if isinstance(node, Chars):
            self._add(Instruction("char", chars=node))
        elif isinstance(node, Edge):
            self._add(Instruction("edge", kind=node.kind))
        elif isinstance(node, Sequence):
            for part in node.parts:
                self._write(part)
        elif isinstance(node, Group):
            self._add(Instruction("save", 2 * node.number))
            self._write(node.node)
            self._add(Instruction("save", 2 * node.number + 1))
        elif isinstance(node, Either):
            self._write_either(node)
        else:
            self._write_repeat(node)

    def _write_either(self, node: Either) -> None:
        ends = []
        for branch in node.branches[:-1]:
            split = self._add(Instruction("split"))
            self._write(branch)
            ends.append(self._add(Instruction("split")))
            self.program[split] = Instruction("split", split + 1, len(self.program))
        self._write(node.branches[-1])
        for end in ends:
            self.program[end] = Instruction("split", len(self.program), len(self.program))

    def _write_repeat(self, node: Repeat) -> None:
        for _ in range(node.least):
            before = len(self.program)
            self._write(node.node)
            if len(self.program) == before:
                break  # nothing, as often as it may be, is nothing
        if node.most is None:
            split = self._add(Instruction("split"))
            self._write(node.node)
            self._add(Instruction("split", split, split))
            self._set_split(split, node.is_greedy)
            return
        splits = []
        for _ in range(node.most - node.least):
            splits.append(self._add(Instruction("split")))
            self._write(node.node)
        for split in splits:
            self._set_split(split, node.is_greedy)

    def _set_split(self, split: int, is_greedy: bool) -> None:
        inside, after = split + 1, len(self.program)
        self.program[split] = Instruction("split", *((inside, after) if is_greedy else (after, inside)))

    # -- running it --

    def search(self, text: str) -> Spans | None:
        """Returns the leftmost match, as backtracking would find it."""
        found: Spans | None = None
        empty = (-1,) * self.slots
        threads: list[tuple[int, Spans]] = []
        for at in range(len(text) + 1):
            seen: set[int] = set()
            if found is None:
                threads.append((0, (at, *empty[1:])))
            running: list[tuple[int, Spans]] = []
            for address, spans in threads:
                self._follow(address, spans, text, at, seen, running)
            threads = []
            code = ord(text[at]) if at < len(text) else -1
            for address, spans in running:
                instruction = self.program[address]
                if instruction.chars is None:
                    found = (spans[0], at, *spans[2:])
                    break  # what comes after has less right
                if code >= 0 and instruction.chars.matches(code):
                    threads.append((address + 1, spans))
            if not threads and found is not None:
                break
        return found

    def _follow(
        self, address: int, spans: Spans, text: str, at: int, seen: set[int], running: list[tuple[int, Spans]]
    ) -> None:
        """Adds the instructions that take a character, or match, which a thread comes to here, in order."""
        waiting = [(address, spans)]
        while waiting:
            address, spans = waiting.pop()
            if address in seen:
                continue
            seen.add(address)
            self.steps += 1
            instruction = self.program[address]
            if instruction.name == "split":
                waiting.append((instruction.other, spans))
                waiting.append((instruction.one, spans))
            elif instruction.name == "save":
                slot = instruction.one
                waiting.append((address + 1, (*spans[:slot], at, *spans[slot + 1 :])))
            elif instruction.name == "edge":
                if is_edge(instruction.kind, text, at):
                    waiting.append((address + 1, spans))
            else:
                running.append((address, spans))


def is_edge(kind: str, text: str, at: int) -> bool:
    if kind == "^":
        return at == 0
    if kind == "$":
        return at == len(text) or (at == len(text) - 1 and text[at] == "\n")
    before = at > 0 and _is_word(text[at - 1])
    after = at < len(text) and _is_word(text[at])
    return (before != after) == (kind == "b")


def _is_word(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character == "_")
