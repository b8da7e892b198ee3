"""Id-CLIP from first principles: what it adds to a model, and all it leaves as it was."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs torch: pip install "vidsearch[train]"')

import small_clips  # noqa: E402
from small_clips import PROMPTABLE, WITHOUT, each, faces, noise  # noqa: E402

from idclip.backbones import load_backbone  # noqa: E402
from idclip.errors import ModelUnavailable, VidsearchError  # noqa: E402
from idclip.losses import entity_loss, info_nce  # noqa: E402
from idclip.model import IdCLIP, trained_parameters  # noqa: E402
from idclip.person_tokens import PersonTokenizer, TextTooLong  # noqa: E402

ALL = (*PROMPTABLE, *WITHOUT, "compact")
F = 16  # the length of a face vector here


@pytest.fixture(scope="module", autouse=True)
def models(tmp_path_factory: pytest.TempPathFactory) -> None:
    small_clips.register(tmp_path_factory.mktemp("models"))


def _idclip(name: str, **options: int) -> IdCLIP:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of visual prompts that do not apply
        return IdCLIP(name, face_dim=F, **options).eval()


# --- with nothing learned, it is the model it stands on ------------------------------------------


@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("name", ALL)
def test_without_prompts_and_with_the_words_own_embedding_it_is_the_plain_model(
    name: str, tokens: int
) -> None:
    model = _idclip(name, prompts=0, tokens=tokens)
    plain, word = model.backbone, model.tokenizer.stand_in
    read = model.tokenizer(["[TOK] riding a red horse", "a man"])
    ids, slots = torch.from_numpy(read.ids), torch.from_numpy(read.slots)
    own = plain.token_embedding(ids)[slots > 0]
    said = [f"{' '.join([word] * tokens)} riding a red horse", "a man"]
    pixels = plain.pixels(noise(2))
    with torch.inference_mode():
        text = model.encode_placed(ids, slots, own)
        image = model.encode_image(pixels)
        plain_ids = torch.from_numpy(plain.tokenize(said, plain.context_length))
        expected = plain.model.encode_text(plain_ids, normalize=True)
        expected_image = plain.model.encode_image(pixels, normalize=True)
    assert len(own) == tokens
    assert float((text - expected).abs().max()) < 1e-6
    assert float((image - expected_image).abs().max()) < 1e-6


@pytest.mark.parametrize("name", ALL)
def test_a_text_without_people_is_what_the_plain_model_says(name: str) -> None:
    model = _idclip(name, prompts=0)
    texts = ["a man riding a horse", f"{model.tokenizer.stand_in} in a red sun"]
    plain = model.backbone
    ids = torch.from_numpy(plain.tokenize(texts, plain.context_length))
    with torch.inference_mode():
        expected = plain.model.encode_text(ids, normalize=True).numpy()
    assert np.abs(model.encode_texts(texts) - expected).max() < 1e-6


# --- what is learned changes what it should ------------------------------------------------------


@pytest.mark.parametrize("tokens", [1, 2])
def test_photos_are_averaged_as_token_embeddings_where_that_is_asked_for(tokens: int) -> None:
    model = _idclip("small-vit", prompts=0, tokens=tokens)
    texts = ["[TOK] riding a horse", "a sun", "[TOK] beside [TOK]"]
    drawn = faces(9, F)
    people = [drawn[None, :2], np.zeros((0, 2, F), np.float32), drawn[2:8].reshape(2, 3, F)]
    said = model.encode_photos(texts, people)
    with torch.inference_mode():
        ids, slots, _ = model.read(texts, [each[:, 0] for each in people])
        marks = [photos for each in people for photos in each]
        means = [model.translator(torch.from_numpy(photos)).mean(dim=0) for photos in marks]
        expected = model.encode_placed(ids, slots, torch.cat(means)).numpy()
    assert np.abs(said - expected).max() < 1e-6
    assert np.abs(said[0] - model.encode_texts(texts[:1], [drawn[:1]])[0]).max() > 1e-6
    one = [each[:, :1] for each in people]
    plain = model.encode_texts(texts, [each[:, 0] for each in people])
    assert np.abs(model.encode_photos(texts, one) - plain).max() < 1e-6


@pytest.mark.parametrize("name", ALL)
def test_another_face_is_another_text_and_the_same_face_the_same(name: str) -> None:
    model = _idclip(name, prompts=0)
    texts = ["[TOK] riding a horse"] * 3
    first, second = faces(2, F)
    a, b, c = model.encode_texts(texts, each(np.stack([first, second, first])))
    assert np.abs(a - b).max() > 1e-4
    assert np.abs(a - c).max() < 1e-6


@pytest.mark.parametrize("name", PROMPTABLE)
def test_visual_prompts_change_pictures_only_and_text_prompts_texts_only(name: str) -> None:
    plain = _idclip(name, prompts=0)
    visual = _idclip(name, prompts=4)
    textual = _idclip(name, prompts=0, text_prompts=3)
    for other in (visual, textual):
        other.backbone.model.load_state_dict(plain.backbone.model.state_dict())
        other.translator.load_state_dict(plain.translator.state_dict())
    pictures, texts, people = noise(2), ["[TOK] riding a horse"], each(faces(1, F))

    def changed(other: IdCLIP) -> tuple[bool, bool]:
        image = np.abs(other.encode_images(pictures) - plain.encode_images(pictures)).max()
        text = np.abs(other.encode_texts(texts, people) - plain.encode_texts(texts, people)).max()
        return bool(image > 1e-4), bool(text > 1e-4)

    assert visual.prompts == 4
    assert changed(visual) == (True, False)
    assert changed(textual) == (False, True)


def test_visual_prompts_enter_after_the_positions_and_before_the_first_norm() -> None:
    """What the paper describes, written out for open_clip's own ViT."""
    model = _idclip("small-vit", prompts=5)
    visual, pixels = model.backbone.model.visual, model.backbone.pixels(noise(3))
    with torch.inference_mode():
        patches = visual.conv1(pixels).flatten(2).transpose(1, 2)
        first = visual.class_embedding.expand(len(patches), 1, -1)
        x = torch.cat([first, patches], 1) + visual.positional_embedding
        x = torch.cat([x, model.visual_prompts.expand(len(x), -1, -1)], 1)
        x = visual.transformer(visual.ln_pre(x))
        expected = visual.ln_post(x[:, 0]) @ visual.proj
        expected = expected / expected.norm(dim=-1, keepdim=True)
        assert float((model.encode_image(pixels) - expected).abs().max()) < 1e-6


@pytest.mark.parametrize("name", WITHOUT)
def test_where_visual_prompts_do_not_apply_it_says_so_and_goes_on(name: str) -> None:
    with pytest.warns(UserWarning, match=f"{name}.*translator is trained alone"):
        model = IdCLIP(name, face_dim=F, prompts=5)
    assert model.prompts == 0
    assert set(dict(model.named_parameters())) >= {"translator.net.0.weight"}
    assert model.encode_images(noise(1)).shape == (1, model.dim)


def test_two_models_on_one_backbone_keep_out_of_each_other() -> None:
    backbone = load_backbone("small-vit")
    torch.manual_seed(1)
    first = IdCLIP(backbone, face_dim=F, prompts=3).eval()
    people = each(faces(1, F))
    alone = first.encode_images(noise(2)), first.encode_texts(["a [TOK]"], people)
    second = IdCLIP(backbone, face_dim=F, prompts=2, text_prompts=1).eval()
    beside = first.encode_images(noise(2)), first.encode_texts(["a [TOK]"], people)
    assert all(np.array_equal(a, b) for a, b in zip(alone, beside, strict=True))
    assert np.abs(second.encode_images(noise(2)) - alone[0]).max() > 1e-4


def test_prompts_pass_through_checkpointed_gradients_too() -> None:
    """timm calls its blocks one by one then, and a hook on all of them would not be called."""
    for name in ("small-timm", "small-vit"):
        model = _idclip(name, prompts=3)
        pixels = model.backbone.pixels(noise(2))
        plain = model.encode_image(pixels)
        model.backbone.model.set_grad_checkpointing(True)
        assert float((model.encode_image(pixels) - plain).detach().abs().max()) < 1e-5


# --- gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_gradients_reach_only_translator_and_prompts_and_training_changes_nothing_else(
    name: str,
) -> None:
    model = _idclip(name, prompts=2, text_prompts=2).train()
    before = {key: value.clone() for key, value in model.backbone.model.state_dict().items()}
    optimizer = torch.optim.AdamW(trained_parameters(model), lr=1e-2)
    learned = {key: value.clone() for key, value in model.learned().items()}
    pixels = model.backbone.pixels(noise(3))
    ids, slots, people = model.read(["[TOK] riding a horse"] * 3, each(faces(3, F)))
    loss = info_nce(model.encode_image(pixels), model.encode_text(ids, slots, people), 14.0)
    loss.backward()
    optimizer.step()
    after = model.backbone.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(weight.grad is None for weight in model.backbone.model.parameters())
    moved = {key for key, value in model.learned().items() if not torch.equal(value, learned[key])}
    expected = {"translator.net.0.weight", "translator.net.2.weight", "text_prompts"}
    assert moved == expected | ({"visual_prompts"} if name in PROMPTABLE else set())


def test_the_backbone_stays_in_evaluation_mode() -> None:
    model = _idclip("small-resnet", prompts=0).train()
    assert model.training
    assert not any(module.training for module in model.backbone.model.modules())


@pytest.mark.parametrize("name", ALL)
def test_permuting_a_batch_permutes_what_comes_out(name: str) -> None:
    model = _idclip(name, prompts=3, text_prompts=1)
    pictures, people = noise(4), faces(4, F)
    texts = ["[TOK] riding a horse", "a red [TOK]", "sun", "[TOK] and [TOK]"]
    given = [people[:1], people[1:2], people[:0], people[2:]]
    order = [2, 0, 3, 1]
    images, said = model.encode_images(pictures), model.encode_texts(texts, given)
    again = model.encode_images([pictures[i] for i in order])
    said_again = model.encode_texts([texts[i] for i in order], [given[i] for i in order])
    assert np.abs(again - images[order]).max() < 1e-5
    assert np.abs(said_again - said[order]).max() < 1e-5


@pytest.mark.parametrize("name", ["small-vit", "small-sigmoid", "small-hf", "compact"])
def test_bfloat16_and_float32_agree_to_a_cosine_of_0_99(name: str) -> None:
    model = _idclip(name, prompts=3)
    pixels = model.backbone.pixels(noise(4))
    ids, slots, people = model.read(["[TOK] riding a horse"] * 4, each(faces(4, F)))
    with torch.inference_mode():
        full = model.encode_image(pixels), model.encode_text(ids, slots, people)
        with torch.autocast("cpu", torch.bfloat16):
            half = model.encode_image(pixels), model.encode_text(ids, slots, people)
    for exact, rounded in zip(full, half, strict=True):
        assert float((exact * rounded).sum(-1).min()) > 0.99
        assert float((rounded.norm(dim=-1) - 1).abs().max()) < 1e-5
        assert not torch.equal(exact, rounded)


# --- tokens --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("tokens", "prompts"), [(1, 0), (3, 0), (2, 4)])
def test_every_mark_gets_its_places_whatever_stands_around_it(
    name: str, tokens: int, prompts: int
) -> None:
    plain = load_backbone(name)
    tokenizer = PersonTokenizer(
        plain.tokenize, plain.context_length, tokens=tokens, prompts=prompts
    )
    long = "a man riding a red horse " * 20
    cases = {
        "[TOK]": 1,
        "a man": 0,
        "A man ([TOK]) riding": 1,
        "[TOK]'s red horse, [TOK]!": 2,
        "[TOK][TOK]": 2,
        f"{long} [TOK]": 1,
        f"[TOK] {long}": 1,
        f"{long}[TOK] riding {long} with [TOK] {long}": 2,
        "* x q z * dog cat house [TOK] *": 1,
    }
    read = tokenizer(list(cases))
    assert read.ids.shape == read.slots.shape == (len(cases), plain.context_length)
    expected = 1
    for row, marks in zip(read.slots, cases.values(), strict=True):
        assert sorted(row[(row > 0) & (row <= prompts)]) == list(range(1, prompts + 1))
        places = row[row > prompts] - prompts
        assert list(places) == list(range(expected, expected + marks * tokens))
        expected += marks * tokens


@pytest.mark.parametrize("name", ["small-vit", "small-hf", "compact"])
def test_a_long_text_keeps_its_beginning_and_its_marks(name: str) -> None:
    plain = load_backbone(name)
    tokenizer = PersonTokenizer(plain.tokenize, plain.context_length)
    read = tokenizer(["a man " + "riding a horse " * 40 + "[TOK] a sun", "a man"])
    start = int(np.flatnonzero(read.ids[0] != read.ids[1])[0])
    assert start > 2  # both begin alike
    assert (read.slots[0] > 0).sum() == 1
    assert np.flatnonzero(read.slots[0])[0] > plain.context_length - 6  # room was not wasted


def test_text_prompts_stand_between_the_start_and_the_first_word() -> None:
    plain = load_backbone("small-vit")
    with_prompts = PersonTokenizer(plain.tokenize, plain.context_length, prompts=2)
    without = PersonTokenizer(plain.tokenize, plain.context_length)
    a, b = with_prompts(["[TOK] riding a horse"]), without(["[TOK] riding a horse"])
    assert list(a.slots[0, :4]) == [0, 1, 2, 3]
    assert list(b.slots[0, :2]) == [0, 1]
    assert a.ids[0, 0] == b.ids[0, 0]
    assert np.array_equal(a.ids[0, 3:], b.ids[0, 1:-2])


def test_more_people_than_fit_are_refused_with_the_text() -> None:
    model = _idclip("small-vit", prompts=0, tokens=3)
    with pytest.raises(TextTooLong, match="names 12 people"):
        model.encode_texts(["[TOK] " * 12], [faces(12, F)])


def test_a_tokenizer_in_which_no_word_stands_alone_is_refused() -> None:
    def letters(texts: list[str], length: int) -> np.ndarray:
        rows = [[ord(c) for c in f"{text:<{length}}"[:length]] for text in texts]
        return np.array([[c for d in row for c in (d, 1)][:length] for row in rows])

    with pytest.raises(VidsearchError, match="one token of none of"):
        PersonTokenizer(letters, 40)


# --- wrong use -----------------------------------------------------------------------------------


def test_marks_and_people_must_match() -> None:
    model = _idclip("small-vit", prompts=0)
    with pytest.raises(VidsearchError, match="has 1 marks for 2 people"):
        model.encode_texts(["[TOK] riding"], [faces(2, F)])
    with pytest.raises(VidsearchError, match=r"face vectors of 9 values.*made for 16"):
        model.encode_texts(["[TOK] riding"], [faces(1, 9)])


def test_a_person_takes_one_to_three_tokens() -> None:
    with pytest.raises(VidsearchError, match="1 to 3 tokens, not 4"):
        IdCLIP("small-vit", face_dim=F, tokens=4)


def test_an_unknown_backbone_and_one_that_cannot_be_fetched_are_told_at_once() -> None:
    with pytest.raises(ModelUnavailable, match='knows no model "no-such-model"'):
        IdCLIP("no-such-model", face_dim=F)
    with pytest.raises(ModelUnavailable, match="is neither a file nor weights published"):
        IdCLIP("ViT-B-32", "no-such-tag", face_dim=F)


# --- losses --------------------------------------------------------------------------------------


def _units(n: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(faces(n, 8, seed))


def test_info_nce_is_the_mean_of_both_cross_entropies() -> None:
    images, texts = _units(5, 0), _units(5, 1)
    logits = 14.0 * images.double() @ texts.double().T
    rows = [-torch.log_softmax(logits[i], 0)[i] for i in range(5)]
    columns = [-torch.log_softmax(logits[:, i], 0)[i] for i in range(5)]
    expected = (sum(rows) / 5 + sum(columns) / 5) / 2
    assert float(info_nce(images, texts, 14.0)) == pytest.approx(float(expected), rel=1e-5)


def test_the_entity_loss_draws_all_of_one_identity_together() -> None:
    images, people = _units(6, 0), _units(6, 1)
    identity = torch.tensor([0, 1, 0, 2, 1, 0])
    logits = 14.0 * images.double() @ people.double().T
    total = 0.0
    for scores in (logits, logits.T):
        for i in range(6):
            same = [j for j in range(6) if identity[j] == identity[i]]
            log_share = torch.log_softmax(scores[i], 0)
            total -= float(sum(log_share[j] for j in same)) / len(same) / 6
    found = float(entity_loss(images, people, identity, 14.0))
    assert found == pytest.approx(total / 2, rel=1e-5)


def test_the_entity_loss_is_info_nce_where_everybody_is_somebody_else() -> None:
    images, people = _units(4, 0), _units(4, 1)
    alone = float(entity_loss(images, people, torch.arange(4), 14.0))
    assert alone == pytest.approx(float(info_nce(images, people, 14.0)), rel=1e-6)


# --- the compact backbone ------------------------------------------------------------------------


def test_the_compact_backbone_is_the_encoder_that_ships() -> None:
    """Texts are the same; pictures differ by the rounding that the shipped image side does."""
    import cv2

    from idclip.concept import ConceptEncoder

    backbone, concept = load_backbone("compact"), ConceptEncoder()
    texts = ["a man riding a horse", "people sitting in an audience", "", "x " * 100]
    ids = torch.from_numpy(backbone.tokenize(texts, backbone.context_length))
    photo = Path(__file__).parents[2] / "examples" / "media"
    files = sorted([*photo.rglob("*.jpg"), *photo.rglob("*.png")])
    pictures = [cv2.imread(str(file))[:, :, ::-1].copy() for file in files]
    with torch.inference_mode():
        said = backbone.model.encode_text(ids).numpy()
        seen = backbone.model.encode_image(backbone.pixels(pictures)).numpy()
    assert np.abs(said - concept.encode_texts(texts)).max() < 1e-5
    assert len(pictures) >= 4
    likeness = (seen * concept.encode_images(pictures)).sum(axis=1)
    assert likeness.min() > 0.97
