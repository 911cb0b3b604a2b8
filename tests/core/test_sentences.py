"""Every entry reads as a sentence."""

import pytest

from core.sentences import DEEDS, NOUNS, PARTS, Actor, Behalf, Told
from core.vocabulary import OWN_KINDS, Action

WANDA = Actor("SESSION", "Wanda", "session", "x1Y2")


def told(*actions: str, actor: Actor = WANDA, kind: str = "token", refused: bool = False) -> str:
    return Told(actor, actions, kind, "deploy", "member/w:token/d", refused=refused).sentence


@pytest.mark.parametrize("action", [action for action in Action if not action.value.startswith("view")])
def test_every_deed_has_words_of_its_own(action: Action) -> None:
    assert (action in DEEDS) != (action in PARTS)
    sentence = told(action.value)
    assert action.value not in sentence
    assert sentence.startswith("Wanda ")
    assert "{" not in sentence


def test_every_own_kind_has_a_noun() -> None:
    assert {kind.key for kind in OWN_KINDS} == NOUNS.keys()


@pytest.mark.parametrize(
    ("actor", "sentence"),
    [
        (WANDA, "Wanda created the token “deploy” in the session …x1Y2"),
        (Actor("PERSONAL", "Wanda", "ci", "x1Y2"), "Wanda created the token “deploy” with the token “ci” (…x1Y2)"),
        (Actor("SERVICE", None, "ci", "x1Y2"), "The service token “ci” (…x1Y2) created the token “deploy”"),
        (Actor("ACCOUNT", None, "old", ""), "The account-wide token “old” created the token “deploy”"),
        (Actor("PASSWORD", "Wanda"), "Wanda created the token “deploy” with a password"),
        (Actor("OIDC", "Wanda"), "Wanda created the token “deploy” through the OpenID provider"),
        (Actor("LINK", "Wanda"), "Wanda created the token “deploy” with a one-time link"),
        (Actor("COMMAND_LINE"), "Somebody on the command line created the token “deploy”"),
        (Actor("SYSTEM"), "Latchkey created the token “deploy”"),
        (Actor("POSSESSION"), "Somebody who held a secret of it created the token “deploy”"),
    ],
)
def test_it_says_with_what(actor: Actor, sentence: str) -> None:
    assert told("createAccessToken", actor=actor) == sentence


def test_several_actions_are_one_sentence() -> None:
    names = ("updateAccessTokenName", "updateAccessTokenDescription", "updateAccessTokenPolicy")
    assert told(*names).startswith("Wanda changed the name, description and scope of the token “deploy” in")
    assert told("reuseAccessToken", "deleteAccessToken", actor=Actor("SYSTEM")) == (
        "Latchkey noticed that an old secret of the token “deploy” came back and revoked it"
    )
    assert told("updateName", "somethingElse", kind="role") == (
        "Wanda changed the name of the role “deploy” and did somethingElse to it in the session …x1Y2"
    )


def test_who_is_vouched_for_is_invited_by_nobody() -> None:
    wanda = Actor("OIDC", "Wanda")
    assert Told(wanda, ["acceptInvite"], "member", "Wanda", "member/w").sentence == (
        "Wanda accepted the invitation of the member “Wanda” through the OpenID provider"
    )
    assert Told(Actor("OIDC"), ["createMember", "bindIdentity"], "member", "Wanda", "member/w").sentence == (
        "Somebody joined as the member “Wanda” and bound it to an identity through the OpenID provider"
    )
    failed = Told(Actor("OIDC"), ["createSession"], "member", "Wanda", "member/w", refused=True)
    assert failed.sentence == "Somebody failed to sign in as member/w"


def test_what_is_not_latchkeys_own_reads_too() -> None:
    assert told("updateOn", kind="flag") == "Wanda did updateOn to member/w:token/d in the session …x1Y2"
    assert told("updateOn", "x", refused=True) == (
        "Wanda was refused updateOn and x on member/w:token/d in the session …x1Y2"
    )
    assert told() == "Wanda did something to the token “deploy” in the session …x1Y2"
    actor = Actor("SERVICE", None, "flags", "ab12")
    for behalf, end in (
        (None, ""),
        (Behalf("Wanda", "ci", verified=True), ", on behalf, as it proved, of Wanda with the token “ci”"),
        (Behalf(None, "ci", verified=False), ", on behalf, as it said, of the token “ci”"),
    ):
        deed = Told(actor, ["updateOn"], "flag", "f", "proj/a:env/b:flag/f", reported=True, behalf=behalf)
        assert deed.sentence == f"The service token “flags” (…ab12) reported updateOn on proj/a:env/b:flag/f{end}"


def test_names_are_told_as_they_are() -> None:
    assert Told(WANDA, ["createRole"], "role", "{} {0} %s", "role/x").sentence == (
        "Wanda created the role “{} {0} %s” in the session …x1Y2"
    )
