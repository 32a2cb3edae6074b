"""Versioned prompt templates: one loader for every prompt of the package.

A template is a file ``fama/prompts/<name>.j2``, for example ``helpers/dce.v1``. Text of users, tools
and models goes in as values, which are never parsed as templates. A changed prompt gets a new version
number; its hash goes into every run.
"""

from functools import lru_cache
from pathlib import Path

from jinja2 import StrictUndefined, Template, TemplateNotFound, meta
from jinja2.loaders import FileSystemLoader
from jinja2.sandbox import SandboxedEnvironment

from fama.errors import BadInput
from fama.hashing import content_hash
from fama.prompts.limited import render_limited

FOLDER = Path(__file__).parent


@lru_cache(maxsize=1)
def _environment() -> SandboxedEnvironment:
    return SandboxedEnvironment(
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        autoescape=False,  # plain text, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
    )


def template(name: str) -> Template:
    """Load the template ``fama/prompts/<name>.j2``.

    Raises:
        BadInput: there is none; the message lists the known ones.
    """
    try:
        return _environment().get_template(f"{name}.j2")
    except TemplateNotFound as error:
        known = ", ".join(template_names())
        raise BadInput(f"unknown prompt {name!r}; known: {known}") from error


def template_names() -> list[str]:
    """Return the names of all templates, sorted."""
    return sorted(path.relative_to(FOLDER).as_posix()[: -len(".j2")] for path in FOLDER.rglob("*.j2"))


def render(name: str, **values: object) -> str:
    """Fill a template with values; a value that the template names and the caller forgot is an error.

    Raises:
        BadInput: the template is unknown.
        jinja2.UndefinedError: a value is missing.
    """
    return template(name).render(**values).strip()


def render_text(source: str, **values: object) -> str:
    """Fill a template given as text, such as a YAML helper's prompt, within the limits of ``fama.prompts.limited``.

    Raises:
        jinja2.TemplateError: the text is no template, a value is missing, or it reaches out of the sandbox or over its
            limits.
    """
    return render_limited(source, **values)


@lru_cache(maxsize=256)
def prompt_hash(name: str) -> str:
    """Return the content hash of a template and of all that it includes.

    Raises:
        BadInput: the template is unknown.
    """
    sources: dict[str, str] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in sources:
            continue
        template(current)
        source = (FOLDER / f"{current}.j2").read_text(encoding="utf-8")
        sources[current] = source
        for included in meta.find_referenced_templates(_environment().parse(source)):
            if included is not None:
                waiting.append(included.removesuffix(".j2"))
    return content_hash(sources)
