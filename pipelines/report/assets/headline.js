// The last whole day compared with the usual day, and the period compared with the one before.

const MEASURES = [
  { key: "offered", title: "Calls offered", show: showCount, value: (f) => f.offered_count, define: ["queue_days.offered_count"] },
  { key: "abandonment", title: "Abandonment", show: showShare, value: (f) => ratio(f.abandoned_count, f.offered_count), better: -1,
    define: ["queue_days.abandonment_rate"] },
  { key: "service", title: "Service level", show: showShare, value: (f) => ratio(f.answered_within_target_count, f.offered_count), better: 1,
    define: ["queue_days.service_level_offered_rate"] },
  { key: "speed", title: "Average speed of answer", show: showSeconds, better: -1,
    value: (f) => ratio(f.wait_answered_total_seconds, f.wait_answered_count), define: ["queue_days.average_speed_of_answer_seconds"] },
  { key: "longest", title: "Longest wait", show: showSeconds, value: (f) => f.longest_wait_seconds, better: -1,
    define: ["queue_days.longest_wait_seconds"] },
  { key: "unreached", title: "Lost callers not reached yet", show: showCount, value: (f) => f.unreached_callers, better: -1,
    words: "Different callers with a lost call that is not recovered. Recovered by ", define: ["lost_calls.recovered_by"] },
];
const MORE = [
  { key: "answered", title: "Answered", show: showCount, value: (f) => f.answered_count, define: ["queue_days.answered_count"] },
  { key: "abandoned", title: "Abandoned", show: showCount, value: (f) => f.abandoned_count, define: ["queue_days.abandoned_count"] },
  { key: "timedout", title: "Timed out", show: showCount, value: (f) => f.timedout_count, define: ["queue_days.timedout_count"] },
  { key: "lost", title: "Lost callers", show: showCount, value: (f) => f.lost_callers,
    words: "Different callers with a lost call. Its outcome is ", define: ["lost_calls.outcome"] },
];

// The figures of a scope's period, or of the one before it, by name. Without calls every count is 0.
function figuresOf(figures, key) {
  const summary = named(data.names.summary, figures.summary?.[key]);
  if (!figures.summary?.[key]) summary.longest_wait_seconds = null;
  return { ...summary, ...named(data.names.lost, figures.lost?.[key]) };
}

// "▲ 3.1 points, worse": the difference of `value` from `other` in words; null if one of them is unknown.
function compare(measure, value, other) {
  if (!isKnown(value) || !isKnown(other)) return null;
  if (measure.show(value) === measure.show(other)) return make("span", {}, "The same");
  const apart = value - other;
  const size = measure.show === showShare ? `${tenths.format(Math.abs(apart) * 100)} points` : measure.show(Math.abs(apart));
  const verdict = measure.better ? (Math.sign(apart) === measure.better ? "better" : "worse") : null;
  return make("span", { class: verdict }, `${apart > 0 ? "▲" : "▼"} ${size}${verdict ? `, ${verdict}` : ""}`);
}

function explain(measure) {
  return [measure.words, ...define(...measure.define)];
}

function drawDay(figures, scope) {
  const { usual } = figures;
  const weekday = DAYS[(asDate(data.as_of).getUTCDay() + 6) % 7];
  const found = figuresOf(figures, "day");
  byId("day-title").textContent = data.is_whole ? showLongDate(data.as_of) : `${showLongDate(data.as_of)}, so far`;
  byId("day-against").textContent = usual.days
    ? `${nameOf(scope)}, compared with the median of the ${usual.days === 1 ? weekday : `${usual.days} ${weekday}s`} before`
    : `${nameOf(scope)}; there is no earlier ${weekday} to compare with`;
  byId("tiles").replaceChildren(...MEASURES.map((measure) => {
    const value = measure.value(found);
    const apart = compare(measure, value, usual[measure.key]);
    const against = apart ? [apart, " ", make("span", {}, `(usual: ${measure.show(usual[measure.key])})`)] : [isKnown(usual[measure.key]) ? `Usual: ${measure.show(usual[measure.key])}` : ""];
    const of = measure.key === "unreached" && found.lost_callers ? make("small", {}, ` of ${showCount(found.lost_callers)}`) : null;
    return make("li", { class: "tile", "data-measure": measure.key }, make("h3", {}, measure.title),
      make("p", { class: "value" }, measure.show(value), of), make("p", { class: "versus" }, against),
      make("p", { class: "how" }, explain(measure), measure.key === "service" ? describeTarget(scope) : ""));
  }));
}

function describeTarget(scope) {
  if (scope.target_seconds === null || scope.target_rate === null) return " T and target differ between these queues.";
  return ` T is ${scope.target_seconds} s, the target ${showShare(scope.target_rate)}.`;
}

function drawSummary(figures, scope, period) {
  const found = figuresOf(figures, period.key);
  const before = period.before ? figuresOf(figures, `${period.key} before`) : null;
  const span = (one) => (one.first === one.last ? showDate(one.first) : `${showDate(one.first)} to ${showDate(one.last)}`);
  byId("period-title").textContent = `${nameOf(scope)}: ${period.label}`;
  byId("period-span").textContent = span(period.span) + (period.before ? `, compared with ${span(period.before)}` : "");
  const [offered, ...rest] = MEASURES;
  const last = rest.pop();
  const columns = [{ title: "Measure", show: (measure) => measure.title.replace(" yet", "") }, { title: "Period", show: (measure) => measure.show(measure.value(found)) }];
  if (before) {
    columns.push({ title: "Before", show: (measure) => measure.show(measure.value(before)) });
    columns.push({ title: "Change", words: "words", show: (measure) => compare(measure, measure.value(found), measure.value(before)) || NONE });
  }
  columns.push({ title: "How it is computed", words: "long", show: explain });
  byId("summary").replaceChildren(makeTable(columns, [offered, ...MORE.slice(0, 3), ...rest, MORE[3], last]));
}
