"""docs/reference says what the code says."""

import re

import pytest

from docs.reference.__main__ import PAGES
from tests.papers import text_of


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_the_reference_is_what_the_code_says(name: str) -> None:
    assert text_of(f"docs/reference/{name}") == PAGES[name](), "make it anew: make reference"


@pytest.mark.parametrize("name", PAGES)
def test_no_two_headings_of_a_page_lead_to_the_same_place(name: str) -> None:
    """Or links to the second would lead to the first."""
    headings = re.findall(r"^#+ (.*)$", text_of(f"docs/reference/{name}").lower(), re.MULTILINE)

    assert len(headings) == len(set(headings))
