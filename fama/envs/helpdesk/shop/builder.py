"""The builder that every kind of request of the shop shares: orders that fit it, and orders mixed up with them."""

from random import Random
from typing import Literal

from fama.envs.base import Action
from fama.envs.helpdesk.shop.world import COLORS, Item, Order, ShopWorld, item_name
from fama.envs.helpdesk.task_mix import TaskPlan
from fama.envs.helpdesk.task_records import Check, Lookup, call
from fama.randomness import generator

_ORDER = r"\bW\d{5}\b"
_WHICH = "Which order is it, and which item?"


class ShopBuilder:
    """The world of one task and the draws that its pieces share."""

    def __init__(self, plan: TaskPlan) -> None:
        self.plan = plan
        self.level = plan.level
        self.rng: Random = generator(plan.seed, "helpdesk.shop", plan.task_id.split("-")[1])
        self.world = ShopWorld(self.rng, nested=plan.level == 3)

    def target(
        self, status: str, days: int | None = None, final_sale: bool = False, mates: int = 0
    ) -> tuple[Order, Item]:
        """Return an order of a status, and the item in it that the request is about."""
        world, rng = self.world, self.rng
        item = world.item(final_sale=final_sale)
        items = [item]
        if self.level == 3:
            like = rng.random() < 0.5
            color = rng.choice([c for c in COLORS if c != item["color"]])
            items.append(world.item(item["name"] if like else None, color if like else None))
        elif mates or rng.random() < 0.35:
            items.append(world.item())
        rng.shuffle(items)
        return world.order(status, items, days), item

    def pick_other(self, order: Order, item: Item) -> tuple[Order, Item]:
        """Return an order of the same status that the user mixes up with the one it means."""
        world, rng = self.world, self.rng
        if self.level == 3:
            used = {i["color"] for i in order["items"]}
            other = world.item(item["name"], rng.choice([c for c in COLORS if c not in used]))
        else:
            other = world.item()
        return world.order(order["status"], [other]), other

    def mixed_up(self, status: str, item: Item) -> tuple[Order, Item]:
        """Return an order that allows the request, which the user first takes for the one it means."""
        used = {item["color"]}
        name = item["name"] if self.level == 3 else None
        other = self.world.item(name, self.rng.choice([c for c in COLORS if c not in used]))
        return self.world.order(status, [other], self.rng.randint(3, 27)), other

    def mixed_up_for(self, item: Item, color: str) -> tuple[Order, Item]:
        """Return a delivered order that the user first takes for the one it means; neither item has that color."""
        name = item["name"] if self.level == 3 else None
        other = self.world.item(name, self.rng.choice([c for c in COLORS if c not in (item["color"], color)]))
        return self.world.order("delivered", [other], self.rng.randint(3, 27)), other

    def delivered(self, refused: bool, order: Order | None, mates: int) -> tuple[Order, Item, str]:
        """Return an order with an item to send back, and why that is forbidden."""
        rng = self.rng
        if order is not None:
            return order, next(i for i in order["items"] if i["state"] == "ok" and not i.get("taken")), ""
        if not refused:
            target, item = self.target("delivered", mates=mates)
            why = ""
        else:
            # a whole order out of its window would forbid a second request about it too
            cause = "final" if mates else rng.choice(("late", "late", "final", "final", "open"))
            if cause == "late":
                target, item = self.target("delivered", days=rng.randint(32, 75), mates=mates)
                why = f"it was delivered {target['delivered_days_ago']} days ago, and the limit is 30 days"
            elif cause == "final":
                target, item = self.target("delivered", final_sale=True, mates=mates)
                why = "it is marked final sale"
            else:
                target, item = self.target("shipped", mates=mates)
                why = "it is not delivered yet"
        return target, item, why

    def decoys(self) -> None:
        """Add orders that no request is about; at the hardest level one looks like an asked one."""
        world, rng = self.world, self.rng
        mine = list(world.db["orders"].values())
        wanted = 3 if self.level == 2 else 4
        like = rng.choice(mine)
        while len(world.db["orders"]) < wanted:
            item = world.item()
            if self.level == 3 and len(world.db["orders"]) == len(mine):
                base = rng.choice(like["items"])
                used = {i["color"] for o in mine for i in o["items"] if i["name"] == base["name"]}
                item = world.item(base["name"], rng.choice([c for c in COLORS if c not in used]))
            world.order(rng.choice(("processing", "shipped", "delivered")), [item])

    def describe_order(self, order: Order, item: Item) -> dict[str, str]:
        """Return what the user can say about an order: its item, at the easiest level its number too."""
        known = {"order": order["order_id"]} if self.level == 1 else {}
        return {"item": item_name(item), **known}

    def order_check(self) -> Check:
        """Return the check: the user notices a wrong order number only where it knows the number."""
        return Check("order", _ORDER, known=self.level == 1)

    def asks(self, named: bool) -> list[str]:
        """Return what has to be asked to find the order."""
        if self.level == 1:
            return ["What is the order number?"]
        return [] if named else [_WHICH]

    def correction_point(self, refused: bool) -> Literal["identity", "proposal"]:
        """Return when the user corrects itself; a refusal leaves no proposal to correct."""
        return "identity" if refused or self.rng.random() < 0.4 else "proposal"

    def look_ups(self, order: Order) -> list[Action]:
        """Return the look-up of an order."""
        return [call("get_order", order_id=order["order_id"])]

    def refusal_evidence(self, order: Order) -> tuple[Lookup, ...]:
        """Return the look-up that a refusal has to rest on."""
        return (Lookup("get_order", {"order_id": order["order_id"]}),)

    def traps(self, early: bool = False) -> set[str]:
        """Return the failure categories that the level, and a value given early, lay traps for."""
        return ({"WRCO"} if self.level > 1 else set()) | ({"CM"} if early else set())

    def draws_push(self) -> bool:
        """Return whether the user asks for an exception."""
        return self.level == 3 and self.plan.family != "two" and self.rng.random() < 0.6
