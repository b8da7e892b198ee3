"""Questions to archives of up to ten million shots, by indexes and by comparing everything.

    python -m benchmarks.scale make --archive DIR --shots 1000000 [--data DIR] [--index-last]
    python -m benchmarks.scale variants --archive DIR [--kind "rq 3 bits" sq]
    python -m benchmarks.scale ask --archive DIR
    python -m benchmarks.scale exact --archive DIR      (at a million shots: 8 GB of memory)
    python -m benchmarks.scale contexts --archive DIR   (where `exact` takes too much)
    python -m benchmarks.scale busy --archive DIR
    python -m benchmarks.scale report DIR... [--only questions variants]

`make` writes an archive as a job does, eight videos a commit, each of 1,000 shots of 6 s, with all
upkeep (one over 100,000 shots from ready rows in the place of records); it may be stopped and
called again. With `--index-last` indexes are made once, when all rows are there: ten million shots
take far less time and answer alike, but nothing is learned of what writing takes, so `report
--only questions` tells of questions alone.

Vectors are mixtures of those of real photos (Flickr8k) with scenes and near-doubles, faces those of
`tests/large_archive.py`; there are no pictures. `ask` times questions, each asked before, and
`exact` compares everything, so that what the indexes lose is seen; `contexts` does so for contexts
alone, batch by batch. `busy` asks beside a process that appends and merges, and fails where that
process did, a question did, or an answer lost what it had. `variants` compares
indexes on the archive's keyframes alone. All keep what they measured in DIR; `report` puts it
together.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import resource
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO / "tests")]

from large_archive import Maker  # noqa: E402

from idclip.encoders import load_encoder  # noqa: E402
from idclip.faces import load_faces  # noqa: E402
from idclip.identity import IdentityScorer  # noqa: E402
from vidsearch import Archive  # noqa: E402
from vidsearch.context import background_of  # noqa: E402
from vidsearch.filters import chosen, wanted_video  # noqa: E402
from vidsearch.health import size_of  # noqa: E402
from vidsearch.records import EXACT_BELOW  # noqa: E402
from vidsearch.schema import schemas  # noqa: E402
from vidsearch.store import Store  # noqa: E402

DATA = REPO.parent / "shared" / "data"
SHOTS_EACH, GROUP, PHOTOS = 1000, 8, 2500
RECORDS = 100_000  # shots up to which an archive is written from records, as a job writes it
STEPS = ("make", "variants", "ask", "exact", "contexts", "busy", "report")
Times = dict[str, list[float]]
Best = list[tuple[float, str, int]]
Answers = dict[str, list[list[tuple[str, int, float]]]]
NEVER = 10**12  # shots: so many are compared one by one
CONTEXTS = (
    "people sitting in an audience",
    "a man giving a speech outdoors",
    "a dog in the snow",
    "a plane on a runway",
    "a red car in a street",
    "children playing football",
    "a woman cooking in a kitchen",
    "a crowd at night with lights",
    "a boat on a lake",
    "close up of hands",
    "an old church",
    "two men shaking hands",
    "a football stadium",
    "a girl with a guitar",
    "police cars",
    "a climber on a rock",
)
OTHERS = (
    "a family at the beach",
    "an orchestra on a stage",
    "a cat on a sofa",
    "a train in a station",
    "a motorcycle race",
    "women playing tennis",
    "a man repairing a machine",
    "fireworks over a city",
    "fishermen with a net",
    "a face behind glass",
    "a castle on a hill",
    "a couple dancing",
    "runners at the start",
    "a boy with a drum",
    "a fire engine in the rain",
    "a skier in the air",
)
ENDINGS = (" at noon", " at dusk", " in the rain", " from above", " in winter")
SCENES = ("giving a speech", "outdoors", "in a street")
OTHER_SCENES = ("at a desk", "with a microphone", "beside a car")
ONLY_ONCE, WHERE = "Olga Once", "v000001.mp4"  # in one shot of that video, and in no other
PEOPLE = (ONLY_ONCE, "Sam Sometimes", "Otto Often", *(f"Person {n:02d}" for n in range(7)))
Questions = dict[str, tuple[tuple[str, dict[str, Any]], ...]]


def questions_of(
    contexts: Sequence[str], scenes: Sequence[str], endings: Sequence[str] = len(ENDINGS) * ("",)
) -> Questions:
    """Questions of every kind with these words in them, those of some kinds with endings."""
    few = [[text + ending for text in contexts[:8]] for ending in endings]
    return {
        "context": tuple((text, {}) for text in contexts),
        "person": tuple((name, {}) for name in PEOPLE),
        "person in 1 shot": ((ONLY_ONCE, {}), (f"{ONLY_ONCE} {scenes[2]}", {})),
        "person and context": tuple(
            (f"{name} {scenes[n % 3]}", {}) for n, name in enumerate(PEOPLE)
        ),
        "context, not context": tuple((f"{text}, not a woman", {}) for text in few[0]),
        "context, not person": tuple((f"{text}, not Otto Often", {}) for text in few[1]),
        "context, videos": tuple((text, OF_VIDEOS) for text in few[2]),
        "context, date": tuple((text, OF_A_DATE) for text in few[3]),
        "context, no face": tuple((text, {"faces": "0"}) for text in few[4]),
        "person, time": tuple((name, {"since": 600.0, "until": 1800.0}) for name in PEOPLE[1:]),
    }


OF_VIDEOS, OF_A_DATE = {"video": "/videos/0*"}, {"date": "2020-10"}
QUESTIONS = questions_of(CONTEXTS, SCENES)
NEW_WORDS = {
    kind: new
    for kind, new in questions_of(OTHERS, OTHER_SCENES, ENDINGS).items()
    if new[-1] not in QUESTIONS[kind]
}
COMPARED: dict[str, dict[str, Any]] = {
    "context": {},
    "context, videos": OF_VIDEOS,
    "context, date": OF_A_DATE,
}
MORE_WORDS: Questions = {  # enough of them to tell what share of the best is found
    kind: tuple((text + end, wishes) for text in (*CONTEXTS, *OTHERS) for end in ENDINGS[:2])
    for kind, wishes in COMPARED.items()
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("do", choices=STEPS)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--archive", type=Path)
    parser.add_argument("--shots", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop `make` after so many")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--index-last", action="store_true")
    parser.add_argument(
        "--only", nargs="+", help="of what is reported: questions variants archives"
    )
    parser.add_argument("--kind", nargs="+", help="of index, for `variants`; all if none is named")
    options = parser.parse_args()
    if options.do == "make":
        exact_below = NEVER if options.index_last else EXACT_BELOW
        make(options.archive, options.shots, options.minutes, options.data, exact_below)
    elif options.do == "variants":
        from benchmarks import scale_variants

        scale_variants.compare(options.archive, options.data, options.kind or (), directions())
    elif options.do == "report":
        from benchmarks import scale_report

        print(scale_report.report(options.folders, options.only or scale_report.PARTS))
    else:
        {"ask": ask, "exact": exact, "contexts": contexts, "busy": busy}[options.do](
            options.archive
        )


# --- what is kept of each step -------------------------------------------------------------------


def known(archive: Path) -> dict[str, Any]:
    """What was measured on an archive so far."""
    file = archive / "measured.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


def keep(archive: Path, **facts: Any) -> None:
    """Add to what was measured."""
    (archive / "measured.json").write_text(json.dumps(known(archive) | facts, indent=1))


def peak_gb() -> float:
    """The most memory that this process has had, mapped files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


# --- making --------------------------------------------------------------------------------------


def photos(data: Path, cache: Path) -> NDArray[np.float32]:
    """The vectors [N, D] of `PHOTOS` photos of Flickr8k."""
    if cache.exists():
        return np.asarray(np.load(cache), np.float32)
    from PIL import Image

    encoder, found = load_encoder("concept"), []
    with tarfile.open(data / "flickr8k/images.tar") as archive:
        for member in archive:
            stored = archive.extractfile(member)
            if stored is not None and len(found) < PHOTOS:
                picture = Image.open(io.BytesIO(stored.read())).convert("RGB")
                found.append(encoder.encode_images([np.asarray(picture)])[0])
    np.save(cache, np.stack(found))
    return np.stack(found)


def maker(folder: Path, data: Path) -> Maker:
    """What makes the videos of an archive: the same each time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scorer = IdentityScorer.for_model(load_faces().name)
    return Maker(photos(data, folder.parent / "photos.npy"), scorer)


def make(folder: Path, shots: int, minutes: float, data: Path, exact_below: int) -> None:
    """Fill an archive, or go on with it; then bring it up to date as the end of a run does.

    While it is filled, indexes are kept from `exact_below` shots on.
    """
    encoder, model, made_by = load_encoder("concept"), load_faces(), maker(folder, data)
    if not Store.exists(folder):
        Store.create(
            folder,
            encoder=encoder.name,
            encoder_dim=encoder.dim,
            face_model=model.name,
            face_dim=model.dim,
        )
        with Store.open(folder) as store:
            store.put_people(made_by.cast.people)
    measured, began = known(folder), time.monotonic()
    written_s, making_s = measured.get("written_s", 0.0), measured.get("making_s", 0.0)
    with Store.open(folder) as store:
        # Only while rows are written: opened or closed as a small archive, a large one would copy
        # all of its vectors into memory.
        store.exact_below = exact_below
        first = len(store.videos())
        while first * SHOTS_EACH < shots and time.monotonic() - began < 60 * minutes:
            n = min(GROUP, -(-shots // SHOTS_EACH) - first)
            start = time.monotonic()
            write = _group(store, made_by, range(first, first + n), shots)
            made = time.monotonic()
            write()
            making_s += made - start
            written_s += time.monotonic() - made
            first += n
            if first % 80 == 0:
                print(f"{first * SHOTS_EACH:,} shots, {written_s:.0f} s", flush=True)
        store.exact_below = EXACT_BELOW
    facts = {"written_s": written_s, "making_s": making_s, "shots": first * SHOTS_EACH}
    keep(folder, **facts)
    start = time.monotonic()
    whole = first * SHOTS_EACH >= shots
    if whole:
        with Store.open(folder) as store:
            store.optimize(say=print)
    indexing_s = time.monotonic() - start
    if whole and "indexing_s" not in measured:
        facts |= {"indexing_s": indexing_s, "peak_writer_gb": peak_gb()}
    keep(folder, **facts, **sizes(folder))


def _group(store: Store, made_by: Maker, numbers: range, shots: int) -> Callable[[], None]:
    """Makes some videos; what it gives stores them. Of large archives as ready rows."""
    every = shots // 300
    if shots <= RECORDS:
        made = list(made_by.videos(len(numbers), SHOTS_EACH, first=numbers[0], every=every))
        return lambda: store.publish_many(made)
    tables = schemas(store.stamp)
    generations = [time.time_ns() + n for n in range(len(numbers))]
    each = [
        made_by.batches(number, generation, SHOTS_EACH, tables, every)
        for number, generation in zip(numbers, generations, strict=True)
    ]
    videos = [(video, generation) for (video, _), generation in zip(each, generations, strict=True)]

    def rows(name: str) -> Iterator[pa.RecordBatch]:
        return (batches[name] for _, batches in each if name in batches)

    return lambda: store.publish_rows(videos, rows)


def sizes(folder: Path) -> dict[str, Any]:
    """Bytes of the tables, of their indexes, and of one archive."""
    indexes = {p.name: size_of(p / "_indices") for p in folder.glob("*.lance")}
    return {
        "bytes": size_of(folder) - size_of(folder / "cache"),
        "index_bytes": {name: size for name, size in indexes.items() if size},
        "table_bytes": {p.name: size_of(p) - indexes[p.name] for p in folder.glob("*.lance")},
    }


# --- questions -----------------------------------------------------------------------------------


def directions(texts: Sequence[str] = CONTEXTS) -> NDArray[np.float32]:
    """The directions [Q, D] of contexts: the nearest to one are its best."""
    encoder = load_encoder("concept")
    return np.asarray(encoder.encode_texts(list(texts)) - background_of(encoder) / 2)


def _answers(archive: Archive, asked: Questions) -> tuple[Answers, Times]:
    """The answers by kind, and the milliseconds that each takes, asked for the first time."""
    answers: Answers = {kind: [] for kind in asked}
    times: Times = {kind: [] for kind in asked}
    for kind, questions in asked.items():
        for text, wishes in questions:
            began = time.perf_counter()
            hits = archive.query(text, **wishes).hits
            times[kind].append(1e3 * (time.perf_counter() - began))
            answers[kind].append([(hit.video_id, hit.shot, hit.score) for hit in hits])
    return answers, times


def _times(archive: Archive, rounds: int) -> tuple[Times, Times]:
    """Milliseconds of each question of each kind, all kinds in turn; and of all cores together."""
    found, cores = _no_times(), _no_times()
    for _ in range(rounds):
        for kind, questions in QUESTIONS.items():
            for text, wishes in questions:
                began, worked = time.perf_counter(), time.process_time()
                archive.query(text, **wishes)
                found[kind].append(1e3 * (time.perf_counter() - began))
                cores[kind].append(1e3 * (time.process_time() - worked))
    return found, cores


def ask(folder: Path) -> None:
    """Ask by the indexes: answers, times, memory."""
    archive = Archive(folder)
    began = time.monotonic()
    archive.query(CONTEXTS[0])
    first_s = time.monotonic() - began
    warm_s = timed(archive.warm)
    answers, new_times = _answers(archive, QUESTIONS)  # and everything is warm
    times, cores = _times(archive, 2)
    _, new_words = _answers(archive, NEW_WORDS)
    keep(folder, answers=answers, times=times, cores=cores)
    keep(folder, new_times=new_times, new_words=new_words)
    more_answers, _ = _answers(archive, MORE_WORDS)
    keep(folder, more_answers=more_answers)
    only = [(hit.video, hit.people[0].probability) for hit in archive.query(ONLY_ONCE).hits]
    keep(
        folder,
        only=only,
        first_s=first_s,
        warm_s=warm_s,
        peak_reader_gb=peak_gb(),
        load=os.getloadavg()[0],
    )
    for kind, each in times.items():
        words = f"; new words {np.median(new_words[kind]):.1f} ms" if kind in new_words else ""
        took = f"p50 {np.median(each):.1f} ms, cores {np.median(cores[kind]):.1f} ms"
        print(f"{kind:22} {took}{words}")


def exact(folder: Path) -> None:
    """Ask by comparing everything, as an archive without indexes does."""
    archive = Archive(folder, exact_below=NEVER)
    began = time.monotonic()
    archive.query(CONTEXTS[0])
    copies_s = time.monotonic() - began
    (answers, _), (times, cores) = _answers(archive, QUESTIONS), _times(archive, 1)
    keep(folder, exact=answers, exact_times=times, exact_cores=cores)
    keep(folder, copies_s=copies_s, peak_exact_gb=peak_gb())


def contexts(folder: Path) -> None:
    """The ten best shots of each context, of all and of those that filters leave."""
    import lancedb

    videos, left = Archive(folder).videos(), {}
    for kind, asked in COMPARED.items():
        filters = chosen(asked.get("video"), None, None, 0.0, None, asked.get("date"))
        left[kind] = np.array([each.video_id for each in videos if wanted_video(each, filters)])
    words = {"exact_contexts": QUESTIONS, "exact_more_words": MORE_WORDS}
    wanted = {
        (name, kind): directions([text for text, _ in questions[kind]])
        for name, questions in words.items()
        for kind in COMPARED
    }
    best: dict[tuple[str, str], list[Best]] = {key: [[] for _ in of] for key, of in wanted.items()}
    table = lancedb.connect(folder).open_table("keyframes")
    columns = ["video_id", "shot", "vector"]
    for batch in table.search().select(columns).to_batches(batch_size=8192):
        vectors = np.asarray(batch["vector"].flatten(), np.float32).reshape(batch.num_rows, -1)
        of, shots = np.array(batch["video_id"].to_pylist()), batch["shot"].to_pylist()
        inside = {kind: np.flatnonzero(np.isin(of, some)) for kind, some in left.items()}
        for (name, kind), each in wanted.items():
            if not len(inside[kind]):
                continue
            products = each @ vectors[inside[kind]].T
            ten = np.argpartition(-products, min(9, products.shape[1] - 1))[:, :10]
            for found, product, nearest in zip(best[name, kind], products, ten, strict=True):
                rows = inside[kind][nearest].tolist()
                found += [
                    (value, str(of[row]), shots[row])
                    for value, row in zip(product[nearest].tolist(), rows, strict=True)
                ]
                found[:] = sorted(found, reverse=True)[:10]
    for name in words:
        keep(folder, **{name: {kind: _told(best[name, kind]) for kind in COMPARED}})


def _told(best: Sequence[Best]) -> list[list[tuple[str, int, float]]]:
    """The best of each question, as `_answers` tells them."""
    return [[(video, shot, product) for product, video, shot in each] for each in best]


def _append(folder: Path, videos: int, started: Any) -> None:
    made = list(maker(folder, DATA).videos(videos, SHOTS_EACH, first=900_000))
    with Store.open(folder) as store:
        started.set()
        for at in range(0, videos, GROUP):
            store.publish_many(made[at : at + GROUP])
        store.optimize(force=True)
        store.remove_videos([each.video.video_id for each in made])


def busy(folder: Path) -> None:
    """Ask beside a process that appends videos, merges all files and brings indexes up to date.

    Kept are how that process ended and for how long it wrote, and what was wrong with answers.
    """
    archive = Archive(folder)
    _times(archive, 1)
    quiet, _ = _times(archive, 1)
    before, _ = _answers(archive, QUESTIONS)
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    writer = context.Process(target=_append, args=(folder, 24, started))
    writer.start()
    while writer.is_alive() and not started.wait(1):
        pass
    began, beside, wrong = time.monotonic(), _no_times(), []
    while writer.is_alive():
        wrong += _asked_beside(archive, before, beside)
    busy_s = time.monotonic() - began
    writer.join()
    keep(folder, quiet_times=quiet, busy_times=beside, busy_wrong=wrong)
    keep(folder, busy_exit=writer.exitcode, busy_s=busy_s)
    if writer.exitcode or wrong:
        raise SystemExit(f"the writer ended with {writer.exitcode}; wrong answers: {wrong[:10]}")


def _no_times() -> Times:
    return {kind: [] for kind in QUESTIONS}


def _asked_beside(archive: Archive, before: Answers, times: Times) -> list[str]:
    """Ask everything once, and add to the `times`; gives what was wrong, a sentence each."""
    wrong = []
    for kind, questions in QUESTIONS.items():
        for (text, wishes), known in zip(questions, before[kind], strict=True):
            began = time.perf_counter()
            try:
                hits = archive.query(text, **wishes).hits
            except Exception as error:  # whatever it is, it is counted and told, and the rest asked
                wrong.append(f"{text}: {type(error).__name__}: {error}")
                continue
            times[kind].append(1e3 * (time.perf_counter() - began))
            if fault := fault_of(kind, known, [(hit.video_id, hit.shot) for hit in hits]):
                wrong.append(f"{text}: {fault}")
    return wrong


def fault_of(
    kind: str, before: Sequence[tuple[str, int, float]], now: Sequence[tuple[str, int]]
) -> str:
    """What is wrong with an answer while others write; "" if nothing is.

    What is written may come before what there was, but nothing that was found is gone: no answer
    is empty that was not, and who is in one shot of the archive is still shown in it.
    """
    if before and not now:
        return "nothing found"
    first = before[:1]
    if kind == "person in 1 shot" and any(each[:2] not in now for each in first):
        return f"lost {first[0][0]}, shot {first[0][1]}"
    return ""


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
