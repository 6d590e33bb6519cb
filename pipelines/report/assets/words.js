"use strict";
// Numbers, dates and elements for the page. Text is always set as text, never as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const NONE = "–";
const DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const counts = new Intl.NumberFormat("en-GB");
const tenths = new Intl.NumberFormat("en-GB", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

const byId = (id) => document.getElementById(id);
const isKnown = (value) => value !== null && value !== undefined;
const ratio = (part, whole) => (whole ? part / whole : null);
const named = (names, values) => Object.fromEntries(names.map((name, place) => [name, values ? values[place] : 0]));

function showCount(value) {
  return isKnown(value) ? counts.format(Math.round(value * 10) / 10) : NONE;
}

function showShare(value) {
  return isKnown(value) ? `${tenths.format(value * 100)}%` : NONE;
}

function showSeconds(value) {
  if (!isKnown(value)) return NONE;
  if (value < 10 && !Number.isInteger(value)) return `${tenths.format(value)} s`;
  const whole = Math.round(value);
  const [hours, minutes, seconds] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (hours) return `${counts.format(hours)} h ${String(minutes).padStart(2, "0")} min`;
  return minutes ? `${minutes} min ${String(seconds).padStart(2, "0")} s` : `${seconds} s`;
}

function asDate(text) {
  return new Date(`${text.slice(0, 10)}T00:00:00Z`);
}

function showDate(text, options = { day: "numeric", month: "short", year: "numeric" }) {
  return new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options }).format(asDate(text));
}

function showLongDate(text) {
  return showDate(text, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
}

// "2026-11-24T05:35:43…": its date and minute, in no other zone.
function showMinute(text) {
  return text ? `${showDate(text)}, ${text.slice(11, 16)}` : NONE;
}

function showAge(text) {
  const hours = (Date.now() - Date.parse(text)) / 3.6e6;
  if (hours < 1) return "less than an hour ago";
  if (hours < 48) return `${plural(Math.floor(hours), "hour")} ago`;
  return `${plural(Math.floor(hours / 24), "day")} ago`;
}

function plural(number, word) {
  return `${counts.format(number)} ${word}${number === 1 ? "" : "s"}`;
}

function nameOf(scope) {
  if (scope.queue !== null) return scope.kind === "ring_group" ? `${scope.queue} (ring group)` : scope.queue;
  if (scope.account === null) return "All accounts";
  return data.scopes.some((other) => other.account === null) ? `All of ${scope.account}` : "All queues";
}

// The models' descriptions of columns; `code` in them becomes an element.
function define(...columns) {
  const parts = columns.map((column) => data.definitions[column] || "").join(" ").split("`");
  return parts.map((part, place) => (place % 2 ? make("code", {}, part) : part));
}

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") element.addEventListener("click", value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && isKnown(value)) element.setAttribute(name, value);
  }
  element.append(...children.flat(2).filter(isKnown));
  return element;
}

// `columns`: {title, words, show(row)}; the first is the row's heading. `current(row)` marks a row.
// Roles are explicit because a row that is laid out as a grid (on phones) loses its own.
function makeTable(columns, rows, { caption, current = () => false } = {}) {
  const heads = columns.map((column) =>
    make("th", { scope: "col", role: "columnheader", class: column.words, "aria-sort": column.sorted }, column.head || column.title));
  const lines = rows.map((row) => {
    const cells = columns.map((column, place) => (place
      ? make("td", { role: "cell", class: column.words }, column.show(row))
      : make("th", { scope: "row", role: "rowheader" }, column.show(row))));
    return make("tr", { role: "row", "aria-current": current(row) ? "true" : null }, cells);
  });
  const title = caption ? make("caption", {}, caption) : null;
  const head = make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, heads));
  return make("table", { role: "table" }, title, head, make("tbody", { role: "rowgroup" }, lines));
}

function scrollable(label, ...children) {
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, children);
}
