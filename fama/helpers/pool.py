"""The pool of helpers that a config asks for."""

from fama.errors import BadInput
from fama.helpers.base import HELPERS, Helper
from fama.helpers.yaml_helper import load_yaml_helper
from fama.settings import Form, HelperSettings


def build_pool(settings: HelperSettings) -> dict[str, Helper]:
    """Return the helpers by name, in the config's order; an entry that ends in ``.yaml`` is a helper file.

    A YAML helper is named by its file's ``name`` from here on; it is always in LLM form.

    Raises:
        BadInput: an unknown helper, the same one twice, options for one that is not in the pool, or
            options that the helper does not have.
    """
    for key in (*settings.forms, *settings.options):
        if key not in settings.pool:
            known = ", ".join(settings.pool) or "none"
            raise BadInput(f"helpers: {key!r} is not in the pool; its helpers are {known}")
    pool: dict[str, Helper] = {}
    for entry in settings.pool:
        helper = _build(entry, settings)
        if helper.name in pool:
            raise BadInput(f"helpers.pool: {helper.name!r} is listed twice; name each helper once")
        pool[helper.name] = helper
    return pool


def _build(entry: str, settings: HelperSettings) -> Helper:
    options = settings.options.get(entry, {})
    if entry.endswith((".yaml", ".yml")):
        if options:
            raise BadInput(f"helpers.options.{entry}: a YAML helper takes no options; set its keys in the file")
        return load_yaml_helper(entry, settings.forms.get(entry, "llm"))
    form: Form = settings.forms.get(entry, settings.form)
    try:
        factory = HELPERS.load(entry)
    except BadInput as error:
        raise BadInput(f"helpers.pool: {error}; or give the path of a .yaml helper") from error
    try:
        return factory(form, **options)
    except TypeError as error:
        raise BadInput(f"helpers.options.{entry}: {error}; remove the option") from error
