"""The paper's table, with encoders whose answers can be told beforehand."""

from __future__ import annotations

import hashlib
import json
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pfs_folders as pfs
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from idclip.cli import Command
from idclip.cli_evaluate import evaluate as command
from idclip.cocopfs.captions import evaluation_texts
from idclip.cocopfs.dataset import CocoPFS, PersonEntry
from idclip.errors import UnreadableImage, VidsearchError
from idclip.evaluate import Evaluation, Row, evaluate, mean_face
from idclip.evaluate_published import PUBLISHED
from idclip.evaluate_report import as_json, as_markdown, write_report
from idclip.metrics import InvalidVectors
from idclip.prompts import TOK

DIM = 16
WHO = ["Ann_Lee", "Bob_Ray", "Cy_Ott"]
CAPTIONS = {
    139: ["A man riding a horse.", "Two people and a horse.", "The horse of a woman and a child."],
    285: ["A woman in a kitchen.", "Someone in a kitchen."],
    632: ["A boy on a beach", "The beach of two girls."],
}
WORDS = ["horse", "kitchen", "beach"]
TEXTS = 3 * 7


class Knowing:
    """Knows the scenes' words and compares faces; of names it knows nothing."""

    name = "knowing"
    face_dim = DIM

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.faces: list[NDArray[np.float32]] = []
        self.batches: list[int] = []

    def encode_images(self, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        self.batches.append(len(images))
        vectors = []
        for image in images:
            red, green = image.mean(axis=(0, 1))[:2]
            who, scene = round((red - 30) / 60), round((green - 30) / 60)
            vectors.append(np.concatenate([[0.5], np.eye(3)[scene], pfs.face(WHO[who], DIM)]))
        return unit(vectors)

    def encode_texts(
        self, texts: Sequence[str], people: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        assert len(texts) == len(people)
        self.batches.append(len(texts))
        vectors = []
        for text, faces in zip(texts, people, strict=True):
            assert faces.shape == (text.count(TOK), DIM)
            scene = np.array([word in text for word in WORDS], float)
            face = faces.mean(axis=0) if len(faces) else np.zeros(DIM)
            vectors.append(np.concatenate([[0.5], scene, face]))
        self.texts += texts
        self.faces += people
        return unit(vectors)


class PhotoByPhoto(Knowing):
    """Takes several photos of each person."""

    def encode_photos(
        self, texts: Sequence[str], people: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        assert all(photos.shape[0] == t.count(TOK) for t, photos in zip(texts, people, strict=True))
        self.photos = [*getattr(self, "photos", []), *(p.shape[1] for p in people if len(p))]
        return self.encode_texts(texts, [photos.mean(axis=1) for photos in people])


class Hashing(Knowing):
    """Anything to an arbitrary vector, always the same."""

    name = "hashing"

    def encode_images(self, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        return unit([self.vector(image.tobytes()) for image in images])

    def encode_texts(
        self, texts: Sequence[str], people: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        pairs = zip(texts, people, strict=True)
        return unit([self.vector(text.encode() + faces.tobytes()) for text, faces in pairs])

    @staticmethod
    def vector(content: bytes) -> NDArray[np.float64]:
        seed = int.from_bytes(hashlib.sha256(content).digest()[:8], "big")
        return np.random.default_rng(seed).normal(size=5)


def unit(vectors: Any) -> NDArray[np.float32]:
    array = np.asarray(vectors, np.float64)
    return (array / np.linalg.norm(array, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return pfs.ours(tmp_path / "pfs", {"test": WHO}, CAPTIONS, dim=DIM)


@pytest.fixture
def data(root: Path) -> CocoPFS:
    return CocoPFS(root, "test")


def rows(evaluation: Evaluation) -> dict[tuple[str, str], Row]:
    return {(row.configuration, row.template): row for row in evaluation.rows}


def values(figures: Any) -> dict[str, float]:
    return {name: figure.value for name, figure in figures.items()}


def test_the_whole_table_is_there(data: CocoPFS) -> None:
    found = evaluate(Knowing(), data)
    assert [(row.query, row.configuration, row.template) for row in found.rows] == [
        ("no name", "none", "caption"),
        ("real names", "names", "fixed"),
        ("real names", "names", "averaged"),
        ("[TOK]", "conf1", "fixed"),
        ("[TOK]", "conf1", "averaged"),
        ("[TOK] NAME", "conf2", "fixed"),
        ("[TOK] NAME", "conf2", "averaged"),
        ("NAME [TOK]", "conf3", "fixed"),
        ("NAME [TOK]", "conf3", "averaged"),
        ("An image with [TOK]. NAME", "conf4", "fixed"),
        ("An image with [TOK]. NAME", "conf4", "averaged"),
        ("[TOK]. NAME", "conf5", "fixed"),
        ("[TOK]. NAME", "conf5", "averaged"),
        ("[TOK]. [TOK]", "conf6", "fixed"),
        ("[TOK]. [TOK]", "conf6", "averaged"),
    ]
    assert (found.pictures, found.scenes, found.texts, found.people) == (9, 3, TEXTS, 3)
    assert (found.split, found.face_model, found.data) == ("test", "toy", "f00d")


def test_a_model_that_knows_scenes_and_faces_needs_the_token(data: CocoPFS) -> None:
    found = rows(evaluate(Knowing(), data))
    for configuration in ("conf1", "conf2", "conf3", "conf4", "conf5", "conf6"):
        for template in ("fixed", "averaged"):
            row = found[configuration, template]
            assert values(row.t2i) == {"R@1": 1, "R@5": 1, "R@10": 1, "R@50": 1}
            assert row.i2t["R@1"].value == 1
            assert row.entity is not None
            assert row.entity["kmin-R@1"].value == row.entity["AP"].value == 1
            assert row.entity["paper_mAP@10"].value == pytest.approx(0.3)  # three pictures each
    # Without it the three pictures of a scene tie, and each stands behind the two others.
    for row in (found["none", "caption"], found["names", "fixed"]):
        assert values(row.t2i) == {"R@1": 0, "R@5": 1, "R@10": 1, "R@50": 1}
    assert found["none", "caption"].entity is None
    names = found["names", "averaged"].entity
    assert names is not None
    # Every picture ties: a person's three stand at the places 7, 8 and 9.
    assert names["AP"].value == pytest.approx((1 / 7 + 2 / 8 + 3 / 9) / 3)
    assert names["kmin-R@5"].value == 0


def test_each_identity_is_asked_for_once_wherever_it_comes_first(data: CocoPFS) -> None:
    data.samples = data.samples[2:]  # begins with the last of the three
    row = rows(evaluate(Knowing(), data))["conf1", "fixed"]
    assert row.entity is not None
    assert row.entity["AP"].value == 1


def slow_recalls(
    data: CocoPFS, configuration: str, template: int | None, k: int
) -> tuple[float, float]:
    """Both recalls with the hashing model, one query after the other."""
    model, texts, owner = Hashing(), [], []
    pictures = [model.vector(np.asarray(Image.open(s.image)).tobytes()) for s in data.samples]
    image = unit(pictures).astype(float)
    for row, sample in enumerate(data.samples):
        for caption in sample.captions:
            said = evaluation_texts(
                caption, sample.name, configuration=configuration, template=template
            )
            people = [np.stack([sample.vector] * text.count(TOK)) for text in said]
            texts.append(model.encode_texts(said, people).mean(axis=0))
            owner.append(row)
    text = unit(texts).astype(float)
    t2i = [own in np.argsort(-(image @ one))[:k] for own, one in zip(owner, text, strict=True)]
    i2t = [
        any(owner[found] == row for found in np.argsort(-(text @ one))[:k])
        for row, one in enumerate(image)
    ]
    return float(np.mean(t2i)), float(np.mean(i2t))


@pytest.mark.parametrize("template", [0, 3, 6, 8])
def test_recalls_are_those_of_one_query_after_the_other(data: CocoPFS, template: int) -> None:
    found = rows(evaluate(Hashing(), data, template=template))
    for configuration in ("conf1", "conf2", "conf4", "conf6"):
        for kind, which in (("fixed", template), ("averaged", None)):
            row = found[configuration, kind]
            for k in (1, 5):
                measured = (row.t2i[f"R@{k}"].value, row.i2t[f"R@{k}"].value)
                assert measured == pytest.approx(slow_recalls(data, configuration, which, k))


def test_intervals_hold_their_value_and_repeat(data: CocoPFS) -> None:
    first, again = evaluate(Hashing(), data), evaluate(Hashing(), data)
    assert first == again
    assert evaluate(Hashing(), data, seed=1) != first
    figures = [figure for row in first.rows for figure in row.t2i.values()]
    assert all(0 <= figure.low <= figure.value <= figure.high <= 1 for figure in figures)
    assert any(figure.low < figure.value < figure.high for figure in figures)


def test_faces_are_those_of_the_person_asked_for(data: CocoPFS) -> None:
    model = Knowing()
    evaluate(model, data)
    names = {sample.name: sample.vector for sample in data.samples}
    named = 0
    for text, faces in zip(model.texts, model.faces, strict=True):
        for name, vector in names.items():
            if name in text and len(faces):
                assert (faces == vector).all()
                named += 1
    assert named > 100


def test_reference_photos_are_averaged_when_asked(data: CocoPFS) -> None:
    photos = np.eye(DIM, dtype=np.float32)[:3]
    data.people = {who: PersonEntry(who, photos, np.ones(3, np.float32)) for who in data.people}
    model = Knowing()
    found = evaluate(model, data, photos=2)
    assert found.photos == 2
    face = next(faces for faces in model.faces if len(faces))[0]
    assert face == pytest.approx(np.array([1, 1] + [0] * (DIM - 2)) / np.sqrt(2))


def test_photos_may_be_averaged_after_the_translator(data: CocoPFS) -> None:
    photos = np.eye(DIM, dtype=np.float32)[:3]
    data.people = {who: PersonEntry(who, photos, np.ones(3, np.float32)) for who in data.people}
    model = PhotoByPhoto()
    found = evaluate(model, data, photos=2, mean="after", configurations=["none", "conf1"])
    assert (found.photos, found.mean) == (2, "after")
    assert set(model.photos) == {2}
    assert "averaged after the translator" in as_markdown(found)
    assert [row.configuration for row in found.rows] == ["none", "conf1", "conf1"]
    with pytest.raises(VidsearchError, match="--photos"):
        evaluate(model, data, mean="after")
    with pytest.raises(VidsearchError, match="take the mean before"):
        evaluate(Knowing(), data, photos=2, mean="after")


def test_a_mean_face_is_as_long_as_the_faces() -> None:
    faces = np.array([[3, 0], [0, 5]], np.float32)
    assert np.linalg.norm(mean_face(faces)) == pytest.approx(4)
    assert mean_face(faces) == pytest.approx(4 * np.array([3, 5]) / np.sqrt(34))
    assert mean_face(faces[:1]) == pytest.approx(faces[0])


def test_results_by_size_of_the_face(data: CocoPFS) -> None:
    by_face = rows(evaluate(Knowing(), data))["conf1", "fixed"].by_face
    # the scenes' faces have 20, 70 and 120 px
    assert [(size.face_px, size.pictures) for size in by_face] == [
        ("0-32", 3),
        ("64-100", 3),
        ("100 and more", 3),
    ]
    whole = rows(evaluate(Hashing(), data))["conf1", "fixed"]
    parts = [size.t2i["R@5"].value for size in whole.by_face]
    captions = [9, 6, 6]
    expected = np.average(parts, weights=captions)
    assert whole.t2i["R@5"].value == pytest.approx(expected)


def test_batches_stay_small_and_captions_are_encoded_once(tmp_path: Path) -> None:
    captions = {number: [f"A man with horse {number}."] * 5 for number in range(1, 60)}
    root = pfs.ours(tmp_path / "many", {"test": WHO}, captions, dim=DIM)
    model, told = Hashing(), list[tuple[str, int, int]]()

    class Counting(Hashing):
        def encode_texts(self, texts: Any, people: Any) -> NDArray[np.float32]:
            model.batches.append(len(texts))
            model.texts += texts
            return super().encode_texts(texts, people)

        def encode_images(self, images: Any) -> NDArray[np.float32]:
            model.batches.append(len(images))
            return super().encode_images(images)

    evaluate(Counting(), CocoPFS(root, "test"), progress=lambda *event: told.append(event))
    assert max(model.batches) <= 64 * 11
    assert sum(text in captions[7] for text in model.texts) == 1
    assert told[0] == ("pictures", 64, 177)
    assert [stage for stage, done, of in told if done == of][:3] == [
        "pictures",
        "no name",
        "real names",
    ]


def test_only_the_first_pictures(data: CocoPFS) -> None:
    found = evaluate(Knowing(), data, limit=4)
    assert (found.pictures, found.scenes, found.people) == (4, 2, 3)


def test_a_model_for_other_faces_is_refused(data: CocoPFS) -> None:
    model = Knowing()
    model.face_dim = 512
    with pytest.raises(
        VidsearchError, match=r"knowing takes face vectors of 512 .* holds 16 \(toy"
    ):
        evaluate(model, data)


def test_vectors_that_are_none_are_refused(data: CocoPFS) -> None:
    class Broken(Knowing):
        def encode_images(self, images: Any) -> NDArray[np.float32]:
            return super().encode_images(images) * np.float32("nan")

    with pytest.raises(InvalidVectors, match="row 0 of image is not finite"):
        evaluate(Broken(), data)


def test_a_broken_picture_is_named(data: CocoPFS) -> None:
    data.samples[4].image.write_bytes(b"no picture")
    with pytest.raises(UnreadableImage, match=data.samples[4].image.name):
        evaluate(Knowing(), data)


# --- the report ----------------------------------------------------------------------------------


def test_the_papers_figures_stand_beside_and_say_so(data: CocoPFS) -> None:
    text = as_markdown(evaluate(Knowing(), data))
    lines = text.splitlines()
    sure = "100.0 [100.0, 100.0]"
    own = lines.index(f"| conf1: [TOK] | fixed | {sure} | {sure} | {sure} | {sure} |")
    papers = lines.index(
        "| *paper: conf1: [TOK], + VPT-5* | *fixed* | *43.2* | *71.2* | *80.8* | *96.7* |"
    )
    assert own < papers < lines.index("## Image to text")
    persons = text.split("## Persons")[1].split("## Text to image by")[0]
    assert "| *24.3* | *13.7* | *16.2* | *31.4* |  | *4.2* |" in persons
    assert "no name" not in persons.split("- Percent")[0]
    assert "paper" not in text.split("## Image to text")[1].split("## Persons")[0]
    assert "| conf1: [TOK] | fixed | 0-32 | 3 | 100.0" in text
    assert "not a comparison on the same data" in text
    table = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in table} == {7, 9}


def test_sizes_are_left_out_where_the_data_does_not_say(data: CocoPFS) -> None:
    found = evaluate(Knowing(), data)
    bare = [Row(**{**vars(row), "by_face": ()}) for row in found.rows]
    assert "size of the face" not in as_markdown(Evaluation(**{**vars(found), "rows": tuple(bare)}))


def test_json_holds_everything(data: CocoPFS) -> None:
    told = json.loads(as_json(evaluate(Knowing(), data)))
    assert told["pictures"] == 9
    assert len(told["rows"]) == 15
    assert told["rows"][3]["t2i"]["R@1"] == {"value": 1, "low": 1, "high": 1}
    assert len(told["paper"]) == len(PUBLISHED)


def test_without_matplotlib_the_table_is_still_written(
    data: CocoPFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "idclip.evaluate_plot", None)
    out = tmp_path / "a" / "b"
    with pytest.raises(VidsearchError, match="needs matplotlib"):
        write_report(evaluate(Knowing(), data), out)
    assert sorted(file.name for file in out.iterdir()) == ["evaluation.json", "evaluation.md"]


def test_a_report_that_cannot_be_written_is_named(data: CocoPFS, tmp_path: Path) -> None:
    found = evaluate(Knowing(), data)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(VidsearchError, match=r"file/out: the report cannot be written"):
        write_report(found, tmp_path / "file" / "out")
    (tmp_path / "evaluation.md").mkdir()
    with pytest.raises(VidsearchError, match=r"evaluation\.md: the report cannot be written"):
        write_report(found, tmp_path)
    assert not list(tmp_path.glob(".evaluation*"))


@pytest.mark.slow
def test_a_picture_of_the_table(data: CocoPFS, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written = write_report(evaluate(Hashing(), data), tmp_path)
    assert [file.name for file in written] == [
        "evaluation.json",
        "evaluation.md",
        "evaluation.png",
    ]
    assert len(list(tmp_path.glob("*evaluation*"))) == 3
    with Image.open(written[2]) as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 50


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The checkpoints asked for, and for which faces; each is the knowing model."""
    asked: list[tuple[str, str]] = []

    def load_idclip(path: str, *, face_model: str) -> Knowing:
        asked.append((path, face_model))
        return Knowing()

    module = types.ModuleType("idclip.checkpoints")
    module.load_idclip = load_idclip  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "idclip.checkpoints", module)
    return asked


def run(*arguments: str) -> Any:
    return CliRunner().invoke(Command(commands={"evaluate": command}), ["evaluate", *arguments])


def test_the_command_prints_the_table(root: Path, models: list[tuple[str, str]]) -> None:
    done = run("my.idclip", "--data", str(root), "--json", "--template", "7", "--photos", "1")
    assert done.exit_code == 0, done.output
    assert models == [("my.idclip", "toy")]
    told = json.loads(done.stdout)
    assert told["template"] == "[C1] [ENTITY] [C2]"
    assert told["photos"] == 1
    assert "pictures: 9 of 9" in done.stderr
    assert run("my.idclip", "--data", str(root), "--limit", "3").stdout.startswith("# knowing on")


def test_the_command_names_what_is_wrong(root: Path, models: list[tuple[str, str]]) -> None:
    for arguments, message in (
        (["--data", str(root), "--split", "train"], "no vectors for the split train"),
        (["--data", str(root), "--split", "dev"], 'no split "dev"'),
        (["--data", str(root / "absent")], "does not exist"),
        (["--data", str(root), "--limit", "0"], "--limit"),
        (["--data", str(root), "--configuration", "conf9"], "none, names, conf1"),
        ([], "--data"),
    ):
        done = run("my.idclip", *arguments)
        assert done.exit_code == 2
        assert message in done.output
    assert models == []  # the data is checked before a model is loaded


def test_a_real_model_is_measured(root: Path, tmp_path: Path) -> None:
    """Its weights are random: the table is whole, and every text reached the model."""
    pytest.importorskip("open_clip")
    import small_clips

    from idclip.model import IdCLIP

    small_clips.register(tmp_path / "models")
    model = IdCLIP("small-vit", face_dim=DIM, face_model="toy", prompts=2)
    told = evaluate(model.eval(), CocoPFS(root, "test"))
    assert len(told.rows) == 15
    for row in told.rows:
        assert row.t2i["R@50"].value == 1  # of nine pictures
        assert (row.entity is None) == (row.configuration == "none")
