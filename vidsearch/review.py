"""The doubtful ones: which questions about clusters are worth a person's answer, best first.

A question is worth its doubt, 4 P (1 - P), times the number of faces that its answer decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from idclip.identity import IdentityScorer
from vidsearch import answers
from vidsearch.answers import Change
from vidsearch.clusters import DOUBTFUL, odds_asked
from vidsearch.discover import Cluster, faces_of_clusters, numbers, said_apart
from vidsearch.face_graph import nearest, seen_together
from vidsearch.gallery import mean_faces
from vidsearch.labels import who_is
from vidsearch.records import Member, Person, Rows

_SEEN = 0.4  # quality under which nobody could tell by looking


@dataclass(frozen=True, eq=False)
class Question:
    """Whether cluster `one` is the same person as cluster `other`, or is the enrolled `person`.

    Just one of these two is there. `probability` is that of a yes.
    """

    one: Cluster
    other: Cluster | None
    person: Person | None
    probability: float

    @property
    def decides(self) -> int:
        """How many faces get another cluster or a name by a yes."""
        if self.other is None:
            return len(self.one.tracks)
        if self.other.person is not None:
            return len(self.one.tracks)
        return min(len(self.one.tracks), len(self.other.tracks))

    @property
    def worth(self) -> float:
        """Doubt times faces."""
        return 4 * self.probability * (1 - self.probability) * self.decides

    @property
    def text(self) -> str:
        """The question in words."""
        faces = f"{len(self.one.tracks)} face{'' if len(self.one.tracks) == 1 else 's'}"
        if self.person is not None:
            return f"Is cluster {self.one.number} ({faces}) {self.person.name}?"
        assert self.other is not None
        if self.other.person is not None:
            return (
                f"Is cluster {self.one.number} ({faces}) {self.other.person.name}"
                f" (cluster {self.other.number})?"
            )
        return (
            f"Is cluster {self.one.number} ({faces}) the same person as"
            f" cluster {self.other.number} ({len(self.other.tracks)})?"
        )

    @property
    def key(self) -> tuple[int, int, str]:
        """Tells questions apart."""
        other = self.other.number if self.other else 0
        return self.one.number, other, self.person.person_id if self.person else ""

    @property
    def of(self) -> frozenset[int]:
        """The numbers of the clusters it is about."""
        return frozenset({self.one.number} | ({self.other.number} if self.other else set()))


def questions(
    rows: Rows,
    members: Sequence[Member],
    clusters: Sequence[Cluster],
    enrolled: Sequence[Person],
    scorer: IdentityScorer,
) -> list[Question]:
    """What is in doubt and nobody has answered, the most useful question first."""
    asked = [each for each in clusters if not each.ignored]
    if not asked:
        return []
    faces = faces_of_clusters(rows, scorer, asked)
    found = _of_people(rows, scorer, asked, enrolled)
    even = odds_asked(len(asked))
    never = _told_apart(rows, members)
    edges = nearest(scorer, faces, faces, DOUBTFUL * even, within=True)
    for one, other, odds in zip(
        edges.one.tolist(), edges.other.tolist(), edges.odds.tolist(), strict=True
    ):
        a, b = asked[one], asked[other]
        if min(faces.qualities[one], faces.qualities[other]) < _SEEN:
            continue
        if a.person or (len(a.tracks) > len(b.tracks) and not b.person):
            a, b = b, a  # the nameless one is asked about, or the smaller one
        if frozenset((a.number, b.number)) in never or (a.person and b.person):
            continue
        found.append(Question(a, b, None, odds / (odds + even)))
    return _best_first(found)


def answered(rows: Rows, members: Sequence[Member], question: Question, yes: bool) -> Change:
    """What an answer changes."""
    if question.person is not None:
        if yes:
            return answers.said_to_be(rows, question.one, question.person, {})
        return answers.said_not_to_be(rows, question.one, question.person)
    assert question.other is not None
    if yes:
        return answers.merged(rows, members, question.other, question.one)
    return answers.said_two(rows, question.other, question.one)


def _of_people(
    rows: Rows, scorer: IdentityScorer, clusters: Sequence[Cluster], enrolled: Sequence[Person]
) -> list[Question]:
    """Whether nameless clusters are the enrolled person they look most like."""
    gallery = [person for person in enrolled if person.photos]
    nameless = [each for each in clusters if each.person is None]
    if not gallery or not nameless:
        return []
    same = scorer.pairs(faces_of_clusters(rows, scorer, nameless), mean_faces(gallery, scorer))
    _, not_them = who_is(rows)
    found = []
    for cluster, row in zip(nameless, same.tolist(), strict=True):
        denied = {person for track in cluster.tracks.tolist() for person in not_them.get(track, ())}
        p, person = max(
            (0.0 if who.person_id in denied else value, at)
            for at, (who, value) in enumerate(zip(gallery, row, strict=True))
        )
        if p >= DOUBTFUL:
            found.append(Question(cluster, None, gallery[person], p))
    return found


def _told_apart(rows: Rows, members: Sequence[Member]) -> set[frozenset[int]]:
    """Pairs of clusters that are two people: somebody said so, or one frame shows both."""
    number, _ = numbers(rows, members)
    pairs = [*said_apart(rows, number).tolist(), *seen_together(rows).tolist()]
    return {frozenset((int(number[one]), int(number[other]))) for one, other in pairs}


def _best_first(found: Sequence[Question]) -> list[Question]:
    """By worth; a cluster that may be somebody enrolled is not asked about one of theirs too."""
    asked: set[tuple[int, str]] = set()
    kept = []
    for each in sorted(found, key=lambda q: (-q.worth, q.other is not None, sorted(q.of))):
        sides = [(each.one, each.other), (each.other, each.one)] if each.other else []
        people = [(a.number, b.person.person_id) for a, b in sides if a and b and b.person]
        if each.person is not None:
            people = [(each.one.number, each.person.person_id)]
        if not any(key in asked for key in people):
            kept.append(each)
        asked.update(people)
    return kept
