// Each chart has a heading, the picture, and a table with the same figures, also for screen readers.

const WAIT_NAMES = (data.names ? data.names.buckets : []).map((start, place, all) =>
  place + 1 < all.length ? `${start}–${all[place + 1]}` : `${start}+`);
const PATTERNS = {
  offered: { title: "Calls offered per hour, on average", show: (x) => (x < 10 ? tenths.format(x) : showCount(Math.round(x))) },
  abandonment: { title: "Abandonment", show: showShare },
  service: { title: "Service level", show: showShare },
};
const WIDEST_STEP = 110; // pixels; bars and cells grow no wider
const views = new Map();

function showTip(_handler, event, _item, value) {
  const tip = byId("tip");
  tip.hidden = !value;
  if (!value) return;
  tip.textContent = Object.entries(value).map(([name, shown]) => `${name}: ${shown}`).join("\n");
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
}

function drawFigure(id, { title, sub, how, spec = id, rows, values, columns, legend, empty, height, steps = rows.length, most }) {
  const place = byId(id);
  const wasOpen = place.querySelector("details")?.open;
  views.get(id)?.finalize();
  views.delete(id);
  const head = [make("h3", {}, title), sub ? make("p", { class: "sub" }, sub) : null];
  const note = how ? make("p", { class: "how" }, how) : null;
  if (empty) {
    place.replaceChildren(make("figcaption", {}, head), make("p", { class: "none" }, empty), ...[note].filter(Boolean));
    return;
  }
  const picture = make("div", { class: "chart", role: "img", "aria-label": `${title}. The table below it holds the same figures.` });
  const table = make("details", { open: wasOpen }, make("summary", {}, "As a table"), scrollable(`${title}, as a table`, makeTable(columns, rows)));
  place.replaceChildren(make("figcaption", {}, head), ...[legend].filter(Boolean), picture, ...[note].filter(Boolean), table);
  const drawn = structuredClone(SPECS[spec]);
  drawn.datasets = { rows: values || rows };
  if (height) drawn.height = height;
  if (steps * WIDEST_STEP < picture.clientWidth - 60) drawn.width = 60 + steps * WIDEST_STEP;
  const ticks = (values || rows).filter((row) => row.tick).map((row) => row.step);
  if (most < 4) drawn.encoding.y.axis.values = range(0, most);
  for (const part of [drawn, ...(drawn.layer || [])]) {
    if (ticks.length && part.encoding?.x?.axis) part.encoding.x.axis.values = ticks;
  }
  const options = { ast: true, actions: false, renderer: "svg", defaultStyle: false, tooltip: showTip, mode: "vega-lite" };
  return vegaEmbed(picture, drawn, options).then((result) => {
    if (!picture.isConnected) return result.finalize(); // the reader has chosen something else meanwhile
    views.set(id, result);
    picture.querySelector("svg").setAttribute("aria-hidden", "true"); // screen readers have its label and the table
    return result;
  });
}

function monday(text) {
  const day = asDate(text);
  day.setUTCDate(day.getUTCDate() - ((day.getUTCDay() + 6) % 7));
  return day.toISOString().slice(0, 10);
}

// The steps of the period's trend, each with its names and its counts.
function trendRows(figures, period) {
  const { grain, span } = period;
  const first = { hour: "", day: span.first, week: monday(span.first), month: `${span.first.slice(0, 8)}01` }[grain];
  const trend = figures.trend?.[grain];
  const names = ["offered_count", "answered_count", "abandoned_count", "timedout_count", "answered_within_target_count"];
  const rows = data.steps[grain].map((at, place) => ({ at, ...Object.fromEntries(names.map((name) => [name, trend ? trend[name][place] : 0])) }))
    .filter((row) => grain === "hour" || (row.at >= first && row.at <= span.last));
  rows.forEach((row, place) => {
    row.other_count = row.offered_count - row.answered_count - row.abandoned_count - row.timedout_count;
    Object.assign(row, nameStep(grain, row.at), { tick: isTick(grain, row.at, place, rows.length) });
  });
  return rows;
}

function nameStep(grain, at) {
  if (grain === "hour") return { step: `${String(at).padStart(2, "0")}`, whole_step: `${at}:00 to ${at + 1}:00` };
  if (grain === "day") return { step: showDate(at, { day: "numeric", month: "short" }), whole_step: showLongDate(at) };
  if (grain === "week") return { step: showDate(at), whole_step: `Week from ${showDate(at)}` };
  const month = showDate(at, { month: "short", year: "numeric" });
  return { step: month, whole_step: month };
}

function isTick(grain, at, place, length) {
  if (grain === "hour") return at % 3 === 0;
  if (grain === "day") return length <= 8 || asDate(at).getUTCDay() === 1;
  if (grain === "week") return length <= 8 || (Number(at.slice(8)) <= 7 && (length < 30 || Number(at.slice(5, 7)) % 3 === 1));
  return length <= 13 || at.slice(5, 7) === "01";
}

function drawTrend(figures, scope, period) {
  const rows = trendRows(figures, period);
  const per = { hour: "hour", day: "day", week: "week", month: "month" }[period.grain];
  const empty = rows.some((row) => row.offered_count) ? null : "No calls were offered in this period.";
  const shown = OUTCOMES.filter(([name]) => name !== "other_count" || rows.some((row) => row.other_count));
  const columns = [{ title: `By ${per}`, show: (row) => row.whole_step },
    { title: "Offered", show: (row) => showCount(row.offered_count) },
    ...shown.map(([name, title]) => ({ title, show: (row) => showCount(row[name]) }))];
  const values = rows.flatMap((row) => shown.map(([name, outcome], place) => ({ ...row, outcome, place, calls: row[name] })));
  const rate = (part, target) => rows.map((row) => {
    const share = ratio(row[part], row.offered_count);
    return { ...row, rate: share, shown: showShare(share), of: showCount(row.offered_count), target };
  });
  const shares = (title) => [columns[0], { title, show: (row) => row.shown }, { title: "Offered", show: (row) => row.of }];
  const target = scope.target_rate === null ? "Targets differ between these queues." : `Target, dashed: ${showShare(scope.target_rate)}.`;
  byId("trend-note").textContent = trendNote(period);
  return Promise.all([
    drawFigure("calls", { title: `Calls by ${per}`, rows, values, columns, empty, legend: makeLegend(shown),
      most: Math.max(...rows.map((row) => row.offered_count)), how: define("queue_days.offered_count") }),
    drawFigure("service", { title: `Service level by ${per}`, sub: target, rows: rate("answered_within_target_count", scope.target_rate),
      columns: shares("Service level"), empty, how: define("queue_days.service_level_offered_rate") }),
    drawFigure("abandonment", { title: `Abandonment by ${per}`, rows: rate("abandoned_count", null), columns: shares("Abandonment"), empty,
      how: define("queue_days.abandonment_rate") }),
  ]);
}

function trendNote({ grain, span }) {
  if (grain === "hour") return "By the hour in which a call entered the queue, local time.";
  if (grain === "week" && asDate(span.last).getUTCDay() !== 0) return `The last week is not whole: it ends with ${showDate(span.last)}.`;
  if (grain === "month") return `The last month ends with ${showDate(span.last)}.`;
  return "";
}

function makeLegend(entries) {
  return make("ul", { class: "legend" }, entries.map(([, title, fill]) => make("li", {}, swatch(fill), title)));
}

function swatch(fill) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  svg.setAttribute("aria-hidden", "true");
  for (const [name, value] of Object.entries({ width: 14, height: 14, rx: 2, fill })) box.setAttribute(name, value);
  svg.append(box);
  return svg;
}

function drawPattern(figures, period, measure) {
  const { title, show } = PATTERNS[measure];
  const cells = new Map((figures.pattern?.[period.key] || []).map(([cell, ...values]) => [cell, named(data.names.pattern, values)]));
  const hours = [...cells.keys()].map((cell) => cell % 24);
  const [from, to] = hours.length ? [Math.min(...hours), Math.max(...hours)] : [0, -1];
  const value = (cell, day) => {
    if (!cell) return null;
    if (measure === "offered") return ratio(cell.offered_count, period.weekdays[day]);
    return ratio(measure === "service" ? cell.answered_within_target_count : cell.abandoned_count, cell.offered_count);
  };
  const isNarrow = innerWidth <= 760;
  const amounts = [...cells].map(([cell, counted]) => value(counted, Math.floor(cell / 24))).filter(isKnown);
  const most = Math.max(...amounts, 1e-9);
  const least = measure === "offered" ? 0 : Math.min(...amounts, most); // rates are close together, so the shades begin at the lowest
  const level = (amount) => (most > least ? Math.min(HEATS.length - 1, Math.floor((HEATS.length * (amount - least)) / (most - least))) : 0);
  const rows = DAYS.map((name, day) => ({ name, day, hours: range(from, to).map((hour) => ({ hour, cell: cells.get(day * 24 + hour) })) }));
  const values = rows.flatMap(({ name, day, hours: own }) => own.map(({ hour, cell }) => {
    const amount = value(cell, day);
    const shown = isKnown(amount) ? show(amount) : "";
    const text = measure === "offered" || !shown ? shown : String(Math.round(amount * 100));
    return { day: name.slice(0, 3), hour: String(hour).padStart(2, "0"), when: `${name}, ${hour}:00 to ${hour + 1}:00`, shown: shown || "no calls",
      text: text.replace(/\.0$/, ""), of: showCount(cell ? cell.offered_count : 0), level: isKnown(amount) ? level(amount) : null };
  }));
  const columns = [{ title: "Weekday", show: (row) => row.name }, ...range(from, to).map((hour, place) => ({
    title: `${hour}:00`, show: (row) => { const amount = value(row.hours[place].cell, row.day); return isKnown(amount) ? show(amount) : NONE; } }))];
  const unit = measure === "offered" ? "" : " Numbers are per cent.";
  return drawFigure("pattern", {
    title, sub: `${showDate(period.span.first)} to ${showDate(period.span.last)}, local time, by the hour in which a call entered the queue.${unit}`,
    spec: isNarrow ? "pattern_narrow" : "pattern", height: isNarrow ? ROW_HEIGHT * (to - from + 1) : null,
    steps: isNarrow ? 7 : to - from + 1, rows, columns, values: isNarrow ? values.toSorted((a, b) => a.hour.localeCompare(b.hour)) : values,
    empty: cells.size ? null : "No calls were offered in this period.",
    how: define(...{ offered: ["queue_hour_of_week.offered_per_week", "queue_hour_of_week.weeks_count"],
      abandonment: ["queue_days.abandonment_rate"], service: ["queue_days.service_level_offered_rate"] }[measure]),
  });
}

function range(from, to) {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, place) => from + place);
}

function drawWaits(figures, period) {
  const waits = figures.waits?.[period.key] || {};
  byId("waits-note").textContent = waits.timedout ? `${plural(sum(waits.timedout), "call")} timed out and are in neither chart.` : "";
  return Promise.all([
    ["answered", "Until they were answered", "answered calls"],
    ["abandoned", "Until they gave up", "abandoned calls"],
  ].map(([outcome, title, calls]) => {
    const found = waits[outcome] || WAIT_NAMES.map(() => 0);
    const all = sum(found);
    let soFar = 0;
    const rows = found.map((calls_count, place) => {
      soFar += calls_count;
      const share = ratio(calls_count, all);
      return { bucket: WAIT_NAMES[place], whole_bucket: `${WAIT_NAMES[place]} s`, share, shown: showShare(share), calls: showCount(calls_count), upTo: ratio(soFar, all) };
    });
    const columns = [{ title: "Waited", show: (row) => row.whole_bucket }, { title: "Calls", show: (row) => row.calls },
      { title: "Share", show: (row) => row.shown }, { title: "This long or less", show: (row) => showShare(row.upTo) }];
    return drawFigure(outcome, { title, sub: all ? describeWaits(found, all, calls) : null, rows, columns, how: define("queue_wait_buckets.calls_count"),
      empty: all ? null : `There were no ${calls} in this period.` });
  }));
}

// Exact, because it names only the edges of the mart's buckets.
function describeWaits(found, all, calls) {
  const edge = (share) => {
    let soFar = 0;
    const place = found.findIndex((calls_count) => (soFar += calls_count) >= share * all);
    return place + 1 < WAIT_NAMES.length ? `in less than ${showSeconds(data.names.buckets[place + 1])}` : `in ${showSeconds(data.names.buckets[place])} or more`;
  };
  return `${plural(all, "call").replace("call", calls.split(" ")[0] + " call")}: half of them ${edge(0.5)}, nine in ten ${edge(0.9)}.`;
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}
