"""`opencv:FOLDER` and `insightface:FOLDER` run for real, on small networks made here.

What YuNet, SFace, SCRFD and ArcFace themselves are worth is not tested: their weights are not
here. What OpenCV and insightface make of such networks, and what is made of that, is.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("onnx", reason="making small networks needs the package onnx")

import face_networks as networks
import videos
from face_networks import cells_of, face_square

from idclip.errors import ModelUnavailable
from idclip.faces import Face, FaceModel, load_faces, scaled
from vidsearch import Archive

YUNET, SFACE = "face_detection_yunet_2023mar.onnx", "face_recognition_sface_2021dec.onnx"
EXTRA = (
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("insightface") is None, reason="needs the extra insightface"),
)
BACKENDS = ["opencv", pytest.param("insightface", marks=EXTRA)]

Picture = NDArray[np.uint8]
Test = Callable[..., None]
Box = tuple[float, float, float, float]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of networks for each backend."""
    root = tmp_path_factory.mktemp("networks")
    folders = {name: root / name for name in ("opencv", "insightface")}
    for folder in folders.values():
        folder.mkdir()
    networks.save_yunet(folders["opencv"] / YUNET)
    networks.save_sface(folders["opencv"] / SFACE)
    networks.save_scrfd(folders["insightface"] / "det_10g.onnx")
    networks.save_arcface(folders["insightface"] / "w600k_r50.onnx")
    return folders


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(backend: str, folders: dict[str, Path]) -> FaceModel:
    return load_faces(f"{backend}:{folders[backend]}")


def placed(size: tuple[int, int], *squares: tuple[int, int, Picture]) -> Picture:
    """A black picture of (width, height) with squares, their middles at x, y."""
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    for x, y, square in squares:
        half = len(square) // 2
        picture[y - half : y + half, x - half : x + half] = square
    return picture


def around(x: int, y: int, side: int) -> Box:
    return (x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def landmarks_in(box: Box) -> NDArray[np.float64]:
    return np.array(box[:2]) + networks.LANDMARKS * (box[2] - box[0])


def test_a_model_says_who_it_is(model: FaceModel, backend: str, folders: dict[str, Path]) -> None:
    assert model.name == f"{backend}:{folders[backend]}"
    assert model.dim == {"opencv": 128, "insightface": 512}[backend]
    wanted = {"opencv": "SFace Apache-2.0", "insightface": "non-commercial research only"}
    assert wanted[backend] in model.licence


@pytest.mark.parametrize("side", [32, 64, 128])
def test_a_face_of_any_size_is_found_where_it_is(model: FaceModel, side: int) -> None:
    picture = placed((640, 352), (416, 160, face_square(side, 1)))

    (face,) = model.detect(picture, long_side=640)

    box = around(416, 160, side)
    assert face.box == pytest.approx(box, abs=0.01)
    assert face.landmarks.dtype == np.float32
    assert np.abs(face.landmarks - landmarks_in(box)).max() < 0.01
    assert face.score == pytest.approx(1, abs=1e-4)
    assert 0 < face.quality <= 1


@pytest.mark.parametrize("long_side", [2000, 512, 256])
def test_a_smaller_copy_gives_boxes_in_the_picture_s_own_pixels(
    model: FaceModel, long_side: int
) -> None:
    picture = placed((1024, 640), (384, 256, face_square(128, 1)))

    (face,) = model.detect(picture, long_side=long_side)

    assert face.box == pytest.approx(around(384, 256, 128), abs=0.01)
    assert np.abs(face.landmarks - landmarks_in(face.box)).max() < 0.01


def test_a_copy_of_an_odd_size_gives_boxes_as_near_as_the_detector_sees(model: FaceModel) -> None:
    picture = placed((801, 533), (410, 270, face_square(160, 1)))

    face = model.detect(picture, long_side=330)[0]

    step = 801 / 330 * 16  # a stride of the copy, in the picture
    assert face.box == pytest.approx(around(410, 270, 160), abs=step)


@pytest.mark.parametrize(("size", "middle"), [((1000, 70), (976, 40)), ((70, 1000), (40, 976))])
def test_boxes_fit_at_the_far_end_of_long_narrow_pictures(
    model: FaceModel, size: tuple[int, int], middle: tuple[int, int]
) -> None:
    picture = placed(size, (*middle, face_square(32, 1)))

    (face,) = model.detect(picture, long_side=1000)

    assert face.box == pytest.approx(around(*middle, 32), abs=0.01)


def test_several_faces_come_best_first(model: FaceModel) -> None:
    dim = face_square(64, 2)
    dim[..., 0] = 200
    picture = placed((640, 384), (128, 128, dim), (448, 256, face_square(128, 1)))

    faces = model.detect(picture, long_side=640)

    boxes = [face.box for face in faces]
    assert boxes == [
        pytest.approx(around(448, 256, 128), abs=0.01),
        pytest.approx(around(128, 128, 64), abs=0.01),
    ]
    assert faces[0].score > faces[1].score
    assert faces[1].score == pytest.approx(200 / 255, abs=0.01)


def test_quality_is_measured_on_the_picture_and_not_on_the_copy(model: FaceModel) -> None:
    sharp = placed((1024, 1024), (512, 512, face_square(256, 1)))
    small = placed((128, 128), (64, 64, face_square(32, 1)))

    (large_face,) = model.detect(sharp, long_side=128)
    (small_face,) = model.detect(small, long_side=128)

    assert large_face.quality > small_face.quality + 0.05  # measured on the copy, they are equal


def test_the_detector_and_the_recogniser_see_red_as_red(model: FaceModel) -> None:
    red = face_square(128, 3)
    red[..., 2] = 15
    blue = np.ascontiguousarray(red[..., ::-1])

    assert model.detect(placed((512, 384), (256, 192, blue)), long_side=512) == []
    picture = placed((512, 384), (256, 192, red))
    (vector,) = model.embed(picture, model.detect(picture, long_side=512))
    assert vector[:48] @ cells_of(red) > 0.999
    assert vector[:48] @ cells_of(blue) < 0.5


def test_vectors_are_of_unit_length_one_a_face_in_their_order(model: FaceModel) -> None:
    squares = [face_square(64, seed) for seed in range(40)]
    spots = [(96 + 128 * (i % 8), 96 + 128 * (i // 8), s) for i, s in enumerate(squares)]
    picture = placed((1088, 704), *spots)

    faces = model.detect(picture, long_side=1088)
    vectors = model.embed(picture, faces)

    assert vectors.shape == (40, model.dim)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    for face, vector in zip(faces, vectors, strict=True):
        column, row = (int(edge) // 128 for edge in face.box[:2])
        assert vector[:48] @ cells_of(squares[row * 8 + column]) > 0.999


def test_the_vector_is_the_same_on_a_larger_copy_and_from_a_smaller_one(model: FaceModel) -> None:
    picture = placed((512, 512), (256, 256, face_square(128, 4)))
    twice = picture.repeat(2, axis=0).repeat(2, axis=1)

    (face,) = model.detect(picture, long_side=512)
    here = model.embed(picture, [face])[0]

    assert here @ model.embed(twice, [scaled(face, 2.0)])[0] > 0.995
    assert here @ model.embed(twice, model.detect(twice, long_side=256))[0] > 0.995


def test_a_face_cut_off_by_the_edge_is_found_and_embedded(model: FaceModel) -> None:
    square = face_square(128, 5)
    picture = placed((512, 384), (64, 192, square))[:, 12:]

    (face,) = model.detect(picture, long_side=500)

    assert face.box == pytest.approx(around(52, 192, 128), abs=33)
    assert np.linalg.norm(model.embed(picture, [face])) == pytest.approx(1, abs=1e-5)


def test_pictures_without_a_face_give_none(model: FaceModel) -> None:
    for picture in (placed((640, 480)), np.full((480, 640, 3), 255, np.uint8)):
        assert model.detect(picture, long_side=640) == []
        assert model.embed(picture, []).shape == (0, model.dim)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (3000, 2), (33, 31)])
def test_odd_pictures_are_no_trouble(model: FaceModel, shape: tuple[int, int]) -> None:
    assert model.detect(np.zeros((*shape, 3), np.uint8), long_side=320) == []


def test_pictures_that_are_views_into_larger_ones_are_no_trouble(model: FaceModel) -> None:
    whole = placed((704, 416), (352, 224, face_square(128, 1)))
    view = whole[32:, 32:][:, :-32]
    assert not view.flags.c_contiguous

    faces = model.detect(view, long_side=640)

    assert [face.box for face in faces] == [pytest.approx(around(320, 192, 128), abs=0.01)]
    assert model.embed(view, faces)[0][:48] @ cells_of(face_square(128, 1)) > 0.999


def test_landmarks_all_in_one_place_do_no_harm(model: FaceModel) -> None:
    nowhere = Face((0, 0, 1, 1), np.full((5, 2), 7, np.float32), 0.5, 0.0)

    assert np.isfinite(model.embed(placed((64, 64)), [nowhere])).all()


# --- what lies in the folders --------------------------------------------------------------------


@pytest.mark.parametrize("sides", [("h", "w"), (320, 320)])
def test_yunet_may_be_declared_for_any_size(
    tmp_path: Path, folders: dict[str, Path], sides: tuple[Any, Any]
) -> None:
    networks.save_yunet(tmp_path / YUNET, sides=sides)
    networks.save_sface(tmp_path / SFACE)

    (face,) = load_faces(f"opencv:{tmp_path}").detect(
        placed((640, 352), (416, 160, face_square(64, 1))), long_side=640
    )

    assert face.box == pytest.approx(around(416, 160, 64), abs=0.01)


def test_the_zoo_s_int8_copies_are_passed_over(tmp_path: Path, folders: dict[str, Path]) -> None:
    for name in (YUNET, SFACE):
        (tmp_path / name).write_bytes((folders["opencv"] / name).read_bytes())
        (tmp_path / name.replace(".onnx", "_int8.onnx")).write_bytes(b"another network")

    assert load_faces(f"opencv:{tmp_path}").dim == 128


def test_a_yunet_with_other_outputs_is_refused_before_work_begins(
    tmp_path: Path, folders: dict[str, Path]
) -> None:
    """As the file of 2022 has: it loads, and fails at the first picture."""
    networks.save_sface(tmp_path / YUNET)
    networks.save_sface(tmp_path / SFACE)

    with pytest.raises(ModelUnavailable, match=YUNET):
        load_faces(f"opencv:{tmp_path}")


def needs_insightface(test: Test) -> Test:
    for mark in EXTRA:
        test = mark(test)
    return test


@pytest.fixture
def pack(tmp_path: Path, folders: dict[str, Path]) -> Callable[..., Path]:
    """A pack of insightface with files of the given names made by the given functions."""

    def made(**files: Callable[[Path], None]) -> Path:
        for name, make in files.items():
            make(tmp_path / f"{name}.onnx")
        return tmp_path

    return made


@needs_insightface
@pytest.mark.filterwarnings("ignore:`estimate`:FutureWarning")
def test_its_own_model_zoo_takes_the_networks_and_agrees(folders: dict[str, Path]) -> None:
    from insightface.app.common import Face as Theirs
    from insightface.model_zoo import get_model

    folder = folders["insightface"]
    cpu = {"providers": ["CPUExecutionProvider"]}
    detector = get_model(str(folder / "det_10g.onnx"), **cpu)
    network = get_model(str(folder / "w600k_r50.onnx"), **cpu)
    assert (detector.taskname, network.taskname) == ("detection", "recognition")
    picture = placed((640, 640), (352, 288, face_square(128, 6)), (96, 96, face_square(64, 7)))
    bgr = np.ascontiguousarray(picture[..., ::-1])
    rows, points = detector.detect(bgr, input_size=(640, 640))

    model = load_faces(f"insightface:{folder}")
    faces = model.detect(picture, long_side=640)

    assert np.abs(np.array([face.box for face in faces]) - rows[:, :4]).max() < 0.01
    assert np.abs(np.array([face.landmarks for face in faces]) - points).max() < 0.01
    for vector, five in zip(model.embed(picture, faces), points, strict=True):
        theirs = network.get(bgr, Theirs(kps=five))
        assert vector @ theirs / np.linalg.norm(theirs) > 0.999


@needs_insightface
def test_a_detector_of_one_size_finds_the_same(pack: Callable[..., Path]) -> None:
    def fixed(file: Path) -> None:
        networks.save_scrfd(file, sides=(640, 640))

    model = load_faces(f"insightface:{pack(det_10g=fixed, w600k_r50=networks.save_arcface)}")
    picture = placed((1280, 640), (832, 320, face_square(128, 1)))

    for long_side in (1280, 640):
        (face,) = model.detect(picture, long_side=long_side)
        assert face.box == pytest.approx(around(832, 320, 128), abs=0.01)


@needs_insightface
def test_a_network_that_takes_one_face_at_a_time_is_given_one(pack: Callable[..., Path]) -> None:
    def single(file: Path) -> None:
        networks.save_arcface(file, batch=1)

    model = load_faces(f"insightface:{pack(det_500m=networks.save_scrfd, w600k_mbf=single)}")
    squares = [face_square(64, 1), face_square(64, 2)]
    picture = placed((384, 192), (96, 96, squares[0]), (288, 96, squares[1]))
    faces = sorted(model.detect(picture, long_side=384), key=lambda face: face.box)

    for vector, square in zip(model.embed(picture, faces), squares, strict=True):
        assert vector[:48] @ cells_of(square) > 0.999


@needs_insightface
def test_a_pack_may_call_its_files_as_antelopev2_does(pack: Callable[..., Path]) -> None:
    folder = pack(scrfd_10g_bnkps=networks.save_scrfd, glintr100=networks.save_arcface)

    assert load_faces(f"insightface:{folder}").dim == 512


@needs_insightface
def test_a_pack_is_found_by_name(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "buffalo_l").symlink_to(folders["insightface"])
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path))

    for asked in ("insightface:buffalo_l", "insightface"):
        model = load_faces(asked)
        assert (model.name, model.dim) == ("insightface:buffalo_l", 512)


@needs_insightface
def test_a_detector_without_landmarks_is_refused(pack: Callable[..., Path]) -> None:
    def bare(file: Path) -> None:
        networks.save_scrfd(file, points=False)

    with pytest.raises(ModelUnavailable, match=r"det_10g\.onnx.*no landmarks"):
        load_faces(f"insightface:{pack(det_10g=bare, w600k_r50=networks.save_arcface)}")


# --- the product ---------------------------------------------------------------------------------

GUEST, HOST = face_square(64, 11), face_square(64, 11, negative=True)
CUT = 75  # the host's shot is before this frame, the guest's from it


def draw(index: int, size: tuple[int, int]) -> Picture:
    """A scene with the host, then another with the guest, who is elsewhere."""
    if index < CUT:
        return placed(size, (96, 96, HOST))
    picture = placed(size, (224, 96, GUEST))
    picture[160:, :, 1:] = 200
    return picture


def test_somebody_enrolled_from_a_photo_is_found_by_name(
    backend: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    video = videos.encode(
        tmp_path / "show.mkv",
        size=(320, 192),
        rate=Fraction(25),
        n_frames=2 * CUT,
        pix_fmt="yuv444p",
        draw=draw,
    )
    photo = tmp_path / "guest.png"
    guest = GUEST.repeat(2, axis=0).repeat(2, axis=1)
    Image.fromarray(placed((256, 256), (128, 128, guest))).save(photo)
    folder = tmp_path / "archive"

    models = folders[backend]
    command = [sys.executable, "-m", "vidsearch", "index", video, "--archive", folder, "--faces"]
    for said in (models.name, f"./{models.name}"):  # a folder may be given in any form
        asked = [*command, f"{backend}:{said}"]
        done = subprocess.run(
            asked, cwd=models.parent, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
    archive = Archive(folder)  # from another working folder
    archive.enrol("Anna Rossi", [photo])

    (hit,) = archive.query("Anna Rossi").hits
    assert hit.start_s == pytest.approx(CUT / 25, abs=0.001)
    (person,) = hit.people
    assert person.name == "Anna Rossi"
    assert person.reference == "guest.png"
    assert person.probability > 0.9
    assert person.box == pytest.approx((192 / 320, 64 / 192, 256 / 320, 128 / 192), abs=0.02)
