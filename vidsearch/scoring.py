"""From what each leaf of a question is worth in a picture to one score, by its operators.

Who is in a picture is a probability, what it shows are log odds (`vidsearch.context`), which do not
end at 1, where a score can no longer tell the good from the very good. So a `Value` holds both,
and they are put together as late as possible:

    log odds = IDENTITY * log P'(everybody asked for) + log odds of the context
    score    = odds / (1 + odds)

and the score is P itself where nothing but people was asked for. P' is P at `LENIENT` times the
odds: P is strict, because a name is not to be wrong once among thousands of strangers, but whoever
may be shown at all is most likely the one, and then the context is to decide. Both constants were
chosen on people and scenes that are in no test (`benchmarks/identity_in_context.py`).

- and: probabilities are multiplied; of several contexts the odds of their joint probability count,
  which the one that fits least decides.
- or: the best part counts, so that a shot with both is no better than one with either.
- not: 1 - P of people; of what a picture shows the log odds turned round at `UNWANTED`. Beside
  something that fits, this takes next to nothing from pictures without the unwanted and puts those
  that show it as far down as they fit it. `UNWANTED` is the least at which at
  most one right answer in a hundred is lost (`benchmarks/like_and_not.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np

from vidsearch.question import AllOf, AnyOf, Node, Not
from vidsearch.records import Reals

IDENTITY = 0.8
LENIENT = 500.0
UNWANTED = 1.0  # log odds from which a picture shows too much of what is not wanted
LEAST = 1e-12  # a probability under it is none


def leniently(probability: Reals, times: float = LENIENT) -> Reals:
    """Probabilities at so many times their odds: the same order, nearer to 1."""
    return np.asarray(times * probability / (times * probability + 1 - probability))


@dataclass(frozen=True, eq=False)
class Value:
    """What a part of a question is worth in N pictures; one of the two is there at least.

    `people` [N] is the probability that those asked for are in the shot, and `presence` [N] how
    much of that counts in this part of it, None for all; `fit` [N] the log odds of the context.
    None where nothing was asked of the kind.
    """

    people: Reals | None = None
    fit: Reals | None = None
    presence: Reals | None = None

    @property
    def there(self) -> Reals:
        """The probability of the people in this part, [N]."""
        assert self.people is not None, "nobody was asked for"
        return self.people if self.presence is None else self.people * self.presence

    @property
    def log_odds(self) -> Reals:
        """Both together, [N]."""
        if self.people is None:
            assert self.fit is not None, "a value holds people or a fit"
            return self.fit
        if self.fit is None:
            sure = np.clip(self.there, LEAST, 1 - LEAST)
            return np.asarray(np.log(sure) - np.log1p(-sure))
        known = leniently(np.maximum(self.people, LEAST))
        seen = known if self.presence is None else known * self.presence
        return np.asarray(self.fit + IDENTITY * np.log(np.maximum(seen, LEAST)))

    @property
    def score(self) -> Reals:
        """From 0 to 1, [N]."""
        alone = self.fit is None and self.people is not None
        return self.there if alone else odds(self.log_odds)

    def at(self, place: int) -> Value:
        """The same of one picture."""
        columns = (self.people, self.fit, self.presence)
        return Value(*(None if each is None else each[place : place + 1] for each in columns))


def odds(log_odds: Reals) -> Reals:
    """Log odds as scores from 0 to 1."""
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -700, 700))))


def combined(node: Node, values: Mapping[int, Value]) -> Value | None:
    """The value of a tree; `values` has those of its leaves by their `id`.

    Leaves that `values` lacks count as if they had not been asked for; None where all lack.
    """
    if isinstance(node, Not):
        part = combined(node.part, values)
        return None if part is None else _denied(part)
    if isinstance(node, (AllOf, AnyOf)):
        parts = [value for part in node.parts if (value := combined(part, values)) is not None]
        join = _all if isinstance(node, AllOf) else _any
        return reduce(join, parts) if parts else None
    return values.get(id(node))


def _denied(value: Value) -> Value:
    if value.fit is None and value.people is not None:
        return Value(people=1 - value.there)
    return Value(fit=UNWANTED - value.log_odds)


def _all(a: Value, b: Value) -> Value:
    people = _times(a.people, b.people)
    fit = a.fit if b.fit is None else b.fit if a.fit is None else _both(a.fit, b.fit)
    return Value(people, fit, _times(a.presence, b.presence))


def _times(a: Reals | None, b: Reals | None) -> Reals | None:
    return a if b is None else b if a is None else a * b


def _any(a: Value, b: Value) -> Value:
    if a.fit is None and b.fit is None and a.people is not None and b.people is not None:
        return Value(people=np.maximum(a.there, b.there))
    return Value(fit=np.maximum(a.log_odds, b.log_odds))


def _both(a: Reals, b: Reals) -> Reals:
    """Log odds of the product of two probabilities, exact where these are next to 1."""
    return np.asarray(-np.logaddexp(np.logaddexp(-a, -b), -a - b))
