"""Objects of the openai package that pass for themselves, with some of what they do done otherwise."""

from typing import Any, Self

#: Views of a client, a chat or completions that give a reply with its headers.
RAW = frozenset({"with_raw_response", "with_streaming_response"})


class Passing:
    """Passes every attribute of another object through, and is an instance of its class to who asks."""

    _own = frozenset({"_inner", "_advisor", "_chunks"})

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # noqa: D105
        return type(self._inner)

    def __getattr__(self, name: str) -> Any:
        if name in self._own:  # asked for by what copies an object before it has any
            raise AttributeError(name)
        found = getattr(self._inner, name)
        return type(found)(self) if name in RAW else found

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._own:
            object.__setattr__(self, name, value)
        else:
            setattr(self._inner, name, value)


class Entered(Passing):
    """An object that is entered and left as the other one is."""

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(self, *raised: Any) -> Any:
        return self._inner.__exit__(*raised)


class AsyncEntered(Passing):
    """An object that is entered and left so in an event loop."""

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> Any:
        return await self._inner.__aexit__(*raised)
