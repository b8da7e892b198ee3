"""What `benchmarks.scale` measured of several archives, as tables and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _growth, _report, scale, scale_growth

PARTS = ("questions", "variants", "archives")
_TOLD_S = 0.5  # of reading indexes, from which it is told
_BUSY = 4  # processes that want one of two cores; a question alone wants both
DATA = (
    "Data: mixtures of the vectors of 2,500 photos of Flickr8k in scenes with near-doubles, faces"
    " mixed from the cohort of the face model, 1,000 shots of 6 s a video, one keyframe a shot, a"
    " face in two shots of three, beside it a stranger's in one of twelve of these, two looks of"
    " one track in eight; no pictures, no figures of people. Made on a machine that others used."
)
ASKED = (
    "`first time`: nobody of it was asked for since the last commit, nor its words but in the kinds"
    " above. Who was is remembered, with the shots they may be in, and so are what the index found"
    " and shots that were read. `new words`: with contexts that nobody asked for yet, others for"
    " each kind, of people who were. All other columns are of questions asked before."
)


def report(folders: Sequence[Path], parts: Sequence[str]) -> str:
    """Write these of `PARTS` of the results of the archives in `folders`; gives the Markdown."""
    measured = sorted((scale.known(each) for each in folders), key=lambda each: each["shots"])
    said = []
    if "questions" in parts:
        said.append(_questions(measured))
    if "variants" in parts:
        compared = [each for each in measured if "variants" in each]
        said += map(_variants, compared[-1:])
    if "archives" in parts:
        panels = scale_growth.panels(measured)
        said.append(_archives(measured, scale_growth.told(panels)))
        file = _report.RESULTS / "scale.png"
        _growth.figure(panels, columns=2).savefig(file, bbox_inches="tight")
    return "\n".join(said)


def recall(found: Sequence[Any], exact: Sequence[Any]) -> float:
    """The share of the shots that comparing everything gives; where scores tie, any of those."""
    if not exact:
        return 1.0 if not found else 0.0
    last = min(hit[2] for hit in exact)
    better = {(hit[0], hit[1]) for hit in exact if hit[2] > last + 1e-9}
    same = len({(hit[0], hit[1]) for hit in exact} & {(hit[0], hit[1]) for hit in found})
    tied = len(exact) - len(better)
    there = len(better & {(hit[0], hit[1]) for hit in found})
    as_good = sum(abs(hit[2] - last) <= 1e-9 for hit in found)
    return max(same, there + min(tied, as_good)) / len(exact)


def _questions(measured: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for each in measured:
        for kind, times in each.get("times", {}).items():
            row = {
                "shots": f"{each['shots']:,}",
                "question": kind,
                "p50 ms": float(np.median(times)),
                "p95 ms": float(np.quantile(times, 0.95)),
                "first time, p50 ms": float(np.median(each["new_times"][kind])),
                "new words, p50 ms": _median(each.get("new_words", {}).get(kind)),
                "core ms, p50": float(np.median(each["cores"][kind])),
                "compared with all, core ms": "",
                "recall@10": "",
                "recall@10, new words": "",
            }
            if kind in each.get("exact_more_words", {}):
                pairs = zip(each["more_answers"][kind], each["exact_more_words"][kind], strict=True)
                row["recall@10, new words"] = float(np.mean([recall(*pair) for pair in pairs]))
            if kind in each.get("exact_contexts", {}):
                pairs = zip(each["answers"][kind], each["exact_contexts"][kind], strict=True)
                row["recall@10"] = float(np.mean([recall(*pair) for pair in pairs]))
            if "exact" in each:
                pairs = zip(each["answers"][kind], each["exact"][kind], strict=True)
                row["recall@10"] = float(np.mean([recall(*pair) for pair in pairs]))
                row["compared with all, core ms"] = float(np.median(each["exact_cores"][kind]))
            rows.append(row)
    notes = [DATA, ASKED]
    for each in measured:
        if each.get("load", 0) > _BUSY:
            notes.append(
                f"{each['shots']:,} shots: {each['load']:.0f} processes wanted the two cores on"
                " average, so the milliseconds that passed say little; `core ms` are what a"
                " question took of all cores together."
            )
        if "new_words" in each:
            notes.append(_altogether(each))
        if "only" in each:
            notes.append(_only_once(each))
        if each.get("warm_s", 0) > _TOLD_S:
            notes.append(
                f"{each['shots']:,} shots: the indexes were read into memory first"
                f" (`Archive.warm`), in {each['warm_s']:.1f} s; a process that has just begun takes"
                f" {each['first_s']:.1f} s for a context. It held {each['peak_reader_gb']:.1f} GB."
            )
        if "busy_times" in each:
            notes.append(beside_a_writer(each))
    load = max(each.get("load", 0.0) for each in measured)
    return _report.write("scale", "Questions to large archives", rows, notes, load=load)


def _altogether(measured: Mapping[str, Any]) -> str:
    """What questions take, of whatever kind."""
    new, before = (
        np.concatenate([np.array(times) for times in measured[name].values()])
        for name in ("new_words", "times")
    )
    told = [
        f"p50 {np.median(each):.1f} and p95 {np.quantile(each, 0.95):.1f} ms"
        for each in (new, before)
    ]
    return (
        f"{measured['shots']:,} shots, all kinds together: {told[0]} of the {len(new)} questions"
        f" with new words, {told[1]} of those asked before."
    )


def beside_a_writer(measured: Mapping[str, Any]) -> str:
    """What questions took while another process wrote, how that ended and what was wrong."""
    shots, wrong = f"{measured['shots']:,} shots", measured["busy_wrong"]
    if measured["busy_exit"]:
        return (
            f"{shots}: THE WRITER FAILED, with status {measured['busy_exit']} after"
            f" {measured['busy_s']:.0f} s: nothing is told of questions beside it."
        )
    quiet, beside = (
        np.concatenate([np.array(times) for times in measured[name].values()])
        for name in ("quiet_times", "busy_times")
    )
    faults = "none failed, none was empty that was not before, and who is in one shot was found"
    if wrong:
        faults = f"{len(wrong)} WERE WRONG, the first: {wrong[0]}"
    return (
        f"{shots}, beside a writer that appends 24 videos, merges all files and ended well, busy"
        f" for {measured['busy_s']:.0f} s: p50 {np.median(beside):.0f} ms and p95"
        f" {np.quantile(beside, 0.95):.0f} ms of {len(beside)} questions, {np.median(quiet):.0f}"
        f" and {np.quantile(quiet, 0.95):.0f} ms before; {faults}."
    )


def _only_once(measured: Mapping[str, Any]) -> str:
    """Where in the answer somebody is who is in one shot, and who is taken for them."""
    at = [n for n, (video, _) in enumerate(measured["only"], 1) if video.endswith(scale.WHERE)]
    others = [p for video, p in measured["only"] if not video.endswith(scale.WHERE)]
    found = f"{measured['shots']:,} shots: who is in one shot of them is "
    found += f"number {at[0]} of the answer" if at else "not found"
    if not others:
        return found + ", and nobody else is taken for them."
    return (
        f"{found}, and in {len(others)} of the first ten shots a stranger is taken for them, with"
        f" P {min(others):.2f} to {max(others):.2f}."
    )


def _median(times: Sequence[float] | None) -> float | str:
    return "" if times is None else float(np.median(times))


def _archives(measured: Sequence[Mapping[str, Any]], growth: str) -> str:
    rows = []
    for each in measured:
        tables = each["table_bytes"]
        rows.append(
            {
                "shots": f"{each['shots']:,}",
                "hours of video": each["shots"] * scale_growth.SHOT_S / 3600,
                "written, shots/s": each["shots"] / max(each["written_s"], 1e-9),
                "last upkeep s": each.get("indexing_s", 0.0),
                "keyframes MB": tables["keyframes.lance"] / 1e6,
                "faces MB": tables["faces.lance"] / 1e6,
                "shots MB": tables["shots.lance"] / 1e6,
                "indexes MB": sum(each["index_bytes"].values()) / 1e6,
                "first answer s": each.get("first_s", ""),
                "memory GB": each.get("peak_reader_gb", ""),
                "memory GB, compared with all": each.get("peak_exact_gb", ""),
                "memory GB, writer": each.get("peak_writer_gb", ""),
            }
        )
    notes = [DATA, growth]
    return _report.write("scale_archives", "Large archives: rows, bytes, memory", rows, notes)


def _variants(measured: Mapping[str, Any]) -> str:
    rows, found = [], measured.get("variants", {})
    if not found:
        return ""
    for kind, each in found.items():
        if kind == "float16":
            continue
        for asked in each["asked"]:
            rows.append(
                {
                    "index": kind,
                    "build core s": each["build_cpu_s"],
                    "MB": each["bytes"] / 1e6 if "bytes" in each else "",
                    "candidates": asked["candidates"],
                    "lists asked": asked["probes"],
                    "p50 ms": asked["p50_ms"],
                    "p95 ms": asked["p95_ms"],
                    "recall@10": asked["recall"],
                }
            )
    half = found["float16"]
    notes = [
        DATA,
        "Candidates of each of 16 contexts, as codes find them, their vectors read as a question"
        " reads them; a list of the graph (hnsw) holds 250,000 vectors, so all of its few are"
        " asked.",
        f"Stored as float16 the vectors take {half['bytes'] / 1e6:.0f} MB, half of float32; the ten"
        f" best by float16 are {100 * half['recall']:.1f} % of the ten best by float32.",
    ]
    n = next(iter(each["rows"] for kind, each in found.items() if kind != "float16"))
    title = f"Kinds of vector index on {n:,} keyframes"
    return _report.write("scale_variants", title, rows, notes)
