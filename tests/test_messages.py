from __future__ import annotations

import threading
import warnings

import pytest

from posterkit.messages import caught_warnings, routed_warnings


def test_each_thread_catches_its_own_warnings_every_time_and_nothing_is_left_behind() -> None:
    before, shown = list(warnings.filters), warnings.showwarning
    found: dict[str, list[str]] = {}
    ready = threading.Barrier(2)

    def work(name: str) -> None:
        with caught_warnings() as said:
            for _ in range(50):
                ready.wait()
                warnings.warn(name, stacklevel=1)
        found[name] = list(said)

    with routed_warnings():
        threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {"a": ["a"] * 50, "b": ["b"] * 50}
    assert warnings.filters == before and warnings.showwarning is shown


def test_a_block_inside_another_catches_for_itself() -> None:
    with caught_warnings() as outer:
        warnings.warn("one", stacklevel=1)
        with caught_warnings() as inner:
            warnings.warn("two", stacklevel=1)
        warnings.warn("three", stacklevel=1)
    assert (outer, inner) == (["one", "three"], ["two"])


def test_outside_of_a_block_warnings_go_where_they_went() -> None:
    with pytest.warns(UserWarning, match="heard"), routed_warnings():
        warnings.warn("heard", stacklevel=1)


def test_what_only_a_programmer_can_mend_is_no_note():
    with caught_warnings() as said:
        for kind in (ResourceWarning, DeprecationWarning, UserWarning):
            warnings.warn(kind.__name__, kind, stacklevel=1)
    assert said == ["UserWarning"]
