"""Checkpoint folders: ``router.json``, safetensors and a card. Anything else is refused, pickles first.

A folder named ``work`` beside them may hold training logs; it is never read.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from fama.config import first_fault
from fama.errors import BadInput, Missing
from fama.files import sweep_temporary, write_atomically
from fama.redaction import redact, shortened
from fama.selection.router.checkpoint_files import (
    ADAPTER,
    ADAPTER_CONFIG,
    CARD,
    FIGURE,
    HEADS,
    MANIFEST,
    check_files,
    needed_files,
    read_regular,
    regular_file,
    sha256,
)
from fama.selection.router.embedder import Embedder
from fama.selection.router.kinds.base import ROUTER_KINDS, StoredRouter
from fama.selection.router.kinds.checks import (
    AdapterMismatch,
    Arrays,
    Float32Array,
    StoredAdapter,
    check_adapter,
    check_numbers,
    check_population,
)
from fama.selection.router.manifest import ROUTER_SCHEMA, RouterManifest, StoredFile
from fama.selection.router.router import Router
from fama.text.json_numbers import load_finite


def write_router(
    folder: Path,
    manifest: RouterManifest,
    arrays: Arrays,
    card: str,
    adapter: tuple[Mapping[str, Any], Arrays] | None = None,
    files: Mapping[str, bytes] | None = None,
    figure: bytes | None = None,
) -> RouterManifest:
    """Write a checkpoint folder; ``router.json`` comes last, so an unfinished one cannot be loaded.

    ``adapter`` is peft's config and weights, ``files`` are those that the kind declares, ``figure`` is that of the
    card. Returns the manifest with sizes and hashes filled in.
    """
    from safetensors.numpy import save

    contents = {HEADS: save({name: np.ascontiguousarray(value) for name, value in arrays.items()})}
    if adapter is not None:
        contents[ADAPTER_CONFIG] = (json.dumps(adapter[0], indent=2, sort_keys=True) + "\n").encode()
        contents[ADAPTER] = save({name: np.ascontiguousarray(value) for name, value in adapter[1].items()})
    contents |= files or {}
    stored = {name: StoredFile(size=len(data), sha256=sha256(data)) for name, data in contents.items()}
    complete = manifest.model_copy(update={"files": stored})
    folder.mkdir(parents=True, exist_ok=True)
    sweep_temporary(folder)
    for name in contents:
        with suppress(FileNotFoundError):
            regular_file(folder, name)
    sweep_temporary(folder / Path(ADAPTER).parent)
    if figure is not None:
        contents[FIGURE] = figure
    of_kinds = {name for kind in ROUTER_KINDS.loadable().values() for name in kind.files}
    for stale in (MANIFEST, *({ADAPTER, ADAPTER_CONFIG, FIGURE, *of_kinds} - contents.keys())):
        (folder / stale).unlink(missing_ok=True)
    contents[CARD] = redact(card).encode()
    contents[MANIFEST] = redact(complete.model_dump_json(indent=2) + "\n").encode()
    for name, data in contents.items():
        write_atomically(folder / name, data)
    return complete


def load_router(folder: Path | str, encoder: str | None = None, embedder: Embedder | None = None) -> Router:
    """Check a checkpoint folder and build its predictor; ``encoder`` replaces the encoder's name or folder.

    ``embedder`` serves routers on a frozen encoder in place of a new one: it has the texts already.

    Raises:
        BadInput: the folder is no checkpoint, holds a pickle or an unknown file, a file is missing,
            truncated or changed, or the encoder is missing or another one.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    kind = ROUTER_KINDS.load(manifest.kind)
    contents = check_files(folder, manifest, needed_files(manifest, frozenset(kind.files)))
    if encoder is not None:
        manifest = kind.with_encoder(manifest, encoder)
    arrays = _read_arrays(folder / HEADS, contents[HEADS])
    adapter = _adapter(folder, contents) if ADAPTER in contents else None
    try:
        check_numbers(arrays, kind.unknown)
        check_population(arrays, len(manifest.pool))
        embedder = _embedder(folder, manifest, embedder, adapter)
        built = kind(StoredRouter(folder, manifest, arrays, embedder)).build()
    except BadInput as error:  # of an encoder, which does not know whose it is
        raise BadInput(str(error) if str(folder) in str(error) else f"{folder / MANIFEST}: {error}") from None
    except (LookupError, TypeError, AttributeError, ArithmeticError, MemoryError) as error:
        raise BadInput(f"{folder / HEADS}: does not fit {MANIFEST} ({type(error).__name__}); train it again") from None
    except (ValueError, RuntimeError, AssertionError) as error:
        reason = shortened(error)
        raise BadInput(f"{folder / HEADS}: does not fit {MANIFEST} ({reason}); train the router again") from None
    return Router(folder, manifest, built.predictor, built.labels, embedder)


def read_manifest(folder: Path) -> RouterManifest:
    """Read the checkpoint's ``router.json``.

    Raises:
        BadInput: it is missing, no JSON, of another schema version or of an unknown kind.
        Missing: there is no such folder.
    """
    path = folder / MANIFEST
    try:
        value = load_finite(read_regular(folder, MANIFEST).decode("utf-8"))
    except OSError:
        inside = ", ".join(sorted(str(file.parent) for file in folder.glob(f"*/{MANIFEST}")))
        told = f"it holds several, give one of {inside}" if inside else "write one with `fama train`"
        kind = BadInput if folder.exists() else Missing
        raise kind(f"{folder}: no router checkpoint ({MANIFEST} is missing); {told}") from None
    except (ValueError, RecursionError):
        raise BadInput(f"{path}: not JSON; the file is damaged, copy the checkpoint again") from None
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version != ROUTER_SCHEMA:
        raise BadInput(f"{path}: schema_version is {version}, this release reads {ROUTER_SCHEMA}; train it again")
    try:
        manifest = RouterManifest.model_validate(value)
    except ValidationError as error:
        raise BadInput(f"{path}: {first_fault(error)}; train the router again") from None
    if manifest.kind not in (known := ROUTER_KINDS.names()):
        raise BadInput(
            f"{path}: unknown router kind {manifest.kind!r}; known: {', '.join(known)}; install the package that has "
            "it, or train the router again"
        )
    return manifest


def check_runtime(router: Router, pool: tuple[str, ...], taxonomy_file: str | None = None) -> None:
    """Refuse a router of another helper pool, taxonomy or list of evidence than this run's.

    ``taxonomy_file`` is a taxonomy of the user's own; None is the shipped one.

    Raises:
        BadInput: one of them differs.
    """
    from fama.diagnosis.taxonomy import load_taxonomy
    from fama.selection.router.turn import evidence_names

    manifest, path = router.manifest, router.folder / MANIFEST
    if set(manifest.pool) != set(pool):
        raise BadInput(
            f"{path}: trained for the pool {'+'.join(manifest.pool)}, this run has {'+'.join(pool) or 'no helper'}; "
            "set helpers.pool to the router's, or train for this pool"
        )
    taxonomy = load_taxonomy(Path(taxonomy_file) if taxonomy_file else None)
    if (manifest.taxonomy_version, manifest.categories) != (taxonomy.version, taxonomy.codes):
        raise BadInput(
            f"{path}: trained with taxonomy {manifest.taxonomy_version} ({', '.join(manifest.categories)}), this run "
            f"has {taxonomy.version} ({', '.join(taxonomy.codes)}); give its file (options: taxonomy; `fama select`: "
            "--taxonomy), or train the router again"
        )
    known = evidence_names(manifest.pool, manifest.cadence == "turn")
    if manifest.evidence_names != known:
        differing = sorted(set(manifest.evidence_names) ^ set(known)) or ["the order"]
        raise BadInput(
            f"{path}: trained with other evidence than this release's (differs: {', '.join(differing)}); "
            "train the router again"
        )


def _embedder(
    folder: Path, manifest: RouterManifest, known: Embedder | None, adapter: StoredAdapter | None
) -> Embedder | None:
    """Return the encoder that the checkpoint needs; ``known`` where that will do.

    Raises:
        BadInput: it is not on this machine, or the adapter does not fit it.
    """
    if manifest.encoder is None:
        return None
    _check_encoder(folder, manifest)
    if known is not None and not manifest.encoder.adapted:
        return known
    try:
        return Embedder.load(manifest.encoder, adapter, fetch=False)
    except AdapterMismatch as error:
        reason = shortened(error)
        raise BadInput(f"{folder / ADAPTER}: does not fit its encoder ({reason}); train the router again") from None


def _check_encoder(folder: Path, manifest: RouterManifest) -> None:
    from fama.selection.router.encoder import encoder_fingerprint

    shape = manifest.encoder
    if shape is None or shape.fingerprint is None:
        return
    found = encoder_fingerprint(shape.name)
    if found != shape.fingerprint:
        raise BadInput(
            f"{folder / MANIFEST}: encoder {shape.name} has other weights ({found or 'none found'}) than the "
            f"router was trained on ({shape.fingerprint}); install that encoder or train again"
        )


def _read_arrays(path: Path, content: bytes) -> dict[str, Float32Array]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(content))
    except (SafetensorError, ValueError, LookupError, TypeError) as error:
        raise BadInput(f"{path}: not a safetensors file ({' '.join(str(error).split())}); copy it again") from None


def _adapter(folder: Path, contents: Mapping[str, bytes]) -> StoredAdapter:
    """Return the adapter, plain LoRA: peft would do whatever else its config says.

    Raises:
        BadInput: it is of another sort, or its weights do not fit each other.
    """
    arrays = _read_arrays(folder / ADAPTER, contents[ADAPTER])
    try:
        return check_adapter(load_finite(contents[ADAPTER_CONFIG].decode("utf-8")), arrays)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = shortened(error)
        raise BadInput(f"{folder / ADAPTER_CONFIG}: cannot be used ({reason}); copy the checkpoint again") from None
