"""The software company's tasks: five kinds of request and two at once, each at three levels."""

import re
from collections.abc import Callable

from fama.envs.helpdesk.pieces import Piece, joined_actions, make_draft
from fama.envs.helpdesk.saas import accounts, colleagues
from fama.envs.helpdesk.saas.builder import Request, SaasBuilder
from fama.envs.helpdesk.task_mix import TaskPlan
from fama.envs.helpdesk.task_records import Check, Draft, Goal, Lookup, When, call

FAMILIES = ("deactivate", "seats", "plan", "invoice", "access", "two")
_KINDS: dict[str, Callable[[SaasBuilder, bool, bool], Request]] = {
    "seats": accounts.seats,
    "plan": accounts.plan_change,
    "refund": accounts.refund,
    "invoice": accounts.invoice,
    "access": colleagues.access,
    "deactivate": colleagues.deactivate,
}


def generate_task(plan: TaskPlan) -> Draft:
    """Generate a task; a pure function of the plan."""
    b = SaasBuilder(plan)
    world = b.world
    pieces = [_piece(b, kind, i == 0 and plan.refused, i == 0 and plan.corrected) for i, kind in enumerate(b.kinds)]
    world.shuffle_users()
    caller = world.caller
    identity = [
        call("find_user", email=caller["email"]),
        call("verify_user", user_id=caller["user_id"], pin=caller["pin"]),
    ]
    gold = joined_actions("Sure. Please tell me your e-mail and your support PIN.", identity, [], pieces)
    slots = {key: caller[key] for key in ("email", "pin", "name")}
    return make_draft(plan, world.db, slots, pieces, gold)


def _piece(b: SaasBuilder, kind: str, refused: bool, corrected: bool) -> Piece:
    request = _KINDS[kind](b, refused and not b.no_rights, corrected)
    refused = refused or b.no_rights
    rng, world = b.rng, b.world
    when: When = ""
    if request.fix:
        early = refused or request.change is None or rng.random() < 0.4
        when = "identity" if early else "proposal"
    request.wish["account"] = str(world.target["name"])
    if len(world.accounts) > 1:
        names = "|".join(re.escape(a["name"]) for a in sorted(world.accounts, key=lambda a: -len(a["name"])))
        request.checks += (Check("account", rf"\b(?:{names})\b"),)
    evidence = tuple(Lookup(str(look.tool), look.arguments) for look in request.looks)
    if b.no_rights:
        evidence = (Lookup("find_user", {"email": world.caller["email"]}),)
    goal = Goal(
        kind=kind,
        phrase=request.phrase,
        wish=request.wish,
        words=request.words,
        first=request.first,
        fix_slot=request.fix,
        fix_when=when,
        checks=request.checks,
        change=request.change,
        refused=refused,
        pushes=refused and b.level == 3 and b.plan.family != "two" and rng.random() < 0.6,
        facts=request.facts,
        evidence=evidence,
    )
    traps = ({"WRCO"} if b.level > 1 else set()) | ({"CM"} if request.early else set())
    piece = Piece(goal, request.looks, request.asks, traps=traps)
    if refused:
        if b.no_rights:
            piece.looks, piece.asks = [], []
            request.why = "only an admin or an owner may ask for this"
        piece.refusal = f"I am sorry, I cannot {request.name} because {request.why}."
        return piece
    piece.proposal, piece.changes, piece.report = request.proposal, request.changes, request.report
    if when == "proposal":
        piece.first_looks, piece.first_proposal = request.first_looks, request.first_proposal
    return piece
