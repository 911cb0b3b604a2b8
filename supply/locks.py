"""All that is locked: every file that says which packages of others are installed, and with which digests."""

from supply.programs import ROOT

UV_PROJECTS = (ROOT, ROOT / "clients" / "python", ROOT / "supply")
NPM_PROJECTS = (
    ROOT / "console",
    ROOT / "tests" / "frontends",
    ROOT / "tests" / "sign_in",
    ROOT / "bench" / "peers" / "better_auth",
)
REQUIREMENTS = tuple(ROOT / "bench" / "peers" / peer / "requirements.txt" for peer in ("knox", "jupyterhub"))
