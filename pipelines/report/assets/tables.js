// Queues and agents, ranked; callers to call back; completeness of the data.

const SHOWN_ROWS = 15;
const ranked = {
  queues: { column: 1, down: true, all: false },
  agents: { column: 1, down: true, all: false },
  callbacks: { column: 3, down: false, all: false },
};

// A table that its headings sort; a long one shows its first rows only.
function drawRanking(id, columns, rows, redraw, options = {}) {
  const state = ranked[id];
  const value = columns[state.column].value;
  const order = (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (!isKnown(x) || !isKnown(y)) return Number(!isKnown(x)) - Number(!isKnown(y));
    return (typeof x === "string" ? x.localeCompare(y) : x - y) * (state.down ? -1 : 1);
  };
  const sorted = rows.toSorted((a, b) => Number(Boolean(a.isRest)) - Number(Boolean(b.isRest)) || order(a, b));
  const shown = state.all ? sorted : sorted.filter((row, place) => place < SHOWN_ROWS || options.current?.(row));
  const rank = (column) => {
    Object.assign(state, { down: state.column === column ? !state.down : column > 0, column });
    redraw();
    byId(id).querySelectorAll("thead button")[column].focus();
  };
  const headed = columns.map((column, place) => ({
    ...column,
    sorted: place === state.column ? (state.down ? "descending" : "ascending") : null,
    head: make("button", { type: "button", onclick: () => rank(place) }, column.title, place === state.column ? (state.down ? " ↓" : " ↑") : ""),
  }));
  const more = sorted.length > SHOWN_ROWS
    ? make("button", { type: "button", class: "more", onclick: () => { state.all = !state.all; redraw(); byId(id).querySelector(".more").focus(); } },
      state.all ? `Show the first ${SHOWN_ROWS}` : `Show all ${sorted.length}`)
    : null;
  const note = make("p", { class: "how" }, options.how);
  byId(id).replaceChildren(scrollable(options.label, makeTable(headed, shown, options)), ...[more].filter(Boolean), note);
}

function listAll(all) {
  Object.values(ranked).forEach((state) => { state.all = all; });
}

function bar(value, most, text) {
  const filled = make("span", { class: "bar", "aria-hidden": "true" });
  filled.style.width = `${most ? (64 * value) / most : 0}px`;
  return [make("span", { class: "track", "aria-hidden": "true" }, filled), make("span", { class: "amount" }, text)];
}

function drawQueues(scope, period, choose, redraw) {
  const rows = data.scopes.filter((one) => one.queue !== null && (scope.account === null || one.account === scope.account))
    .map((one) => ({ scope: one, figures: figuresOf(data.cube[one.key], period.key) }));
  const most = Math.max(...rows.map((row) => row.figures.offered_count));
  const measured = Object.fromEntries(MEASURES.map((measure) => [measure.key, (row) => measure.value(row.figures)]));
  const target = (row) => {
    const level = measured.service(row);
    const isMissed = isKnown(level) && level < row.scope.target_rate;
    return [showShare(row.scope.target_rate), isMissed ? make("span", { class: "worse" }, " ▼ missed") : ""];
  };
  const several = new Set(rows.map((row) => row.scope.account)).size > 1;
  const columns = [
    { title: "Queue", value: (row) => nameOf(row.scope), show: (row) => make("button", { type: "button", onclick: () => choose(row.scope.key) },
      nameOf(row.scope), several ? `, ${row.scope.account}` : "") },
    { title: "Offered", value: measured.offered, show: (row) => bar(row.figures.offered_count, most, showCount(row.figures.offered_count)) },
    ...MEASURES.slice(1).map((measure) => ({ title: measure.title.replace("Average speed of answer", "Average answer").replace("Lost callers not reached yet", "Not reached"),
      value: measured[measure.key], show: (row) => measure.show(measured[measure.key](row)) })),
  ];
  columns.splice(4, 0, { title: "Target", words: "words", value: (row) => row.scope.target_rate, show: target });
  drawRanking("queues", columns, rows, redraw, { label: "Queues, ranked", current: (row) => row.scope.key === scope.key,
    how: "Computed as above, per queue." });
}

function drawAgents(figures, period, redraw) {
  const rows = (figures.agents?.[period.key] || []).map(([place, ...values]) => ({
    name: place < 0 ? `${plural(-place, "other")} together` : data.agents[place], isRest: place < 0, ...named(data.names.agent, values) }));
  if (!rows.length) {
    byId("agents").replaceChildren(make("p", { class: "none" }, "Nobody answered a call in this period."));
    return;
  }
  const most = Math.max(...rows.map((row) => (row.isRest ? 0 : row.answered_count)));
  const columns = [
    { title: "Agent", value: (row) => row.name, show: (row) => row.name },
    { title: "Answered", value: (row) => row.answered_count, show: (row) => bar(row.isRest ? 0 : row.answered_count, most, showCount(row.answered_count)) },
    { title: "Average answer", value: (row) => ratio(row.wait_total_seconds, row.wait_count) },
    { title: "Average talk", value: (row) => ratio(row.talk_total_seconds, row.talk_count) },
    { title: "Total talk", value: (row) => row.talk_total_seconds },
  ].map((column) => ({ show: (row) => showSeconds(column.value(row)), ...column }));
  drawRanking("agents", columns, rows, redraw, { label: "Agents, ranked",
    how: ["Answered: ", define("agent_days.queue_calls_answered_count"), " Average answer: ", define("agent_days.average_speed_of_answer_seconds"),
      " Talk: ", define("agent_days.talk_total_seconds")].flat() });
}

function drawCallbacks(scope, redraw) {
  const { listed, left_out: leftOut, shown } = data.callbacks;
  const rows = listed.filter((row) => scope.account === null || (scope.queue === null ? row.account === scope.account : row.scopes.includes(scope.key)));
  const hidden = shown ? "" : " Numbers are masked: calls report --show-numbers writes them.";
  byId("callbacks-note").textContent = rows.length ? `${plural(rows.length, "caller")} of ${nameOf(scope)}, oldest first.${hidden}` : "";
  if (!rows.length) {
    byId("callbacks").replaceChildren(make("p", { class: "none" }, "Nobody is waiting to be called back."));
    return;
  }
  const number = (row) => (shown && /^\+?[\d ()-]+$/.test(row.number) ? make("a", { href: `tel:${row.number.replace(/[^\d+]/g, "")}` }, row.number) : row.number);
  const columns = [
    { title: "Caller", value: (row) => row.number, show: number },
    { title: "Queue", words: "words", value: (row) => row.queues.join(", "), show: (row) => row.queues.join(", ") },
    { title: "Calls", value: (row) => row.calls, show: (row) => showCount(row.calls) },
    { title: "First lost, local time", value: (row) => row.first, show: (row) => showMinute(row.first) },
    { title: "Last lost", value: (row) => row.last, show: (row) => (row.calls > 1 ? showMinute(row.last) : NONE) },
    { title: "Longest wait", value: (row) => row.longest, show: (row) => showSeconds(row.longest) },
    { title: "Last ended", words: "words", value: (row) => row.outcome, show: (row) => (row.outcome === "timedout" ? "timed out" : "hung up") },
  ];
  const more = leftOut ? `${plural(leftOut, "further caller")} of all queues are not listed here: marts.lost_calls has them. ` : "";
  drawRanking("callbacks", columns, rows, redraw, { label: "Callers to call back", how: [more, "Listed: ", ...define("lost_calls.is_open")] });
}

function drawHealth() {
  if (!data.health.length) {
    byId("health").replaceChildren(make("p", { class: "none" }, "Nothing has been loaded yet. Run: calls load, calls build, calls publish."));
    return;
  }
  const newest = data.health.map((row) => row.last_load_at).sort().at(-1);
  const warned = data.health.filter((row) => row.warnings).length;
  byId("health-note").textContent = `Last load ${showMinute(newest)} UTC, ${showAge(newest)}. ${warned ? "See the warnings." : "No warnings."}`;
  const number = (title, name) => ({ title, name, show: (row) => showCount(row[name]) });
  const columns = [
    { title: "Calls", show: (row) => `${row.account}, ${{ user_calls: "user calls", queue_calls: "queue calls", ringgroup_calls: "ring-group calls" }[row.endpoint]}` },
    { title: "Warnings", name: "warnings", words: "words", show: (row) => row.warnings || "none" },
    { title: "From", name: "first_day_date", show: (row) => showDate(row.first_day_date) },
    { title: "To", name: "last_day_date", show: (row) => showDate(row.last_day_date) },
    number("Days missing", "gap_days_count"),
    { title: "Newest call, UTC", name: "newest_call_at", show: (row) => showMinute(row.newest_call_at) },
    { title: "Last load, UTC", name: "last_load_at", show: (row) => showMinute(row.last_load_at) },
    number("Rejected", "rejected_count"), number("Without a start", "unplaced_count"),
    number("Unfinished", "unfinished_count"), number("Days unsettled", "unsettled_days_count"),
  ];
  const how = columns.slice(1).flatMap((column) => [`${column.title}: `, ...define(`load_health.${column.name}`), " "]);
  const details = make("details", {}, make("summary", {}, "How these are computed"), make("p", { class: "how" }, how));
  byId("health").replaceChildren(scrollable("Completeness and freshness", makeTable(columns, data.health)), details);
}
