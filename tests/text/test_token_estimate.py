"""The upper estimate of tokens, against counts of Qwen2.5's vocabulary."""

import pytest

from fama.text.tokens import estimate_tokens


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("The customer wants to cancel order W123 and get a refund of 45.50 dollars to the card ending in 9921.", 33),
        ("客户想要取消订单W123，并将45.50元退款退回到尾号为9921的银行卡。请先核实客户身份，然后再进行任何更改。", 40),
        ("お客様は注文番号W123をキャンセルし、カードに返金することを希望しています。", 24),
        ("고객이 주문 W123을 취소하고 카드로 환불받기를 원합니다. 변경하기 전에 신원을 확인하세요.", 35),
        ("Ο πελάτης θέλει να ακυρώσει την παραγγελία και να λάβει επιστροφή", 55),
        ("ग्राहक ऑर्डर रद्द करना और कार्ड पर धन वापसी चाहता है", 48),
        ("ลูกค้าต้องการยกเลิกคำสั่งซื้อและขอเงินคืน", 25),
        ("Klient chce anulować zamówienie i otrzymać zwrot pieniędzy na kartę", 21),
        ("👍🏽 🎉 👨\u200d👩\u200d👧 ok", 14),
    ],
)
def test_it_is_not_below_the_count_in_any_script(text: str, counted: int) -> None:
    assert counted <= estimate_tokens(text) <= 2 * counted + 5


def test_english_counts_as_ever() -> None:
    assert estimate_tokens('Suggested next tool: get_order, order_id "W1234".\n') == 24
