"""The shop's tasks: five kinds of request and two at once, each at three levels."""

import re
from dataclasses import replace

from fama.envs.helpdesk.pieces import Piece, joined_actions, make_draft
from fama.envs.helpdesk.shop.builder import ShopBuilder
from fama.envs.helpdesk.shop.request_kinds import BUILDERS
from fama.envs.helpdesk.shop.world import item_name
from fama.envs.helpdesk.task_mix import TaskPlan
from fama.envs.helpdesk.task_records import Check, Draft, Goal, call

FAMILIES = ("cancel", "return", "exchange", "address", "tracking", "two")
_PAIRS = (
    ("cancel", "tracking"),
    ("return", "cancel"),
    ("return", "tracking"),
    ("exchange", "address"),
    ("return", "exchange"),
    ("address", "cancel"),
    ("exchange", "tracking"),
    ("cancel", "exchange"),
)
_SAME_ORDER = (("return", "exchange"), ("address", "tracking"))


def generate_task(plan: TaskPlan) -> Draft:
    """Generate a task; a pure function of the plan."""
    b = ShopBuilder(plan)
    world = b.world
    pieces = _two(b) if plan.family == "two" else [BUILDERS[plan.family](b, plan.refused, plan.corrected, None, 0)]
    if b.level > 1:
        b.decoys()
    world.shuffle_orders()
    for order in world.db["orders"].values():
        for item in order["items"]:
            item.pop("taken", None)
    items = [
        i for o in world.db["orders"].values() if o["customer_id"] == world.customer["customer_id"] for i in o["items"]
    ]
    pattern = rf"\b(?:{'|'.join(sorted({re.escape(item_name(item)) for item in items}))})\b"
    for piece in pieces:
        piece.goal = _with_item_check(piece.goal, pattern)
    customer = world.customer
    identity = [
        call("find_customer", email=customer["email"]),
        call("verify_customer", customer_id=customer["customer_id"], postcode=customer["postcode"]),
    ]
    overview = []
    if any("order" not in piece.goal.wish for piece in pieces):
        overview = [call("list_orders", customer_id=customer["customer_id"])]
    gold = joined_actions("Sure. Please tell me your e-mail and your postcode.", identity, overview, pieces)
    slots = {key: customer[key] for key in ("email", "postcode", "name")}
    return make_draft(plan, world.db, slots, pieces, gold)


def _two(b: ShopBuilder) -> list[Piece]:
    plan = b.plan
    if b.level > 1:
        one, other = b.rng.choice(_PAIRS)
        return [BUILDERS[one](b, plan.refused, plan.corrected, None, 0), BUILDERS[other](b, False, False, None, 0)]
    one, other = b.rng.choice(_SAME_ORDER)
    first = BUILDERS[one](b, plan.refused, plan.corrected and one == "address", None, 1)
    order = b.world.db["orders"][first.goal.wish["order"]]
    return [first, BUILDERS[other](b, False, plan.corrected and other == "exchange", order, 0)]


def _with_item_check(goal: Goal, pattern: str) -> Goal:
    return replace(goal, checks=(*goal.checks, Check("item", pattern)))
