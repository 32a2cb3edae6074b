"""One table of tool roles: by name, by schema, by file; the same for helpers, detectors, features and gates."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fama.diagnosis.detectors.base import DETECTORS
from fama.diagnosis.trace import Trace
from fama.dialogue import roles as module
from fama.dialogue.pending import change_ahead
from fama.dialogue.roles import FOLDER, ROLES, RULES, StatedRoles, role_by_name, role_of, roles_of, stated_roles
from fama.dialogue.tools import view, views
from fama.envs.base import BENCHMARKS
from fama.episodes.records import ToolSpec
from fama.episodes.state import VisibleState
from fama.errors import BadInput
from fama.selection.router.evidence import visible_evidence
from tests.support.diagnosis_cases import agent, call, episode, user
from tests.support.note_states import LOANS, TOOLS, Chat, tool

#: Names that no committed episode has, each with the role that its words tell.
PLAUSIBLE = {
    "read": "preview_invoice validate_code estimate_shipping quote_price retrieve_orders compare_plans lookup_price "
    "verify_address check_drug_interactions is_eligible can_cancel_order recommend_products run.get_status "
    "find_account_balance listAllTypes HTTPGet DBQuery customer_orders_list describe_instance troubleshoot_device "
    "file_search file_read issue_search book_search place_lookup address_verify",
    "identify": "verify_caller authenticate identify_customer find_user_id_by_phone look_up_member_by_card verify_pin "
    "verifyIdentity find_patient_by_name login sign_in confirm_identity check_identity validate_otp",
    "write": "deny_request refuse_refund approve_request close_account end_subscription complete_order transfer_funds "
    "finalize_purchase resolve_dispute check_out_cart get_or_create_user search_and_book_flight issue_refund "
    "account_close payment_complete booking_end refund_deny money_transfer wire_transfer search_then_book "
    "mark_as_read confirm_booking order_cancel subscribe request_refund hand_out_coupons frobnicate",
    "close": "close_ticket end_conversation finish complete_task resolve_case deny done closeSupportCase ticket_close",
    "handover": "transfer_to_human transfer_to_agent escalate escalate_to_supervisor hand_over_to_agent transfer "
    "escalate_issue handoff_to_support transferCallToHuman talk_to_human connect_to_agent "
    "request_human contact_support",
    "other": "ask_user respond_to_user reply_to_customer think calculate_total wait tell_user say",
}

#: Tools of public benchmarks. τ-bench and τ-trait: from the tools and calls in their published logs.
TAU = {
    "read": "get_reservation_details get_user_details list_all_airports search_direct_flight search_onestop_flight "
    "get_order_details get_product_details list_all_product_types "
    "get_billing_details get_customer_details get_device_details get_service_details get_services "
    "get_support_ticket_details troubleshoot_device "
    "check_drug_interactions get_appointment_details get_medical_record get_patient_details get_provider_details "
    "get_regimen_options get_telemetry_upload list_available_providers list_medication_suppliers "
    "list_patient_appointments list_patient_medical_records list_telemetry_devices list_telemetry_uploads",
    "identify": "find_user_id_by_email find_user_id_by_name_zip find_customer_by_email find_customer_by_phone "
    "find_customer_by_id find_customer_by_name_dob find_patient_by_email find_patient_by_name_dob",
    "write": "book_reservation cancel_reservation send_certificate update_reservation_baggages "
    "update_reservation_flights update_reservation_passengers "
    "cancel_pending_order exchange_delivered_order_items modify_pending_order_address modify_pending_order_items "
    "modify_pending_order_payment modify_user_address return_delivered_order_items "
    "add_device create_support_ticket manage_devices manage_service modify_support_ticket record_payment "
    "cancel_appointment reschedule_appointment schedule_appointment update_medical_record_note "
    "update_prescription_supplier",
    "handover": "transfer_to_human_agents transfer_to_human_support",
    "other": "calculate think",
}
#: τ²-bench: airline, retail, telecom and mock tools that the installed package has beside those of τ-bench.
TAU2 = {
    "read": "get_flight_status get_customer_by_phone get_customer_by_id get_customer_by_name get_details_by_id "
    "get_bills_for_customer get_data_usage get_users",
    "write": "suspend_line resume_line send_payment_request enable_roaming disable_roaming refuel_data create_task "
    "update_task_status",
}
#: ACEBench's simulated phone, messages, reminders, food orders and journeys: from its published agent scenarios.
ACEBENCH = {
    "read": "view_messages_between_users search_messages get_all_message_times_with_ids get_latest_message_id "
    "get_earliest_message_id view_reminder_by_title view_all_reminders search_reminders view_logged_in_users "
    "check_balance get_products view_orders search_orders get_user_details get_flight_details "
    "get_reservation_details",
    "write": "turn_on_wifi login_device login_food_platform send_message delete_message add_reminder delete_reminder "
    "mark_as_notified add_food_delivery_order reserve_flight cancel_reservation modify_flight",
}


def cases(table: dict[str, str]) -> list[tuple[str, str]]:
    return [(name, role) for role, names in table.items() for name in names.split()]


def test_the_table_is_worked_through() -> None:
    names = [name for name, _ in cases(PLAUSIBLE)]
    assert len(names) == len(set(names)) >= 60 and set(PLAUSIBLE) == set(ROLES)
    known = {name for table in (TAU, TAU2, ACEBENCH) for name, _ in cases(table)}
    assert len(known - set(names)) > 80


@pytest.mark.parametrize(("name", "role"), [*cases(PLAUSIBLE), *cases(TAU), *cases(TAU2), *cases(ACEBENCH)])
def test_a_name_tells_the_role(name: str, role: str) -> None:
    assert role_by_name(name) == role


@pytest.mark.parametrize(("name", "role"), cases(PLAUSIBLE))
def test_helpers_detectors_and_features_agree(name: str, role: str) -> None:
    spec = tool(name, "")
    kind = {"identify": "read", "handover": "close"}.get(role, role)
    assert (view(spec).kind, view(spec).verifies) == (kind, role == "identify")
    roles = Trace.of(episode(user("x"), benchmark="new", domain="moon", tools=(spec,))).roles
    assert roles.role(name) == role
    assert (roles.writes(name), roles.closes(name)) == (kind == "write", kind == "close")
    assert (roles.hands_over(name), roles.identifies(name)) == (role == "handover", role == "identify")
    values = visible_evidence(Chat(tools=(spec,)).user("x").call(name, "ok").state())
    assert bool(values["writes"]) == (role == "write") and bool(values["identity_called"]) == (role == "identify")


@pytest.mark.parametrize(
    ("name", "description", "role"),
    [
        ("user_data", "Shows the data of a user.", "read"),
        ("frobnicate", "Verifies a caller's identity by a code.", "identify"),
        ("to_desk", "Transfer the user to a human, with a summary.", "handover"),
        ("goodbye", "Ends the conversation.", "close"),
        ("warp", "Moves a box.", "write"),
        ("get_box", "Cancel a box.", "read"),
        ("kb", "Searches the knowledge base.", "read"),
        ("weather", "Fetches the weather.", "read"),
        ("goodbye", "Finishes the conversation.", "close"),
    ],
)
def test_a_description_tells_where_the_name_opens_with_no_verb(name: str, description: str, role: str) -> None:
    assert role_by_name(name, description) == role


HELPDESK = {
    "shop": {
        "read": {"find_customer", "list_orders", "get_order", "list_variants"},
        "identify": {"verify_customer"},
        "write": {"cancel_order", "return_item", "exchange_item", "change_address"},
        "close": {"close_case"},
    },
    "saas": {
        "read": {"find_user", "get_account", "list_users"},
        "identify": {"verify_user"},
        "write": {"change_seats", "change_plan", "refund_invoice", "change_role", "deactivate_user"},
        "close": {"close_case"},
    },
}


@pytest.mark.parametrize("domain", HELPDESK)
def test_every_tool_of_the_embedded_benchmark(domain: str) -> None:
    benchmark = BENCHMARKS.load("helpdesk")()
    tools = tuple(benchmark.environment(domain, benchmark.task_ids(domain, "dev")[0]).tools)
    roles = roles_of(tools, "helpdesk", domain)
    assert {role: {t.name for t in tools if roles.role(t.name) == role} for role in HELPDESK[domain]} == (
        HELPDESK[domain]
    )
    assert {t.name for t in tools} == set().union(*HELPDESK[domain].values())
    assert {t.name for t in tools if role_of(t) == "write"} == HELPDESK[domain]["write"]


def test_shipped_files_load_and_strange_names_get_none() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} >= {"helpdesk", "tau-bench", "tau-trait"}
    assert stated_roles("tau-bench", "retail").confirm
    for live, logged, domain in (
        ("tau_bench", "tau-bench", "airline"),
        ("tau_trait", "tau-trait", "telecom"),
        ("tau2", "tau-bench", "retail"),
    ):
        assert stated_roles(live, domain) == stated_roles(logged, domain) != StatedRoles()
    assert stated_roles("tau_trait", "telecom-skeptical") == stated_roles("tau-trait", "telecom")
    for domain in ("airline", "retail"):  # τ-trait's are τ-bench's, with its policies
        assert stated_roles("tau_trait", f"{domain}-skeptical") == stated_roles("tau-bench", domain)
        assert stated_roles("tau-trait", domain) == stated_roles("tau-bench", domain)
    assert stated_roles("tau2", "mock") == stated_roles("../../etc", "retail") == StatedRoles()


def stating(role: object, name: str = "get_loan") -> ToolSpec:
    schema = {"type": "object", "properties": {"loan_id": {"type": "string"}}, "x-fama-role": role}
    return ToolSpec(name=name, description="Show one loan.", parameters=json.dumps(schema))


def test_a_schema_wins_over_the_name() -> None:
    spec = stating("write")
    assert role_of(spec) == "write" and view(spec).kind == "write"
    roles = roles_of((spec,))
    assert roles.writes("get_loan") and not roles.writes("get_hold")


def test_a_stated_role_moves_the_gate_the_features_and_the_detectors() -> None:
    def state(*tools: ToolSpec) -> VisibleState:
        made = Chat(tools=tools).user("Renew loan L11, PIN 1234, reader R100.")
        made.call("verify_reader", {"ok": True}, reader_id="R100", pin="1234")
        return made.call("get_loan", LOANS["loans"][0], loan_id="L11").state()

    def tools(role: str) -> tuple[ToolSpec, ...]:
        return tuple(stating(role) if tool.name == "get_loan" else tool for tool in TOOLS)

    def retries(*offered: ToolSpec) -> list[str]:
        failed = call("get_loan", "Error: no", loan_id="L1")
        made = episode(user("x"), failed, agent("x"), benchmark="new", domain="moon", tools=offered)
        return [item.source for item in DETECTORS.load("retry")(Trace.of(made))]

    assert change_ahead(state(*TOOLS)) and not change_ahead(state(*tools("other")))
    assert [bool(visible_evidence(state(*some))["writes"]) for some in (TOOLS, tools("write"))] == [False, True]
    assert [retries(*some) for some in (TOOLS, tools("write"))] == [[], ["retry:given_up"]]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for role files, in place of the shipped one."""
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    stated_roles.cache_clear()
    yield tmp_path
    stated_roles.cache_clear()


def test_a_file_wins_over_the_schema_and_the_schema_over_the_files_silence(files: Path) -> None:
    (files / "library.yaml").write_text(
        "loans:\n  identity: [find_reader]\n  write: [renew_loan, get_loan]\n  end: [file_away]\n"
        "  handover: [page_the_librarian]\n  roles: {ask_branch: other, cancel_hold: read}\n  confirm: true\n"
    )
    tools = (stating("read"), stating("write", "lend"), *TOOLS)
    roles = roles_of(tools, "library", "loans-rude")
    expected = {
        "get_loan": "write",  # the file, against its schema
        "lend": "write",  # its schema, though the file's list of writes lacks it
        "move_hold": "other",  # a name of a change that the file's list lacks
        "cancel_hold": "read",
        "ask_branch": "other",
        "find_reader": "identify",
        "verify_reader": "read",
        "file_away": "close",
        "close_case": "other",
        "page_the_librarian": "handover",
        "get_hold": "read",
    }
    assert {name: roles.role(name) for name in expected} == expected
    assert roles.stated.confirm and roles.asks_identity
    state = replace(Chat(tools=tools).user("x").state(), benchmark="library", domain="loans")
    assert {tool.name for tool in views(state, "write")} == {"get_loan", "lend", "renew_loan"}
    assert {tool.name for tool in views(replace(state, domain="moon"), "write")} >= {"move_hold", "cancel_hold"}
    trace = Trace.of(episode(user("x"), benchmark="library", domain="loans", tools=tools))
    assert {name: trace.roles.role(name) for name in expected} == expected


def test_a_file_with_single_roles_leaves_all_other_names_alone(files: Path) -> None:
    (files / "library.yaml").write_text("loans:\n  roles: {get_loan: write}\n")
    roles = roles_of((*TOOLS, tool("get_fine", "")), "library", "loans")
    assert [roles.role(name) for name in ("get_loan", "move_hold", "close_case", "verify_reader")] == [
        "write", "write", "close", "identify",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("loans:\n  roles: {get_loan: writes}\n", "loans.roles.get_loan: 'writes' is no role"),
        ("loans:\n  roles: {get_loan: [read]}\n", "loans.roles.get_loan: ['read'] is no role"),
        ("loans:\n  roles: [get_loan]\n", "loans.roles: expected"),
        ("loans:\n  write: get_loan\n", "loans.write: expected a list"),
        ("loans:\n  write: [1]\n", "loans.write: expected a list"),
        ("loans:\n  wrote: [get_loan]\n", "loans: unknown key 'wrote'"),
        ("loans:\n  confirm: maybe\n", "loans.confirm: 'maybe' is neither"),
        ("loans: [get_loan]\n", "loans: expected a mapping"),
    ],
)
def test_a_bad_file_is_told_in_one_line(files: Path, text: str, place: str) -> None:
    (files / "library.yaml").write_text(text)
    with pytest.raises(BadInput) as error:
        stated_roles("library", "loans")
    assert place in str(error.value) and str(files / "library.yaml") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("role", ["writes", "", 1, ["read"], {"a": 1}, True])
def test_a_bad_role_in_a_schema_is_told_with_its_tool(role: object) -> None:
    with pytest.raises(BadInput, match=r"^tool get_loan: x-fama-role: .* is no role; use one of read, identify"):
        roles_of((stating(role),))


def test_a_benchmark_of_a_plug_in_brings_its_own_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("hotel: {write: [cancel_booking], confirm: true}\n")
    RULES.add("aurora", file)
    stated_roles.cache_clear()
    try:
        found = stated_roles("aurora", "hotel")
        assert found.confirm and found.by_tool == {"cancel_booking": "write"}
        assert stated_roles("aurora", "motel") == StatedRoles()
    finally:
        RULES.remove("aurora")
        stated_roles.cache_clear()
