// The charts as Vega-Lite specifications, without their rows.
// Colours are the page's CSS variables, so the styles alone decide about light, dark and print. No two marks differ only
// in hue: abandoned calls are hatched, timed-out calls dotted, targets dashed, and cells show their number.

const OUTCOMES = [
  ["answered_count", "Answered", "var(--answered)"],
  ["abandoned_count", "Abandoned", "url(#hatched)"],
  ["timedout_count", "Timed out", "url(#dotted)"],
  ["other_count", "Other", "var(--other)"],
];
const HEATS = [0, 1, 2, 3, 4, 5]; // levels of the heat map; each has CSS variables
const ROW_HEIGHT = 26;
const AXIS_WIDTH = 48; // the same for all charts, so that their left edges align

// Without frame and ticks, only with horizontal lines. Screen readers get the table beside it instead.
const STYLE = {
  data: { name: "rows" },
  width: "container",
  autosize: { type: "fit-x", contains: "padding" },
  config: {
    aria: false,
    background: "transparent",
    font: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
    padding: { left: 0, right: 4, top: 8, bottom: 0 },
    view: { stroke: null },
    axis: {
      labelColor: "var(--muted)", labelFontSize: 12, labelPadding: 6, domainColor: "var(--rule)", gridColor: "var(--rule)",
      ticks: false, grid: false,
    },
    scale: { bandPaddingInner: 0.15, bandPaddingOuter: 0.1, barBandPaddingInner: 0.15 },
  },
};

const tips = (fields) => Object.entries(fields).map(([field, title]) => ({ field, title, type: "nominal" }));
const placed = (field, axis) => ({ field, type: "ordinal", sort: null, title: null, axis: { labelAngle: 0, ...axis } });
const amount = (field, axis, scale) =>
  ({ field, type: "quantitative", title: null, scale, axis: { minExtent: AXIS_WIDTH, grid: true, domain: false, ...axis } });
const STEPS = placed("step", { labelOverlap: "greedy", domain: true });

function rates(title, scale) {
  return {
    mark: { type: "line", color: "var(--line)", strokeWidth: 2, point: { filled: true, size: 36, color: "var(--line)" } },
    encoding: {
      x: STEPS,
      y: amount("rate", { format: ".0%", tickCount: 4 }, scale),
      tooltip: tips({ whole_step: "When", shown: title, of: "Calls" }),
    },
  };
}

function pattern(x, y) {
  const cells = (mark, shade, encoding) => ({
    mark,
    encoding: {
      x: placed(x, { labelOverlap: false }),
      y: placed(y, { labelOverlap: false }),
      color: {
        field: "level", type: "ordinal", legend: null, scale: { domain: HEATS, range: HEATS.map((level) => `var(--${shade}-${level})`) },
      },
      tooltip: tips({ when: "When", shown: "Value", of: "Calls offered" }),
      ...encoding,
    },
  });
  return {
    ...STYLE,
    height: 7 * ROW_HEIGHT, // the page sets it if the hours run down
    resolve: { scale: { color: "independent" } },
    layer: [
      cells({ type: "rect", stroke: "var(--paper)", strokeWidth: 2 }, "heat"),
      cells({ type: "text", fontSize: 11 }, "on-heat", { text: { field: "text", type: "nominal" } }),
    ],
  };
}

function waits(fill) {
  return {
    ...STYLE,
    height: 120,
    mark: { type: "bar", color: fill },
    encoding: {
      x: placed("bucket", { labelOverlap: true }),
      y: amount("share", { format: ".0%", tickCount: 3 }),
      tooltip: tips({ whole_bucket: "Waited", shown: "Share", calls: "Calls" }),
    },
  };
}

const SPECS = {
  calls: {
    ...STYLE,
    height: 150,
    mark: "bar",
    encoding: {
      x: STEPS,
      y: amount("calls", { format: ",d", tickCount: 4, tickMinStep: 1 }),
      color: {
        field: "outcome", type: "nominal", legend: null,
        scale: { domain: OUTCOMES.map(([, title]) => title), range: OUTCOMES.map(([, , fill]) => fill) },
      },
      order: { field: "place", type: "quantitative" },
      tooltip: tips({ whole_step: "When", outcome: "Outcome", calls: "Calls" }),
    },
  },
  service: {
    ...STYLE,
    height: 110,
    layer: [
      rates("Service level", { domain: [0, 1] }),
      {
        transform: [{ filter: "isValid(datum.target)" }],
        mark: { type: "rule", strokeDash: [5, 4], strokeWidth: 1.5, color: "var(--ink)" },
        encoding: { y: { aggregate: "max", field: "target", type: "quantitative" } },
      },
    ],
  },
  abandonment: { ...STYLE, height: 96, ...rates("Abandonment", { nice: 4 }) },
  pattern: pattern("hour", "day"),
  pattern_narrow: pattern("day", "hour"),
  answered: waits("var(--answered)"),
  abandoned: waits("url(#hatched)"),
};
