"""The page of destinations: where records are sent on, and how far behind each is."""

from .client import ask
from .pages import Page, page, pages_named, render

blueprint = pages_named("forwarding_page")


@blueprint.get("/forwarding")
@page()
def show_forwarding() -> Page:
    """Every destination, with what it said last."""
    return render(
        "forwarding.html", here="forwarding", destinations=ask("/forwarding/destinations").body
    )
