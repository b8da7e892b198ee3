"""Id-CLIP: a frozen CLIP whose texts can hold people it never saw (torch).

Messina et al., "Towards Identity-Aware Cross-Modal Retrieval: a Dataset and a Baseline", ECIR
2025: a translator makes a token embedding of a face vector, and it stands in a text where a word
would. A few learned vectors beside the image's patches let the image tower look for faces.

    model = IdCLIP("ViT-B-16", pretrained="datacomp_xl_s13b_b90k", face_dim=128)
    model.encode_texts(["[TOK] giving a speech outdoors"], [face_vectors])

The backbone is used as it is: hooks put the learned vectors where they belong.
"""

# torch is not seen by mypy, so its classes and decorators are of any type.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"
from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from .backbones import Backbone, load_backbone
from .errors import VidsearchError
from .image_stream import ImageStream, without_gradients
from .person_tokens import PersonTokenizer, flat_people
from .visual_prompts import attach, entrance

LOGIT_SCALE = math.log(1 / 0.07)
BATCH = 32


class Translator(nn.Module):
    """Face vectors [Q, F] to the embeddings of the tokens that stand for them [Q, T, W].

    The paper's network: two layers without bias, as wide as a token embedding, ReLU between.
    """

    def __init__(self, face_dim: int, width: int, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.net = nn.Sequential(
            nn.Linear(face_dim, width, bias=False),
            nn.ReLU(),
            nn.Linear(width, tokens * width, bias=False),
        )

    def forward(self, faces: Tensor) -> Tensor:
        return self.net(faces).unflatten(-1, (self.tokens, -1))


class _Now:
    """What the hooks on the backbone are to do for the call that is running.

    They stay out of all other calls: another model may stand on the same backbone.
    """

    def __init__(self) -> None:
        self.placed: tuple[Tensor, Tensor] | None = None  # slots and learned vectors
        self.picture = False


class IdCLIP(nn.Module):
    """An open_clip model with a translator for faces, and learned prompts.

    `backbone` is a name (`MODEL`, with `pretrained` as in `backbones`) or a `Backbone`.
    `face_dim` F is the length of a face vector and `face_model` the model that makes them;
    `tokens`, 1 to 3, how many tokens stand for a person; `prompts` the learned vectors beside the
    patches, `text_prompts` those before the first word. Only these and the translator have
    gradients; the backbone stays frozen and in evaluation mode. On a GPU vectors are made under
    bfloat16, and in float32 where `exact` is set.

    Where visual prompts do not apply (CNNs and other towers without a plain sequence of tokens)
    it warns and goes on without. Raises `ModelUnavailable` as `load_backbone` does.
    """

    def __init__(
        self,
        backbone: str | Backbone,
        pretrained: str | None = None,
        *,
        face_dim: int = 512,
        face_model: str = "default",
        prompts: int = 5,
        text_prompts: int = 0,
        tokens: int = 1,
        device: str = "cpu",
    ) -> None:
        super().__init__()
        if isinstance(backbone, str):
            backbone = load_backbone(backbone, pretrained, device=device)
        if not 1 <= tokens <= 3:
            raise VidsearchError(f"a person takes 1 to 3 tokens, not {tokens}")
        self.backbone, self.device = backbone, device
        self.face_dim, self.face_model = face_dim, face_model
        self.tokenizer = PersonTokenizer(
            backbone.tokenize,
            backbone.context_length,
            tokens=tokens,
            prompts=text_prompts,
            any_length=backbone.any_length,
        )
        # Not a child under its own name: what this module saves is what it has learned.
        self._frozen = (backbone.model,)
        table = backbone.token_embedding
        width = table.embedding_dim
        self.translator = Translator(face_dim, width, tokens)
        self.text_prompts = nn.Parameter(torch.randn(text_prompts, width) * _spread(table))
        self.register_buffer("logit_scale", torch.tensor(LOGIT_SCALE))
        self.head: nn.Module | None = None
        self.exact = False
        self._now = _Now()
        self.visual_prompts = self._visual_prompts(prompts)
        table.register_forward_hook(self._place)
        self.to(device)

    @property
    def name(self) -> str:
        """What it stands on, and how a person enters it."""
        return f"Id-CLIP on {self.backbone.name}"

    @property
    def dim(self) -> int:
        """D, the length of a vector."""
        return self.backbone.dim

    @property
    def tokens(self) -> int:
        """How many tokens stand for a person."""
        return self.translator.tokens

    @property
    def prompts(self) -> int:
        """How many learned vectors stand beside the patches: 0 where they do not apply."""
        return len(self.visual_prompts)

    def unlock_head(self) -> None:
        """Let the backbone's own head learn too, where both towers share one: that of `compact`.

        From now on the head is among what `learned` gives, and the backbone changes with it.
        Raises `VidsearchError` for another backbone.
        """
        head = getattr(self.backbone.model, "joint", None)
        if head is None:
            raise VidsearchError(
                f"{self.backbone.name} has no head that both towers share; only compact's can be "
                "unlocked"
            )
        _ = self.backbone.digest  # which is that of the backbone as it was
        self.head = head.requires_grad_(True)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Pictures float32 [B, 3, H, W], prepared by `backbone.pixels`, to unit vectors [B, D]."""
        self._now.picture = True
        try:
            return unit(self.backbone.model.encode_image(pixels))
        finally:
            self._now.picture = False

    def encode_text(self, ids: Tensor, slots: Tensor, faces: Tensor) -> Tensor:
        """Texts to unit vectors [B, D].

        `ids` and `slots` int64 [B, L] are those of `tokenizer`; `faces` [Q, F] are the vectors of
        the people, one for each mark of the texts in order.
        """
        return self.encode_placed(ids, slots, self.translate(faces))

    def translate(self, faces: Tensor) -> Tensor:
        """Face vectors [Q, F] to the token embeddings [Q * T, W] that `encode_placed` takes."""
        return self.translator(faces).flatten(0, 1)

    def encode_placed(self, ids: Tensor, slots: Tensor, embeddings: Tensor) -> Tensor:
        """As `encode_text`, with the token embeddings [Q * T, W] of people given as they are."""
        learned = torch.cat([self.text_prompts, embeddings])
        self._now.placed = (slots, learned) if learned.shape[0] else None
        try:
            return unit(self.backbone.model.encode_text(ids))
        finally:
            self._now.placed = None

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """RGB uint8 pictures [H, W, 3] of any sizes as unit vectors float32 [N, D]."""
        return np.concatenate([np.empty((0, self.dim), np.float32), *self.stream()(images)])

    def stream(self) -> ImageStream:
        """What takes pictures to vectors at the pace of a GPU."""
        preprocess = self.backbone.preprocess
        return ImageStream(self.encode_image, preprocess, device=self.device, exact=self.exact)

    def encode_texts(
        self, texts: Sequence[str], people: Sequence[NDArray[np.float32]] = ()
    ) -> NDArray[np.float32]:
        """Texts as unit vectors float32 [N, D].

        Text i may hold the mark `[TOK]` any number of times; `people[i]` float32 [M, F] are the
        vectors of those meant, one for each mark. `people` may be left out where no text holds
        one. Raises `VidsearchError` where marks and vectors do not match.
        """
        given = people or [np.zeros((0, self.face_dim), np.float32)] * len(texts)

        def embeddings(part: slice, faces: Tensor) -> Tensor:
            return self.translate(faces)

        return self._encoded(texts, given, embeddings)

    def encode_photos(
        self, texts: Sequence[str], people: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """As `encode_texts`, of several photos: `people[i]` float32 [M, P, F] has P of each.

        Each photo's vector is translated, and the mean of the token embeddings stands in the text.
        """

        def means(part: slice, faces: Tensor) -> Tensor:
            photos = [photos for of_text in people[part] for photos in of_text]
            if not photos:
                return self.translate(faces)
            flat = torch.from_numpy(np.concatenate(photos)).to(self.device)
            each = self.translator(flat).split([len(of_one) for of_one in photos])
            return torch.stack([of_one.mean(dim=0) for of_one in each]).flatten(0, 1)

        return self._encoded(texts, [of_text[:, 0] for of_text in people], means)

    def _encoded(
        self,
        texts: Sequence[str],
        people: Sequence[NDArray[np.float32]],
        embeddings: Callable[[slice, Tensor], Tensor],
    ) -> NDArray[np.float32]:
        """Texts in batches; `embeddings` makes those of a batch's people of their vectors."""
        found = [np.empty((0, self.dim), np.float32)]
        with without_gradients(self.device, exact=self.exact):
            for start in range(0, len(texts), BATCH):
                part = slice(start, start + BATCH)
                ids, slots, faces = self.read(texts[part], people[part])
                vectors = self.encode_placed(ids, slots, embeddings(part, faces))
                found.append(vectors.float().cpu().numpy())
        return np.concatenate(found)

    def read(
        self, texts: Sequence[str], people: Sequence[NDArray[np.float32]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Texts and their people as `encode_text` takes them: ids, slots and faces."""
        faces = flat_people(texts, people, self.face_dim, self.face_model)
        read = self.tokenizer(texts)
        ids, slots = torch.from_numpy(read.ids), torch.from_numpy(read.slots)
        return ids.to(self.device), slots.to(self.device), torch.from_numpy(faces).to(self.device)

    def learned(self) -> dict[str, Tensor]:
        """All that training changes, by name."""
        return {name: value for name, value in self.state_dict().items() if value.numel()}

    def train(self, mode: bool = True) -> IdCLIP:
        """Training mode for what is learned; the backbone stays as it is."""
        super().train(mode)
        self.backbone.model.eval()
        return self

    def _visual_prompts(self, prompts: int) -> nn.Parameter:
        place = entrance(self.backbone.model.visual) if prompts else None
        if prompts and place is None:
            warnings.warn(
                f"visual prompts do not apply to the image tower of {self.backbone.name}: "
                "the translator is trained alone",
                stacklevel=3,
            )
        if place is None:
            return nn.Parameter(torch.zeros(0, 0))
        learned = nn.Parameter(torch.randn(prompts, place.width))
        attach(place, learned, lambda: self._now.picture)
        return learned

    def _place(self, table: nn.Module, args: tuple[Tensor, ...], own: Tensor) -> Tensor:
        """Put learned vectors in the place of tokens' own embeddings, before positions are added.

        A hook of the token table: `own` [B, L, W] is what it gives.
        """
        if self._now.placed is None:
            return own
        slots, learned = self._now.placed
        chosen = functional.embedding((slots - 1).clamp(min=0), learned.to(own.dtype))
        return torch.where(slots[..., None] > 0, chosen, own)


def unit(x: Tensor) -> Tensor:
    """Rows of unit length, in at least float32: bfloat16 would round them to 0.996 or 1.004."""
    return functional.normalize(x.float(), dim=-1)


def trained_parameters(model: IdCLIP) -> Iterable[nn.Parameter]:
    """What the optimiser changes."""
    return [weight for weight in model.parameters() if weight.requires_grad and weight.numel()]


def _spread(table: nn.Embedding) -> float:
    """The deviation of a token embedding's values: learned vectors begin as large as words."""
    return float(table.weight[:1000].detach().float().std())
