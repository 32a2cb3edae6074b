"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const make = (tag, kind, text) => {
    const node = document.createElement(tag);
    if (kind) node.className = kind;
    if (text !== undefined) node.textContent = text;
    return node;
  };

  // tables: a click on a column's title sorts by it, a second click turns the order round
  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.sort !== undefined ? Number(cell.dataset.sort) : cell.textContent.trim();
  };
  const compare = (a, b) => {
    const numbers = [typeof a, typeof b].map((kind) => kind === "number");
    if (numbers[0] && numbers[1]) return a - b;
    if (numbers[0] !== numbers[1]) return numbers[0] ? -1 : 1;
    return String(a).localeCompare(String(b), undefined, { numeric: true });
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.addEventListener("click", () => {
      const falling = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].map((row) => [key(row, column), row]);
      rows.sort((a, b) => (falling ? compare(b[0], a[0]) : compare(a[0], b[0])));
      table.tBodies[0].append(...rows.map((pair) => pair[1]));
    }));
  }

  // figures: pointing at an arm's mark, or at its name in a table, shows its numbers and dims the others
  const tip = make("div", "tip");
  tip.setAttribute("role", "status");
  tip.hidden = true;
  document.body.append(tip);
  const marks = [...document.querySelectorAll("svg [id*='-arm.']")]
    .map((node) => [Number(/-arm\.(\d+)\./.exec(node.id)[1]), node]);
  const point = (arm, event) => {
    marks.forEach(([own, node]) => node.setAttribute("opacity", arm === null || own === arm ? 1 : 0.12));
    tip.hidden = arm === null;
    if (arm === null) return;
    tip.replaceChildren(make("b", "", data.arms[arm].arm), ` ${data.arms[arm].told}`);
    tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 12))}px`;
    tip.style.top = `${Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 12)}px`;
  };
  const names = [...document.querySelectorAll("table.sortable tbody th")]
    .map((node) => [data.arms.findIndex((one) => one.arm === (node.firstChild || node).textContent.trim()), node]);
  for (const [arm, node] of [...marks, ...names]) {
    if (arm < 0) continue;
    node.addEventListener("pointermove", (event) => point(arm, event));
    node.addEventListener("pointerleave", () => point(null));
  }

  // episodes: a click on a task's cell opens its transcript
  const dialog = document.getElementById("episode");
  const sayer = { user: "user (simulated)", assistant: "agent", tool: "tool" };
  const turn = (entry) => {
    const item = make("li", entry.role);
    let who = sayer[entry.role] || entry.role;
    if (entry.role === "tool" && entry.name) who = `result of ${entry.name}`;
    if (entry.role === "note") who = `note by ${entry.name}`;
    if (entry.role === "rejected") who = `rejected note by ${entry.name}: ${entry.reason}`;
    if (entry.role === "selection") {
      const dropped = entry.dropped && entry.dropped.length ? `; over budget: ${entry.dropped.join(", ")}` : "";
      item.textContent = `selected: ${entry.text}${dropped}`;
      return item;
    }
    item.append(make("span", "who", who));
    if (entry.text) item.append(make("span", "words", entry.text));
    for (const call of entry.calls || []) item.append(make("pre", "", `${call.name}(${call.arguments})`));
    return item;
  };
  const fact = (name, value) => {
    const node = make("span", "", `${name} `);
    node.append(make("b", "", value));
    return node;
  };
  const open = (id) => {
    const episode = data.episodes[id];
    if (!episode) return;
    document.getElementById("episode-title").textContent = `${episode.task}, ${episode.arm}`;
    const others = document.getElementById("others");
    others.replaceChildren();
    for (const [arm, ids] of Object.entries(data.tasks[episode.task] || {})) {
      ids.forEach((other) => {
        const known = data.episodes[other];
        if (!known) return;
        const mark = { success: "✓", failure: "✗", error: "!" }[known.status];
        const label = ids.length > 1 ? `${mark} ${arm} #${known.trial + 1}` : `${mark} ${arm}`;
        const button = make("button", "", label);
        button.type = "button";
        button.setAttribute("aria-current", String(other === id));
        button.addEventListener("click", () => open(other));
        others.append(button);
      });
    }
    const facts = document.getElementById("facts");
    const ended = episode.status === "error" ? `error (${episode.boundary})` : episode.status;
    facts.replaceChildren(fact("outcome", ended), fact("ended by", episode.reason || "–"), fact("decisions", episode.decisions));
    if (episode.seconds !== null) facts.append(fact("seconds", episode.seconds.toFixed(1)));
    for (const [role, tokens] of Object.entries(episode.tokens)) facts.append(fact(`${role} tokens`, tokens));
    for (const [part, value] of Object.entries(episode.reward)) facts.append(fact(part, value));
    document.getElementById("turns").replaceChildren(...episode.turns.map(turn));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  };
  document.getElementById("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => history.replaceState(null, "", location.pathname + location.search));
  document.addEventListener("click", (event) => {
    const cell = event.target.closest("button.cell");
    if (!cell) return;
    const ids = (data.tasks[cell.dataset.task] || {})[cell.dataset.arm] || [];
    open(ids.find((id) => data.episodes[id]));
  });
  if (location.hash.length > 1) open(decodeURIComponent(location.hash.slice(1)));
})();
