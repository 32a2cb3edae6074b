"""A router as a folder for the Hugging Face Hub: the checkpoint, a header before its card; pushed when asked to."""

import re
from pathlib import Path

import yaml

from fama.errors import BadInput, FamaError
from fama.files import write_atomically
from fama.models.weights.download import http_errors
from fama.redaction import shortened
from fama.selection.router.checkpoint import read_manifest
from fama.selection.router.checkpoint_files import CARD, FIGURE, MANIFEST, check_files, needed_files, read_regular
from fama.selection.router.kinds.base import ROUTER_KINDS
from fama.selection.router.manifest import RouterManifest

#: The header of a card that comes from the hub.
_HEADER = re.compile(rb"---\n.*?\n---\n\n?", re.DOTALL)


class PushFailed(FamaError):
    """The hub did not take a folder; what is on this machine is complete."""


def write_hub_folder(router: Path, out: Path, licence: str | None = None) -> list[Path]:
    """Copy a checkpoint, without its training logs, into a new folder that the hub and ``load_router`` both take.

    The card's header states ``licence``, the hub's name of one; no licence when None. A card that has a header, since
    its router comes from the hub, keeps it unless there is a licence. Returns the files written, the manifest last.

    Raises:
        BadInput: ``router`` is no whole checkpoint, or ``out`` is there and not empty.
    """
    manifest = read_manifest(router)
    needed = needed_files(manifest, frozenset(ROUTER_KINDS.load(manifest.kind).files))
    contents = check_files(router, manifest, needed)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out}: already there; give --out a new folder")
    card = _for_people(router, CARD) or b"# Router\n"
    if (figure := _for_people(router, FIGURE)) is not None:
        contents[FIGURE] = figure
    told = _HEADER.match(card)
    if told is None or licence is not None:
        card = header(manifest, licence).encode() + card[0 if told is None else told.end() :]
    contents |= {CARD: card, MANIFEST: read_regular(router, MANIFEST)}
    for name, content in contents.items():
        write_atomically(out / name, content)
    return [out / name for name in contents]


def _for_people(router: Path, name: str) -> bytes | None:
    """Return a file that no program reads; None where there is none."""
    try:
        return read_regular(router, name)
    except FileNotFoundError:
        return None


def header(manifest: RouterManifest, licence: str | None = None) -> str:
    """Return the YAML block that the hub reads at the top of a model card."""
    encoder = manifest.encoder.name if manifest.encoder is not None else ""
    told = {
        "library_name": "fama-router",
        **({} if licence is None else {"license": licence}),
        "tags": ["agents", "tool-use", "router", f"router-{manifest.kind}", *(["synthetic"] * manifest.synthetic)],
        # only a hub name has an owner; a folder or a packaged encoder is no link
        **({"base_model": encoder} if encoder.count("/") == 1 and not Path(encoder).exists() else {}),
    }
    return f"---\n{yaml.safe_dump(told, sort_keys=False)}---\n\n"


def push(folder: Path, repository: str, public: bool) -> str:
    """Upload a hub folder; the repository is made if it is not there, private unless ``public``. Returns its address.

    The token is huggingface_hub's own (``HF_TOKEN`` or its login); it is never read or written here.

    Raises:
        PushFailed: no connection, no permission, or another refusal, in one line.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled

    api = HfApi()
    hub = (HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled)
    refused: tuple[type[Exception], ...] = (*hub, *http_errors(), OSError)
    try:
        address = str(api.create_repo(repository, private=not public, exist_ok=True))
        api.upload_folder(repo_id=repository, folder_path=folder)
    except refused as error:
        reason = shortened(f"{type(error).__name__}: {error}")
        raise PushFailed(f"{repository}: not pushed ({reason}); then: hf upload {repository} {folder}") from None
    return address
