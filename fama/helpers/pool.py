"""The pool of helpers that a config asks for.

A member is ``NAME`` (in the pool's form), ``NAME:template``, ``NAME:llm`` or ``NAME:separate`` (in the form it states),
or the path of a YAML helper. Which of them exclude each other is said in ``fama.subsets``.
"""

from collections.abc import Mapping, Sequence
from typing import get_args

from fama.errors import BadInput
from fama.helpers.base import HELPERS, Helper
from fama.helpers.member import FormMember
from fama.helpers.yaml_helper import SUFFIXES, load_yaml_helper
from fama.settings import Form, HelperSettings
from fama.subsets import FORMS, base_of, stated_form

_FORMS: dict[str, Form] = {form: form for form in get_args(Form)}


def build_pool(settings: HelperSettings) -> dict[str, Helper]:
    """Return the helpers by name, in the config's order; an entry that ends in ``.yaml`` is a helper file.

    A YAML helper is named by its file's ``name`` from here on; it is always in LLM form. Options of a member are those
    under its own name, else those under its helper's.

    Raises:
        BadInput: an unknown helper or form, the same one twice, two members of one helper with one form, options for
            one that is not in the pool, or options that the helper does not have.
    """
    _check_keys(settings)
    pool: dict[str, Helper] = {}
    taken: dict[tuple[str, Form], str] = {}
    for entry in settings.pool:
        helper = _build(entry, settings)
        if helper.name in pool:
            raise BadInput(f"helpers.pool: {helper.name!r} is listed twice; name each helper once")
        pool[helper.name] = helper
        other = taken.setdefault((base_of(entry), form_in(entry, settings)), entry)
        if other != entry:
            raise BadInput(
                f"helpers.pool: {other} and {entry} are one helper in one form, {form_in(entry, settings)}; leave one "
                f"out, or give {base_of(entry)} another form in helpers.forms"
            )
    return pool


def form_in(entry: str, settings: HelperSettings) -> Form:
    """Return the form of an entry of the pool: the one that its name states, else the settings'."""
    stated = stated_form(entry)
    default: Form = "llm" if entry.endswith(SUFFIXES) else settings.form
    return settings.forms.get(entry, default) if stated is None else _FORMS[stated]


def forms_of(settings: HelperSettings, names: Sequence[str] | None = None) -> dict[str, Form]:
    """Return the form of each member, by ``names`` of the pool's entries, else by those that helper files give now.

    Raises:
        BadInput: a helper file cannot be used.
    """
    named = member_names(settings.pool) if names is None else names
    return {name: form_in(entry, settings) for name, entry in zip(named, settings.pool, strict=True)}


def told_forms(forms: Mapping[str, Form]) -> str:
    """Return the forms of helpers in words."""
    return ", ".join(f"{name} ({form})" for name, form in forms.items())


def member_names(entries: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a pool's members: of a helper file the one that it gives, else the entry itself.

    Raises:
        BadInput: a helper file cannot be used.
    """
    return tuple(load_yaml_helper(entry).name if entry.endswith(SUFFIXES) else entry for entry in entries)


def are_names_of(names: Sequence[str], entries: Sequence[str]) -> bool:
    """Return whether helpers so named can be those of a pool's entries, in order; a helper file may give any name."""
    if len(names) != len(entries):
        return False
    return all(name == entry or entry.endswith(SUFFIXES) for name, entry in zip(names, entries, strict=True))


def declared_pool(names: Sequence[str], known: Mapping[str, Form] | None = None) -> dict[str, Helper]:
    """Return the helpers of a pool of which no settings are known but the members' names, such as a router's.

    A member that neither states a form nor has a ``known`` one is taken in the first form that no other member of its
    helper states, so it stands for what a helper declares, not for the notes of a run.

    Raises:
        BadInput: see ``build_pool``.
    """
    forms: dict[str, Form] = {}
    for name in names:
        stated = {stated_form(other) for other in names if base_of(other) == name} - {None}
        if known is not None and name in known and stated_form(name) is None:
            forms[name] = known[name]
        elif stated:
            forms[name] = next((form for form in _FORMS.values() if form not in stated), "template")
    return build_pool(HelperSettings(pool=tuple(names), forms=forms))


def _check_keys(settings: HelperSettings) -> None:
    known = ", ".join(settings.pool) or "none"
    bases = {base_of(entry) for entry in settings.pool}
    for key in settings.forms:
        if stated_form(key) is not None:
            raise BadInput(f"helpers.forms: {key!r} states its form in its name; leave it out here")
        if key not in settings.pool:
            raise BadInput(f"helpers: {key!r} is not in the pool; its helpers are {known}")
    for key in settings.options:
        if key not in settings.pool and key not in bases:
            raise BadInput(f"helpers: {key!r} is not in the pool; its helpers are {known}")


def _build(entry: str, settings: HelperSettings) -> Helper:
    base, form = base_of(entry), form_in(entry, settings)
    options = settings.options.get(entry, settings.options.get(base, {}))
    if base.endswith(SUFFIXES):
        if base != entry:
            raise BadInput(f"helpers.pool: {entry!r}: a YAML helper has one form, llm; leave {entry[len(base) :]} out")
        if options:
            raise BadInput(f"helpers.options.{entry}: a YAML helper takes no options; set its keys in the file")
        return load_yaml_helper(entry, form)
    try:
        factory = HELPERS.load(base)
    except BadInput as error:
        name, colon, stated = base.rpartition(":")
        if colon and name in HELPERS.names():
            raise BadInput(
                f"helpers.pool: {entry!r}: {name} has no form {stated!r}; the forms are {', '.join(FORMS)}"
            ) from error
        raise BadInput(
            f"helpers.pool: {error}; or give the path of a .yaml helper (fama select: --helper FILE)"
        ) from error
    try:
        helper = factory(form, **options)
    except TypeError as error:
        raise BadInput(f"helpers.options.{entry}: {error}; remove the option") from error
    if helper.name != base:
        raise BadInput(f"helpers.pool: {base!r} makes a helper called {helper.name!r}; give both one name")
    return helper if base == entry else FormMember(helper, entry)
