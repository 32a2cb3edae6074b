"""The shop's kinds of request, each with the look-ups, changes and words that serve it."""

from collections.abc import Callable

from fama.envs.base import Action
from fama.envs.helpdesk.people import KINDS, STREETS, street
from fama.envs.helpdesk.pieces import Piece
from fama.envs.helpdesk.shop.builder import ShopBuilder
from fama.envs.helpdesk.shop.tools import REASONS, RETURN_FEE, moved_date
from fama.envs.helpdesk.shop.world import COLOR_PATTERN, COLORS, Order, item_name
from fama.envs.helpdesk.task_records import Check, Fact, Goal, Lookup, When, call

_STREET = rf"\b\d+ (?:{'|'.join(STREETS)}) (?:{'|'.join(KINDS)})\b"


def cancel(b: ShopBuilder, refused: bool, corrected: bool, order: Order | None, mates: int) -> Piece:
    """Cancel an order; refused once it is on its way."""
    rng = b.rng
    status = rng.choice(("shipped", "shipped", "delivered")) if refused else "processing"
    target, item = b.target(status)
    corrected = corrected and b.level > 1
    named = corrected or (b.level > 1 and rng.random() < 0.6)
    early = b.level == 1 or rng.random() < 0.5
    reason = rng.choice(REASONS)
    first: dict[str, str] = {}
    when: When = ""
    looks: list[Action] = []
    proposal = ""
    if corrected:
        other, wrong = b.pick_other(target, item) if not refused else b.mixed_up("processing", item)
        when = b.correction_point(refused)
        first = {"item": item_name(wrong)}
        looks, proposal = b.look_ups(other), f"I can cancel order {other['order_id']} with the {item_name(wrong)}."
    goal = Goal(
        kind="cancel",
        phrase="cancel_item" if named else "cancel_plain",
        wish={**b.describe_order(target, item), "reason": reason},
        words=r"cancel",
        first=first,
        fix_slot="item" if corrected else "",
        fix_when=when,
        told=frozenset({"reason"} if early else ()),
        checks=(b.order_check(),),
        change="cancel_order",
        refused=refused,
        pushes=refused and b.draws_push(),
        facts=(Fact("money", f"{target['total']:.2f}"),),
        evidence=b.refusal_evidence(target),
    )
    name = f"order {target['order_id']} with the {item_name(item)}"
    piece = Piece(goal, b.look_ups(target), b.asks(named), traps=b.traps(early))
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


def give_back(b: ShopBuilder, refused: bool, corrected: bool, order: Order | None, mates: int) -> Piece:
    """Return an item; refused late, on final sale, or before it has arrived."""
    rng = b.rng
    target, item, why = b.delivered(refused, order, mates)
    item["taken"] = True
    corrected = corrected and (b.level > 1 or len(target["items"]) > 1)
    named = corrected or rng.random() < (0.6 if b.level > 1 else 0.4)
    first: dict[str, str] = {}
    when: When = ""
    looks: list[Action] = []
    proposal = ""
    if corrected:
        mates_left = [i for i in target["items"] if i is not item]
        if mates_left and not refused and (b.level == 1 or rng.random() < 0.5):
            other, wrong = target, mates_left[0]
        else:
            other, wrong = b.mixed_up("delivered", item)
        when = b.correction_point(refused)
        first = {"item": item_name(wrong)}
        looks, proposal = b.look_ups(other), f"I can return the {item_name(wrong)} of order {other['order_id']}."
    refund = f"{item['price'] - RETURN_FEE:.2f}"
    goal = Goal(
        kind="return",
        phrase="return_item" if named else "return_plain",
        wish=b.describe_order(target, item),
        words=r"return|send\w* (?:\w+ ){0,4}back|refund the",
        first=first,
        fix_slot="item" if corrected else "",
        fix_when=when,
        checks=(b.order_check(),),
        change="return_item",
        refused=refused,
        pushes=refused and b.draws_push(),
        facts=(Fact("money", refund),),
        evidence=b.refusal_evidence(target),
    )
    piece = Piece(goal, b.look_ups(target), b.asks(named), traps=b.traps())
    if b.level == 1 and not named:
        piece.asks.append("Which item do you want to return?")
    if refused:
        piece.refusal = f"I am sorry, the {item_name(item)} cannot be returned because {why}."
        return piece
    piece.proposal = f"I can return the {item_name(item)} of order {target['order_id']}."
    piece.changes = [call("return_item", order_id=target["order_id"], item_id=item["item_id"])]
    piece.report = f"The return is started and you get {refund} back."
    if when == "proposal":
        piece.first_looks, piece.first_proposal = looks, proposal
    return piece


def exchange(b: ShopBuilder, refused: bool, corrected: bool, order: Order | None, mates: int) -> Piece:
    """Exchange an item for another colour; refused like a return, or when it is sold out."""
    rng, world = b.rng, b.world
    sold_out = refused and rng.random() < 0.5
    target, item, why = b.delivered(refused and not sold_out, order, mates)
    item["taken"] = True
    like = {i["color"] for i in target["items"] if i["name"] == item["name"]}
    missing = rng.choice([c for c in COLORS if c not in like]) if sold_out else None
    rows = world.variants(item, 3 if b.level < 3 else 4, missing)
    free = [row for row in rows if row["color"] not in like and row["stock"]]
    while len(free) < 2:
        rows = world.variants(item, 3 if b.level < 3 else 4, missing)
        free = [row for row in rows if row["color"] not in like and row["stock"]]
    new = next(row for row in rows if row["color"] == missing) if sold_out else free[0]
    swap = corrected and (b.level == 1 or rng.random() < 0.6)
    named = corrected or rng.random() < 0.6
    full = named and (swap or rng.random() < 0.5)
    first: dict[str, str] = {}
    when: When = ""
    looks: list[Action] = []
    proposal = fix = ""
    variants = call("list_variants", product=item["name"])
    seen = {item["color"]}
    if corrected:
        when = b.correction_point(refused)
        other, wrong, wrong_color = target, item, new["color"]
        if swap:
            wrong_color, fix = (free[1] if new is free[0] else free[0])["color"], "variant"
            first = {"variant": wrong_color}
        else:
            other, wrong = b.mixed_up_for(item, new["color"])
            first, fix = {"item": item_name(wrong)}, "item"
            seen.add(wrong["color"])
        looks = [*b.look_ups(other), *([variants] if wrong["name"] == item["name"] else [])]
        proposal = f"I can exchange the {item_name(wrong)} of order {other['order_id']} for the {wrong_color} one."
    difference = round(new["price"] - item["price"], 2)
    goal = Goal(
        kind="exchange",
        phrase="exchange_full" if full else "exchange_item" if named else "exchange_plain",
        wish={**b.describe_order(target, item), "variant": new["color"]},
        words=r"exchang|swap|replac|switch",
        first=first,
        fix_slot=fix,
        fix_when=when,
        checks=(b.order_check(), Check("variant", COLOR_PATTERN, frozenset(seen | like))),
        change="exchange_item",
        refused=refused,
        pushes=refused and b.draws_push(),
        facts=(Fact("money", f"{abs(difference):.2f}"),),
        evidence=(
            *b.refusal_evidence(target),
            *((Lookup("list_variants", {"product": item["name"]}),) if sold_out else ()),
        ),
    )
    piece = Piece(goal, b.look_ups(target), b.asks(named), traps=b.traps(full))
    if b.level == 1 and not named:
        piece.asks.append("Which item is it about?")
    if not full:
        piece.asks.append("Which color would you like instead?")
    if sold_out or not refused:
        piece.looks.append(variants)
    if refused:
        why = f"{new['color']} is out of stock" if sold_out else why
        piece.refusal = f"I am sorry, the {item_name(item)} cannot be exchanged because {why}."
        return piece
    piece.proposal = f"I can exchange the {item_name(item)} of order {target['order_id']} for the {new['color']} one."
    piece.changes = [
        call("exchange_item", order_id=target["order_id"], item_id=item["item_id"], new_item_id=new["item_id"])
    ]
    side = "You pay" if difference > 0 else "You get back"
    piece.report = f"The exchange is started. {side} the difference of {abs(difference):.2f}."
    if when == "proposal":
        piece.first_looks, piece.first_proposal = looks, proposal
    return piece


def address(b: ShopBuilder, refused: bool, corrected: bool, order: Order | None, mates: int) -> Piece:
    """Send an order somewhere else; refused once it is on its way."""
    rng = b.rng
    target, item = b.target("shipped" if refused else "processing", mates=mates)
    new, old = street(rng), street(rng)
    while old.split(",")[0] == new.split(",")[0]:
        old = street(rng)
    swap = corrected and (b.level == 1 or rng.random() < 0.5)
    corrected = corrected and (swap or b.level > 1)
    named = (corrected and not swap) or (b.level > 1 and rng.random() < 0.6)
    early = swap or rng.random() < 0.45
    first: dict[str, str] = {}
    when: When = ""
    looks: list[Action] = []
    proposal = fix = ""
    if corrected:
        when = b.correction_point(refused)
        other, wrong = target, item
        if swap:
            first, fix = {"address": old, "street": old.split(",")[0]}, "address"
        else:
            other, wrong = b.mixed_up("processing", item)
            first, fix = {"item": item_name(wrong)}, "item"
        looks = b.look_ups(other)
        proposal = f"I can send order {other['order_id']} with the {item_name(wrong)} to {old if swap else new}."
    phrase = {(0, 0): "plain", (0, 1): "value", (1, 0): "item", (1, 1): "full"}[int(named), int(early)]
    arrives = max(i["arrives"] for i in target["items"])
    goal = Goal(
        kind="address",
        phrase=f"address_{phrase}",
        wish={**b.describe_order(target, item), "address": new, "street": new.split(",")[0]},
        words=r"\baddress|\bdeliver(?!ed)|\bsend|\bship(?!ped)",
        first=first,
        fix_slot=fix,
        fix_when=when,
        checks=(b.order_check(), Check("street", _STREET)),
        change="change_address",
        refused=refused,
        pushes=refused and b.draws_push(),
        facts=(Fact("date", moved_date(arrives)),),
        evidence=b.refusal_evidence(target),
    )
    piece = Piece(goal, b.look_ups(target), b.asks(named), traps=b.traps(early))
    if not early and not refused:
        piece.asks.append("What is the new address?")
    if refused:
        piece.refusal = f"I am sorry, the address of order {target['order_id']} cannot change: it is already shipped."
        return piece
    piece.proposal = f"I can send order {target['order_id']} with the {item_name(item)} to {new}."
    piece.changes = [call("change_address", order_id=target["order_id"], address=new)]
    piece.report = f"The address is changed. The order arrives on {moved_date(arrives)}."
    if when == "proposal":
        piece.first_looks, piece.first_proposal = looks, proposal
    return piece


def tracking(b: ShopBuilder, refused: bool, corrected: bool, order: Order | None, mates: int) -> Piece:
    """Say where an order is or when it arrives; refused for another customer's order."""
    rng = b.rng
    corrected = corrected and b.level > 1 and not refused
    asked = "location" if order is not None or rng.random() < 0.4 else "arrives"
    if order is not None:
        target, item = order, rng.choice(order["items"])
    elif refused:
        stranger = b.world.add_customer()["customer_id"]
        item = b.world.item()
        target = b.world.order("shipped", [item], customer_id=stranger)
        b.target("shipped")
    else:
        status = "shipped" if asked == "location" else rng.choice(("shipped", "processing"))
        target, item = b.target(status)
    named = not refused and (corrected or (b.level > 1 and rng.random() < 0.6))
    first: dict[str, str] = {}
    if corrected:
        first = {"item": item_name(b.pick_other(target, item)[1])}
    wish = {"item": item_name(item), "order": target["order_id"]} if refused else b.describe_order(target, item)
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
        pushes=refused and b.draws_push(),
        facts=(Fact("date" if asked == "arrives" else "text", item[asked]),),
        evidence=b.refusal_evidence(target),
    )
    asks = ["What is the order number?"] if refused else b.asks(named)
    piece = Piece(goal, b.look_ups(target), asks, traps=b.traps())
    if refused:
        piece.refusal = "I am sorry, I cannot tell you about an order that is not yours."
    elif asked == "arrives":
        piece.report = f"The {item_name(item)} arrives on {item['arrives']}."
    else:
        piece.report = f"The {item_name(item)} is at the {item['location']} now."
    return piece


BUILDERS: dict[str, Callable[[ShopBuilder, bool, bool, Order | None, int], Piece]] = {
    "cancel": cancel,
    "return": give_back,
    "exchange": exchange,
    "address": address,
    "tracking": tracking,
}
