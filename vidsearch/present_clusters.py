"""Clusters and the questions about them, as people and as programs read them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from vidsearch.present import counted, print_rows
from vidsearch.timecodes import timecode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidsearch.discover import Cluster, Discovery
    from vidsearch.review import Question


def print_clusters(clusters: Sequence[Cluster]) -> None:
    """One line a cluster."""
    print_rows(
        ("cluster>", "faces>", "videos>", "first seen", "who"),
        [
            (
                str(each.number),
                str(len(each.tracks)),
                str(each.videos),
                f"{os.path.basename(each.first_video)}@{timecode(each.first_s)}",
                _who(each),
            )
            for each in clusters
        ],
    )


def _who(cluster: Cluster) -> str:
    if cluster.person is not None:
        return cluster.person.name
    if cluster.likely is not None:
        person, probability = cluster.likely
        return f"likely {person.name} {probability:.2f}"
    return ""


def summary(found: Discovery) -> str:
    """What there is, in a sentence or two."""
    faces = sum(len(each.tracks) for each in found.clusters)
    parts = [
        f"{counted(len(found.clusters), 'cluster')} of {counted(faces, 'face')}",
        f"{counted(found.alone, 'face')} alone",
    ]
    if found.ignored:
        parts.append(f"{counted(found.ignored, 'cluster')} ignored")
    text = f"{', '.join(parts)}; {counted(found.new, 'face')} new"
    if found.lost:
        text += (
            f"\n{counted(found.lost, 'answer')} of faces that no indexed video shows now; they"
            " are kept for when it comes back"
        )
    return text


def cluster_as_json(cluster: Cluster) -> dict[str, Any]:
    """The fixed form of a cluster."""
    likely = cluster.likely
    return {
        "cluster": cluster.number,
        "faces": len(cluster.tracks),
        "videos": cluster.videos,
        "first_video": cluster.first_video,
        "first_s": round(cluster.first_s, 3),
        "name": cluster.person.name if cluster.person else None,
        "likely": {"name": likely[0].name, "probability": round(likely[1], 4)} if likely else None,
    }


def question_as_json(question: Question) -> dict[str, Any]:
    """The fixed form of a question."""
    return {
        "question": question.text,
        "cluster": question.one.number,
        "other": question.other.number if question.other else None,
        "name": question.person.name if question.person else None,
        "probability": round(question.probability, 4),
        "decides": question.decides,
    }
