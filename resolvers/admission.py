"""Whom the word of the OpenID provider lets in, as the settings have it."""

from dataclasses import dataclass

from core.vocabulary import BuiltInRole


@dataclass(frozen=True, slots=True)
class Admission:
    """Who comes in by a provider. Whoever is no member yet becomes one if their address is in one of `domains`."""

    account_key: str | None = None
    """The one account whose members may; those of all, if none is said."""
    joined_key: str = "main"
    """The account that new members join."""
    domains: tuple[str, ...] = ()
    """As in e-mail addresses when they are compared."""
    role: BuiltInRole = BuiltInRole.READER
    """The base role of new members."""

    def welcomes(self, email_key: str) -> bool:
        """Say whether somebody with an address may become a member."""
        return email_key.rpartition("@")[2] in self.domains
