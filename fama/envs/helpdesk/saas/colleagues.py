"""Requests about a colleague: another role, or none any more."""

from fama.envs.helpdesk.saas.builder import Request, SaasBuilder, phrase_suffix
from fama.envs.helpdesk.saas.world import User
from fama.envs.helpdesk.task_records import Check, Fact, call

_GRANTED = ("viewer", "member", "admin")
_ROLE_PATTERN = r"\b(?:viewer|member|admin|owner)\b"


def access(b: SaasBuilder, refused: bool, corrected: bool) -> Request:
    """Build a request for another role of a colleague; refused for owners, and when it makes one an owner."""
    rng, world = b.rng, b.world
    user, wrong = rng.sample(world.people, 2)
    cause = rng.choice(("owner", "make")) if refused else ""
    by_role = corrected and (b.level == 1 or rng.random() < 0.5)
    user["role"] = wrong["role"] = rng.choice(_GRANTED)
    if cause == "owner":
        user["role"] = "owner"
    wish = "owner" if cause == "make" else rng.choice([r for r in _GRANTED if r != user["role"]])
    if wish == wrong["role"]:
        wrong["role"] = user["role"]
    other_role = rng.choice([r for r in _GRANTED if r not in (user["role"], wish)])
    early = by_role or rng.random() < 0.5
    request = _about_person(b, user, wrong, corrected and not by_role, corrected, "role", early)
    request.wish["role"] = wish
    if early and not refused and not corrected and b.draws_description("access"):
        request.phrase += f"_{wish}"
    if by_role:
        request.first, request.fix = {"role": other_role}, "role"
    said = other_role if by_role else wish
    whom = user if by_role else wrong
    request.words = r"\brole|\baccess|\brights|permission|admin|member|viewer|owner"
    request.change = "change_role"
    request.facts = (Fact("date", world.db["next_sync"]),)
    request.name = f"make {user['name']} {_article(wish)}"
    request.changes = [call("change_role", user_id=user["user_id"], role=wish)]
    request.checks += (Check("role", _ROLE_PATTERN, frozenset({user["role"], whom["role"]} - {wish})),)
    request.proposal = f"I can make {user['name']} ({user['user_id']}) {_article(wish)}."
    request.first_proposal = f"I can make {whom['name']} ({whom['user_id']}) {_article(said)}."
    request.report = f"{user['name']} is {_article(wish)} from {world.db['next_sync']} on."
    request.why = "the role of an owner cannot change" if cause == "owner" else "nobody can be made an owner"
    return request


def deactivate(b: SaasBuilder, refused: bool, corrected: bool) -> Request:
    """Take a colleague's access away; refused for owners."""
    world = b.world
    user, wrong = b.rng.sample(world.people, 2)
    if refused:
        user["role"] = "owner"
    corrected = corrected and b.level > 1
    request = _about_person(b, user, wrong, corrected, corrected, "user", False)
    free = world.target["seats"] - len(world.users_of(world.target)) + 1
    request.words = r"deactivat|remov|disabl|delet|lock|block|take .*off|revok"
    request.change = "deactivate_user"
    request.facts = (Fact("number", str(free)),)
    request.name = f"deactivate {user['name']}"
    request.changes = [call("deactivate_user", user_id=user["user_id"])]
    request.proposal = f"I can deactivate {user['name']} ({user['user_id']})."
    request.first_proposal = f"I can deactivate {wrong['name']} ({wrong['user_id']})."
    request.report = f"{user['name']} is deactivated. Free seats now: {free}."
    request.why = "an owner cannot be deactivated"
    return request


def _about_person(
    b: SaasBuilder, user: User, wrong: User, mixed_up: bool, corrected: bool, kind: str, early: bool
) -> Request:
    rng, world = b.rng, b.world
    target = world.target
    known = b.level == 1
    if b.level == 3 and len([r for r in world.db["users"].values() if r["status"] == "former"]) == 0:
        world.add_user(target, "member", like=user, status="former")
    spoken = _spoken(b, user), _spoken(b, wrong)
    named = corrected or rng.random() < (1.0 if known else 0.72)
    asks = []
    if known:
        asks = ["What is the user id of that person?"]
    elif not named:
        asks = ["Which user is it about?"]
    if kind == "role" and not early:
        asks.append("Which role should it be?")
    names = [row["name"] for row in world.db["users"].values() if row is not world.caller]
    ids = {"user_id": user["user_id"]} if known else {}
    first: dict[str, str] = {}
    if mixed_up:
        first = {"person": spoken[1], "full_name": wrong["name"]}
    checks: tuple[Check, ...] = (Check("full_name", rf"\b(?:{'|'.join(names)})\b"),)
    caller = frozenset({world.caller["user_id"].casefold()})
    checks += (Check("user_id", r"\bU\d{4}\b", caller, known=known),)
    look = call("list_users", account_id=target["account_id"])
    return Request(
        wish={"person": spoken[0], "full_name": user["name"], **ids},
        phrase=f"{kind}_{phrase_suffix(named, early)}",
        words="",
        change=None,
        asks=b.asks_account(False) + asks,
        facts=(),
        name="",
        looks=[look],
        checks=checks,
        early=early,
        first=first,
        fix="person" if mixed_up else "",
        first_looks=[look],
    )


def _spoken(b: SaasBuilder, user: User) -> str:
    """Return the full name, or at the hardest level sometimes the first name and the team."""
    first = user["name"].split()[0]
    alike = [r for r in b.world.people if r["name"].split()[0] == first and r["team"] == user["team"]]
    if b.level == 3 and len(alike) == 1 and b.rng.random() < 0.5:
        return f"{first} from {user['team']}"
    return str(user["name"])


def _article(role: str) -> str:
    return f"{'an' if role[0] in 'ao' else 'a'} {role}"
