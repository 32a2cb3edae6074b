"""Start a training from a checkpoint's network and adapters."""

from pathlib import Path

import torch
from safetensors.numpy import load_file

from fama.errors import BadInput
from fama.helpers.pool import member_names
from fama.selection.router.checkpoint import load_router
from fama.selection.router.checkpoint_files import ADAPTER, ADAPTER_CONFIG, HEADS
from fama.selection.router.encoder import SegmentEncoder
from fama.selection.router.network import RouterNetwork
from fama.subsets import join_subset
from training.settings import DataSettings


def start_from(folder: str, data: DataSettings, encoder: SegmentEncoder, network: RouterNetwork) -> None:
    """Load a checkpoint's weights into a network and its encoder, both of the coming training.

    Adapters of the checkpoint go on being trained; where it has none, fresh ones start, which change nothing at first.

    Raises:
        BadInput: the folder is no checkpoint, or one of another kind, pool, view, unit of cost, encoder or shape.
    """
    path = Path(folder)
    router = load_router(path)
    manifest = router.manifest
    if manifest.network is None or manifest.encoder is None:
        raise BadInput(f"init: {folder} is a {manifest.kind} router; give one of kind encoder, or leave init out")
    for what, then, now in (
        ("pool", join_subset(manifest.pool), join_subset(member_names(data.pool))),
        ("data.view", manifest.view, data.view),
        ("data.cost", manifest.cost_unit, data.cost),
        ("encoder", manifest.encoder.name, encoder.name),
        ("window", manifest.encoder.window, encoder.window),
        ("network", manifest.network, network.shape.model_copy(update={"dropout": manifest.network.dropout})),
    ):
        if then != now:
            raise BadInput(f"init: {folder} has {what} {then}, this config {now}; make them agree, or leave init out")
    arrays = load_file(path / HEADS)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    if manifest.encoder.adapted:
        if not encoder.trainable:
            raise BadInput(f"init: {folder} has adapters; set encoder.lora as it was, or leave init out")
        _load_adapter(path, encoder)


def _load_adapter(path: Path, encoder: SegmentEncoder) -> None:
    import json

    from peft import set_peft_model_state_dict

    before = json.loads((path / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    now = encoder.adapter_config()
    for key in ("r", "lora_alpha", "target_modules"):
        if before.get(key) != now.get(key):
            raise BadInput(f"init: {path} has adapters with {key} {before.get(key)}, this config {now.get(key)}")
    state = {name: torch.from_numpy(value) for name, value in load_file(path / ADAPTER).items()}
    set_peft_model_state_dict(encoder.model, state)
