"""Every refusal that Latchkey tells a caller, with its `extensions.code` and what stands beside it."""

from collections.abc import Mapping, Sequence


class Refusal(Exception):
    """A refusal that the caller may read. `extensions` is what GraphQL clients find beside the message."""

    code = "INTERNAL"

    def __init__(self, message: str, **extensions: object) -> None:
        super().__init__(message)
        self.message = message
        self.extensions: Mapping[str, object] = {
            "code": self.code,
            **{name: value for name, value in extensions.items() if value is not None},
        }


class Unauthenticated(Refusal):
    """No credential, or one that is dead, unknown or malformed: all told alike."""

    code = "UNAUTHENTICATED"

    def __init__(self) -> None:
        super().__init__("a valid credential is needed")


class Retired(Unauthenticated):
    """An account-wide token after the end of them all, in ISO 8601. Whoever holds its secret is told what to do."""

    def __init__(self, ended_at: str) -> None:
        message = f"account-wide tokens ended on {ended_at[:10]}: make a personal token and use that"
        Refusal.__init__(self, message, retiredAt=ended_at)


class Forbidden(Refusal):
    """The caller may see the resource but not do this. Names the missing action, and the resource if readable."""

    code = "FORBIDDEN"

    def __init__(self, action: str, resource: str | None = None, *, why: str | None = None) -> None:
        on = f" on `{resource}`" if resource else ""
        super().__init__(why or f"needs `{action}`{on}", action=action, resource=resource)


class NotFound(Refusal):
    """Absent, or hidden from the caller: the two look alike."""

    code = "NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("not found")


class Invalid(Refusal):
    """Bad input. `field` is the path of the input field in camelCase, such as `scope.statements[0].actions`."""

    code = "BAD_USER_INPUT"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"`{field}` {problem}", field=field)
        self.field = field
        self.problem = problem


class Unfit(Refusal):
    """A document with problems, each beneath the path of its field. The first one's is `field`."""

    code = Invalid.code

    def __init__(self, problems: Sequence[Invalid]) -> None:
        told = [{"field": problem.field, "message": problem.message} for problem in problems]
        super().__init__("\n".join(problem.message for problem in problems), field=problems[0].field, problems=told)
        self.problems = tuple(problems)


class Conflict(Refusal):
    """The world moved on: a taken key, a stale `expectedVersion`, a replayed `idempotencyKey`."""

    code = "CONFLICT"


class RateLimited(Refusal):
    """Too many attempts, or too much of `what`. `retry_after_s` is in whole seconds."""

    code = "RATE_LIMITED"

    def __init__(self, retry_after_s: int, what: str = "attempts") -> None:
        super().__init__(f"too many {what}, try again in {retry_after_s} s", retryAfter=retry_after_s)
        self.retry_after_s = retry_after_s


class TooComplex(Refusal):
    """The document's cost is over the limit. Both are in units of one resolved object."""

    code = "QUERY_TOO_COMPLEX"

    def __init__(self, cost: int, limit: int) -> None:
        super().__init__(f"the operation costs {cost}, the limit is {limit}", cost=cost, limit=limit)


class TimedOut(Refusal):
    """It took too long. Told of a field of a mutation, it was not begun. `limit_s` is in seconds."""

    code = "TIMED_OUT"

    def __init__(self, limit_s: float) -> None:
        super().__init__(f"the operation took longer than {limit_s:g} s", limit=limit_s)


class Unavailable(Refusal):
    """Nothing can be done for now, whatever is asked. `retry_after_s` is in whole seconds."""

    code = "UNAVAILABLE"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"the database does not answer, try again in {retry_after_s} s", retryAfter=retry_after_s)
