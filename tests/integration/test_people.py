"""People are enrolled from photos and moments of videos; all that can go wrong is told apart."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from idclip.faces import FaceModel, load_faces
from idclip.identity import IdentityScorer
from vidsearch import people
from vidsearch.errors import EnrolmentError, UnknownPerson, UnreadableImage
from vidsearch.gallery import faces_of
from vidsearch.records import Person, Photo

Alike = Callable[[Photo, Photo], float]


@pytest.fixture(scope="module")
def faces() -> FaceModel:
    return load_faces()


@pytest.fixture(scope="module")
def scorer(faces: FaceModel) -> IdentityScorer:
    return IdentityScorer.for_model(faces.name)


@pytest.fixture(scope="module")
def photo_of(example_media: Path) -> Callable[[str], Path]:
    return lambda name: example_media / "people" / f"{name}.jpg"


@pytest.fixture
def enrol(faces: FaceModel, scorer: IdentityScorer) -> Callable[..., Person]:
    def enrolled(name: str, *sources: str | Path, **options: object) -> Person:
        return people.enrol(name, sources, faces, scorer, **options)  # type: ignore[arg-type]

    return enrolled


@pytest.fixture
def obama(photo_of: Callable[[str], Path]) -> Image.Image:
    return Image.open(photo_of("Barack_Obama_1")).convert("RGB")


@pytest.fixture
def team(tmp_path: Path, photo_of: Callable[[str], Path]) -> Path:
    """One photo with Barack Obama on the left and Joe Biden on the right."""
    sides = [Image.open(photo_of(n)).convert("RGB") for n in ("Barack_Obama_2", "Joe_Biden")]
    photo = Image.new("RGB", (sum(side.width for side in sides), 900))
    photo.paste(sides[0], (0, 0))
    photo.paste(sides[1], (sides[0].width, 0))
    photo.save(tmp_path / "team.jpg", quality=95)
    return tmp_path / "team.jpg"


@pytest.fixture
def alike(scorer: IdentityScorer) -> Alike:
    """P(same person) of two reference photos."""

    def probability(one: Photo, other: Photo) -> float:
        pair = Person("", "", (), (one, other), 0.0)
        known = faces_of(pair)
        return float(scorer.pairs(known, known)[0, 1])

    return probability


def test_a_person_has_the_face_its_quality_and_a_shrunk_photo(
    enrol: Callable[..., Person], photo_of: Callable[[str], Path]
) -> None:
    person = enrol("  Barack   Obama ", photo_of("Barack_Obama_1"), aliases=["Obama", "obama"])
    (photo,) = person.photos
    assert person.name == "Barack Obama"
    assert person.aliases == ("Obama",)
    assert photo.name == "Barack_Obama_1.jpg"
    assert np.linalg.norm(photo.vector) == pytest.approx(1, abs=1e-4)
    assert 0 < photo.quality <= 1
    assert photo.cohort_std > 0
    kept = Image.open(io.BytesIO(photo.jpeg))
    assert max(kept.size) == 640
    x0, y0, x1, y1 = photo.box
    assert 0 <= x0 < x1 <= 1
    assert 0 <= y0 < y1 <= 1


def test_the_kept_photo_holds_the_face_where_the_box_says(
    faces: FaceModel, enrol: Callable[..., Person], photo_of: Callable[[str], Path]
) -> None:
    (photo,) = enrol("Joe Biden", photo_of("Joe_Biden")).photos
    kept = np.asarray(Image.open(io.BytesIO(photo.jpeg)))
    (face,) = faces.detect(kept, long_side=640)
    size = np.array([kept.shape[1], kept.shape[0]] * 2)
    assert np.abs(np.array(photo.box) * size - face.box).max() < 20


def test_two_photos_of_one_person_agree(
    enrol: Callable[..., Person], photo_of: Callable[[str], Path]
) -> None:
    person = enrol("Barack Obama", photo_of("Barack_Obama_1"), photo_of("Barack_Obama_2"))
    assert len(person.photos) == 2


def test_photos_that_disagree_are_named(
    enrol: Callable[..., Person], photo_of: Callable[[str], Path]
) -> None:
    wrong = [photo_of(name) for name in ("Barack_Obama_1", "Joe_Biden", "Barack_Obama_2")]
    with pytest.raises(EnrolmentError, match=r"Joe_Biden\.jpg does not look like the others"):
        enrol("Barack Obama", *wrong)
    with pytest.raises(EnrolmentError, match=r"Barack_Obama_1\.jpg and \S*Joe_Biden\.jpg"):
        enrol("Barack Obama", *wrong[:2])
    assert len(enrol("Barack Obama", *wrong, trust=True).photos) == 3


def test_several_faces_are_numbered_in_a_picture_beside_the_photo(
    enrol: Callable[..., Person], alike: Alike, photo_of: Callable[[str], Path], team: Path
) -> None:
    with pytest.raises(EnrolmentError, match=r"it shows 2 faces.*--face N.*team\.faces\.jpg"):
        enrol("Joe Biden", team)
    assert Image.open(team.with_name("team.faces.jpg")).size[0] >= 640
    reference = enrol("Joe Biden", photo_of("Joe_Biden")).photos[0]
    left = enrol("Somebody", team, face=1).photos[0]
    right = enrol("Joe Biden", team, face=2).photos[0]
    assert alike(right, reference) > alike(left, reference)
    with pytest.raises(EnrolmentError, match="there is no face 3: it shows 2 faces"):
        enrol("Joe Biden", team, face=3)


def test_the_number_of_a_face_is_meant_for_the_photos_with_several(
    enrol: Callable[..., Person], photo_of: Callable[[str], Path], team: Path
) -> None:
    solo = photo_of("Joe_Biden")
    assert len(enrol("Joe Biden", solo, team, face=2).photos) == 2
    other = photo_of("Barack_Obama_1")
    with pytest.raises(EnrolmentError, match=r"Biden\.jpg, \S*Obama_1\.jpg: there is no face 2"):
        enrol("Joe Biden", solo, other, face=2, trust=True)


def test_photos_are_named_as_they_were_given(
    enrol: Callable[..., Person],
    team: Path,
    photo_of: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = team.parent
    (folder / "ph").mkdir()
    for name in ("Joe_Biden", "Barack_Obama_1"):
        shutil.copy(photo_of(name), folder / "ph" / f"{name}.jpg")
    shutil.copy(team, folder / "ph" / "team.jpg")
    Image.new("RGB", (400, 400)).save(folder / "ph" / "black.png")
    monkeypatch.chdir(folder)
    joe, barack = "ph/Joe_Biden.jpg", "ph/Barack_Obama_1.jpg"
    for photos, said in (
        (["ph/team.jpg"], "^ph/team.jpg: it shows 2 faces"),
        (["ph/black.png"], "^ph/black.png: no face found"),
        ([joe, joe], f"^{joe}: the same photo twice: it is {joe} of"),
        ([joe, barack], f"^{joe} and {barack} do not look like"),
    ):
        with pytest.raises(EnrolmentError, match=said):
            enrol("Joe Biden", *photos)


def test_people_are_refitted_from_the_photos_that_were_kept(
    enrol: Callable[..., Person],
    faces: FaceModel,
    scorer: IdentityScorer,
    alike: Alike,
    photo_of: Callable[[str], Path],
    team: Path,
) -> None:
    joe = enrol("Joe Biden", photo_of("Joe_Biden"), team, face=2, aliases=["Joe"])
    lost = np.zeros_like(joe.photos[0].vector)  # what another face model would have left
    old = replace(joe, photos=tuple(replace(photo, vector=lost) for photo in joe.photos))
    done = people.refit([old], faces, scorer)
    assert done.lost == ()
    (new,) = done.people
    assert (new.person_id, new.names) == (joe.person_id, joe.names)
    for photo, before in zip(new.photos, joe.photos, strict=True):
        assert (photo.jpeg, photo.box, photo.name) == (before.jpeg, before.box, before.name)
        assert float(photo.vector @ before.vector) > 0.8
        assert alike(photo, before) > 0.9


def test_a_refit_says_whom_it_left_out(
    enrol: Callable[..., Person],
    faces: FaceModel,
    scorer: IdentityScorer,
    photo_of: Callable[[str], Path],
) -> None:
    joe = enrol("Joe Biden", photo_of("Joe_Biden"))
    black = io.BytesIO()
    Image.new("RGB", (300, 300)).save(black, "JPEG")
    faceless = replace(joe, photos=(replace(joe.photos[0], jpeg=black.getvalue()),))
    done = people.refit([faceless], faces, scorer)
    assert done.people == ()
    assert "Joe Biden: no face found any more in Joe_Biden.jpg" in done.lost[0]
    barack = enrol("Barack Obama", photo_of("Barack_Obama_1"), aliases=["Mister"])
    held = replace(joe, aliases=("mister",))
    done = people.refit([held], faces, scorer, enrolled=[barack])
    assert done.people == ()
    assert done.lost == ('Joe Biden: somebody else has the name "mister" here',)
    again = people.refit([replace(joe, person_id="other")], faces, scorer, enrolled=[joe])
    assert [person.person_id for person in again.people] == [joe.person_id]


def test_the_numbered_picture_goes_elsewhere_if_it_cannot_stand_beside_the_photo(
    enrol: Callable[..., Person], team: Path, tmp_path: Path
) -> None:
    (tmp_path / "team.faces.jpg").mkdir()  # root writes anywhere, but not over a folder
    with pytest.raises(EnrolmentError, match=r"team\.faces\.jpg") as told:
        enrol("Joe Biden", team)
    shown = Path(str(told.value).rpartition(" in ")[2])
    assert shown.is_file()
    assert shown.parent != tmp_path
    shutil.rmtree(shown.parent)


def test_people_in_the_background_do_not_make_it_several(
    enrol: Callable[..., Person],
    alike: Alike,
    obama: Image.Image,
    photo_of: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    biden = Image.open(photo_of("Joe_Biden")).convert("RGB").resize((99, 225))
    obama.paste(biden, (10, 10))
    obama.save(tmp_path / "foreground.jpg", quality=95)
    photo = enrol("Barack Obama", tmp_path / "foreground.jpg").photos[0]
    alone = enrol("Barack Obama", photo_of("Barack_Obama_1")).photos[0]
    assert alike(photo, alone) > 0.9


def test_a_photo_without_a_face_is_told(enrol: Callable[..., Person], tmp_path: Path) -> None:
    Image.new("RGB", (400, 300), (90, 120, 60)).save(tmp_path / "grass.png")
    with pytest.raises(EnrolmentError, match=r"grass\.png: no face found"):
        enrol("Anna Rossi", tmp_path / "grass.png")


def test_a_face_too_small_is_told_in_pixels(
    enrol: Callable[..., Person], obama: Image.Image, tmp_path: Path
) -> None:
    obama.resize((72, 90)).save(tmp_path / "tiny.png")
    with pytest.raises(EnrolmentError, match=r"tiny\.png: the face is too small \(\d+ pixels"):
        enrol("Barack Obama", tmp_path / "tiny.png")


def test_a_blurred_face_is_told(
    enrol: Callable[..., Person], obama: Image.Image, tmp_path: Path
) -> None:
    obama.filter(ImageFilter.GaussianBlur(12)).save(tmp_path / "soft.png")
    with pytest.raises(EnrolmentError, match=r"soft\.png: the face is too blurred"):
        enrol("Barack Obama", tmp_path / "soft.png")


def test_a_face_below_the_scorer_s_quality_is_told(
    faces: FaceModel, scorer: IdentityScorer, photo_of: Callable[[str], Path]
) -> None:
    strict = replace(scorer, least_quality=0.999)
    with pytest.raises(
        EnrolmentError, match=r"too dark, hidden or turned away .*\(quality 0\.\d\d"
    ):
        people.enrol("Joe Biden", [photo_of("Joe_Biden")], faces, strict)


def test_a_portrait_that_is_cut_close_is_padded_until_the_face_is_found(
    faces: FaceModel,
    enrol: Callable[..., Person],
    alike: Alike,
    photo_of: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    photo = Image.open(photo_of("Lin-Manuel_Miranda")).convert("RGB")
    close = photo.crop((298, 207, 489, 445)).resize((90, 112))
    close.save(tmp_path / "close.png")
    assert faces.detect(np.asarray(close), long_side=640) == []
    reference = enrol("Lin-Manuel Miranda", photo_of("Lin-Manuel_Miranda")).photos[0]
    assert alike(enrol("Lin-Manuel Miranda", tmp_path / "close.png").photos[0], reference) > 0.9


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("notes.jpg", b"this is no picture", "not a picture"),
        ("empty.jpg", b"", "empty"),
        ("page.html", b"<html></html>", "not a picture"),
        ("iphone.heic", b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "pillow-heif"),
    ],
)
def test_what_is_no_picture_is_told(
    enrol: Callable[..., Person], tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableImage, match=rf"{name}: .*{reason}"):
        enrol("Anna Rossi", tmp_path / name)


def test_a_damaged_picture_is_told(
    enrol: Callable[..., Person], photo_of: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "half.jpg").write_bytes(photo_of("Barack_Obama_1").read_bytes()[:30_000])
    with pytest.raises(UnreadableImage, match=r"half\.jpg: the picture is damaged"):
        enrol("Barack Obama", tmp_path / "half.jpg")


def test_files_that_are_not_there_are_told(enrol: Callable[..., Person], tmp_path: Path) -> None:
    with pytest.raises(EnrolmentError, match="no such file"):
        enrol("Anna Rossi", tmp_path / "absent.jpg")
    with pytest.raises(EnrolmentError, match="is a folder"):
        enrol("Anna Rossi", tmp_path)
    with pytest.raises(EnrolmentError, match="at least one photo"):
        enrol("Anna Rossi")


def test_the_same_photo_twice_is_told(
    enrol: Callable[..., Person], photo_of: Callable[[str], Path], tmp_path: Path
) -> None:
    photo = photo_of("Barack_Obama_1")
    copy = Path(shutil.copy(photo, tmp_path / "copy.jpg"))
    with pytest.raises(EnrolmentError, match=r"copy\.jpg: the same photo twice: .*Obama_1\.jpg"):
        enrol("Barack Obama", photo, copy)
    known = enrol("Barack Obama", photo)
    with pytest.raises(EnrolmentError, match="the same photo twice"):
        enrol("Barack Obama", copy, enrolled=[known], more=True)
    with pytest.raises(EnrolmentError, match="this face is enrolled already, as Barack Obama"):
        enrol("Anna Rossi", copy, enrolled=[known])


def test_a_group_photo_serves_for_each_person_in_it(
    enrol: Callable[..., Person], alike: Alike, team: Path
) -> None:
    left = enrol("Barack Obama", team, face=1)
    right = enrol("Joe Biden", team, face=2, enrolled=[left])
    assert alike(left.photos[0], right.photos[0]) < 0.1


def test_a_name_that_exists_says_how_to_add_photos(
    enrol: Callable[..., Person], photo_of: Callable[[str], Path]
) -> None:
    known = enrol("Barack Obama", photo_of("Barack_Obama_1"), aliases=["Barry"])
    second = photo_of("Barack_Obama_2")
    with pytest.raises(EnrolmentError, match=r"enrolled already \(1 photo\).*--more"):
        enrol("BARACK OBAMA", second, enrolled=[known])
    with pytest.raises(EnrolmentError, match="enrolled already as an alias of Barack Obama"):
        enrol("barry", second, enrolled=[known])
    more = enrol("barack obama", second, enrolled=[known], more=True)
    assert (more.person_id, more.name, len(more.photos)) == (known.person_id, "Barack Obama", 2)
    with pytest.raises(UnknownPerson, match='"Barak Obama" is not enrolled; near names: Barack'):
        enrol("Barak Obama", second, enrolled=[known], more=True)


def test_an_alias_belongs_to_one_person(
    enrol: Callable[..., Person], photo_of: Callable[[str], Path]
) -> None:
    known = enrol("Barack Obama", photo_of("Barack_Obama_1"), aliases=["Mr President"])
    joe = photo_of("Joe_Biden")
    with pytest.raises(EnrolmentError, match='"mr president" is an alias of Barack Obama'):
        enrol("Joe Biden", joe, aliases=["mr president"], enrolled=[known])
    with pytest.raises(EnrolmentError, match="is the name of Barack Obama"):
        enrol("Joe Biden", joe, aliases=["barack obama"], enrolled=[known])


def test_renaming_keeps_photos_and_refuses_others_names(
    enrol: Callable[..., Person], photo_of: Callable[[str], Path]
) -> None:
    barack = enrol("Barack Obama", photo_of("Barack_Obama_1"), aliases=["Barry"])
    joe = enrol("Joe Biden", photo_of("Joe_Biden"))
    renamed = people.renamed(barack, "barry", [barack, joe])
    assert (renamed.name, renamed.aliases) == ("barry", ())
    assert renamed.photos == barack.photos
    with pytest.raises(EnrolmentError, match="enrolled already"):
        people.renamed(barack, "JOE  BIDEN", [barack, joe])
    assert people.renamed(barack, "BARACK OBAMA", [barack, joe]).name == "BARACK OBAMA"
    assert people.find("barry", [joe, barack]) is barack


@pytest.mark.parametrize("name", ["", "  ", "?!", "123", "a\nb", "x" * 101, "\x00"])
def test_names_that_no_question_could_hold_are_refused(
    enrol: Callable[..., Person], photo_of: Callable[[str], Path], name: str
) -> None:
    with pytest.raises(EnrolmentError, match="cannot be a name"):
        enrol(name, photo_of("Barack_Obama_1"))


# --- kinds of pictures -----------------------------------------------------------------------


def saved(image: Image.Image, path: Path, mode: str) -> Path:
    if mode == "I;16":
        wide = np.asarray(image.convert("L")).astype(np.uint16) * 257
        Image.fromarray(wide).save(path)
    elif mode == "RGBA":
        image = image.copy()
        image.putalpha(255)
        image.save(path)
    else:
        image.convert(mode).save(path)
    return path


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGBA", ".png"), ("CMYK", ".jpg"), ("L", ".png"), ("I;16", ".png"), ("P", ".gif"),
     ("RGB", ".webp"), ("RGB", ".avif"), ("RGB", ".tiff"), ("RGB", ".bmp")],
)  # fmt: skip
def test_pictures_of_any_kind_show_the_same_person(
    enrol: Callable[..., Person],
    alike: Alike,
    photo_of: Callable[[str], Path],
    obama: Image.Image,
    tmp_path: Path,
    mode: str,
    suffix: str,
) -> None:
    reference = enrol("Barack Obama", photo_of("Barack_Obama_1")).photos[0]
    other = enrol("Barack Obama", saved(obama, tmp_path / f"photo{suffix}", mode)).photos[0]
    assert alike(other, reference) > 0.9


def test_the_camera_s_orientation_is_applied(
    enrol: Callable[..., Person],
    alike: Alike,
    photo_of: Callable[[str], Path],
    obama: Image.Image,
    tmp_path: Path,
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right to see it upright
    lying = obama.transpose(Image.Transpose.ROTATE_90)
    lying.save(tmp_path / "phone.jpg", exif=exif, quality=95)
    reference = enrol("Barack Obama", photo_of("Barack_Obama_1")).photos[0]
    assert alike(enrol("Barack Obama", tmp_path / "phone.jpg").photos[0], reference) > 0.9


def test_a_small_face_in_a_large_photo_is_kept_with_its_surroundings(
    enrol: Callable[..., Person], obama: Image.Image, tmp_path: Path
) -> None:
    wide = Image.new("RGB", (4000, 2200), (70, 80, 90))
    wide.paste(obama, (2500, 900))
    wide.save(tmp_path / "wide.jpg", quality=95)
    (photo,) = enrol("Barack Obama", tmp_path / "wide.jpg").photos
    kept = Image.open(io.BytesIO(photo.jpeg))
    assert max(kept.size) <= 640
    assert (photo.box[2] - photo.box[0]) * kept.width > 90


# --- moments of videos -----------------------------------------------------------------------


def clip(example_media: Path) -> str:
    return str(example_media / "white-house-poetry.mp4")


@pytest.mark.parametrize("moment", ["00:00:04.2", "4.2", "0:04.2"])
def test_a_moment_of_a_video_is_a_photo(
    enrol: Callable[..., Person],
    example_media: Path,
    photo_of: Callable[[str], Path],
    moment: str,
) -> None:
    person = enrol("Lin-Manuel Miranda", f"{clip(example_media)}@{moment}")
    (photo,) = person.photos
    assert photo.name == "white-house-poetry.mp4@00:00:04.200"
    both = enrol(
        "Lin-Manuel Miranda", photo_of("Lin-Manuel_Miranda"), f"{clip(example_media)}@{moment}"
    )
    assert len(both.photos) == 2


@pytest.mark.parametrize(
    ("moment", "reason"),
    [("00:01:00", "the video ends at 00:00:09"), ("soon", "is not a time"), ("", "is not a time")],
)
def test_a_moment_that_is_none_is_told(
    enrol: Callable[..., Person], example_media: Path, moment: str, reason: str
) -> None:
    with pytest.raises(EnrolmentError, match=reason):
        enrol("Lin-Manuel Miranda", f"{clip(example_media)}@{moment}")


def test_a_video_without_a_moment_says_how_to_name_one(
    enrol: Callable[..., Person], example_media: Path
) -> None:
    with pytest.raises(UnreadableImage, match=r"white-house-poetry\.mp4@00:00:04\.2"):
        enrol("Lin-Manuel Miranda", clip(example_media))


def test_a_file_name_with_an_at_sign_is_a_file(
    enrol: Callable[..., Person], photo_of: Callable[[str], Path], tmp_path: Path
) -> None:
    odd = tmp_path / os.fsdecode(b"me@work\n\xff.jpg")
    shutil.copy(photo_of("Joe_Biden"), odd)
    (photo,) = enrol("Joe Biden", odd).photos
    photo.name.encode()  # printable: it is shown as evidence


def test_enrolment_never_changes_the_person_it_adds_to(
    enrol: Callable[..., Person], photo_of: Callable[[str], Path]
) -> None:
    known = enrol("Barack Obama", photo_of("Barack_Obama_1"))
    before = replace(known)
    enrol("Barack Obama", photo_of("Barack_Obama_2"), enrolled=[known], more=True)
    assert known.photos == before.photos


def test_pictures_are_read_as_upright_rgb(tmp_path: Path) -> None:
    from vidsearch.photos import read

    red: NDArray[np.uint8] = np.zeros((20, 40, 4), np.uint8)
    red[..., 0], red[:, :20, 3] = 255, 255
    Image.fromarray(red).save(tmp_path / "half-clear.png")
    picture = read(tmp_path / "half-clear.png").picture
    assert picture.shape == (20, 40, 3)
    assert tuple(picture[0, 0]) == (255, 0, 0)
    assert tuple(picture[0, 39]) == (128, 128, 128)
