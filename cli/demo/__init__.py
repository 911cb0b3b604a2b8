"""The demo: a small made-up organisation, new at every start, with a history that really happened to it."""

from cli.demo.organisation import ACCOUNT_KEY, Demo, load
from cli.demo.place import fresh

__all__ = ["ACCOUNT_KEY", "Demo", "fresh", "load"]
