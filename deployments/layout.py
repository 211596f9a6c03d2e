"""What an endpoint serves, and what each change makes of it; pure, and the same for every target that is driven stepwise."""

from collections.abc import Callable

from deployments.target import Cohort, Revision, Split
from headgate.errors import Refused, Stale
from headgate.record import Record


class Layout(Record):
    """What an endpoint serves, or shall serve."""

    champion: Revision | None = None
    challenger: Revision | None = None
    previous: Revision | None = None
    split: Split = Split()

    def live(self) -> dict[Cohort, Revision]:
        """The revisions that have a server."""
        found: dict[Cohort, Revision | None] = {"champion": self.champion, "challenger": self.challenger}
        return {cohort: revision for cohort, revision in found.items() if revision}

    def releases(self) -> set[str]:
        """The releases that have a server."""
        return {revision.release for revision in self.live().values()}


Change = Callable[[Layout], Layout]


def deploy(revision: Revision) -> Change:
    """The revision stands beside the champion without traffic; the first one is the champion."""

    def changed(now: Layout) -> Layout:
        if revision.release in now.releases():
            return now
        if now.champion is None:
            return Layout(champion=revision)
        return now.model_copy(update={"challenger": revision, "split": Split()})

    return changed


def share(endpoint: str, split: Split) -> Change:
    """Requests are shared out; Refused where nobody is there to take a share."""

    def changed(now: Layout) -> Layout:
        if now.challenger is None and split != Split():
            raise Refused(f"endpoint {endpoint}: expected a challenger to give traffic to, found none; deploy one first")
        return now.model_copy(update={"split": split})

    return changed


def promote(endpoint: str, release: str) -> Change:
    """The challenger becomes champion; Stale if it is another one."""

    def changed(now: Layout) -> Layout:
        if now.champion and now.champion.release == release:
            return now
        if now.challenger is None or now.challenger.release != release:
            found = now.challenger.release if now.challenger else "none"
            raise Stale(f"endpoint {endpoint}: expected {release} as the challenger, found {found}; deploy it again")
        return Layout(champion=now.challenger, previous=now.champion)

    return changed


def roll_back(to: Revision | None) -> Change:
    """The challenger goes; a revision that is named is champion again."""

    def changed(now: Layout) -> Layout:
        if to is None or (now.champion and to.release == now.champion.release):
            return Layout(champion=to or now.champion, previous=now.previous)
        return Layout(champion=to, previous=now.champion)

    return changed


def ran_here(now: Layout, digest: str) -> bool:
    """Whether the bundle is or was the champion: going back to it at once must not need a signature."""
    return digest in {one.bundle_digest for one in (now.champion, now.previous) if one}
