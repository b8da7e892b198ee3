"""An Id-CLIP is trained: it learns, it can be stopped and goes on, and what is wrong is named."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs torch: pip install "vidsearch[train]"')

import pfs_folders  # noqa: E402
import small_clips  # noqa: E402
from click.testing import CliRunner  # noqa: E402
from PIL import Image  # noqa: E402

from idclip.backbones import Backbone, load_backbone  # noqa: E402
from idclip.checkpoints import Checkpoint, load_idclip  # noqa: E402
from idclip.cli_train import train as command  # noqa: E402
from idclip.cocopfs.dataset import load_image  # noqa: E402
from idclip.cocopfs.layout import BadDataset  # noqa: E402
from idclip.errors import UnreadableImage, VidsearchError  # noqa: E402
from idclip.metrics import ranks, recall  # noqa: E402
from idclip.model import IdCLIP  # noqa: E402
from idclip.train import NotFinite, train  # noqa: E402
from idclip.train_data import draw, load_photos, order, questions  # noqa: E402
from idclip.train_log import Journal  # noqa: E402
from idclip.training_options import InvalidOptions, Options, preset  # noqa: E402

REPO = Path(__file__).resolve().parents[2]
DIM = 16
WORDS = ("dog", "cat", "house", "sun", "tree", "car", "boat", "train")
QUICK = Options("small-vit", prompts=2, epochs=2, batch=8, lr=1e-2, validations=2)


def pfs(root: Path, people: int, scenes: int, dim: int = DIM) -> Path:
    """`people` for training and two for validation in each of `scenes`; no two pictures alike."""
    captions = {
        100 + at: [f"A man beside a {WORDS[at]}.", f"The {WORDS[at]}", f"two {WORDS[at]}s"]
        for at in range(scenes)
    }
    who = {"train": [f"t{n}" for n in range(people)], "validation": ["v0", "v1"]}
    pfs_folders.ours(root, who, captions, dim=dim)
    for file in root.rglob("*.jpg"):
        spots = np.random.default_rng(list(file.name.encode())).integers(0, 256, (6, 6, 3))
        picture = Image.fromarray(spots.astype(np.uint8)).resize((96, 96), Image.Resampling.BICUBIC)
        picture.save(file, quality=95)
    manifest = json.loads((root / "manifest.json").read_text())
    for entry in manifest["people"].values():
        del entry["query_photos"][0]  # looks the other way
    (root / "manifest.json").write_text(json.dumps(manifest))
    return root


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Models as small as these only wait for each other's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    small_clips.register(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pfs(tmp_path_factory.mktemp("pfs"), people=4, scenes=4)


def _frozen() -> Backbone:
    """The backbone that `QUICK` trains on: random weights come from the seed."""
    torch.manual_seed(QUICK.seed)
    return load_backbone("small-vit")


def _weights(checkpoint: Path) -> bytes:
    return (checkpoint / "weights.safetensors").read_bytes()


def _events(out: Path, event: str) -> list[dict]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def _found(model: IdCLIP, root: Path) -> float:
    """R@1 of the first caption of each training picture."""
    photos = load_photos([root], "train")
    asked = questions(photos, 1)
    images = model.encode_images([load_image(photo.sample) for photo in photos.photos])
    texts = model.encode_texts([q.text for q in asked], [q.face[None] for q in asked])
    return float(recall(ranks(images, texts, np.array([q.row for q in asked])).text, 1).mean())


# --- it learns -----------------------------------------------------------------------------------


def test_a_small_vit_learns_with_visual_prompts(models: Path, tmp_path: Path) -> None:
    root = pfs(tmp_path / "pfs", people=24, scenes=1)
    options = Options("small-vit", prompts=4, epochs=80, batch=24, lr=1e-2, validations=1)
    train(options, [root], tmp_path / "run")
    losses = [line["loss"] for line in _events(tmp_path / "run", "step")]
    assert losses[-1] < losses[0] - 1
    trained = load_idclip(tmp_path / "run" / "last", backbone=_frozen())
    assert trained.prompts == 4
    assert _found(trained, root) >= 5 / 24  # five times as often as by chance


@pytest.mark.slow
def test_the_compact_model_learns_32_photos_by_heart(tmp_path: Path, example_media: Path) -> None:
    root = pfs(tmp_path / "pfs", people=4, scenes=8, dim=128)
    photos = sorted((example_media / "people").glob("*.jpg"))
    for file in root.rglob("*.jpg"):  # no two cuts of the photos alike
        draw = np.random.default_rng(list(file.name.encode()))
        with Image.open(photos[draw.integers(len(photos))]) as photo:
            side = int(min(photo.size) * draw.uniform(0.25, 0.6))
            x, y = draw.integers(photo.width - side), draw.integers(photo.height - side)
            photo.crop((x, y, x + side, y + side)).resize((260, 260)).save(file)
    options = Options(unlock="head", epochs=30, batch=32, lr=1e-3, validations=1)
    train(options, [root], tmp_path / "run")
    trained = load_idclip(tmp_path / "run" / "last")
    assert trained.head is not None
    assert _found(trained, root) == 1.0
    head = load_backbone("compact").model.joint.state_dict()
    assert not torch.equal(
        trained.head.state_dict()["heads.1.net.1.weight"], head["heads.1.net.1.weight"]
    )


def test_only_what_is_to_learn_changes(models: Path, data: Path, tmp_path: Path) -> None:
    made: list[IdCLIP] = []
    before: list[dict] = []
    import idclip.train as module

    def remembering(*args: object) -> IdCLIP:
        model = make(*args)
        made.append(model)
        state = model.backbone.model.state_dict()
        before.append({name: value.clone() for name, value in state.items()})
        before.append({name: value.clone() for name, value in model.learned().items()})
        return model

    make = module.make_model
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "make_model", remembering)
        train(QUICK, [data], tmp_path / "run")
    (model,) = made
    after = model.backbone.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before[0].items())
    assert all(weight.grad is None for weight in model.backbone.model.parameters())
    changed = {n for n, value in before[1].items() if not torch.equal(value, model.learned()[n])}
    assert changed == {"translator.net.0.weight", "translator.net.2.weight", "visual_prompts"}


def test_what_no_gradient_needs_is_computed_once(
    models: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    import idclip.train_features as module

    monkeypatch.setattr(module, "load_image", lambda s: opened.append(s.image) or load_image(s))
    said: list[str] = []
    options = Options("small-vit", epochs=3, batch=8, lr=1e-2, validations=1)
    train(options, [data], tmp_path / "run", say=said.append)
    assert len(opened) == len(set(opened)) == 16 + 8
    assert any("looked at once" in line and "saves" in line for line in said)
    assert _events(tmp_path / "run", "constant")[0]["saved_seconds"] > 0
    opened.clear()
    train(QUICK, [data], tmp_path / "prompts")  # with prompts a vector is another at each step
    assert len(opened) == 2 * 16 + 5 * 8


# --- the same result on another way ------------------------------------------------------------


@pytest.mark.parametrize("changed", [{"accumulate": 3}, {"entity_weight": 0.1, "accumulate": 3}])
def test_a_batch_in_parts_is_the_same_step(
    models: Path, data: Path, tmp_path: Path, changed: dict
) -> None:
    whole = {**changed, "accumulate": 1}
    train(Options(**{**QUICK.as_data(), **whole}), [data], tmp_path / "whole")
    train(Options(**{**QUICK.as_data(), **changed}), [data], tmp_path / "parts")
    losses = [
        [line["loss"] for line in _events(tmp_path / name, "step")] for name in ("whole", "parts")
    ]
    assert np.allclose(losses[0], losses[1], atol=1e-4)


def test_a_run_that_is_stopped_goes_on_to_the_same_weights(
    models: Path, data: Path, tmp_path: Path
) -> None:
    found = train(QUICK, [data], tmp_path / "whole")
    stopped = _stopped_after(tmp_path / "parts", data, models, signal.SIGTERM)
    assert stopped.returncode == 143
    assert "--resume goes on to the same result" in stopped.stderr
    begun = Checkpoint.read(tmp_path / "parts" / "last").training["step"]
    assert begun == 2
    assert train(QUICK, [data], tmp_path / "parts", resume=True) == found
    for name in ("best", "last"):
        assert _weights(tmp_path / "parts" / name) == _weights(tmp_path / "whole" / name)
    losses = [
        [line["loss"] for line in _events(tmp_path / name, "step")] for name in ("whole", "parts")
    ]
    assert losses[0] == losses[1]


def _stopped_after(
    out: Path, data: Path, models: Path, signum: int
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own that signals itself amid its second step."""
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(REPO / "tests")!r})
import pathlib, small_clips
small_clips.register(pathlib.Path({str(models)!r}))
signal.signal(signal.SIGINT, signal.default_int_handler)
import idclip.train as module
learn = module.Run.learn
def once(run, *args):
    if run.step == 1:
        os.kill(os.getpid(), {int(signum)})
    return learn(run, *args)
module.Run.learn = once
from idclip.cli_train import train
train(["--data", {str(data)!r}, "--out", {str(out)!r}, "--model", "small-vit", "--prompts", "2",
       "--epochs", "2", "--batch", "8", "--lr", "1e-2", "--validations", "2"])
"""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=REPO,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
def test_an_interrupt_saves_too(models: Path, data: Path, tmp_path: Path) -> None:
    stopped = _stopped_after(tmp_path / "run", data, models, signal.SIGINT)
    assert stopped.returncode == 130
    assert Checkpoint.read(tmp_path / "run" / "last").training["step"] == 2


def test_order_and_texts_depend_on_seed_epoch_and_place_alone(data: Path) -> None:
    photos = load_photos([data], "train")
    assert all(map(np.array_equal, order(16, 8, 0, 1), order(16, 8, 0, 1)))
    assert not np.array_equal(order(16, 8, 0, 0), order(16, 8, 0, 1))
    assert not np.array_equal(order(16, 8, 0, 0), order(16, 8, 1, 0))
    assert sorted(np.concatenate(order(16, 8, 0, 0))) == list(range(16))
    texts = [draw(photos.photos[3], 0, epoch, 3)[0] for epoch in range(20)]
    assert texts == [draw(photos.photos[3], 0, epoch, 3)[0] for epoch in range(20)]
    assert len(set(texts)) > 5
    assert all(text.count("[TOK]") == 1 for text in texts)


# --- what is written down ------------------------------------------------------------------------


def test_the_log_has_every_step_and_validation(models: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    best = train(QUICK, [data], out)
    assert [line["step"] for line in _events(out, "step")] == [1, 2, 3, 4]
    checks = _events(out, "validation")
    assert [line["step"] for line in checks] == [0, 1, 2, 3, 4]
    total = "sum of R@1, R@5, R@10"
    assert best[total] == max(line[total] for line in checks[1:])
    described = Checkpoint.read(out / "best")
    assert described.metrics == best
    assert described.data["training pictures"] == 16
    assert described.data["validation people"] == 2
    assert str(tmp_path) not in (out / "best" / "checkpoint.json").read_text()
    assert not (out / "best" / "training.safetensors").exists()


def test_curves_and_events_are_there_where_their_packages_are(
    models: Path, data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("tensorboard")
    train(QUICK, [data], tmp_path / "run")
    with Image.open(tmp_path / "run" / "curves.png") as curves:
        assert curves.width > 500
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


def test_without_them_it_is_said_once_and_the_run_goes_on(
    models: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torch.utils.tensorboard", "matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    said: list[str] = []
    train(QUICK, [data], tmp_path / "run", say=said.append)
    assert [sum(name in line for line in said) for name in ("tensorboard", "matplotlib")] == [1, 1]
    assert (tmp_path / "run" / "best").is_dir()


# --- what is wrong is named ----------------------------------------------------------------------


def test_a_loss_that_is_no_number_stops_saves_and_names_the_batch(
    models: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import idclip.train as module

    pixels = module.Run._vectors

    def spoilt(run: object, side: object, batch: object, part: slice) -> list:
        found = pixels(run, side, batch, part)
        if run.step == 2:
            found[0] = found[0] * torch.where(torch.arange(8) == 5, torch.nan, 1.0)[:, None]
        return found

    monkeypatch.setattr(module.Run, "_vectors", spoilt)
    with pytest.raises(NotFinite) as caught:
        train(QUICK, [data], tmp_path / "run")
    told = json.loads((tmp_path / "run" / "bad_batch.json").read_text())
    assert told["step"] == 3
    assert len(told["batch"]) == 8
    guilty = told["batch"][5]
    assert guilty["picture"] in str(caught.value)
    assert guilty["text"] in str(caught.value)
    assert told["batch"][4]["picture"] not in str(caught.value)
    last = load_idclip(tmp_path / "run" / "last", backbone=_frozen())
    assert all(torch.isfinite(value).all() for value in last.learned().values())
    assert Checkpoint.read(tmp_path / "run" / "last").training["step"] == 2


def test_a_full_disk_under_tensorboards_events_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard")

    def full(self: object, *values: object) -> None:
        raise OSError(28, "No space left on device")

    def logged() -> None:
        with Journal(tmp_path, 0, print) as journal:
            journal.write("step", 1, loss=1.0)

    for method in ("add_scalar", "close"):
        with monkeypatch.context() as patched:
            patched.setattr(tensorboard.SummaryWriter, method, full)
            with pytest.raises(VidsearchError, match="tensorboard: cannot be written: No space"):
                logged()


def test_weights_that_leave_no_numbers_stop_before_they_are_kept(
    models: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import idclip.train as module

    validate, calls = module.recalls, []

    def broken(model: IdCLIP, *rest: object) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 3:  # once before the first step, once after some, now
            with torch.no_grad():
                model.translator.net[0].weight.fill_(torch.inf)
        return validate(model, *rest)

    monkeypatch.setattr(module, "recalls", broken)
    with pytest.raises(VidsearchError, match=r"no numbers any more.*lower --lr"):
        train(QUICK, [data], tmp_path / "run")
    last = load_idclip(tmp_path / "run" / "last", backbone=_frozen())
    assert all(torch.isfinite(value).all() for value in last.learned().values())


@pytest.mark.parametrize("wrong", [{"device": "gpu"}, {"lr": 1e30}, {"lr": float("nan")}])
def test_options_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptions, match=f"{next(iter(wrong))} is at|device is cpu"):
        Options(**wrong)


def test_a_gpu_preset_without_a_gpu_is_refused_at_once(data: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("has a GPU")
    began = time.monotonic()
    with pytest.raises(InvalidOptions, match="--device cpu"):
        train(preset("paper-vitl14-336-vpt5"), [data], tmp_path / "run")
    assert time.monotonic() - began < 2
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_overwritten_nor_gone_on_with_other_options(
    models: Path, data: Path, tmp_path: Path
) -> None:
    train(QUICK, [data], tmp_path / "run")
    with pytest.raises(VidsearchError, match="holds a run; add --resume"):
        train(QUICK, [data], tmp_path / "run")
    with pytest.raises(InvalidOptions, match=r"lr was 0\.01, now 0\.02"):
        train(Options(**{**QUICK.as_data(), "lr": 0.02}), [data], tmp_path / "run", resume=True)
    other = pfs(tmp_path / "other", people=5, scenes=4)
    with pytest.raises(VidsearchError, match="give the same --data"):
        train(QUICK, [other], tmp_path / "run", resume=True)
    with pytest.raises(VidsearchError, match="is no Id-CLIP checkpoint"):
        train(QUICK, [data], tmp_path / "new", resume=True)


def test_a_broken_picture_is_named_and_what_was_learned_is_saved(
    models: Path, tmp_path: Path
) -> None:
    root = pfs(tmp_path / "pfs", people=4, scenes=4)
    broken = load_photos([root], "train").photos[order(16, 8, 0, 0)[1][0]].sample.image
    broken.write_bytes(b"no picture")
    with pytest.raises(UnreadableImage, match=broken.name):
        train(QUICK, [root], tmp_path / "run")
    assert Checkpoint.read(tmp_path / "run" / "last").training["step"] == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's
def test_without_room_nothing_half_written_is_taken_for_whole(
    models: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import idclip.train as module

    save, limits = module.Run.save, resource.getrlimit(resource.RLIMIT_FSIZE)

    def full_at_the_end(run: object, name: str, metrics: object = None) -> None:
        if run.step == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
        try:
            save(run, name, metrics)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(module.Run, "save", full_at_the_end)
    with pytest.raises(VidsearchError, match=r"(last|best): the checkpoint cannot be written"):
        train(QUICK, [data], tmp_path / "run")
    monkeypatch.undo()
    assert Checkpoint.read(tmp_path / "run" / "last").training["step"] == 3
    assert [path.name for path in (tmp_path / "run").glob(".*")] == []
    train(QUICK, [data], tmp_path / "whole")
    train(QUICK, [data], tmp_path / "run", resume=True)
    assert _weights(tmp_path / "run" / "last") == _weights(tmp_path / "whole" / "last")


def test_towers_that_take_no_prompts_train_the_translator_alone(
    models: Path, data: Path, tmp_path: Path
) -> None:
    options = Options("small-resnet", prompts=2, epochs=1, batch=8, validations=1)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        train(options, [data], tmp_path / "run")
    assert any("the translator is trained alone" in str(each.message) for each in warned)
    assert Checkpoint.read(tmp_path / "run" / "last").prompts == 0


def test_people_who_are_validated_elsewhere_are_not_trained_on(
    models: Path, data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    people = {"train": ["v0", "t9"], "validation": ["w0", "w1"]}
    pfs_folders.ours(other, people, dim=DIM)
    photos = load_photos([data, other], "train")
    who = {photo.sample.identity for photo in photos.photos}
    assert who == {"t0", "t1", "t2", "t3", "t9"}
    assert photos.left_out == 2
    narrow = pfs_folders.ours(tmp_path / "narrow", people, dim=DIM + 1)
    with pytest.raises(BadDataset, match="build both with one"):
        load_photos([data, narrow], "train")


# --- the command ---------------------------------------------------------------------------------


def test_presets_are_listed_and_wrong_ones_met_with_the_right_one(
    data: Path, tmp_path: Path
) -> None:
    listed = CliRunner().invoke(command, ["--list-presets"])
    assert listed.exit_code == 0
    for name in ("compact", "paper-vitl14-336-vpt5", "vitb16-vpt5", "siglip2-b16"):
        assert name in listed.output
    paper = preset("paper-vitl14-336-vpt5")
    assert (paper.prompts, paper.lr, paper.batch, paper.epochs) == (5, 5e-5, 32, 10)
    assert preset("vitb16-vpt5", epochs=3).epochs == 3
    with pytest.raises(InvalidOptions, match="did you mean compact"):
        preset("compat")
    with pytest.raises(InvalidOptions, match="epochs is at least 1"):
        preset("compact", epochs=0)


@pytest.mark.parametrize("kind", ["small-sigmoid", "small-hf"])
def test_other_towers_train_too(models: Path, data: Path, tmp_path: Path, kind: str) -> None:
    options = Options(
        kind,
        prompts=2,
        text_prompts=1,
        tokens=2,
        epochs=1,
        batch=8,
        schedule="cosine",
        warmup=0.5,
        entity_weight=0.02,
        validations=1,
    )
    train(options, [data], tmp_path / "run")
    steps = _events(tmp_path / "run", "step")
    assert [line["rate"] for line in steps] == pytest.approx([5e-5, 5e-5])
    assert all(line["gradient"] > 0 for line in steps)


def test_all_pictures_are_negatives_only_while_they_are_constant(
    models: Path, data: Path, tmp_path: Path
) -> None:
    among = Options("small-vit", epochs=2, batch=8, lr=1e-3, validations=1, negatives="all")
    train(among, [data], tmp_path / "run")
    in_batch = Options(**{**among.as_data(), "negatives": "batch"})
    train(in_batch, [data], tmp_path / "batch")
    first = [_events(tmp_path / name, "step")[0]["loss"] for name in ("run", "batch")]
    assert first[0] > first[1] + 0.1  # among 16, not among 8
    with pytest.raises(InvalidOptions, match="--negatives batch"):
        Options("small-vit", prompts=1, negatives="all")


@pytest.mark.slow
def test_two_processes_on_a_cluster_take_the_steps_of_one(
    models: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    from workers.train_job import train_job

    options = preset("compact", epochs=1, batch=8, lr=1e-3, validations=1, device="cpu")
    data = pfs(tmp_path / "pfs", people=4, scenes=4, dim=128)
    train(options, [data], tmp_path / "one")
    paths = f"{REPO}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    monkeypatch.setenv("PYTHONPATH", paths)
    found = train_job(options, [data], tmp_path / "two", processes=2)
    assert found == pytest.approx(dict(Checkpoint.read(tmp_path / "one" / "best").metrics))
    losses = [[line["loss"] for line in _events(tmp_path / n, "step")] for n in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
