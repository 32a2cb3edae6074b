"""A helper from a YAML file: a name, what it covers, a token cap and a prompt."""

from collections.abc import Sequence
from pathlib import Path

import jinja2
from pydantic import BaseModel, ConfigDict, Field

from fama.config import read_yaml_as
from fama.errors import BadInput
from fama.hashing import content_hash
from fama.helpers.base import Helper
from fama.helpers.llm_form import SeparateHelper
from fama.prompts import render_text
from fama.settings import Form

#: Ends of the names of helper files.
SUFFIXES = (".yaml", ".yml")
#: What the code in a template may raise besides jinja's errors.
_ITS_OWN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError, MemoryError)


#: What a prompt is tried with: a state without anything, and one with some of everything.
_SAMPLES: tuple[dict[str, object], ...] = (
    {"policy": "", "tools": [], "dialogue": [], "noted": []},
    {"policy": "Be kind.", "tools": [{"name": "f", "description": "d"}], "dialogue": ["user: Hi."], "noted": ["Hint."]},
)


class YamlHelper(BaseModel):
    """The keys of the file.

    ``prompt`` is a jinja2 template; it sees ``policy``, ``tools`` (each with name and description),
    ``dialogue`` (lines, oldest first) and ``noted`` (the helper's earlier notes). A draft that no human
    has read yet says ``reviewed: false`` and is refused. ``does`` is a line for the prompts of those who choose.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")
    reviewed: bool = True
    does: str = Field(default="", max_length=200, pattern=r"^[^\r\n]*$")
    covers: tuple[str, ...] = ()
    token_cap: int = Field(default=40, gt=0, le=400)
    cost_cap: int = Field(default=1500, gt=0)
    prompt: str = Field(min_length=1, max_length=100_000)


def file_hashes(pool: Sequence[str]) -> dict[str, str]:
    """Return the hash of each helper file of a pool, by ``helpers/`` and its name: an edited one is another helper.

    Raises:
        BadInput: a file cannot be read.
    """
    found: dict[str, str] = {}
    for path in (Path(entry) for entry in pool if entry.endswith(SUFFIXES)):
        key = f"helpers/{path.name}"
        try:
            found[key] = content_hash([found.get(key), path.read_text(encoding="utf-8")])
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a UTF-8 text"
            raise BadInput(f"{path}: {reason}; name an existing helper file") from error
    return found


def load_yaml_helper(path: Path | str, form: Form = "llm") -> Helper:
    """Return the helper that a file describes; it exists in its LLM form only.

    Raises:
        BadInput: no such file, not YAML, unknown, missing or wrong keys, a prompt that is no template,
            or the template form was asked for.
    """
    keys = ", ".join(YamlHelper.model_fields)
    settings = read_yaml_as(Path(path), YamlHelper, "helper", f"the keys are {keys}", "the helper in CONTRIBUTING.md")
    if not settings.reviewed:
        raise BadInput(f"{path}: is a draft; read and fix its prompt, then set reviewed: true")
    if form != "llm":
        raise BadInput(f"{path}: a YAML helper has a prompt only; set its form to llm")
    try:
        for values in _SAMPLES:
            render_text(settings.prompt, **values)
    except (jinja2.TemplateError, *_ITS_OWN) as error:
        reason = " ".join(str(error).split())
        raise BadInput(
            f"{path}: prompt: {reason}; use policy, tools (name, description), dialogue and noted only"
        ) from error

    def prompt(values: dict[str, object]) -> str:
        return render_text(settings.prompt, **values)

    return SeparateHelper(
        name=settings.name,
        covers=frozenset(settings.covers),
        token_cap=settings.token_cap,
        cost_cap=settings.cost_cap,
        prompt=prompt,
        gate=lambda state: True,
        does=settings.does,
    )
