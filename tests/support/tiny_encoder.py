"""A tiny random encoder on disk: a real architecture, useless weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from fama.randomness import derive_seed
from fama.selection.router.encoder import DEFAULT_ENCODER, encoder_path

#: Word pieces of the vocabulary: all signs and the most frequent words. Reading all 30,522 took most of a loading.
_PIECES = 6000


def write_tiny_encoder(folder: Path, hidden: int = 32, seed: int = 0, positions: int = 128) -> Path:
    """Write a one-layer BERT with random weights and the start of MiniLM's vocabulary; return the folder."""
    import transformers

    library: Any = transformers
    source = Path(encoder_path(DEFAULT_ENCODER))
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(source / name, folder / name)
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {piece: place for piece, place in vocabulary.items() if place < _PIECES}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    pieces = sorted(tokenizer["model"]["vocab"], key=vocabulary.get)
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    config = library.BertConfig(
        vocab_size=_PIECES,
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
