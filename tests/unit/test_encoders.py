"""Encoders by name: what is known of them, what is said when one is not there, and fetching."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from idclip import pull
from idclip.encoders import REGISTRY, full_name, load_encoder, takes_people
from idclip.errors import ModelUnavailable
from vidsearch import settings
from vidsearch.errors import VidsearchError

EXPORTED = "onnx:clip-vit-b-32-256"


def test_every_named_encoder_says_where_it_comes_from_and_what_may_be_done_with_it() -> None:
    for name, info in REGISTRY.items():
        assert info.name == name
        assert all((info.licence, info.about, info.origin, info.note))
        assert info.commercial in ("yes", "no", "ask")
        assert min(info.dim, info.megabytes) > 0
        assert info.extra == ("torch" if name.startswith(("open_clip:", "idclip:")) else "")


def test_licences_that_forbid_commerce_are_said_plainly() -> None:
    forbidding = {n for n, i in REGISTRY.items() if "NC" in i.licence or "amlr" in i.licence}
    assert forbidding == {n for n, i in REGISTRY.items() if i.commercial == "no"}
    assert forbidding


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("concpet", "concept"), ("open_clip:", "open_clip:MODEL/PRETRAINED"), ("clip", "onnx:")],
)
def test_an_unknown_name_is_answered_with_the_known_ones(typed: str, meant: str) -> None:
    with pytest.raises(ModelUnavailable) as told:
        load_encoder(typed)
    assert meant in str(told.value)
    assert all(name in str(told.value) for name in REGISTRY)


def test_a_near_match_is_asked_for_by_name() -> None:
    with pytest.raises(ModelUnavailable, match=r"Did you mean concept"):
        load_encoder("concepts")


def test_without_torch_the_command_that_installs_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)  # as if it were not installed
    monkeypatch.setattr("idclip.open_clip_models.torch_installed", lambda: False)
    with pytest.raises(ModelUnavailable, match=r'pip install "vidsearch\[torch\]"'):
        load_encoder("open_clip:ViT-B-32/openai")


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelUnavailable, match=r"onnx:/nowhere/at-all: no such folder"):
        load_encoder("onnx:/nowhere/at-all")


def test_names_are_compared_in_full_without_loading_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "w.pt").touch()
    monkeypatch.chdir(tmp_path)
    for name, full in (
        ("onnx:mine", f"onnx:{tmp_path / 'mine'}"),
        ("open_clip:local-dir:mine", f"open_clip:local-dir:{tmp_path / 'mine'}"),
        ("open_clip:ViT-B-32/w.pt", f"open_clip:ViT-B-32/{tmp_path / 'w.pt'}"),
        ("open_clip:ViT-B-32/openai", "open_clip:ViT-B-32/openai"),
        (EXPORTED, EXPORTED),
        ("concept", "concept"),
    ):
        assert full_name(name) == full_name(full) == full
    with pytest.raises(ModelUnavailable, match="no encoder is called"):
        full_name("clip")


def test_what_is_here_and_how_to_get_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "torch_installed", lambda: False)
    states = {state.info.name: state for state in pull.available()}
    assert set(states) == set(REGISTRY)
    assert states[EXPORTED].remedy == f"vidsearch models pull {EXPORTED}"
    for name, state in states.items():
        if name.startswith(("open_clip:", "idclip:")):
            assert not state.present
            assert "vidsearch[torch]" in state.remedy


def test_what_ships_says_its_size_as_it_is_on_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from idclip import concept

    for file, size in zip(concept.FILES, (1_000, 2_000_000, 9_000_000, 400_000), strict=True):
        (tmp_path / file).write_bytes(bytes(size))
    monkeypatch.setattr(concept, "WEIGHTS", tmp_path)
    (shipped,) = [state for state in pull.available() if state.info.name == "concept"]
    assert shipped.as_data()["megabytes"] == 11


def test_the_compact_id_clip_ships() -> None:
    pytest.importorskip("open_clip")
    (state,) = [state for state in pull.available() if state.info.name == "idclip:compact"]
    assert state.present
    folder = pull.pull("idclip:compact")
    assert (folder / "MODEL_CARD.md").is_file()
    encoder = load_encoder("idclip:compact")
    assert encoder.name == full_name("idclip:compact") == "idclip:compact"
    assert (encoder.dim, encoder.licence) == (state.info.dim, state.info.licence)
    assert takes_people(encoder)


def test_a_model_that_can_be_pulled_is_asked_for_with_the_command_that_pulls_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VIDSEARCH_MODELS", str(tmp_path))
    with pytest.raises(ModelUnavailable, match=f"vidsearch models pull {EXPORTED}"):
        load_encoder(EXPORTED)
    with pytest.raises(ModelUnavailable, match="idclip export-onnx"):
        load_encoder("onnx:nowhere")


def test_the_command_lists_them_and_tells_errors_without_a_traceback() -> None:
    from click.testing import CliRunner

    from idclip.cli import main

    listed = CliRunner().invoke(main, ["models", "--json"])
    assert [entry["name"] for entry in json.loads(listed.output)] == list(REGISTRY)
    assert {"commercial_use", "dimensions"} <= json.loads(listed.output)[0].keys()
    shown = CliRunner().invoke(main, ["models"]).output
    assert all(f"commercial use: {info.commercial}" in shown for info in REGISTRY.values())
    failed = CliRunner().invoke(main, ["export-onnx", "x/y", str(Path(__file__).parent)])
    assert failed.exit_code == 2
    assert "exists; export into a new folder" in failed.output


# --- the network ---------------------------------------------------------------------------------


def _pull_in_a_process(
    endpoint: str, home: Path, name: str = EXPORTED, **env: str
) -> subprocess.CompletedProcess[str]:
    """`pull(name)` against another hub: its address is read when the library is imported."""
    code = (
        "import sys\nfrom idclip.pull import pull\nfrom idclip.errors import ModelUnavailable\n"
        "try: print(pull(sys.argv[1]))\n"
        "except ModelUnavailable as error: print(error); sys.exit(4)\n"
    )
    clean = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
    clean |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1"}
    clean |= {"VIDSEARCH_MODELS": str(home / "models"), **env}
    return subprocess.run(
        [sys.executable, "-c", code, name], env=clean, capture_output=True, text=True, timeout=60
    )


def test_a_network_that_swallows_everything_is_given_up_within_ten_seconds(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # connects, and never answers
        endpoint = f"http://127.0.0.1:{mute.getsockname()[1]}"
        start = time.monotonic()
        done = _pull_in_a_process(endpoint, tmp_path)
        took = time.monotonic() - start
    assert done.returncode == 4, done.stderr
    assert took < 10
    assert f"{EXPORTED} is not on this machine" in done.stdout
    assert f"vidsearch models pull {EXPORTED}" in done.stdout
    assert "concept" in done.stdout


def test_a_refused_connection_and_a_chosen_silence_are_told_apart(tmp_path: Path) -> None:
    refused = _pull_in_a_process("http://127.0.0.1:9", tmp_path)
    assert "cannot be reached" in refused.stdout
    silent = _pull_in_a_process("http://127.0.0.1:9", tmp_path, HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set" in silent.stdout


class _Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as a download of a repository with four small files needs."""

    files = {  # noqa: RUF012 the same for every request
        "ViT-B-32-256-datacomp_s34b_b86k/visual.onnx": b"pictures",
        "ViT-B-32-256-datacomp_s34b_b86k/textual.onnx": b"words",
        "ViT-B-32-256-datacomp_s34b_b86k/visual.mlpackage/big": b"not wanted",
        "tokenizer/bpe_simple_vocab_16e6.txt.gz": b"merges",
    }
    commit = "0" * 39 + "1"

    def do_HEAD(self) -> None:
        self._answer(b"", head=True)

    def do_GET(self) -> None:
        self._answer(b"")

    def _answer(self, body: bytes, head: bool = False) -> None:
        path = self.path.split("?")[0]
        status, etag = 200, ""
        if "/tree/" in path:
            tree = [
                {"type": "file", "path": name, "size": len(data), "oid": f"{i:040d}"}
                for i, (name, data) in enumerate(self.files.items())
            ]
            body = json.dumps(tree).encode()
        elif path.startswith("/api/models/"):
            siblings = [{"rfilename": name} for name in self.files]
            body = json.dumps({"id": "x/y", "sha": self.commit, "siblings": siblings}).encode()
        elif "/resolve/" in path:
            name = path.split("/resolve/")[1].split("/", 1)[1]
            status, body = (200, self.files[name]) if name in self.files else (404, b"")
            etag = f'"{abs(hash(name)):040d}"'
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", self.commit)
        if etag:
            self.send_header("ETag", etag)
        self.end_headers()
        if not head:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_exported_model_is_fetched_once_without_what_is_not_needed(
    tmp_path: Path, hub: str
) -> None:
    done = _pull_in_a_process(hub, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = Path(done.stdout.strip())
    assert folder == tmp_path / "models" / "clip-vit-b-32-256"
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {name for name in _Hub.files if "mlpackage" not in name}
    again = _pull_in_a_process("http://127.0.0.1:9", tmp_path)  # no network any more
    assert again.returncode == 0
    assert Path(again.stdout.strip()) == folder


def test_a_download_that_fails_leaves_no_model_behind(
    tmp_path: Path, hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = _Hub._answer

    def broken(self: _Hub, body: bytes, head: bool = False) -> None:
        if self.path.split("?")[0].endswith("textual.onnx"):
            self.send_error(403)
        else:
            real(self, body, head)

    monkeypatch.setattr(_Hub, "_answer", broken)
    done = _pull_in_a_process(hub, tmp_path)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "the download failed" in done.stdout
    assert not (tmp_path / "models" / "clip-vit-b-32-256").exists()


# --- the user's choice ---------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "deep" / "config.toml"
    monkeypatch.setenv("VIDSEARCH_CONFIG", str(file))
    return file


def test_a_chosen_encoder_is_kept_and_the_default_is_not_written(config: Path) -> None:
    assert settings.read() == settings.Settings()
    chosen = settings.Settings(encoder='onnx:/a "quoted"/folder é')
    assert settings.write(chosen) == config
    assert settings.read() == chosen
    settings.write(settings.Settings())
    assert config.read_text() == ""


@pytest.mark.parametrize("text", ["encoder = ", "speed = 'high'", "encoder = 3", "\x00"])
def test_a_settings_file_that_makes_no_sense_is_named(config: Path, text: str) -> None:
    config.parent.mkdir()
    config.write_text(text)
    with pytest.raises(VidsearchError, match=r"config\.toml"):
        settings.read()
