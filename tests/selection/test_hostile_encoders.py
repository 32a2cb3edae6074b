"""Checkpoints with an encoder that somebody changed, with hashes that fit: adapters, config, the encoder's name."""

import json
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save

from fama.cli import main
from fama.errors import BadInput
from fama.selection.router.checkpoint import load_router, write_router
from fama.selection.router.checkpoint_files import ADAPTER, ADAPTER_CONFIG, MANIFEST
from fama.selection.router.encoder import SegmentEncoder, encoder_fingerprint
from fama.selection.router.features import featurise
from fama.selection.router.manifest import EncoderShape, LoraShape, NetworkShape, RouterManifest
from fama.selection.router.network import RouterNetwork
from tests.support.hostile_checkpoints import BAD_NUMBERS, STATE, copy_of, decides_or_is_refused, places, reseal
from tests.support.tiny_encoder import write_tiny_encoder

Change = Callable[[Path], None]
RANK = 2
A = "base_model.model.encoder.layer.0.attention.self.query.lora_A.weight"
B = A.replace("lora_A", "lora_B")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("encoder"))


def manifest_of(kind: str, **changes: Any) -> RouterManifest:
    stored = json.loads(Path("checkpoints/helpdesk-encoder/router.json").read_text(encoding="utf-8"))
    gone: dict[str, Any] = {"kind": kind, "files": {}, "cost": None, "encoder": None, "network": None}
    return RouterManifest.model_validate({**stored, **gone, **changes})


@pytest.fixture(scope="module")
def adapted(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint of kind encoder whose adapters are not those that a training starts from."""
    shape = EncoderShape(name=str(tiny), window=16, fingerprint=encoder_fingerprint(str(tiny)), adapted=True)
    encoder = SegmentEncoder(str(tiny), 16, LoraShape(rank=RANK, alpha=4, dropout=0.0))
    plain = manifest_of("encoder")
    network = NetworkShape(
        embedding=32, evidence=len(plain.evidence_names), helpers=6, categories=4, hidden=8, attention=2
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        arrays = {name: value.numpy() for name, value in RouterNetwork(network).state_dict().items()}
        arrays["evidence_scale"] = np.ones_like(arrays["evidence_scale"])
        weights = {name: torch.randn(value.shape).numpy() for name, value in encoder.adapter_state().items()}
    folder = tmp_path_factory.mktemp("router") / "adapted"
    manifest = manifest_of("encoder", encoder=shape.model_dump(), network=network.model_dump())
    write_router(folder, manifest, arrays, "card", (encoder.adapter_config(), weights))
    return folder


@pytest.fixture(scope="module")
def tuned(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint of kind setfit with a difference of one weight."""
    shape = EncoderShape(name=str(tiny), window=16, fingerprint=encoder_fingerprint(str(tiny)))
    weights = SegmentEncoder(str(tiny), 16).model.state_dict()
    name = next(name for name in weights if name.endswith("query.weight"))
    arrays: dict[str, Any] = {
        "weight": np.ones((6, 33), np.float32),
        f"encoder.{name}": np.full((32, 32), 0.01, np.float16),
    }
    folder = tmp_path_factory.mktemp("router") / "tuned"
    write_router(folder, manifest_of("setfit", shape=shape.model_dump()), arrays, "card")
    return folder


def config(**changes: Any) -> Change:
    def change(folder: Path) -> None:
        path = folder / ADAPTER_CONFIG
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def config_text(text: str) -> Change:
    def change(folder: Path) -> None:
        (folder / ADAPTER_CONFIG).write_text(text)

    return change


def weights(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    def write(folder: Path) -> None:
        found = change(load_file(folder / ADAPTER))
        (folder / ADAPTER).write_bytes(save({name: np.ascontiguousarray(value) for name, value in found.items()}))

    return write


def each(change: Callable[[Any], Any]) -> Change:
    return weights(lambda found: {name: change(value) for name, value in found.items()})


def one(name: str, change: Callable[[Any], Any]) -> Change:
    return weights(lambda found: {**found, name: change(found[name])})


def file(change: Callable[[bytes], bytes]) -> Change:
    def write(folder: Path) -> None:
        (folder / ADAPTER).write_bytes(change((folder / ADAPTER).read_bytes()))

    return write


def header(**changes: Any) -> Change:
    """Change what the safetensors file says of the weight A."""

    def change(data: bytes) -> bytes:
        size = struct.unpack("<Q", data[:8])[0]
        told = json.loads(data[8 : 8 + size])
        told[A].update(changes)
        text = json.dumps(told).encode()
        return struct.pack("<Q", len(text)) + text + data[8 + size :]

    return file(change)


def encoder(**changes: Any) -> Change:
    def change(folder: Path) -> None:
        told = json.loads((folder / MANIFEST).read_text())
        told["encoder"].update(changes)
        (folder / MANIFEST).write_text(json.dumps(told))

    return change


def added(name: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(b"x")

    return change


ENDLESS = "(.*)*(a+)+$"
EXTRA = A.replace("query", "key")
#: What is changed, and the reason that is told.
REFUSED: dict[str, tuple[Change, str]] = {
    # an expression that peft would match with every layer's name, for ever
    "targets, endless": (config(target_modules=ENDLESS), "target_modules is no list"),
    "exclude, endless": (config(exclude_modules=ENDLESS), "exclude_modules is set"),
    "alpha_pattern, endless": (config(alpha_pattern={ENDLESS: 3}), "alpha_pattern is set"),
    "layers_pattern, endless": (config(layers_to_transform=[0], layers_pattern=ENDLESS), "layers_pattern is set"),
    "many targets": (config(target_modules=[f"x{n}" for n in range(100_000)]), "target_modules is no list"),
    "all-linear": (config(target_modules="all-linear"), "target_modules is no list"),
    "no targets": (config(target_modules=[]), "target_modules is no list"),
    "peft's targets": (config(target_modules=None), "target_modules is no list"),
    "targets are numbers": (config(target_modules=[1, 2]), "targets.0"),
    "other targets": (config(target_modules=["key"]), "instead of"),
    "fewer targets": (config(target_modules=["query"]), "instead of none"),
    "more targets": (config(target_modules=["query", "value", "dense"]), "has shape none instead of"),
    "unknown targets": (config(target_modules=["nowhere"]), "does not fit its encoder"),
    "a module that is imported": (config(megatron_config={"x": 1}, megatron_core="hostile"), "megatron_con"),
    "a library that is imported": (config(auto_mapping={"parent_library": "hostile"}), "auto_mapping is set"),
    "layers copied": (config(layer_replication=[[0, 1]] * 100_000), "layer_replication is set"),
    "modules saved": (config(modules_to_save=["encoder"]), "modules_to_save is set"),
    "a decomposition": (config(init_lora_weights="pissa"), "init_lora_weights is set"),
    "quantised": (config(init_lora_weights="loftq", loftq_config={"loftq_bits": 4}), "init_lora_weights is set"),
    "DoRA": (config(use_dora=True), "use_dora is set"),
    "other scales": (config(use_rslora=True), "use_rslora is set"),
    "other ranks": (config(rank_pattern={"query": 1}), "rank_pattern is set"),
    "biases": (config(bias="all"), "bias is set"),
    "tokens": (config(trainable_token_indices=[10**9]), "trainable_token_indices is set"),
    "a key of another version": (config(new_trick={"a": 1}), "new_trick is set"),
    "another sort": (config(peft_type="PREFIX_TUNING"), "no LoRA adapter"),
    "rank 0": (config(r=0), "rank"),
    "rank -8": (config(r=-8), "rank"),
    "rank 2.0": (config(r=2.0), "whole numbers"),
    "rank true": (config(r=True), "whole numbers"),
    "a huge rank": (config(r=10**12), "rank"),
    "another rank": (config(r=4096), "no LoRA matrix of rank 4096"),
    "alpha 0": (config(lora_alpha=0), "alpha"),
    "alpha 1e300": (config(lora_alpha=1e300), "whole numbers"),
    "alpha '4'": (config(lora_alpha="4"), "whole numbers"),
    "no object": (config_text("[]"), "cannot be used"),
    "null": (config_text("null"), "cannot be used"),
    "deep": (config_text("[" * 100_000), "cannot be used"),
    "NaN": (config_text('{"peft_type": "LORA", "r": NaN}'), "NaN is no number"),
    "a key twice": (config_text('{"r": 2, "r": 3}'), "given two values"),
    "no key": (config_text('{"peft_type": "LORA"}'), "target_modules"),
    "a weight lacks": (weights(lambda w: {k: v for k, v in w.items() if k != A}), "has one of two weights"),
    "a pair lacks": (weights(lambda w: {k: v for k, v in w.items() if k not in (A, B)}), "has shape none instead of"),
    "no weights": (weights(lambda w: {}), "target_modules is no list"),
    "a weight more": (weights(lambda w: {**w, "x": w[A]}), "x: no weight of a LoRA adapter"),
    "a pair more": (weights(lambda w: {**w, EXTRA: w[A], EXTRA.replace("_A", "_B"): w[B]}), "instead of none"),
    "a shorter row": (one(A, lambda v: v[:, :-1]), r"has shape \(2, 31\) instead of \(2, 32\)"),
    "a shorter column": (one(B, lambda v: v[:-1]), r"has shape \(31, 2\) instead of \(32, 2\)"),
    "wide weights": (one(A, lambda v: np.ones((RANK, 10**6), np.float32)), "instead of"),
    "flat": (each(np.ravel), "no LoRA matrix of rank 2"),
    "deeper": (each(lambda v: v[None]), "no LoRA matrix of rank 2"),
    "no numbers": (one(A, lambda v: v[:0]), "no LoRA matrix of rank 2"),
    "whole numbers": (each(lambda v: v.astype(np.int64)), "int64"),
    "flags": (each(lambda v: v > 0), "bool"),
    "a NaN": (one(A, lambda v: np.where(np.arange(v.size).reshape(v.shape) == 5, np.nan, v)), "not finite"),
    "infinite": (each(lambda v: np.full_like(v, -np.inf)), "not finite"),
    "huge": (each(lambda v: np.full_like(v, 9e8)), "changes a weight by more than 100"),
    "huge alpha": (config(lora_alpha=1_000_000), "changes a weight by more than 100"),
    "dtype: half as long": (header(dtype="BF16"), "not a safetensors file"),
    "dtype: unknown": (header(dtype="X"), "not a safetensors file"),
    "shape: huge": (header(shape=[10**12, 10**6]), "not a safetensors file"),
    "shape: beyond 64 bits": (header(shape=[2**63, 4]), "not a safetensors file"),
    "shape: negative": (header(shape=[-2, 32]), "not a safetensors file"),
    "offsets: beyond": (header(data_offsets=[0, 10**15]), "not a safetensors file"),
    "offsets: overlap": (header(data_offsets=[4, 260]), "not a safetensors file"),
    "header: huge": (file(lambda data: struct.pack("<Q", 2**62) + data[8:]), "not a safetensors file"),
    "header: none": (file(lambda data: data[:5]), "not a safetensors file"),
    "empty": (file(lambda data: b""), "not a safetensors file"),
    "cut": (file(lambda data: data[:-9]), "not a safetensors file"),
    "more behind": (file(lambda data: data + b"x" * 9), "not a safetensors file"),
    "a pickle inside": (file(lambda data: b"\x80\x04\x95" + data), "not a safetensors file"),
    "a pickle beside": (added("adapter/adapter_model.bin"), "a pickle or other executable format"),
    "training arguments": (added("training_args.bin"), "a pickle or other executable format"),
    "code beside": (added("adapter/hostile.py"), "not part of a router"),
    "encoder: not there": (encoder(name="no-such-encoder", fingerprint=None), "a router downloads none"),
    "encoder: of a hub": (encoder(name="no-such-owner/no-such-encoder", fingerprint=None), "a router downloads none"),
    "encoder: an address": (encoder(name="http://127.0.0.1:9/x", fingerprint=None), "cannot be loaded"),
    "encoder: a folder": (encoder(name="/etc", fingerprint=None), "cannot be loaded"),
    "encoder: outside": (encoder(name="../../../../etc", fingerprint=None), "cannot be loaded"),
    "encoder: a file": (encoder(name="/etc/passwd", fingerprint=None), "cannot be loaded"),
    "encoder: a device": (encoder(name="/dev/zero", fingerprint=None), "cannot be loaded"),
    "encoder: no name": (encoder(name="a\0b\n", fingerprint=None), "cannot be loaded"),
    "encoder: a long name": (encoder(name="x" * 4000, fingerprint=None), "cannot be loaded"),
    "encoder: a longer one": (encoder(name="x" * 10**6), "at most 4096 characters"),
    "encoder: other weights": (encoder(fingerprint="0" * 16), "has other weights"),
    "encoder: long windows": (encoder(window=129), "reads at most 128 tokens"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_changed_adapter_is_refused_in_one_line(
    adapted: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, reason = REFUSED[name]
    (tmp_path / "hostile.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = copy_of(adapted, tmp_path)
    change(folder)
    reseal(folder)
    start = time.process_time()
    with pytest.raises(BadInput, match=reason) as caught:
        load_router(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
    assert time.process_time() - start < 20 and "hostile" not in sys.modules


def test_what_changes_nothing_is_read(adapted: Path, tmp_path: Path) -> None:
    before = load_router(adapted).choose(featurise(STATE))
    for change in (
        config(lora_dropout=0.9, peft_version="99", base_model_name_or_path="/etc", later_option=None, other={}),
        each(lambda value: value.astype(np.float64)),
    ):
        folder = copy_of(adapted, tmp_path)
        change(folder)
        reseal(folder)
        assert load_router(folder).choose(featurise(STATE)) == before


def test_adapters_count_as_peft_counts_them(adapted: Path, tiny: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModel

    theirs = PeftModel.from_pretrained(AutoModel.from_pretrained(tiny), str(adapted / "adapter")).merge_and_unload()
    router = load_router(adapted)
    assert router.embedder is not None
    ours = router.embedder.encoder.model.float().state_dict()
    plain = AutoModel.from_pretrained(tiny).state_dict()
    kind = next(iter(load_router(adapted).embedder.encoder.parameters())).dtype  # type: ignore[union-attr]
    changed = 0
    for name, value in theirs.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(ours[name], value.to(kind).float()), name
            changed += not torch.equal(plain[name], value)
    assert changed == 2


def test_code_of_an_encoder_is_not_run_and_not_asked_about(
    adapted: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = copy_of(tiny, tmp_path).rename(tmp_path / "own")
    told = json.loads((own / "config.json").read_text())
    told |= {"model_type": "hostile", "auto_map": {"AutoConfig": "hostile.Config", "AutoModel": "hostile.Model"}}
    (own / "config.json").write_text(json.dumps(told))
    (own / "hostile.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')\nclass Config: ...\nclass Model: ...\n")

    def ask(prompt: str = "") -> str:
        raise AssertionError(prompt)

    monkeypatch.setattr("builtins.input", ask)
    folder = copy_of(adapted, tmp_path)
    encoder(name=str(own), fingerprint=None)(folder)
    reseal(folder)
    assert main(["select", "--router", str(folder), "--episodes", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "cannot be loaded" in error and not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["adapted", "tuned"])
def test_every_size_of_an_encoder_and_its_network(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder = copy_of(request.getfixturevalue(kind), tmp_path)
    whole = json.loads((folder / MANIFEST).read_text())
    assert decides_or_is_refused(folder)
    sizes = {key: whole[key] for key in ("encoder", "network", "shape") if whole.get(key)}
    refused = 0
    for path in places(sizes):
        for bad in BAD_NUMBERS:
            changed = json.loads(json.dumps(whole))
            changed[path[0]][path[1]] = bad
            (folder / MANIFEST).write_text(json.dumps(changed))
            refused += not decides_or_is_refused(folder)
    assert refused >= len(places(sizes)) * (len(BAD_NUMBERS) - 2)


@pytest.mark.parametrize("kind", ["adapted", "tuned"])
def test_every_array_of_a_router_with_an_encoder(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder = copy_of(request.getfixturevalue(kind), tmp_path)
    arrays = load_file(folder / "heads.safetensors")
    changes: tuple[Callable[[Any], Any], ...] = (
        lambda value: np.full_like(value, np.nan),
        lambda value: np.full_like(value, np.inf),
        lambda value: value[:-1],
        lambda value: np.concatenate([value, value]),
        lambda value: value[None],
    )
    for name, value in arrays.items():
        for change in changes:
            changed = {**arrays, name: np.ascontiguousarray(change(value))}
            (folder / "heads.safetensors").write_bytes(save(changed))
            reseal(folder)
            assert not decides_or_is_refused(folder), name
    for lacking in arrays:
        (folder / "heads.safetensors").write_bytes(save({k: v for k, v in arrays.items() if k != lacking}))
        reseal(folder)
        assert decides_or_is_refused(folder) == lacking.startswith("encoder."), lacking  # no difference is a small one
    (folder / "heads.safetensors").write_bytes(save({**arrays, "encoder.nowhere": arrays[min(arrays)]}))
    reseal(folder)
    assert not decides_or_is_refused(folder)
