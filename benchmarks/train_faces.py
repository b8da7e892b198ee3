"""Trains dlib's face network further, on people of LFW who are in no test.

`python -m benchmarks.train_faces` writes `face_network.onnx` and `face_vector.onnx` (the last step
of the vector) into `idclip/weights/faces`, and into `build/faces/without_a_part` the same, trained
without a third of the people: `benchmarks/fit_faces.py`, to be run next, fits quality and
probability on scores of these, who are as new to the network as anybody in a video. It needs torch,
onnx, `../shared/data/lfw90.tar` and `build/faces/dlib_face.onnx` (`python -m idclip.face_weights`),
and takes half an hour on one core.

The lower blocks stay as dlib's author trained them. The others learn to tell the people apart
from clean and degraded crops, shifted, turned, scaled and mirrored a little: softmax over the
people, of the cosines of a crop's vector and one learned centre a person, less a margin (CosFace,
Wang et al., CVPR 2018). Vectors of clean crops are held near those of the untrained network, which
has seen millions of photos. The last step trains along, from Fisher's discriminant. What is
written stands halfway between the weights before and after.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import lfw
from benchmarks.fit_faces import HELD_OUT, WITHOUT, part_of
from idclip import alignment
from idclip.centerface import CenterFace
from idclip.face_weights import (
    BLOCKS,
    MEAN_RGB,
    ORIGINAL,
    PARTS_BLOCKS,
    Convolution,
    face_network,
    parameters,
    vector_head,
)
from idclip.faces import WEIGHTS

Image = NDArray[np.uint8]

FIRST_BLOCK = 3  # the first that is trained
STEPS, BATCH = 1700, 64
RATE, HEAD_RATE, CENTRE_RATE = 3e-4, 1e-4, 3e-3  # of Adam, at their highest
WARM_UP = 50  # steps; after them the rates fall to 0 along half a cosine
SCALE = 24.0  # of cosines before the softmax
MARGIN = 0.15  # of clean crops; degraded ones have none, many cannot be told
LIKE_BEFORE = 0.2  # weight of staying near the untrained network
CLEAN_SHARE = 0.4
MOST_PHOTOS = 20  # of one person
COPIES = range(3, 9)  # degraded copies of each photo (`lfw.pictures`), not those measured
DIM = 256  # of the vector
SHRINKAGE = 0.7  # of the covariance within people, towards a multiple of the identity


class Look(NamedTuple):
    """A picture of one face, RGB uint8 [H, W, 3], and its landmarks [5, 2]."""

    image: Image
    landmarks: NDArray[np.float32]


class Photo(NamedTuple):
    """One photo of somebody: as it is, and degraded; without those on which no face was found."""

    clean: Look
    degraded: list[Look]


class Batch(NamedTuple):
    """Crops float32 [N, 3, 150, 150] RGB 0 to 255; whose, whether of clean photos, mirrored [N]."""

    crops: Tensor
    people: Tensor
    clean: Tensor
    mirrored: Tensor


def main() -> None:
    """Train the network that ships, and before it the one without a part of the people."""
    original = parameters(onnx.load(lfw.REPO / ORIGINAL), "Conv")
    photos = photos_of_fit()
    for without, folder in ((HELD_OUT, WITHOUT), (None, WEIGHTS)):
        shown = {p: some for p, some in photos.items() if part_of(p) != without}
        print(f"{folder}: {len(shown)} people, {sum(map(len, shown.values()))} photos")
        mean, matrix = first_head(original, without)
        network = Network(original)
        head = train(network, mean, matrix, list(shown.values()))
        folder.mkdir(parents=True, exist_ok=True)
        halfway = _halfway(original, network.convolutions())
        onnx.save(face_network(halfway), folder / "face_network.onnx")
        onnx.save(
            vector_head(mean.numpy(), ((matrix + head) / 2).numpy()), folder / "face_vector.onnx"
        )


def _halfway(before: Sequence[Convolution], after: Sequence[Convolution]) -> list[Convolution]:
    """The mean of the weights before and after (Wortsman et al., WiSE-FT, CVPR 2022).

    It keeps more of what the untrained network knows of faces that are not like LFW's.
    """
    pairs = zip(before, after, strict=False)
    return [((w + v) / 2, (b + c) / 2) for (w, b), (v, c) in pairs]


def photos_of_fit() -> dict[str, list[Photo]]:
    """The photos of each person of the fit on which a face was found."""
    names: dict[str, list[str]] = {}
    for name in lfw.all_names():
        if lfw.split_of(lfw.person_of(name)) == "fit":
            names.setdefault(lfw.person_of(name), []).append(name)
    kept = [name for some in names.values() for name in some[:MOST_PHOTOS]]
    clean = _looks(kept, lfw.CLEAN)
    copies = [_looks(list(clean), variant) for variant in COPIES]
    photos: dict[str, list[Photo]] = {}
    for name, look in clean.items():
        degraded = [copy[name] for copy in copies if name in copy]
        photos.setdefault(lfw.person_of(name), []).append(Photo(look, degraded))
    return photos


def _looks(names: Sequence[str], variant: int) -> dict[str, Look]:
    detector = CenterFace(WEIGHTS / "centerface.onnx")
    looks = {}
    for name, image, side in lfw.pictures(names, variant):
        landmarks, _ = lfw.middle_face(detector, image, side)
        if landmarks is not None:
            looks[name] = Look(image, landmarks)
    return looks


def first_head(original: Sequence[Convolution], without: int | None) -> tuple[Tensor, Tensor]:
    """The discriminant of the untrained network: mean [1024] and matrix [1024, DIM].

    People of the part `without` are left out.
    """
    file = lfw.REPO / "build" / "faces" / "untrained.onnx"
    onnx.save(face_network(original[: 2 * PARTS_BLOCKS + 1]), file)
    parts, people = [], []
    for variant in (lfw.CLEAN, lfw.DEGRADED, lfw.DEGRADED_AGAIN):
        faces = lfw.measured(variant)
        among = np.array([part_of(person) != without for person in faces.person])
        rows = faces.found & (faces.split == "fit") & among
        parts.append(lfw.parts(file, faces, variant)[rows])
        people.append(faces.person[rows])
    mean, matrix = discriminant(np.concatenate(parts), np.concatenate(people))
    return torch.from_numpy(mean), torch.from_numpy(matrix)


def discriminant(
    parts: NDArray[np.float32], people: NDArray[np.str_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean [K] and matrix [K, DIM] of Fisher's discriminant of `parts` [N, K] and whose they are.

    Photos of one person, degraded copies among them, make the covariance within; a person with
    many photos counts as their square root.
    """
    x = parts.astype(np.float64)
    _, who, count = np.unique(people, return_inverse=True, return_counts=True)
    centres = np.zeros((len(count), x.shape[1]))
    np.add.at(centres, who, x)
    centres /= count[:, None]
    several = count[who] > 1
    weight = 1 / np.sqrt(count[who][several])
    unbiased = np.sqrt(count / np.maximum(count - 1, 1))[who][several]
    spread = (x - centres[who])[several] * (unbiased * np.sqrt(weight))[:, None]
    within = spread.T @ spread / weight.sum()
    level = np.trace(within) / len(within)
    within = (1 - SHRINKAGE) * within + SHRINKAGE * level * np.eye(len(within))
    values, axes = np.linalg.eigh(within)
    whiten = axes / np.sqrt(values)
    values, axes = np.linalg.eigh(whiten.T @ np.cov(x.T) @ whiten)
    best = np.argsort(-values)[:DIM]
    return x.mean(axis=0).astype(np.float32), (whiten @ axes[:, best]).astype(np.float32)


class Block(nn.Module):
    """A residual block of dlib's network; see `idclip.face_weights`."""

    def __init__(self, first: Convolution, second: Convolution, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.first = _convolution(first, stride=2 if halves else 1, pad=0 if halves else 1)
        self.second = _convolution(second, stride=1, pad=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(functional.relu(self.first(x)))
        if self.halves:
            x = functional.avg_pool2d(x, 2)
            side = x.shape[-1] - y.shape[-1]
            x = functional.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
            y = functional.pad(y, (0, side, 0, side))
        return functional.relu(x + y)


class Network(nn.Module):
    """dlib's network as far as its last block, to be trained from `FIRST_BLOCK` on."""

    def __init__(self, convolutions: Sequence[Convolution]) -> None:
        super().__init__()
        stem, *rest = convolutions
        self.stem = _convolution(stem, stride=2, pad=0)
        pairs = zip(BLOCKS[:PARTS_BLOCKS], rest[::2], rest[1::2], strict=False)
        self.blocks = nn.ModuleList(Block(a, b, halves) for (_, halves), a, b in pairs)
        for part in (self.stem, *self.blocks[:FIRST_BLOCK]):
            part.requires_grad_(False)

    def lower(self, crops: Tensor) -> Tensor:
        """The maps that the first trained block is given."""
        x = (crops - crops.new_tensor(MEAN_RGB).view(1, 3, 1, 1)) / 256
        x = functional.max_pool2d(functional.relu(self.stem(x)), 3, 2)
        for block in self.blocks[:FIRST_BLOCK]:
            x = block(x)
        return x

    def upper(self, x: Tensor) -> Tensor:
        """Parts float32 [N, 256, 2, 2] of what `lower` gives."""
        for block in self.blocks[FIRST_BLOCK:]:
            x = block(x)
        return functional.avg_pool2d(x, 2).float()

    def convolutions(self) -> list[Convolution]:
        """Weights and bias of all 27, for `idclip.face_weights.face_network`."""
        found = [module for module in self.modules() if isinstance(module, nn.Conv2d)]
        return [(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in found]


def _convolution(values: Convolution, *, stride: int, pad: int) -> nn.Conv2d:
    weight, bias = (torch.from_numpy(v.copy()) for v in values)
    filters, channels, side, _ = weight.shape
    made = nn.Conv2d(channels, filters, side, stride, pad)
    made.weight, made.bias = nn.Parameter(weight), nn.Parameter(bias)
    return made


def train(
    network: Network, mean: Tensor, matrix: Tensor, people: Sequence[Sequence[Photo]]
) -> Tensor:
    """Train `network` in place on the photos of each of some people.

    `mean` and `matrix` make vectors of the parts it gives before training; returned is the matrix
    that does so after it.
    """
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    before = Network(network.convolutions()).requires_grad_(False)
    head = nn.Parameter(matrix.clone())
    centres = nn.Parameter(_centres(before, mean, matrix, people))
    trained = list(network.blocks[FIRST_BLOCK:].parameters())
    groups = [(trained, RATE), ([head], HEAD_RATE), ([centres], CENTRE_RATE)]
    optimiser = torch.optim.AdamW([{"params": p, "lr": rate} for p, rate in groups])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _share_of_rate)
    for step in range(STEPS):
        batch = draw(people, rng)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                maps = before.lower(batch.crops)
                old = before.upper(maps[batch.clean])
            new = network.upper(maps)
        vectors = to_vectors(new, batch.mirrored, mean, head)
        with torch.no_grad():
            was = to_vectors(old, batch.mirrored[batch.clean], mean, matrix)
        cosines = vectors @ functional.normalize(centres, dim=1).T
        loss = identity_loss(cosines, batch)
        loss = loss + SCALE * LIKE_BEFORE * (1 - (vectors[batch.clean] * was).sum(1)).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 5.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step} of {STEPS}: loss {loss.item():.2f}", flush=True)
    return head.detach()


def identity_loss(cosines: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy of whose crop it is, of its cosines [N, P] with everybody's centre."""
    margin = MARGIN * functional.one_hot(batch.people, cosines.shape[1])
    return functional.cross_entropy(SCALE * (cosines - margin * batch.clean[:, None]), batch.people)


def to_vectors(parts: Tensor, mirrored: Tensor, mean: Tensor, matrix: Tensor) -> Tensor:
    """Unit vectors [N, 256]; the quarters of mirrored crops are put back where they belong."""
    upright = torch.where(mirrored[:, None, None, None], parts.flip(3), parts)
    return functional.normalize((upright.flatten(1) - mean) @ matrix, dim=1)


def _share_of_rate(step: int) -> float:
    return min(1.0, step / WARM_UP) * (1 + math.cos(math.pi * step / STEPS)) / 2


@torch.no_grad()
def _centres(
    network: Network, mean: Tensor, matrix: Tensor, people: Sequence[Sequence[Photo]]
) -> Tensor:
    """Everybody's mean vector [P, 256] over their clean photos."""
    centres = []
    for photos in people:
        crops = [alignment.cut(p.clean.image, _matrix(p.clean)) for p in photos]
        maps = network.lower(_planes(np.stack(crops)))
        straight = torch.zeros(len(crops), dtype=torch.bool)
        centres.append(to_vectors(network.upper(maps), straight, mean, matrix).mean(0))
    return functional.normalize(torch.stack(centres), dim=1)


def draw(people: Sequence[Sequence[Photo]], rng: np.random.Generator) -> Batch:
    """A batch: people by the square root of how many photos they have, half for those with one.

    A person with one photo only teaches what degrading does.
    """
    count = np.array([len(photos) for photos in people])
    chance = np.sqrt(count) * np.where(count > 1, 1.0, 0.5)
    chosen = rng.choice(len(people), BATCH, p=chance / chance.sum())
    mirrored = rng.random(BATCH) < 0.5
    crops, clean = [], []
    for person, mirror in zip(chosen, mirrored, strict=True):
        photo = people[person][rng.integers(len(people[person]))]
        clean.append(not photo.degraded or rng.random() < CLEAN_SHARE)
        look = photo.clean if clean[-1] else photo.degraded[rng.integers(len(photo.degraded))]
        crop = alignment.cut(look.image, _matrix(look, rng))
        crops.append(crop[:, ::-1] if mirror else crop)
    return Batch(
        _planes(np.stack(crops)),
        torch.from_numpy(chosen),
        torch.tensor(clean),
        torch.from_numpy(mirrored),
    )


def _matrix(look: Look, rng: np.random.Generator | None = None) -> NDArray[np.float64]:
    """Where the crop lies in the picture; with `rng`, a little off: landmarks are, too."""
    template = alignment.TEMPLATE
    if rng is not None:
        turn, scale = np.deg2rad(rng.normal(0, 2.5)), np.exp(rng.normal(0, 0.04))
        cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
        middle = np.float32(alignment.CROP / 2)
        moved = (template - middle) @ np.array([[cosine, sine], [-sine, cosine]])
        template = (moved + middle + rng.normal(0, 2.5, 2)).astype(np.float32)
    return alignment.similarity(look.landmarks, template)


def _planes(crops: Image) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2))).float()


if __name__ == "__main__":
    main()
