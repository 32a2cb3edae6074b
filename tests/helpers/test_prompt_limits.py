"""Templates of users' files: what helpers need works, what takes memory or time ends in one line, soon."""

import time
import tracemalloc

import pytest
from jinja2 import TemplateError
from jinja2.exceptions import SecurityError

from fama.prompts import render_text

VALUES: dict[str, object] = {
    "policy": "Renew once.\n" * 500,
    "tools": [{"name": f"get_{n}", "description": "Look it up."} for n in range(20)],
    "dialogue": [f"user: line {n}" for n in range(100)],
    "noted": [],
}

HUGE = [
    "{{ 'x'.ljust(10**9) }}",
    "{{ 'x'.ljust(3000000000) }}",
    "{{ 'x'.center(3000000000) }}",
    "{{ 'x'.zfill(3000000000) }}",
    "{{ '\\t'.expandtabs(3000000000) }}",
    "{{ '%3000000000d' % 1 }}",
    "{{ '%3000000000d'|format(1) }}",
    "{{ '{:>3000000000}'.format('x') }}",
    "{{ 'x'|center(3000000000) }}",
    "{{ 'x'|indent(3000000000, true) }}",
    "{{ 'x'|slice(3000000000)|list }}",
    "{{ 'x'|batch(3000000000, 'y')|list }}",
    "{{ 'x' * 3000000000 }}",
    "{{ 3000000000 * [policy] }}",
    "{{ 10 ** 10 ** 10 }}",
    "{{ lipsum(n=100000) }}",
    "{{ range(100000)|list }}",
    "{{ [policy]|tojson(indent=3000000000) }}",
    "{{ policy|replace('', policy) }}",
    "{{ dialogue|join(policy * 1) }}",
    "{{ dialogue|join(policy)|replace('e', policy) }}",
    "{% set s = policy %}" + "{% set s = s + s %}" * 40 + "{{ s|length }}",
    "{% set s = policy %}" + "{% set s = s ~ s %}" * 40 + "{{ s|length }}",
    "{% set s = [1] %}" + "{% set s = s + s %}" * 40 + "{{ s|length }}",
    "{% set s = policy %}" + "{% set s %}{{ s }}{{ s }}{% endset %}" * 40 + "{{ s|length }}",
    "{% macro m(n) %}{{ m(n) }}{{ m(n) }}{% endmacro %}{{ m(1) }}",
    "{% for a in dialogue %}{% for b in dialogue %}{{ policy }}{% endfor %}{% endfor %}",
    "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "{{ dialogue.append(dialogue) }}",
    "{{ policy.translate({101: policy}) }}",
    "{{ ''.__class__.__mro__ }}",
    "{% include 'helpers/dce.v1.j2' %}",
]


@pytest.mark.parametrize("source", HUGE, ids=range(len(HUGE)))
def test_memory(source: str) -> None:
    tracemalloc.start()
    began = time.monotonic()
    with pytest.raises((TemplateError, TypeError)) as caught:
        render_text(source, **VALUES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6 and time.monotonic() - began < 3.0
    assert "\n" not in str(caught.value)


def test_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fama.prompts.limited._SECONDS", 0.2)
    loops = "{% for a in range(1000) %}" * 3 + "{% set x = policy|upper %}" + "{% endfor %}" * 3
    began = time.monotonic()
    with pytest.raises(SecurityError, match="seconds"):
        render_text(loops, **VALUES)
    assert time.monotonic() - began < 2.0


def test_what_helpers_need() -> None:
    source = (
        "{% for tool in tools[:2] %}- {{ tool.name }}: {{ tool['description']|trim }}\n{% endfor %}"
        "{{ dialogue[-1] ~ '!' }} {{ dialogue|length * 2 }} {{ tools|map(attribute='name')|list|first|upper }} "
        "{{ dialogue[:2]|join('; ') }}{% if not noted %} none{% endif %} "
        "{{ policy.splitlines()[0]|replace('once', 'twice') }} "
        "{% set ns = namespace(n=0) %}{% for line in dialogue if line.startswith('user') %}{% set ns.n = ns.n + 1 %}"
        "{% endfor %}{{ ns.n }} {{ 7 % 4 }} {{ 'a' + 'b' }} {{ ['é']|tojson }}"
    )
    assert render_text(source, **VALUES) == (
        "- get_0: Look it up.\n- get_1: Look it up.\nuser: line 99! 200 GET_0 user: line 0; user: line 1 none "
        "Renew twice. "
        '100 3 ab ["é"]'
    )
