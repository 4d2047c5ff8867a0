"""The navigation of the console: its screens in groups, in the order in which they are displayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recsys.domains.users.roles import Role
from serving.pages.templating import NavigationGroup, NavigationLink

__all__ = ["SCREENS", "ScreenLink", "navigation_for"]


@dataclass(frozen=True)
class ScreenLink:
    """A screen of the console.

    Attributes
    ----------
    group
        The heading under which it stands.
    role
        Who may open it.
    """

    title: str
    path: str
    group: str
    role: Role = Role.VIEWER


LIST_SCREENS: tuple[ScreenLink, ...] = (
    # those of `list_screens`
    ScreenLink("People", "/console/people", "Lists"),
    ScreenLink("Segments", "/console/segments", "Lists", Role.MERCHANDISER),
    ScreenLink("Mail block", "/console/mail-block", "Lists"),
    ScreenLink("Why, and why not", "/console/why", "Lists"),
    ScreenLink("Placement studio", "/console/studio", "Lists"),
    ScreenLink("Rules", "/console/rules", "Lists"),
    ScreenLink("Products", "/console/products", "Shop"),
    ScreenLink("Search", "/console/search", "Shop"),
    ScreenLink("Data", "/console/data", "Shop"),
)

SCREENS: tuple[ScreenLink, ...] = (
    # one line for each screen
    ScreenLink("Overview", "/console", "Now"),
    *LIST_SCREENS,
    ScreenLink("Models", "/console/models", "Operation"),
    ScreenLink("Experiments", "/console/experiments", "Operation"),
    ScreenLink("Jobs", "/console/jobs", "Operation"),
    ScreenLink("Keys", "/console/keys", "Administration", Role.ADMINISTRATOR),
    ScreenLink("Staff", "/console/staff", "Administration", Role.ADMINISTRATOR),
    ScreenLink("Audit", "/console/audit", "Administration", Role.OPERATOR),
    ScreenLink("Settings", "/console/settings", "Administration", Role.OPERATOR),
)


def navigation_for(path: str, role: Role) -> Sequence[NavigationGroup]:
    """The groups that this role may open, with the entry of this path marked: the longest that begins it."""
    fitting = [link for link in SCREENS if path == link.path or path.startswith(f"{link.path}/")]
    current = max(fitting, key=lambda link: len(link.path), default=None)
    groups: dict[str, list[NavigationLink]] = {}
    for link in SCREENS:
        if link.role > role:
            continue
        entry = NavigationLink(link.title, link.path, link is current)
        groups.setdefault(link.group, []).append(entry)
    return [NavigationGroup(title, links) for title, links in groups.items()]
