"""From the tokens of a question to its tree.

    question = clauses { OR clauses }
    clauses  = clause { AND clause }                 (between brackets AND may be left out)
    clause   = ( people | words | phrase | denial )...
    people   = who { OR who }                        who = person { AND person }
    person   = [ NOT ] ( name | "(" people ")" )
    denial   = NOT ( people | phrase | "(" question ")" | words )

NOT binds closest, then AND, then OR. A clause is one caption with its people: what stands beside a
list of names goes for all of them, so "Anna or Marco in a car" is one of them, in a car. A capital
OR between names beside a capital AND is taken as written: "Anna OR Marco AND beach" is Anna, or
Marco on a beach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from vidsearch.errors import InvalidQuery
from vidsearch.grammar_scene import Piece, in_quotes, scene
from vidsearch.grammar_tokens import Kind, Token, place
from vidsearch.mentions import Known
from vidsearch.names import Word
from vidsearch.question import AllOf, AnyOf, Node, Not, Someone


def tree_of(
    text: str,
    found: Sequence[Word],
    tokens: Sequence[Token],
    punctuation: Sequence[int],
    known: Known,
) -> Node | None:
    """The tree of a question; None where it asks for nothing.

    `found` are its words, `tokens` and `punctuation` what `vidsearch.grammar_tokens.cut` made of
    it, `known` everybody enrolled, by `names.key`. Raises `InvalidQuery` for an operator that has
    nothing beside it.
    """
    parser = _Parser(text, found, tokens, punctuation, known)
    node = parser.any_of()
    if parser.at < len(tokens):
        parser.fail(tokens[parser.at], "has nothing before it")
    return node


def joined(kind: type[AllOf] | type[AnyOf], parts: Sequence[Node]) -> Node:
    """`parts` as one node: nested ones of the same kind taken apart, nobody twice."""
    flat: list[Node] = []
    people: set[str] = set()
    for part in parts:
        for inner in part.parts if isinstance(part, kind) else (part,):
            if isinstance(inner, Someone):
                if inner.person.person_id in people:
                    continue
                people.add(inner.person.person_id)
            flat.append(inner)
    return kind(tuple(flat)) if len(flat) > 1 else flat[0]


def denied(node: Node) -> Node:
    """Not `node`; what is denied twice is meant."""
    return node.part if isinstance(node, Not) else Not(node)


@dataclass(eq=False)
class _Clause:
    """One caption in the making, and who is asked for beside it."""

    start: int
    nodes: list[Node] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)  # words and phrases


@dataclass(eq=False)
class _Parser:
    text: str
    found: Sequence[Word]
    tokens: Sequence[Token]
    punctuation: Sequence[int]
    known: Known
    at: int = 0

    def fail(self, token: Token, fault: str) -> NoReturn:
        said = self.text[token.start : token.end]
        raise InvalidQuery(f'"{said}" at {place(self.text, token.start)} {fault}')

    def kind(self, ahead: int = 0) -> Kind | None:
        at = self.at + ahead
        return self.tokens[at].kind if 0 <= at < len(self.tokens) else None

    def next(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def end(self) -> int:
        """Where what was read ends: at the next token."""
        return self.tokens[self.at].start if self.at < len(self.tokens) else len(self.text)

    # --- clauses ---------------------------------------------------------------------------------

    def any_of(self) -> Node | None:
        parts = [self.all_of()]
        while self.kind() == "or":
            operator = self.next()
            if parts[-1] is None:
                self.fail(operator, "has nothing before it")
            parts.append(self.all_of())
            if parts[-1] is None:
                self.fail(operator, "has nothing after it")
        nodes = [part for part in parts if part is not None]
        return joined(AnyOf, nodes) if nodes else None

    def all_of(self) -> Node | None:
        nodes: list[Node] = []
        while self.kind() not in (None, "close", "or"):
            if self.kind() == "and":
                operator = self.next()
                if not nodes:
                    self.fail(operator, "has nothing before it")
                if self.kind() in (None, "close", "or", "and"):
                    self.fail(operator, "has nothing after it")
            elif self.kind() == "open" and not self.is_people():
                nodes += _node(self.bracket())
            else:
                nodes += self.clause()
        return joined(AllOf, nodes) if nodes else None

    def bracket(self) -> Node | None:
        opened = self.next()
        node = self.any_of()
        if node is None and self.kind() == "close":
            self.fail(opened, "opens brackets that hold nothing")
        self.next()
        return node

    def clause(self) -> list[Node]:
        start = self.tokens[self.at - 1].end if self.at else 0
        clause = _Clause(start)
        while True:
            if self.is_people():
                self.people(clause)
            elif self.kind() == "not":
                if clause.tokens and self.denies_words():
                    break
                self.denial(clause)
            elif self.kind() in ("word", "quote", "lead", "name"):
                self.words(clause)
            else:
                break
        return self.closed(clause)

    def words(self, clause: _Clause) -> None:
        token = self.next()
        clause.tokens.append(token)
        if token.kind == "quote":
            clause.pieces += in_quotes(
                self.text, token.start, token.end, self.found, token.mentions, self.known
            )
            clause.nodes += [Someone(mention.person) for mention in token.mentions]

    def denial(self, clause: _Clause) -> None:
        """NOT before a phrase, a bracket, or words, which leaves the caption."""
        start = self.tokens[self.at].start
        operator, odd = self.denials()
        if self.kind() == "open":
            node = self.bracket()
        elif self.kind() == "quote" or (operator.tight and self.kind() == "word"):
            inner = _Clause(self.tokens[self.at].start)
            self.words(inner)
            node = _all(self.closed(inner))
        elif self.kind() == "word":
            node = _all(self.clause())
        else:
            node = None
            self.fail(operator, "has nothing after it")
        clause.pieces.append(Piece(start, self.tokens[self.at - 1].end))
        clause.nodes += [denied(part) if odd else part for part in _node(node)]

    def denials(self) -> tuple[Token, bool]:
        """The last of one or more NOTs, and whether they are odd in number."""
        number = 0
        while self.kind() == "not":
            operator = self.next()
            number += 1
        return operator, number % 2 == 1

    def denies_words(self) -> bool:
        ahead = 0
        while self.kind(ahead) == "not":
            ahead += 1
        return self.kind(ahead) == "word" and not self.tokens[self.at + ahead - 1].tight

    def closed(self, clause: _Clause) -> list[Node]:
        """The nodes of a clause: its people, its caption, who must not be there."""
        tokens = clause.tokens
        if not tokens:
            return clause.nodes
        start, end, rest = clause.start, self.end(), self.rest(tokens)
        if len(tokens) == 1 and tokens[0].kind == "quote" and _only(tokens[0], clause):
            start, end, rest = tokens[0].start + 1, tokens[0].end - 1, None
        pieces = [p for p in clause.pieces if start <= p.start]
        erased = [Piece(at, at + 1) for at in self.punctuation if start <= at < end]
        inside = [p for p in erased if not any(q.start <= p.start < q.end for q in pieces)]
        pieces = sorted((*pieces, *inside), key=lambda piece: piece.start)
        caption = scene(self.text, start, end, pieces, rest, optional=bool(clause.nodes))
        wanted = [node for node in clause.nodes if not isinstance(node, Not)]
        unwanted = [node for node in clause.nodes if isinstance(node, Not)]
        return [*wanted, *([caption] if caption else []), *unwanted]

    def rest(self, tokens: Sequence[Token]) -> list[str] | None:
        """The folded words of a clause that name nobody."""
        spans = [(token.start, token.end) for token in tokens]
        named = {at for token in tokens for m in token.mentions for at in range(m.first, m.last)}
        return [
            word.folded
            for at, word in enumerate(self.found)
            if at not in named and any(a <= word.start < b for a, b in spans)
        ]

    # --- people ----------------------------------------------------------------------------------

    def is_people(self, ahead: int = 0) -> bool:
        """Whether a person, or a bracket of people only, comes next, denied or not."""
        while self.kind(ahead) in ("not", "lead"):
            ahead += 1
        kind = self.kind(ahead)
        return kind == "name" or (kind == "open" and self.tokens[self.at + ahead].people)

    def people(self, clause: _Clause) -> None:
        """A list of names; a capital OR in it gives way to a capital AND beside it."""
        first = self.at
        after_and = self.kind(-1) == "and" and self.tokens[first - 1].capital
        who = self.who(capital_or=not after_and)
        if self.kind() == "and" and self.tokens[self.at].capital:
            self.at = first
            who = self.who(capital_or=False)
        last = self.tokens[self.at - 1]
        genitive = last.mention is not None and last.mention.genitive
        clause.pieces.append(Piece(self.tokens[first].start, last.end, who, genitive=genitive))
        clause.nodes += who.parts if isinstance(who, AllOf) else [who]

    def who(self, *, capital_or: bool = True) -> Node:
        parts = [self.together()]
        while (
            self.kind() == "or"
            and (capital_or or not self.tokens[self.at].capital)
            and self.is_people(1)
        ):
            self.next()
            parts.append(self.together())
        return joined(AnyOf, parts)

    def together(self) -> Node:
        parts = [self.person()]
        while self.is_people(1) if self.kind() == "and" else self.is_denied_person():
            if self.kind() == "and":
                self.next()
            parts.append(self.person())
        return joined(AllOf, parts)

    def is_denied_person(self) -> bool:
        return self.kind() == "not" and self.is_people()

    def person(self) -> Node:
        while self.kind() == "lead":
            self.next()
        if self.kind() != "not":
            return self.one()
        operator, odd = self.denials()
        node = self.one()
        if not operator.capital:  # "without Anna and Marco" is without either
            parts = [node]
            joins = ("or", "and") if operator.wide else ("or",)
            while self.kind() in joins and not self.tokens[self.at].capital and self.is_one(1):
                self.next()
                parts.append(self.one())
            node = joined(AnyOf, parts)
        return denied(node) if odd else node

    def is_one(self, ahead: int) -> bool:
        return self.kind(ahead) != "not" and self.is_people(ahead)

    def one(self) -> Node:
        while self.kind() == "lead":
            self.next()
        token = self.next()
        if token.kind == "open":
            node = self.who()
            if self.kind() != "close":
                self.fail(token, "opens brackets with more than a list of names in them")
            self.next()
            return node
        if token.mention is None:
            self.fail(token, "stands where a name should")
        return Someone(token.mention.person)


def _only(quote: Token, clause: _Clause) -> bool:
    """Whether a clause is a quoted phrase and nothing beside it."""
    return all(quote.start <= piece.start < quote.end for piece in clause.pieces)


def _node(node: Node | None) -> list[Node]:
    return [] if node is None else [node]


def _all(nodes: Sequence[Node]) -> Node | None:
    return joined(AllOf, nodes) if nodes else None
