// The reader's choice and its drawing. The address holds the choice, so that a reload or a bookmark keeps it.

const STALE_HOURS = 48;
let newest = null; // the drawing under way; an older one must not report that it has ended
const choice = { scope: data.scopes[0]?.key, period: data.period, pattern: "offered" };

function readAddress() {
  const kept = new URLSearchParams(location.hash.slice(1));
  if (data.scopes.some((scope) => scope.key === kept.get("queue"))) choice.scope = kept.get("queue");
  if (data.periods.some((period) => period.key === kept.get("period"))) choice.period = kept.get("period");
}

function fillSelect(id, options, chosen) {
  const groups = Map.groupBy(options, (option) => option.group);
  byId(id).replaceChildren(...[...groups].flatMap(([group, own]) => {
    const made = own.map((option) => make("option", { value: option.value, selected: option.value === chosen }, option.text));
    return group ? make("optgroup", { label: group }, made) : made;
  }));
}

function fillChoices() {
  const several = data.scopes.some((scope) => scope.account === null);
  const scopes = data.scopes.map((scope) => ({ value: scope.key, text: nameOf(scope), group: several ? scope.account || "" : "" }));
  const kind = (key) => (/^\d{4}-/.test(key) ? "Months" : /^\d{4}$/.test(key) ? "Years" : "");
  fillSelect("scope", scopes, choice.scope);
  fillSelect("period", data.periods.map((period) => ({ value: period.key, text: period.label, group: kind(period.key) })), choice.period);
  fillSelect("pattern-measure", Object.entries(PATTERNS).map(([value, { title }]) => ({ value, text: title })), choice.pattern);
}

function choose(changes) {
  Object.assign(choice, changes);
  history.replaceState(null, "", `#${new URLSearchParams({ queue: choice.scope, period: choice.period })}`);
  byId("scope").value = choice.scope;
  byId("period").value = choice.period;
  draw();
  byId("said").textContent = `Shown: ${nameOf(chosen().scope)}, ${chosen().period.label}.`;
}

function chosen() {
  const scope = data.scopes.find((one) => one.key === choice.scope);
  return { scope, period: data.periods.find((one) => one.key === choice.period), figures: data.cube[scope.key] };
}

function draw() {
  const { scope, period, figures } = chosen();
  drawDay(figures, scope);
  drawSummary(figures, scope, period);
  const drawn = [drawTrend(figures, scope, period), drawPattern(figures, period, choice.pattern), drawWaits(figures, period)];
  const rank = () => {
    drawQueues(scope, period, (key) => { choose({ scope: key }); byId("period-title").scrollIntoView(); }, rank);
    drawAgents(figures, period, rank);
    drawCallbacks(scope, rank);
  };
  rank();
  const drawing = Promise.all(drawn);
  newest = drawing;
  document.documentElement.dataset.drawn = "no";
  drawing.then(() => {
    if (newest === drawing) document.documentElement.dataset.drawn = `${choice.scope} ${choice.period} ${choice.pattern}`;
  });
}

function notice(text) {
  byId("notices").append(make("p", { class: "notice" }, text));
}

// An old report misleads, so it shows its own age whenever it is opened.
function noticeAge() {
  const newest = data.health.map((row) => row.last_load_at).sort().at(-1);
  if (newest && Date.now() - Date.parse(newest) > STALE_HOURS * 3.6e6) notice(`The last load was ${showAge(newest)}. Later calls are not in these figures.`);
}

function start() {
  byId("made").textContent = `Made ${showMinute(data.made_at)} UTC from the published marts. Rates are computed from counts, never averaged.`;
  drawHealth();
  noticeAge();
  if (!data.scopes.length) {
    notice("No queue call has been loaded yet, so there is nothing to report on.");
    return;
  }
  readAddress();
  fillChoices();
  byId("as-of").textContent = data.is_whole ? `Up to ${showLongDate(data.as_of)}, the last whole day` : `Only ${showLongDate(data.as_of)} is loaded, and it has not ended`;
  for (const { account, until } of data.behind) notice(`${account} is whole only up to ${showDate(until)}. Its later calls are missing here.`);
  if (!data.cube[data.scopes[0].key].summary?.day) notice(`No calls were offered on ${showLongDate(data.as_of)}.`);
  byId("choice").hidden = byId("figures").hidden = false;
  byId("choice").addEventListener("change", () => choose({ scope: byId("scope").value, period: byId("period").value }));
  byId("pattern-measure").addEventListener("change", (event) => choose({ pattern: event.target.value }));
  addEventListener("hashchange", () => { readAddress(); fillChoices(); draw(); });
  // On paper nobody can open the rest of a list.
  addEventListener("beforeprint", () => { listAll(true); draw(); });
  addEventListener("afterprint", () => { listAll(false); draw(); });
  let width = innerWidth;
  addEventListener("resize", () => {
    if ((width <= 760) !== (innerWidth <= 760)) drawPattern(chosen().figures, chosen().period, choice.pattern);
    width = innerWidth;
  });
  draw();
}

start();
