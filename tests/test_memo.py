"""Results kept by the identity of their arguments."""

from fama.memo import by_identity


def test_equal_objects_are_told_apart_and_the_same_one_is_computed_once() -> None:
    made: list[tuple[str, ...]] = []

    @by_identity(8)
    def count(words: tuple[str, ...], label: str) -> int:
        made.append(words)
        return len(words)

    first, equal = tuple("abc"), tuple("abc")
    assert [count(first, "x"), count(first, "x"), count(equal, "x")] == [3, 3, 3]
    assert len(made) == 2
    assert count(first, "".join("x")) == 3 and len(made) == 2  # strings by value
    assert count(first, "y") == 3 and len(made) == 3


def test_the_least_recently_used_result_goes_first_and_never_answers_for_another_object() -> None:
    made: list[int] = []

    @by_identity(2)
    def value(items: tuple[int, ...]) -> int:
        made.append(items[0])
        return items[0]

    kept = [(number, number) for number in range(3)]
    for items in (kept[0], kept[1], kept[0], kept[2], kept[0]):
        assert value(items) == items[0]
    assert made == [0, 1, 2]
    assert value(kept[1]) == 1 and made[-1] == 1
    assert all(value((number, 0)) == number for number in range(500))  # freed tuples leave their identity to new ones
