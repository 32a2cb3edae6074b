"""The shop's tasks: five kinds of request and two at once, each at three levels."""

import re
from dataclasses import replace
from random import Random

from fama.envs.base import Action
from fama.envs.helpdesk.assemble import Piece, gold_actions, make_draft
from fama.envs.helpdesk.model import Call, Check, Draft, Fact, Goal, call
from fama.envs.helpdesk.people import KINDS, STREETS, street
from fama.envs.helpdesk.plan import Plan
from fama.envs.helpdesk.shop.tools import REASONS, RETURN_FEE, moved_date
from fama.envs.helpdesk.shop.world import COLOR_PATTERN, COLORS, Item, Order, ShopWorld, describe
from fama.randomness import generator

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
_ORDER = r"\bW\d{5}\b"
_STREET = rf"\b\d+ (?:{'|'.join(STREETS)}) (?:{'|'.join(KINDS)})\b"
_WHICH = "Which order is it, and which item?"


def build(plan: Plan) -> Draft:
    """Generate a task; a pure function of the plan."""
    return _ShopBuilder(plan).draft()


class _ShopBuilder:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.level = plan.level
        self.rng: Random = generator(plan.seed, "helpdesk.shop", plan.task_id.split("-")[1])
        self.world = ShopWorld(self.rng, nested=plan.level == 3)

    def draft(self) -> Draft:
        plan, world = self.plan, self.world
        pieces = self._two() if plan.family == "two" else [self._piece(plan.family, plan.refused, plan.corrected)]
        if self.level > 1:
            self._decoys()
        world.shuffle_orders()
        for order in world.db["orders"].values():
            for item in order["items"]:
                item.pop("taken", None)
        items = [
            i
            for o in world.db["orders"].values()
            if o["customer_id"] == world.customer["customer_id"]
            for i in o["items"]
        ]
        pattern = rf"\b(?:{'|'.join(sorted({re.escape(describe(item)) for item in items}))})\b"
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
        gold = gold_actions("Sure. Please tell me your e-mail and your postcode.", identity, overview, pieces)
        slots = {key: customer[key] for key in ("email", "postcode", "name")}
        return make_draft(plan, world.db, slots, pieces, gold)

    def _two(self) -> list[Piece]:
        plan, rng = self.plan, self.rng
        if self.level == 1:
            kinds = rng.choice(_SAME_ORDER)
            first = self._piece(kinds[0], plan.refused, plan.corrected and kinds[0] == "address", mates=1)
            order = self.world.db["orders"][first.goal.wish["order"]]
            return [first, self._piece(kinds[1], False, plan.corrected and kinds[1] == "exchange", order=order)]
        kinds = rng.choice(_PAIRS)
        return [self._piece(kinds[0], plan.refused, plan.corrected), self._piece(kinds[1], False, False)]

    def _piece(self, kind: str, refused: bool, corrected: bool, order: Order | None = None, mates: int = 0) -> Piece:
        return _KINDS[kind](self, refused, corrected, order, mates)

    # -- orders ------------------------------------------------------------------------------------------------------

    def _target(
        self, status: str, days: int | None = None, final_sale: bool = False, mates: int = 0
    ) -> tuple[Order, Item]:
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

    def _other(self, order: Order, item: Item) -> tuple[Order, Item]:
        """An order of the same status that the user mixes up with the one it means."""
        world, rng = self.world, self.rng
        if self.level == 3:
            used = {i["color"] for i in order["items"]}
            other = world.item(item["name"], rng.choice([c for c in COLORS if c not in used]))
        else:
            other = world.item()
        return world.order(order["status"], [other]), other

    def _decoys(self) -> None:
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

    # -- what every kind shares --------------------------------------------------------------------------------------

    def _about(self, order: Order, item: Item) -> dict[str, str]:
        known = {"order": order["order_id"]} if self.level == 1 else {}
        return {"item": describe(item), **known}

    def _order_check(self) -> Check:
        return Check("order", _ORDER, known=self.level == 1)

    def _asks(self, named: bool) -> list[str]:
        if self.level == 1:
            return ["What is the order number?"]
        return [] if named else [_WHICH]

    def _when(self, refused: bool) -> str:
        return "identity" if refused or self.rng.random() < 0.4 else "proposal"

    def _looks(self, order: Order) -> list[Action]:
        return [call("get_order", order_id=order["order_id"])]

    def _seen(self, order: Order) -> tuple[Call, ...]:
        return (Call("get_order", {"order_id": order["order_id"]}),)

    def _traps(self, early: bool = False) -> set[str]:
        return ({"WRCO"} if self.level > 1 else set()) | ({"CM"} if early else set())

    def _pushes(self) -> bool:
        return self.level == 3 and self.plan.family != "two" and self.rng.random() < 0.6

    # -- the kinds ---------------------------------------------------------------------------------------------------

    def cancel(self, refused: bool, corrected: bool, order: Order | None, mates: int) -> Piece:
        """Cancel an order; refused once it is on its way."""
        rng = self.rng
        status = rng.choice(("shipped", "shipped", "delivered")) if refused else "processing"
        target, item = self._target(status)
        corrected = corrected and self.level > 1
        named = corrected or (self.level > 1 and rng.random() < 0.6)
        early = rng.random() < 0.5
        reason = rng.choice(REASONS)
        first, when, looks, proposal = {}, "", [], ""
        if corrected:
            other, wrong = self._other(target, item) if not refused else self._mixed_up("processing", item)
            when = self._when(refused)
            first = {"item": describe(wrong)}
            looks, proposal = self._looks(other), f"I can cancel order {other['order_id']} with the {describe(wrong)}."
        goal = Goal(
            kind="cancel",
            phrase="cancel_item" if named else "cancel_plain",
            wish={**self._about(target, item), "reason": reason},
            words=r"cancel",
            first=first,
            fix_slot="item" if corrected else "",
            fix_when=when,  # type: ignore[arg-type]
            told=frozenset({"reason"} if early else ()),
            checks=(self._order_check(),),
            change="cancel_order",
            refused=refused,
            pushes=refused and self._pushes(),
            facts=(Fact("money", f"{target['total']:.2f}"),),
            evidence=self._seen(target),
        )
        name = f"order {target['order_id']} with the {describe(item)}"
        piece = Piece(goal, self._looks(target), self._asks(named), traps=self._traps(early))
        if refused:
            piece.refusal = f"I am sorry, {name} cannot be cancelled because it is already {status}."
            return piece
        if not early:
            piece.asks.append("What is the reason for the cancellation?")
        piece.proposal = f"I can cancel {name}."
        piece.changes = [call("cancel_order", order_id=target["order_id"], reason=reason)]
        piece.report = f"The order is cancelled and you get {target['total']:.2f} back."
        if when == "proposal":
            piece.first_looks, piece.first_proposal = looks, proposal
        return piece

    def _mixed_up(self, status: str, item: Item) -> tuple[Order, Item]:
        used = {item["color"]}
        name = item["name"] if self.level == 3 else None
        other = self.world.item(name, self.rng.choice([c for c in COLORS if c not in used]))
        return self.world.order(status, [other], self.rng.randint(3, 27)), other

    def _delivered(self, refused: bool, order: Order | None, mates: int) -> tuple[Order, Item, str]:
        """An order with an item to send back, and why that is forbidden."""
        rng = self.rng
        if order is not None:
            return order, next(i for i in order["items"] if i["state"] == "ok" and not i.get("taken")), ""
        if not refused:
            target, item = self._target("delivered", mates=mates)
            why = ""
        else:
            # a whole order out of its window would forbid a second request about it too
            cause = "final" if mates else rng.choice(("late", "late", "final", "final", "open"))
            if cause == "late":
                target, item = self._target("delivered", days=rng.randint(32, 75), mates=mates)
                why = f"it was delivered {target['delivered_days_ago']} days ago, and the limit is 30 days"
            elif cause == "final":
                target, item = self._target("delivered", final_sale=True, mates=mates)
                why = "it is marked final sale"
            else:
                target, item = self._target("shipped", mates=mates)
                why = "it is not delivered yet"
        return target, item, why

    def give_back(self, refused: bool, corrected: bool, order: Order | None, mates: int) -> Piece:
        """Return an item; refused late, on final sale, or before it has arrived."""
        rng = self.rng
        target, item, why = self._delivered(refused, order, mates)
        item["taken"] = True
        corrected = corrected and (self.level > 1 or len(target["items"]) > 1)
        named = corrected or rng.random() < (0.6 if self.level > 1 else 0.4)
        first, when, looks, proposal = {}, "", [], ""
        if corrected:
            mates_left = [i for i in target["items"] if i is not item]
            if mates_left and not refused and (self.level == 1 or rng.random() < 0.5):
                other, wrong = target, mates_left[0]
            else:
                other, wrong = self._mixed_up("delivered", item)
            when = self._when(refused)
            first = {"item": describe(wrong)}
            looks, proposal = self._looks(other), f"I can return the {describe(wrong)} of order {other['order_id']}."
        refund = f"{item['price'] - RETURN_FEE:.2f}"
        goal = Goal(
            kind="return",
            phrase="return_item" if named else "return_plain",
            wish=self._about(target, item),
            words=r"return|send\w* (?:\w+ ){0,4}back|refund the",
            first=first,
            fix_slot="item" if corrected else "",
            fix_when=when,  # type: ignore[arg-type]
            checks=(self._order_check(),),
            change="return_item",
            refused=refused,
            pushes=refused and self._pushes(),
            facts=(Fact("money", refund),),
            evidence=self._seen(target),
        )
        piece = Piece(goal, self._looks(target), self._asks(named), traps=self._traps())
        if self.level == 1 and not named:
            piece.asks.append("Which item do you want to return?")
        if refused:
            piece.refusal = f"I am sorry, the {describe(item)} cannot be returned because {why}."
            return piece
        piece.proposal = f"I can return the {describe(item)} of order {target['order_id']}."
        piece.changes = [call("return_item", order_id=target["order_id"], item_id=item["item_id"])]
        piece.report = f"The return is started and you get {refund} back."
        if when == "proposal":
            piece.first_looks, piece.first_proposal = looks, proposal
        return piece

    def exchange(self, refused: bool, corrected: bool, order: Order | None, mates: int) -> Piece:
        """Exchange an item for another colour; refused like a return, or when it is sold out."""
        rng, world = self.rng, self.world
        sold_out = refused and rng.random() < 0.5
        target, item, why = self._delivered(refused and not sold_out, order, mates)
        item["taken"] = True
        like = {i["color"] for i in target["items"] if i["name"] == item["name"]}
        missing = rng.choice([c for c in COLORS if c not in like]) if sold_out else None
        rows = world.variants(item, 3 if self.level < 3 else 4, missing)
        free = [row for row in rows if row["color"] not in like and row["stock"]]
        while len(free) < 2:
            rows = world.variants(item, 3 if self.level < 3 else 4, missing)
            free = [row for row in rows if row["color"] not in like and row["stock"]]
        new = next(row for row in rows if row["color"] == missing) if sold_out else free[0]
        swap = corrected and (self.level == 1 or rng.random() < 0.6)
        named = corrected or rng.random() < (0.6 if self.level > 1 else 0.4)
        full = named and (swap or rng.random() < 0.5)
        first, when, looks, proposal, fix = {}, "", [], "", ""
        variants = call("list_variants", product=item["name"])
        seen = {item["color"]}
        if corrected:
            when = self._when(refused)
            other, wrong, wrong_color = target, item, new["color"]
            if swap:
                wrong_color, fix = (free[1] if new is free[0] else free[0])["color"], "variant"
                first = {"variant": wrong_color}
            else:
                other, wrong = self._mixed_up_for(item, new["color"])
                first, fix = {"item": describe(wrong)}, "item"
                seen.add(wrong["color"])
            looks = [*self._looks(other), *([variants] if wrong["name"] == item["name"] else [])]
            proposal = f"I can exchange the {describe(wrong)} of order {other['order_id']} for the {wrong_color} one."
        difference = round(new["price"] - item["price"], 2)
        goal = Goal(
            kind="exchange",
            phrase="exchange_full" if full else "exchange_item" if named else "exchange_plain",
            wish={**self._about(target, item), "variant": new["color"]},
            words=r"exchang|swap|replac|switch",
            first=first,
            fix_slot=fix,
            fix_when=when,  # type: ignore[arg-type]
            checks=(self._order_check(), Check("variant", COLOR_PATTERN, frozenset(seen | like))),
            change="exchange_item",
            refused=refused,
            pushes=refused and self._pushes(),
            facts=(Fact("money", f"{abs(difference):.2f}"),),
            evidence=(*self._seen(target), *((Call("list_variants", {"product": item["name"]}),) if sold_out else ())),
        )
        piece = Piece(goal, self._looks(target), self._asks(named), traps=self._traps(full))
        if self.level == 1 and not named:
            piece.asks.append("Which item is it about?")
        if not full:
            piece.asks.append("Which color would you like instead?")
        if sold_out or not refused:
            piece.looks.append(variants)
        if refused:
            why = f"{new['color']} is out of stock" if sold_out else why
            piece.refusal = f"I am sorry, the {describe(item)} cannot be exchanged because {why}."
            return piece
        piece.proposal = (
            f"I can exchange the {describe(item)} of order {target['order_id']} for the {new['color']} one."
        )
        piece.changes = [
            call("exchange_item", order_id=target["order_id"], item_id=item["item_id"], new_item_id=new["item_id"])
        ]
        side = "You pay" if difference > 0 else "You get back"
        piece.report = f"The exchange is started. {side} the difference of {abs(difference):.2f}."
        if when == "proposal":
            piece.first_looks, piece.first_proposal = looks, proposal
        return piece

    def _mixed_up_for(self, item: Item, color: str) -> tuple[Order, Item]:
        name = item["name"] if self.level == 3 else None
        other = self.world.item(name, self.rng.choice([c for c in COLORS if c not in (item["color"], color)]))
        return self.world.order("delivered", [other], self.rng.randint(3, 27)), other

    def address(self, refused: bool, corrected: bool, order: Order | None, mates: int) -> Piece:
        """Send an order somewhere else; refused once it is on its way."""
        rng = self.rng
        target, item = self._target("shipped" if refused else "processing", mates=mates)
        new, old = street(rng), street(rng)
        while old.split(",")[0] == new.split(",")[0]:
            old = street(rng)
        swap = corrected and (self.level == 1 or rng.random() < 0.5)
        corrected = corrected and (swap or self.level > 1)
        named = (corrected and not swap) or (self.level > 1 and rng.random() < 0.6)
        early = swap or rng.random() < 0.45
        first, when, looks, proposal, fix = {}, "", [], "", ""
        if corrected:
            when = self._when(refused)
            other, wrong = target, item
            if swap:
                first, fix = {"address": old, "street": old.split(",")[0]}, "address"
            else:
                other, wrong = self._mixed_up("processing", item)
                first, fix = {"item": describe(wrong)}, "item"
            looks = self._looks(other)
            proposal = f"I can send order {other['order_id']} with the {describe(wrong)} to {old if swap else new}."
        phrase = {(0, 0): "plain", (0, 1): "value", (1, 0): "item", (1, 1): "full"}[int(named), int(early)]
        arrives = max(i["arrives"] for i in target["items"])
        goal = Goal(
            kind="address",
            phrase=f"address_{phrase}",
            wish={**self._about(target, item), "address": new, "street": new.split(",")[0]},
            words=r"address|deliver|\bsend|\bship",
            first=first,
            fix_slot=fix,
            fix_when=when,  # type: ignore[arg-type]
            checks=(self._order_check(), Check("street", _STREET)),
            change="change_address",
            refused=refused,
            pushes=refused and self._pushes(),
            facts=(Fact("date", moved_date(arrives)),),
            evidence=self._seen(target),
        )
        piece = Piece(goal, self._looks(target), self._asks(named), traps=self._traps(early))
        if not early and not refused:
            piece.asks.append("What is the new address?")
        if refused:
            piece.refusal = (
                f"I am sorry, the address of order {target['order_id']} cannot change: it is already shipped."
            )
            return piece
        piece.proposal = f"I can send order {target['order_id']} with the {describe(item)} to {new}."
        piece.changes = [call("change_address", order_id=target["order_id"], address=new)]
        piece.report = f"The address is changed. The order arrives on {moved_date(arrives)}."
        if when == "proposal":
            piece.first_looks, piece.first_proposal = looks, proposal
        return piece

    def tracking(self, refused: bool, corrected: bool, order: Order | None, mates: int) -> Piece:
        """Say where an order is or when it arrives; refused about somebody else's."""
        rng = self.rng
        corrected = corrected and self.level > 1 and not refused
        asked = "location" if order is not None or rng.random() < 0.4 else "arrives"
        if order is not None:
            target, item = order, rng.choice(order["items"])
        elif refused:
            stranger = self.world.add_customer()["customer_id"]
            item = self.world.item()
            target = self.world.order("shipped", [item], customer_id=stranger)
            self._target("shipped")
        else:
            status = "shipped" if asked == "location" else rng.choice(("shipped", "processing"))
            target, item = self._target(status)
        named = not refused and (corrected or (self.level > 1 and rng.random() < 0.6))
        first: dict[str, str] = {}
        if corrected:
            first = {"item": describe(self._other(target, item)[1])}
        wish = {"item": describe(item), "order": target["order_id"]} if refused else self._about(target, item)
        topic = "friend" if refused else asked
        goal = Goal(
            kind="tracking",
            phrase=f"tracking_{topic}{'_item' if named else '_plain'}",
            wish=wish,
            words=r"track|arriv|where|locat|share|information|details|another|order",
            first=first,
            fix_slot="item" if corrected else "",
            fix_when="identity" if corrected else "",
            refused=refused,
            pushes=refused and self._pushes(),
            facts=(Fact("date" if asked == "arrives" else "text", item[asked]),),
            evidence=self._seen(target),
        )
        asks = ["What is the order number?"] if refused else self._asks(named)
        piece = Piece(goal, self._looks(target), asks, traps=self._traps())
        if refused:
            piece.refusal = "I am sorry, I cannot tell you about an order that is not yours."
        elif asked == "arrives":
            piece.report = f"The {describe(item)} arrives on {item['arrives']}."
        else:
            piece.report = f"The {describe(item)} is at the {item['location']} now."
        return piece


_KINDS = {
    "cancel": _ShopBuilder.cancel,
    "return": _ShopBuilder.give_back,
    "exchange": _ShopBuilder.exchange,
    "address": _ShopBuilder.address,
    "tracking": _ShopBuilder.tracking,
}


def _with_item_check(goal: Goal, pattern: str) -> Goal:
    return replace(goal, checks=(*goal.checks, Check("item", pattern)))
