// Stacked bars over time, or with `lines` a curve, drawn by uPlot in the colours of the theme. All texts come with the data.

const charts = new Map();
const { group = ",", point = "." } = document.documentElement.dataset;

// A number as the reader writes numbers: the page says how.
window.anteWritten = (value, options) =>
  value.toLocaleString("en-US", options).replace(/[,.]/g, (mark) => (mark === "," ? group : point));

function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  probe.hidden = true;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

// All marks of an axis with the same decimals: as many as the finest needs, those of its coins or none for money.
function marks(values, symbol, coins) {
  const highest = Math.max(...values.map(Math.abs));
  const whole = values.every((value) => Number.isInteger(value));
  const step = values.length > 1 ? Math.abs(values[1] - values[0]) : highest;
  const places = whole ? 0 : Math.max(symbol ? coins : 1, Math.ceil(-Math.log10(step || 1)));
  const options =
    highest >= 10000
      ? { notation: "compact", maximumFractionDigits: 1 }
      : { minimumFractionDigits: places, maximumFractionDigits: places };
  return values.map((value) => (value < 0 ? "−" : "") + symbol + window.anteWritten(Math.abs(value), options));
}

function tip(box) {
  const element = document.createElement("div");
  element.className = "chart-tip";
  element.hidden = true;
  box.append(element);
  return element;
}

function line(name, text, tone) {
  const p = document.createElement("p");
  if (tone !== undefined) {
    const swatch = document.createElement("span");
    swatch.className = `swatch tone-${tone}`;
    p.append(swatch);
  }
  const label = document.createElement("span");
  label.textContent = name;
  const value = document.createElement("span");
  value.textContent = text;
  p.append(label, value);
  return p;
}

function fillTip(element, data, index) {
  const heading = document.createElement("b");
  heading.textContent = data.labels[index];
  element.replaceChildren(heading);
  const several = data.series.length > 1;
  for (const series of data.series) {
    if (series.values[index] || !several) element.append(line(series.name, series.texts[index], series.tone));
  }
  if (several) {
    const total = line(data.total ?? "Total", data.totals[index]);
    total.className = "tip-total";
    element.append(total);
  }
}

function draw(box) {
  charts.get(box)?.destroy();
  box.replaceChildren();
  const data = JSON.parse(document.getElementById(box.dataset.chart).textContent);
  const xs = data.labels.map((_, index) => index);
  const sums = xs.map(() => 0);
  // Drawn from the whole stack down to its first part, so that each bar covers what is not its own.
  const stacked = data.series.map((series) => series.values.map((value, index) => (sums[index] += value)));
  const highest = Math.max(...sums);
  const lowest = Math.min(0, ...stacked.flat());
  const hint = tip(box);
  const bars = window.uPlot.paths.bars({ size: [0.68, 30], radius: data.series.length === 1 ? [0.18, 0] : 0 });
  const axis = { stroke: colour("ink-faint"), font: `11px ${getComputedStyle(document.body).fontFamily}`, ticks: { show: false } };
  const narrow = box.clientWidth < 480;
  // Labels stand as far apart as the longest is wide, and the last one ends within the box.
  const written = 6 * Math.max(...data.labels.map((label) => label.length));
  const slot = Math.max(1, box.clientWidth - 60) / xs.length;
  const most = Math.ceil(xs.length / (narrow ? 4 : 8));
  const step = Math.max(data.every ? data.every * (narrow ? 2 : 1) : most, Math.ceil((written + 12) / slot));
  const plot = new window.uPlot(
    {
      width: box.clientWidth,
      height: box.clientHeight,
      padding: [8, Math.max(8, written / 2 - (data.lines ? 0 : 0.6 * slot)), 0, 0],
      legend: { show: false },
      cursor: {
        points: { show: false },
        drag: { x: false, y: false },
        y: false,
      },
      scales: {
        x: { time: false, range: data.lines ? [0, xs.length - 1] : [-0.6, xs.length - 0.4] },
        y: { range: [lowest * 1.08, highest > 0 ? highest * 1.08 : 1] },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 26,
          gap: 6,
          splits: () => xs.filter((x) => (xs.length - 1 - x) % step === 0),
          values: (_, splits) => splits.map((x) => data.labels[x]),
        },
        {
          ...axis,
          grid: { stroke: colour("line"), width: 1, dash: [3, 4] },
          size: (_, values) => 14 + 6.4 * Math.max(0, ...(values || []).map((v) => v.length)),
          gap: 8,
          space: 44,
          values: (_, splits) => marks(splits, data.symbol, data.places),
        },
      ],
      series: [
        {},
        ...stacked.map((_, index) => data.series.length - 1 - index).map((index) => ({
          fill: data.lines ? undefined : colour(`tone-${data.series[index].tone}`),
          stroke: colour(`tone-${data.series[index].tone}`),
          width: data.lines ? 2 : 0,
          pxAlign: data.lines ? 0 : 1,
          paths: data.lines ? window.uPlot.paths.linear() : bars,
          points: { show: false },
        })),
      ],
      hooks: {
        setCursor: [
          (u) => {
            const index = u.cursor.idx;
            if (index === null || index === undefined || u.cursor.left < 0) {
              hint.hidden = true;
              return;
            }
            hint.hidden = false;
            fillTip(hint, data, index);
            const plotLeft = u.over.offsetLeft + u.valToPos(index, "x");
            const left = plotLeft + 14 + hint.offsetWidth > box.clientWidth ? plotLeft - 14 - hint.offsetWidth : plotLeft + 14;
            hint.style.transform = `translate(${Math.max(0, left)}px, 10px)`;
          },
        ],
      },
    },
    [xs, ...stacked.toReversed()],
    box,
  );
  // Only a shortcut for the mouse: the table below has the same links.
  if (data.links?.length) {
    plot.over.classList.add("leads-on");
    plot.over.addEventListener("click", () => {
      if (plot.cursor.idx !== null && plot.cursor.idx !== undefined) location.assign(data.links[plot.cursor.idx]);
    });
  }
  charts.set(box, plot);
}

const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const plot = charts.get(target);
    if (plot && plot.width !== target.clientWidth) draw(target);
  }
});

function drawAll(root) {
  for (const [box, plot] of charts) {
    if (!box.isConnected) {
      plot.destroy();
      charts.delete(box);
    }
  }
  for (const box of root.querySelectorAll("[data-chart]")) {
    draw(box);
    resized.observe(box);
  }
}

document.addEventListener("theme-changed", () => drawAll(document));
document.addEventListener("htmx:afterSettle", (event) => drawAll(event.detail.elt.parentElement ?? document));
await document.fonts.ready;
drawAll(document);
