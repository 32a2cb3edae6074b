"""A tiny random encoder on disk, for tests and plumbing checks: a real architecture, useless weights."""

import shutil
from pathlib import Path
from typing import Any

import torch

from fama.randomness import derive_seed
from fama.selection.router.encoder import DEFAULT_ENCODER, encoder_path


def write_tiny_encoder(folder: Path, hidden: int = 32, seed: int = 0, positions: int = 128) -> Path:
    """Write a one-layer BERT with random weights and MiniLM's vocabulary; return the folder."""
    import transformers

    library: Any = transformers
    source = Path(encoder_path(DEFAULT_ENCODER))
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copyfile(source / name, folder / name)
    config = library.BertConfig(
        hidden_size=hidden,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=2 * hidden,
        max_position_embeddings=positions,
    )
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(seed, "tiny encoder"))
        library.BertModel(config).save_pretrained(folder, safe_serialization=True)
    return folder
