import pytest

from ptycho_mlf.tracking.parameters import MAX_PARAM, as_text, same_value


@pytest.mark.parametrize(
    ("stored", "value"),
    [
        ("3e-4", 0.0003),
        ("1e9", 1e9),
        ("20", 20),
        ("20.0", 20),
        ("true", True),
        ("True", True),
        ("1", True),
        ("no", False),
        ("''", ""),
        ("'a b'", "a b"),
        ("auto", "auto"),
        ("legacy", "legacy"),
    ],
)
def test_spellings_of_one_value_are_equal(stored: str, value: object):
    assert same_value(stored, value)


@pytest.mark.parametrize(
    ("stored", "value"),
    [
        ("3e-4", 3e-3),
        ("true", False),
        ("False", True),
        ("auto", 0),
        ("5", "auto"),
        ("it's", "its"),
        ("", False),
        ("'a' 'b'", "a"),
        ("nan", 1.0),
    ],
)
def test_different_values_differ(stored: str, value: object):
    assert not same_value(stored, value)


def test_text_of_values():
    assert [as_text(v) for v in (True, 3e-4, 1, "x")] == ["true", "0.0003", "1", "x"]
    assert as_text("y" * MAX_PARAM) == "y" * MAX_PARAM
    cut = as_text("y" * (MAX_PARAM + 1))
    assert len(cut) == MAX_PARAM
    assert cut.endswith("y…")
