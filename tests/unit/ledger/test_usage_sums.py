"""Usage that is added up, and usage that is raised to what was counted."""

import pytest

from trunkline.model.usage import Usage, add, at_least, with_outside

COUNTED = Usage(prompt=50, completion=100, estimated=True)


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (Usage(prompt=7, completion=2, total=9), Usage(prompt=7, completion=100, estimated=True)),
        (Usage(prompt=7, completion=200, total=207), Usage(prompt=7, completion=200, total=207, estimated=True)),
        (Usage(completion=2, total=2), Usage(prompt=50, completion=100, estimated=True)),
        (Usage(prompt=7, completion=2, cached=3), Usage(prompt=7, completion=100, cached=3, estimated=True)),
        (
            Usage(prompt=7, completion=2, reasoning=90, reasoning_apart=True),
            Usage(prompt=7, completion=100, reasoning=90, estimated=True),
        ),
        (
            Usage(prompt=7, completion=2, reasoning=200, reasoning_apart=True),
            Usage(prompt=7, completion=2, reasoning=200, reasoning_apart=True, estimated=True),
        ),
    ],
    ids=["short", "long", "no input", "cached", "reasoning apart", "reasoning apart and long"],
)
def test_at_least_what_was_counted(reported: Usage, expected: Usage) -> None:
    assert at_least(reported, COUNTED) == expected


def test_what_stands_outside_is_added_up() -> None:
    one = Usage(prompt=1, completion=2, outside=Usage(prompt=10, completion=20))
    other = Usage(prompt=3, completion=4, other_model=True)
    assert add(one, other).outside == add(other, one).outside == one.outside
    assert add(one, other).other_model
    twice = add(one, one).outside
    assert twice is not None
    assert (twice.prompt, twice.completion) == (20, 40)
    whole = with_outside(one)
    assert (whole.prompt, whole.completion, whole.outside) == (11, 22, None)
