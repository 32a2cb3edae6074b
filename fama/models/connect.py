"""From model settings to something that answers."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fama.errors import BadInput, FamaError
from fama.hashing import content_hash
from fama.models.base import ChatModel
from fama.models.client import Flavour, OpenAIChat
from fama.models.prices import price_at
from fama.models.server_errors import error_words, parse_error_body
from fama.models.servers import vllm_offline as offline
from fama.models.servers.llama_cpp import ServerSpec, serve
from fama.models.servers.loopback import LOOPBACK
from fama.models.weights.storage import resolve
from fama.models.wrapper import SampledModel

if TYPE_CHECKING:
    from fama.settings import ModelSettings

SCRIPTED_PREFIX = "scripted:"
_PROBE_SECONDS = 10.0
#: Statuses of a server that is starting or busy, and the seconds before it is asked again.
_NOT_READY, _PROBE_PAUSES = frozenset({429, 502, 503, 504}), (1.0, 3.0)


@asynccontextmanager
async def connect(settings: "ModelSettings") -> AsyncIterator[ChatModel]:
    """Yield a chat model for the length of the block.

    ``scripted:<name>`` gives a scripted one, ``vllm:<repository>`` one that vLLM runs in this process, ``base_url`` an
    endpoint, anything else weights that are
    served in this process: a name of the catalogue or the path of a ``.gguf`` file. Users of the same
    weights share one server.

    Raises:
        BadInput: an unknown name, missing weights, or an endpoint that refuses the settings.
        FamaError: no endpoint answers, or the weights cannot be served.
    """
    async with AsyncExitStack() as stack:
        model = await _open(settings, stack)
        if settings.cache:
            from fama.models.cache import CachedChat

            model = CachedChat(model, Path(settings.cache), cached_name(settings))
        yield model


@asynccontextmanager
async def connect_helper(settings: "ModelSettings") -> AsyncIterator[ChatModel]:
    """Yield the model of helpers and of prompted selection, asked at the temperature and ``top_p`` of its settings.

    The most tokens of an answer are its question's own: budgets count on them.

    Raises:
        BadInput, FamaError: as ``connect``.
    """
    async with connect(settings) as model:
        yield SampledModel(model, {"temperature": settings.temperature, "top_p": settings.top_p})


def recorded_name(settings: "ModelSettings") -> str:
    """Return the name that the model of these settings has in ledgers and episodes, without connecting to it.

    Raises:
        BadInput: an unknown scripted model.
    """
    name = settings.name
    if name.startswith(SCRIPTED_PREFIX):
        return _scripted(name).name
    if name.startswith(offline.PREFIX):
        return name.partition("?")[0]
    return Path(name).stem if name.endswith(".gguf") and not settings.base_url else name


def cached_name(settings: "ModelSettings") -> str:
    """Return the name of the model in response caches: as in records, but a file's path, since files share names.

    Further fields of requests are part of it, and so are settings of vLLM in this process: its ``quantization`` answers
    otherwise.

    Raises:
        BadInput: an unknown scripted model.
    """
    is_file = settings.name.endswith(".gguf") and settings.in_process
    name = str(Path(settings.name).expanduser().resolve()) if is_file else recorded_name(settings)
    name = settings.name if settings.name.startswith(offline.PREFIX) else name
    return f"{name} {content_hash(settings.extra_body)}" if settings.extra_body else name


def _scripted(name: str) -> ChatModel:
    from fama.models.scripted import SCRIPTED

    own = name.removeprefix(SCRIPTED_PREFIX)
    if own not in (known := SCRIPTED.names()):
        told = ", ".join(f"{SCRIPTED_PREFIX}{one}" for one in known)
        raise BadInput(f"model.name: unknown scripted model {own!r}; known: {told}")
    return SCRIPTED.load(own)


async def _open(settings: "ModelSettings", stack: AsyncExitStack) -> ChatModel:
    if settings.name.startswith(SCRIPTED_PREFIX):
        return _scripted(settings.name)
    if settings.name.startswith(offline.PREFIX):
        if settings.extra_body:
            raise BadInput(f"model.extra_body: is of requests to a server; {settings.name} gets none, leave it out")
        if settings.base_url:
            raise BadInput(f"{settings.name} is loaded in this process and {settings.base_url} is a server; drop one")
        return await stack.enter_async_context(offline.offline_model(settings.name, settings.context_tokens))
    if settings.base_url:
        key = _key(settings.api_key_env)
        flavour = await probe(settings.base_url, settings.name, key, settings.api_key_env)
        return await stack.enter_async_context(
            OpenAIChat(
                settings.name,
                settings.base_url,
                api_key=key,
                flavour=flavour,
                prefill=settings.prefill,
                timeout=settings.timeout,
                retries=settings.retries,
                price=price_at(settings.base_url, settings.name),
                trust_env=not is_local(settings.base_url),
                extra_body=settings.extra_body,
            )
        )
    path = resolve(settings.name)
    spec = ServerSpec(path, settings.slots, settings.context_tokens, settings.threads)
    endpoint = stack.enter_context(serve(spec))
    return await stack.enter_async_context(
        OpenAIChat(
            recorded_name(settings),
            endpoint.base_url,
            api_key=endpoint.api_key,
            flavour="llama.cpp",
            prefill=settings.prefill,
            timeout=settings.timeout,
            retries=min(settings.retries, 1),
            trust_env=False,
            extra_body=settings.extra_body,
        )
    )


def check_shared(settings: "ModelSettings", place: str, url: str) -> None:
    """Refuse a model that only this process would serve; ``place`` and ``url`` name the settings in the message.

    Raises:
        BadInput: it has no endpoint that Ray workers reach.
    """
    if settings.base_url is None and not settings.name.startswith(SCRIPTED_PREFIX):
        raise BadInput(
            f"executor: ray needs {place} at an endpoint that every worker reaches; start one with "
            f"`fama models serve {settings.name}` and set {url}"
        )


def unreadable_certificates(address: str, error: OSError) -> BadInput:
    """Return the error of an address that cannot be asked, because the environment names certificates that are none."""
    named = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), "this Python")
    return BadInput(
        f"{address}: the certificates of {named} cannot be read ({error.strerror or error}); fix or unset it"
    )


def is_local(base_url: str) -> bool:
    """Return whether an endpoint is on this machine, so that no proxy may come between."""
    return urlsplit(base_url).hostname in LOOPBACK


async def probe(base_url: str, name: str, api_key: str, api_key_env: str) -> Flavour:
    """Ask an endpoint for its models: does it answer, does it know ``name``, what is its dialect.

    Raises:
        BadInput: it wants another key, serves other models than ``name``, or nobody can read the certificates.
        FamaError: nothing answers, or a server that is not ready.
    """
    import httpx

    url = f"{base_url.rstrip('/')}/models"
    try:
        async with httpx.AsyncClient(timeout=_PROBE_SECONDS, trust_env=not is_local(base_url)) as client:
            for pause in (*_PROBE_PAUSES, None):
                response = await client.get(url, headers={"Authorization": f"Bearer {api_key}"})
                if response.status_code not in _NOT_READY or pause is None:
                    break
                await asyncio.sleep(pause)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FamaError(
            f"{base_url}: no endpoint answers ({type(error).__name__}); start one with `fama models serve NAME` "
            "and set model.base_url to the address it prints"
        ) from error
    except OSError as error:  # of the network's errors httpx makes its own
        raise unreadable_certificates(base_url, error) from error
    if response.status_code in (401, 403):
        raise BadInput(f"{base_url}: the endpoint wants a key; put it into the environment variable {api_key_env}")
    if response.status_code in _NOT_READY:  # its dialect is unknown, and another one would change the requests
        words = error_words(parse_error_body(response.text)) or response.reason_phrase
        raise FamaError(f"{base_url}: not ready (HTTP {response.status_code}: {words}); run again once it answers")
    rows = _rows(response.text) if response.is_success else []
    owners = {str(row.get("owned_by", "")) for row in rows}
    if "llamacpp" in owners:
        return "llama.cpp"  # it serves its one model under every name
    if "vllm" in owners:
        known = [str(row.get("id")) for row in rows]
        if name not in known:
            raise BadInput(f"{base_url}: serves no model {name!r}; set model.name to one of: {', '.join(known)}")
        return "vllm"
    return "openai"


def _key(variable: str) -> str:
    """Return the key in an environment variable, without white space around it; ``none`` where there is none.

    Raises:
        BadInput: it cannot stand in a header.
    """
    key = os.environ.get(variable, "").strip() or "none"
    if not (key.isascii() and key.isprintable()):
        raise BadInput(f"{variable}: holds no key: a sign in it cannot be sent; set it again")
    return key


def _rows(text: str) -> list[dict[str, Any]]:
    try:
        tree = json.loads(text)
    except ValueError:
        return []
    rows = tree.get("data") if isinstance(tree, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
