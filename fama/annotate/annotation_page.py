"""The web page: a dialogue on the left, its label on the right, both worked by keyboard."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nicegui import app, ui
from nicegui.events import KeyEventArguments

from fama.annotate.annotation_session import AnnotationSession
from fama.annotate.guard import Guard
from fama.diagnosis.taxonomy import Taxonomy
from fama.episodes.records import Blame, Episode, Failure, Message
from fama.errors import BadInput

BLAMES: Mapping[str, Blame] = {"a": "agent", "u": "user", "e": "environment"}
KEYS = (
    "1–9 category · shift+1–9 primary · 0 none fits · j k message · s step here · a u e blame · "
    "n p next, previous · o next open · f findings · r reference"
)


def serve_page(
    folder: Path, episodes: Sequence[Episode], taxonomy: Taxonomy, findings: Mapping[str, Failure], port: int
) -> None:
    """Serve the page on the loopback interface until Ctrl-C."""
    app.add_middleware(Guard)

    @ui.page("/")
    def index(annotator: str = "") -> None:
        if not annotator:
            _welcome()
            return
        try:
            session = AnnotationSession(annotator, episodes, taxonomy, folder)
        except BadInput as error:
            ui.label(str(error)).classes("text-negative")
            _welcome()
            return
        _Page(session, findings)

    ui.run(host="127.0.0.1", port=port, title="FAMA annotate", show=False, reload=False, show_welcome_message=False)


def _welcome() -> None:
    """Ask for the annotator."""
    with ui.column().classes("p-8"):
        ui.label("Who is labelling?").classes("text-h6")
        name = ui.input("name").props("autofocus")

        def start() -> None:
            ui.navigate.to(f"/?annotator={quote(name.value.strip())}")

        name.on("keydown.enter", start)
        ui.button("start", on_click=start)


class _Page:
    """State of one browser tab. Text of dialogues goes into labels only, which never read it as HTML."""

    def __init__(self, session: AnnotationSession, findings: Mapping[str, Failure]) -> None:
        self._session = session
        self._findings = findings
        self._cursor = 0
        # hidden first: who has seen the machine's verdict, or what should have been done, finds it
        self._show_findings = self._show_reference = False
        ui.keyboard(on_key=self._key, ignore=["input", "textarea"])
        with ui.element("div").classes("w-full flex flex-col md:flex-row md:flex-nowrap gap-4 items-start"):
            self._dialogue = ui.column().classes("w-full md:w-2/3 min-w-0")
            self._form = ui.column().classes("w-full md:w-1/3 min-w-0 md:sticky md:top-4 md:max-h-screen overflow-auto")
        self._draw()

    def _draw(self) -> None:
        for area, fill in ((self._dialogue, self._fill_dialogue), (self._form, self._fill_form)):
            area.clear()
            with area:
                fill()

    def _fill_dialogue(self) -> None:
        session = self._session
        episode = session.episode
        ui.label(f"{episode.benchmark} {episode.domain} · task {episode.task_id} · {episode.outcome.reason}").classes(
            "text-subtitle2"
        )
        for index, message in enumerate(episode.messages):
            marks = ("border-l-4 border-primary " if index == self._cursor else "") + (
                "bg-amber-1" if index == session.label.step else ""
            )
            with ui.card().classes(f"w-full {marks}").props(f"data-message={index}") as card:
                card.on("click", lambda _, at=index: self._do(self._point, at))
                _show(index, message)

    def _fill_form(self) -> None:
        session, label = self._session, self._session.label
        ui.label(f"{session.annotator}: {session.done} of {len(session.episodes)} labelled").props("data-progress")
        ui.linear_progress(session.done / len(session.episodes), show_value=False)
        ui.label(f"episode {session.place + 1}").classes("text-caption")
        for number, category in enumerate(session.taxonomy.categories, 1):
            given, first = category.code in label.categories, category.code in label.primary
            text = f"{number} {category.code} {category.name}" + (" (primary)" if first else "")
            button = ui.button(text, on_click=lambda _, code=category.code: self._do(session.toggle, code))
            button.props(f"no-caps align=left {'unelevated' if given else 'outline'} data-category={category.code}")
            button.classes("w-full")
            button.tooltip(category.definition)
        style = "unelevated" if label.fits_none else "outline"
        ui.button("0 none of them fits", on_click=lambda: self._do(session.fits_none)).props(f"no-caps {style}")
        with ui.row():
            for key, who in BLAMES.items():
                style = "unelevated" if label.blame == who else "outline"
                ui.button(f"{key} {who}", on_click=lambda _, who=who: self._do(session.blame, who)).props(
                    f"no-caps {style} data-blame={who}"
                )
        ui.label(f"broke at message {label.step}" if label.step is not None else "no step yet").props("data-step")
        note = ui.textarea("note", value=label.rationale).classes("w-full")
        note.on("blur", lambda: self._kept(session.note, note.value or ""))
        with ui.row():
            ui.button("p previous", on_click=lambda: self._go(-1)).props("no-caps outline")
            ui.button("n next", on_click=lambda: self._go(1)).props("no-caps outline data-next")
            ui.button("o next open", on_click=lambda: self._do(session.next_open)).props("no-caps outline")
            ui.button("f findings", on_click=self._toggle_findings).props("no-caps flat")
            ui.button("r reference", on_click=self._toggle_reference).props("no-caps flat data-reference")
        if self._show_findings:
            self._fill_findings()
        if self._show_reference:
            self._fill_reference()
        ui.label(KEYS).classes("text-caption text-grey")

    def _fill_findings(self) -> None:
        label = self._findings.get(self._session.episode.id)
        if label is None:
            ui.label("no findings for this episode")
            return
        ui.label(f"{label.labeller}: {', '.join(label.primary) or 'none'}, blame {label.blame}, step {label.step}")
        for evidence in label.evidence:
            ui.label(f"{evidence.step}: {evidence.source} {evidence.quote}").classes("text-caption")

    def _fill_reference(self) -> None:
        """Show what the simulated user was told and what the benchmark expects; None is what no log says."""
        episode = self._session.episode
        parts = {
            "what the user was told": episode.instruction,
            "reference actions": episode.gold_actions
            and "\n".join(
                f"{number}. {one.name} {one.arguments}" for number, one in enumerate(episode.gold_actions, 1)
            ),
            "to be told to the user": episode.required_outputs and "\n".join(episode.required_outputs),
        }
        for title, text in parts.items():
            ui.label(title).classes("text-caption text-grey")
            shown = text or ("none" if text is not None else "unknown: the log does not say it")
            ui.label(shown).classes("whitespace-pre-wrap text-caption break-words w-full").props("data-told")

    def _key(self, event: KeyEventArguments) -> None:
        if not event.action.keydown or event.modifiers.ctrl or event.modifiers.alt or event.modifiers.meta:
            return
        session = self._session
        code = str(getattr(event.key, "code", ""))
        name = str(event.key.name).lower()
        if code.startswith("Digit"):
            self._digit(int(code[5:]), bool(event.modifiers.shift))
        elif name in BLAMES:
            self._do(session.blame, BLAMES[name])
        elif name in ("j", "k"):
            self._do(self._point, self._cursor + (1 if name == "j" else -1))
        elif name == "s":
            self._do(session.step, self._cursor)
        elif name in ("n", "p"):
            self._go(1 if name == "n" else -1)
        elif name == "o":
            self._cursor = 0
            self._do(session.next_open)
        elif name == "f":
            self._toggle_findings()
        elif name == "r":
            self._toggle_reference()

    def _digit(self, number: int, primary: bool) -> None:
        session = self._session
        if number == 0:
            self._do(session.fits_none)
        elif number <= len(session.taxonomy.codes):
            self._do(session.make_primary if primary else session.toggle, session.taxonomy.codes[number - 1])

    def _point(self, at: int) -> None:
        self._cursor = max(0, min(len(self._session.episode.messages) - 1, at))

    def _go(self, by: int) -> None:
        self._cursor = 0
        self._do(self._session.go, by)

    def _toggle_findings(self) -> None:
        self._show_findings = not self._show_findings
        self._draw()

    def _toggle_reference(self) -> None:
        self._show_reference = not self._show_reference
        self._draw()

    def _do(self, change: Callable[..., Any], *values: Any) -> None:
        self._kept(change, *values)
        self._draw()

    def _kept(self, change: Callable[..., Any], *values: Any) -> None:
        """Make a change; say where it could not be saved."""
        try:
            change(*values)
        except OSError as error:
            ui.notify(f"not saved: {error.strerror or error}", type="negative", timeout=0, close_button=True)
        except BadInput as error:
            ui.notify(f"not saved: {error}", type="negative", timeout=0, close_button=True)


def _show(index: int, message: Message) -> None:
    """Show one message; arguments and answers of tools are folded."""
    ui.label(f"{index} {message.role}").classes("text-caption text-grey")
    if message.role == "system":
        with ui.expansion("policy").props("dense"):
            ui.label(message.content or "").classes("whitespace-pre-wrap break-words")
        return
    if message.role == "tool":
        with ui.expansion(_short(message.content or "")).props("dense"):
            ui.label(message.content or "").classes("whitespace-pre-wrap font-mono text-caption")
        return
    if message.content:
        ui.label(message.content).classes("whitespace-pre-wrap")
    for call in message.tool_calls or ():
        with ui.expansion(_short(f"calls {call.function.name} {call.function.arguments}")).props("dense"):
            ui.label(call.function.arguments).classes("whitespace-pre-wrap font-mono text-caption")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else f"{line[:89]}…"
