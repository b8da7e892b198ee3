"""Pictures streamed to vectors, and its benchmark, on the CPU: the same code without a GPU."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_clips
from numpy.typing import NDArray

HERE = all(find_spec(name) for name in ("torch", "open_clip"))
pytestmark = pytest.mark.skipif(not HERE, reason='needs torch: pip install "vidsearch[train]"')


@pytest.fixture(scope="module", autouse=True)
def _models(tmp_path_factory: pytest.TempPathFactory) -> None:
    small_clips.register(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module", params=["small-vit", "small-resnet", "small-sigmoid"])
def backbone(request: pytest.FixtureRequest) -> Any:
    from idclip.backbones import load_backbone

    return load_backbone(request.param)


@pytest.fixture(scope="module")
def vit() -> Any:
    from idclip.backbones import load_backbone

    return load_backbone("small-vit")


def _plain(backbone: Any, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """All pictures at once, prepared as open_clip does it."""
    import torch

    with torch.inference_mode():
        found = backbone.model.encode_image(backbone.pixels(images), normalize=True)
    return np.asarray(found.numpy())


def _pictures(n: int) -> list[NDArray[np.uint8]]:
    """Upright, wide, square and very small ones."""
    sides = [50, 70, 101, 30]
    return [small_clips.noise(1, sides[i % 4], seed=i)[0] for i in range(n)]


# --- the stream ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 4, 5, 11])
def test_streamed_pictures_have_the_vectors_of_the_plain_path_in_order(
    backbone: Any, n: int
) -> None:
    from idclip.image_stream import ImageStream

    images = _pictures(n)
    stream = ImageStream(backbone.model.encode_image, backbone.preprocess, batch=4)
    parts = list(stream(iter(images)))
    assert [len(part) for part in parts] == [4] * (n // 4) + [n % 4] * (n % 4 > 0)
    assert parts[0].dtype == np.float32
    assert np.abs(np.concatenate(parts) - _plain(backbone, images)).max() < 1e-5


def test_what_the_host_and_the_device_do_to_a_picture_is_what_open_clip_does(
    backbone: Any,
) -> None:
    """Seen by a network that hands on its pixels: bit by bit, and only bytes are copied."""
    import torch
    from torch import Tensor

    from idclip.image_stream import ImageStream

    seen: list[Tensor] = []

    def network(pixels: Tensor) -> Tensor:
        seen.append(pixels.clone())
        return pixels[:, :, 0, 0]

    images = _pictures(3)
    stream = ImageStream(network, backbone.preprocess, batch=2)
    assert stream._prepare(images[0]).dtype == torch.uint8
    list(stream(images))
    assert torch.equal(torch.cat(seen), backbone.pixels(images))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_a_preparation_of_another_kind_stays_on_the_host_whole(vit: Any) -> None:
    from idclip.image_stream import ImageStream

    def preprocess(image: Any) -> Any:
        return vit.preprocess(image)

    images = _pictures(5)
    stream = ImageStream(vit.model.encode_image, preprocess, batch=2)
    assert np.abs(np.concatenate(list(stream(images))) - _plain(vit, images)).max() < 1e-5


def test_no_pictures_give_nothing_and_a_stream_can_be_used_again(vit: Any) -> None:
    from idclip.image_stream import ImageStream

    stream = ImageStream(vit.model.encode_image, vit.preprocess, batch=4, workers=3)
    assert list(stream([])) == []
    images = _pictures(9)
    first, again = (np.concatenate(list(stream(images))) for _ in range(2))
    assert np.array_equal(first, again)


def test_a_stream_takes_no_more_than_two_batches_ahead(vit: Any) -> None:
    """So films of any length take the memory of two batches."""
    from idclip.image_stream import ImageStream

    taken = 0

    def films() -> Iterator[NDArray[np.uint8]]:
        nonlocal taken
        for image in _pictures(20):
            taken += 1
            yield image

    stream = ImageStream(vit.model.encode_image, vit.preprocess, batch=4)
    given = 0
    for part in stream(films()):
        given += len(part)
        assert taken <= given + 4
    assert given == 20


def test_a_compiled_stream_computes_whole_batches_and_gives_what_it_was_asked_for(
    vit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of a batch would be compiled anew."""
    import torch

    from idclip.image_stream import ImageStream

    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    sizes = []

    def network(pixels: Any) -> Any:
        sizes.append(len(pixels))
        return vit.model.encode_image(pixels)

    images = _pictures(7)
    stream = ImageStream(network, vit.preprocess, batch=4, compiled=True)
    found = np.concatenate(list(stream(images)))
    assert sizes == [4, 4]
    assert np.abs(found - _plain(vit, images)).max() < 1e-5


@pytest.mark.slow
def test_a_stream_that_is_compiled_for_real_gives_the_same_vectors(vit: Any) -> None:
    from idclip.image_stream import ImageStream

    images = _pictures(7)
    stream = ImageStream(vit.model.encode_image, vit.preprocess, batch=4, compiled=True)
    assert np.abs(np.concatenate(list(stream(images))) - _plain(vit, images)).max() < 1e-5


def test_a_picture_that_cannot_be_prepared_ends_the_stream_and_its_threads(vit: Any) -> None:
    from idclip.image_stream import ImageStream

    stream = ImageStream(vit.model.encode_image, vit.preprocess, batch=2, workers=2)
    before = threading.active_count()
    broken: Any = np.zeros((5, 5, 7), np.uint8)
    with pytest.raises(TypeError, match="Cannot handle this data type"):
        list(stream([*_pictures(3), broken]))
    assert threading.active_count() == before


def test_gradients_are_off_inside_a_stream_and_on_for_whoever_reads_from_it(vit: Any) -> None:
    import torch

    from idclip.image_stream import ImageStream

    inside = []

    def network(pixels: Any) -> Any:
        inside.append(torch.is_grad_enabled())
        return vit.model.encode_image(pixels)

    for _ in ImageStream(network, vit.preprocess, batch=2)(_pictures(4)):
        assert torch.is_grad_enabled()
    assert inside == [False, False]


# --- the benchmark -------------------------------------------------------------------------------


def test_the_batch_is_doubled_until_it_gains_nothing() -> None:
    from benchmarks.gpu_embed import find_batch

    speeds = {8: 100.0, 16: 180.0, 32: 300.0, 64: 303.0, 128: 500.0}
    assert find_batch(speeds.__getitem__) == (32, {8: 100.0, 16: 180.0, 32: 300.0, 64: 303.0})


def test_the_batch_is_the_last_that_memory_had_room_for() -> None:
    import torch

    from benchmarks.gpu_embed import find_batch

    def rate(batch: int) -> float:
        if batch > 64:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return float(batch)

    best, tried = find_batch(rate)
    assert (best, max(tried)) == (64, 64)


def test_the_search_for_a_batch_ends_at_the_largest_allowed() -> None:
    from benchmarks.gpu_embed import find_batch

    assert find_batch(float, most=256)[0] == 256
    assert find_batch(float, most=100)[0] == 64
    assert find_batch(float, most=4)[0] == 4


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_a_stream_s_rate_is_never_above_that_of_its_network(vit: Any, seconds: float) -> None:
    """Not for short runs either, in which the start and the end of a stream weigh most."""
    from benchmarks.gpu_embed import stream_rate
    from idclip.image_stream import ImageStream

    def network(pixels: Any) -> Any:
        time.sleep(0.04)
        return pixels[:, :, 0, 0]

    stream = ImageStream(network, vit.preprocess, batch=4)
    assert 30 < stream_rate(stream, _pictures(8), seconds) <= 100


def test_the_benchmark_runs_through_on_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks import gpu_embed

    options = ["--device", "cpu", "--model", "small-vit", "--eager", "--seconds", "0.5"]
    assert gpu_embed.main([*options, "--most", "8"]) == 0
    said = capsys.readouterr().out
    assert "'batch': 8, 'compiled': False" in said
    assert "'ratio'" in said


def test_the_training_benchmark_takes_the_preset_s_batch_and_prompts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from benchmarks import gpu_embed

    options = ["--device", "cpu", "--model", "small-vit", "--eager", "--seconds", "0.5"]
    assert gpu_embed.main([*options, "--train", "paper-vitl14-336-vpt5"]) == 0
    assert "'batch': 32, 'prompts': 5" in capsys.readouterr().out


def test_a_step_of_the_training_benchmark_learns(vit: Any) -> None:
    """It is training that is measured: what is learned changes, and nothing else."""
    from benchmarks import gpu_embed
    from idclip.model import IdCLIP
    from idclip.training_options import preset

    options = preset("paper-vitl14-336-vpt5")
    model = IdCLIP("small-vit", face_dim=gpu_embed.FACE_DIM, prompts=options.prompts).train()
    before = {name: value.clone() for name, value in model.learned().items()}
    frozen = model.backbone.digest
    gpu_embed._step(model, options, compiled=False, device="cpu")()
    changed = {name for name, value in model.learned().items() if not value.equal(before[name])}
    assert changed == {"translator.net.0.weight", "translator.net.2.weight", "visual_prompts"}
    vars(model.backbone).pop("digest")  # it is taken once
    assert model.backbone.digest == frozen


def test_a_machine_without_a_gpu_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from benchmarks import gpu_embed

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_embed.main([]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "no GPU here; --device cpu" in said.err


def test_figures_of_a_cpu_are_never_written_as_those_of_a_gpu(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from benchmarks import gpu_embed

    assert gpu_embed.main(["--device", "cpu", "--write"]) == 2
    assert "--write is for figures of a GPU" in capsys.readouterr().err


# --- the cost of the wrapper ---------------------------------------------------------------------


@pytest.mark.parametrize("prompts", [0, 5])
def test_the_expected_cost_of_prompts_is_what_torch_counts(vit: Any, prompts: int) -> None:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.idclip_cost import image_operations
    from idclip.model import IdCLIP

    model = IdCLIP("small-vit", prompts=prompts)
    pixels = torch.zeros(2, 3, 48, 48)
    model.backbone.model.requires_grad_(True)  # what is fused without gradients is not counted
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        model.encode_image(pixels)
    # torch counts two operations a multiplication, and the projection of the one token read out.
    head = 64 * 40
    expected = image_operations(model.backbone.model.visual, prompts) + head
    assert counted.get_total_flops() == 2 * 2 * expected


def test_the_cost_benchmark_measures_both_sides(tmp_path: Path) -> None:
    from benchmarks import idclip_cost

    options = ["--model", "small-vit", "--repeats", "3", "--batch", "2", "--write"]
    assert idclip_cost.main([*options, "--results", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "idclip_cost.json").read_text())["rows"]
    assert [row["side"] for row in rows] == ["image, 0 prompts", "image, 5 prompts", "text, [TOK]"]
    assert rows[0]["expected"] == 1.0
    assert rows[1]["expected"] > 1.3  # 10 tokens become 15
    assert all(row["beyond"] == pytest.approx(row["ratio"] / row["expected"]) for row in rows)
