"""Results kept by the identity of their arguments, and by the content of recent requests."""

import random

import pytest

from fama.memo import RecentCache, by_identity


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


def test_a_result_that_another_thread_drops_is_computed_again() -> None:
    made: list[str] = []

    @by_identity(2)
    def copy(text: str) -> str:
        made.append(text)
        return text

    class Watched(str):
        """A text that, when it is looked up the second time, does what another thread may do just then."""

        lookups = 0

        def __hash__(self) -> int:
            self.lookups += 1
            if self.lookups == 4:  # two to keep it, one to find it, one to mark it as used
                copy("b"), copy("c")
            return super().__hash__()

    watched = Watched("a")
    assert [copy(watched), copy(watched)] == ["a", "a"]
    assert made == ["a", "b", "c", "a"]


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


class Squares:
    """Squares of numbers, and which were asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, numbers: list[int]) -> list[int]:
        self.asked += numbers
        return [number**2 for number in numbers]


def test_a_request_computes_what_recent_ones_did_not_have_once() -> None:
    cache, squares = RecentCache[int, int](4), Squares()
    assert cache.get_all([3, 1, 3], squares) == [9, 1, 9] and squares.asked == [3, 1]
    assert cache.get_all([], squares) == []
    assert cache.get_all([1, 2, 0], squares) == [1, 4, 0] and squares.asked == [3, 1, 2, 0]  # the generation is full
    assert cache.get_all([3, 4], squares) == [9, 16] and squares.asked[4:] == [4]
    assert cache.get_all([5, 6], squares) == [25, 36]  # full again: 1, 2 and 0 are dropped, 3 was used since
    assert cache.get_all([3, 4, 5, 6], squares) == [9, 16, 25, 36] and squares.asked[4:] == [4, 5, 6]
    assert cache.get_all([1], squares) == [1] and squares.asked[-1] == 1


@pytest.mark.parametrize("entries", [10, 1000])
def test_a_request_larger_than_the_cache_stays_whole_for_the_next(entries: int) -> None:
    cache, squares = RecentCache[int, int](entries), Squares()
    for size in range(100, 120):
        assert cache.get_all(range(size), squares) == [number**2 for number in range(size)]
        assert cache.get_all([7, 8], squares) == [49, 64]
    assert squares.asked == list(range(119))


def test_results_are_right_in_any_order_and_memory_is_bounded() -> None:
    cache, squares, rng = RecentCache[int, int](20), Squares(), random.Random(1)
    for _ in range(500):
        start, size = rng.randrange(400), rng.randrange(12)
        assert cache.get_all(range(start, start + size), squares) == [n**2 for n in range(start, start + size)]
        assert len(cache) < 2 * (20 + 12)
    assert len(squares.asked) > 400


def test_a_failed_computation_leaves_nothing_wrong_behind() -> None:
    cache, squares = RecentCache[int, int](4), Squares()

    def fails(numbers: list[int]) -> list[int]:
        raise RuntimeError("cannot read it")

    with pytest.raises(RuntimeError):
        cache.get_all([1, 2], fails)
    with pytest.raises(ValueError, match="zip"):
        cache.get_all([1, 2], lambda numbers: [])
    assert cache.get_all([2, 1], squares) == [4, 1]


def test_long_texts_end_a_generation() -> None:
    cache: RecentCache[str, int] = RecentCache(100, len, characters=1000)
    for number in range(50):
        state = [f"{number:400}", f"{number + 1:400}"]
        assert cache.get_all(state, lambda unknown: map(int, unknown)) == [number, number + 1]
        assert len(cache) <= 6
    computed: list[str] = []
    long = [f"{number:600}" for number in range(4)]

    def compute(unknown: list[str]) -> list[int]:
        computed.extend(unknown)
        return [int(text) for text in unknown]

    for _ in range(3):
        cache.get_all(long, compute)
    assert computed == long, "a state of more than the limit is computed once"
