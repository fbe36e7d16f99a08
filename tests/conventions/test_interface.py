"""The public Python interface: what a host application imports."""

import pytest

import app


@pytest.mark.parametrize("name", app.__all__)
def test_every_public_name_can_be_imported_and_says_what_it_is(name: str) -> None:
    """From the package itself, by the name that is promised."""
    assert getattr(app, name).__doc__


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        app.nothing  # noqa: B018
