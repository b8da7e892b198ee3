"""The demo's questions, asked with the compact Id-CLIP that ships beside `concept`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("open_clip", reason='needs torch: pip install "vidsearch[torch]"')

from idclip.idclip_encoder import IdClipEncoder
from idclip.prompts import TOK

pytestmark = pytest.mark.slow
COMPACT = "idclip:compact"


@pytest.fixture(scope="module")
def demo() -> Any:
    examples = Path(__file__).parents[2] / "examples"
    sys.path.insert(0, str(examples))
    try:
        import demo
    finally:
        sys.path.remove(str(examples))
    return demo


def test_compact_answers_what_concept_answers(
    demo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    encode = IdClipEncoder.encode_texts

    def noting(
        self: IdClipEncoder, texts: Sequence[str], people: Sequence[NDArray[np.float32]] = ()
    ) -> NDArray[np.float32]:
        asked.extend(texts)
        return encode(self, texts, people)

    monkeypatch.setattr(IdClipEncoder, "encode_texts", noting)
    wrong: dict[str, list[str]] = {}
    for encoder in ("concept", COMPACT):
        number, wrong[encoder] = demo.run(tmp_path / encoder.replace(":", "-"), encoder)
        assert number == 7
    questions = [question.text for question in (*demo.QUESTIONS, demo.LATER)]
    with capsys.disabled():
        print()
        for text in questions:
            told = {name: "wrong" if text in bad else "right" for name, bad in wrong.items()}
            print(f"  {text}: {', '.join(f'{name} {said}' for name, said in told.items())}")
    assert wrong == {"concept": [], COMPACT: []}
    assert any(TOK in text and "singing into a microphone" in text for text in asked)
