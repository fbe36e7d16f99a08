// Charts by uPlot: columns stacked by status, lines of percentiles; a click leads to the records.
"use strict";

(() => {
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const drawn = new Map();
  const STACK = ["failure", "timeout", "retry", "pending", "success"];
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const short = (value) => (value >= 1e6 ? `${+(value / 1e6).toFixed(1)}M` : value >= 1e4 ? `${+(value / 1e3).toFixed(1)}k` : value.toLocaleString("en-US"));
  const ms = (value) => (value == null ? "–" : value < 1000 ? `${Math.round(value)} ms` : value < 60000 ? `${+(value / 1000).toFixed(value < 10000 ? 2 : 1)} s` : `${+(value / 60000).toFixed(1)} min`);
  const stamp = (seconds) => new Date(seconds * 1000).toLocaleString("en-US", { timeZone: zone, month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

  const axes = (format) => {
    const common = { stroke: css("--ink-3"), font: `11px ${css("--sans")}`, ticks: { show: false } };
    return [
      { ...common, grid: { show: false }, size: 26, gap: 4, space: 74, values: timeLabels },
      { ...common, grid: { stroke: css("--grid"), width: 1 }, size: 54, gap: 6, space: 40, values: (u, ticks) => ticks.map(format) },
    ];
  };
  const timeLabels = (u, ticks, axis, space, step) => ticks.map((tick, place) => {
    const date = new Date(tick * 1000);
    const day = date.toLocaleDateString("en-US", { timeZone: zone, month: "short", day: "numeric" });
    if (step >= 86400) return day;
    const time = date.toLocaleTimeString("en-US", { timeZone: zone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    return time === "00:00" || place === 0 && step >= 21600 ? day : time;
  });

  const tip = (rows) => {
    let box;
    return {
      hooks: {
        init: (u) => { box = document.createElement("div"); box.className = "chart-tip"; box.hidden = true; u.over.append(box); },
        setCursor: (u) => {
          const at = u.cursor.idx;
          const shown = at == null ? [] : rows(at);
          box.hidden = !shown.length;
          if (!shown.length) return;
          box.replaceChildren(Object.assign(document.createElement("b"), { textContent: stamp(u.data[0][at]) }));
          for (const [colour, name, value] of shown) {
            const line = document.createElement("span"), mark = document.createElement("i"), number = document.createElement("em");
            mark.style.background = colour;
            number.textContent = value;
            line.append(mark, name, number);
            box.append(line);
          }
          const left = u.valToPos(u.data[0][at], "x");
          box.style.left = `${left > u.over.clientWidth / 2 ? Math.max(0, left - box.offsetWidth - 14) : left + 14}px`;
        },
      },
    };
  };

  // Where alerts fired: a line over the whole height, and its name beside the figures.
  const COLOURS = { critical: "--failure-fill", warning: "--timeout-fill", info: "--audit-fill" };
  const markers = (marks) => ({
    hooks: {
      draw: (u) => {
        u.ctx.save();
        u.ctx.lineWidth = devicePixelRatio * 1.5;
        for (const mark of marks) {
          const x = Math.round(u.valToPos(mark.at, "x", true));
          u.ctx.strokeStyle = css(COLOURS[mark.severity]);
          u.ctx.beginPath();
          u.ctx.moveTo(x, u.bbox.top);
          u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
          u.ctx.stroke();
        }
        u.ctx.restore();
      },
    },
  });

  const frame = (host, format, rows, scales = {}) => ({
    width: host.clientWidth - 12, height: host.clientHeight - 8, legend: { show: false }, padding: [8, 22, 0, 0],
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: { x: { time: true }, ...scales }, axes: axes(format), plugins: [tip(rows)],
  });

  const leadTo = (u, stepSeconds, query) => {
    u.over.addEventListener("click", () => {
      const at = u.cursor.idx;
      if (at == null) return;
      const since = u.data[0][at], url = new URLSearchParams(query);
      url.set("since", new Date(since * 1000).toISOString());
      url.set("until", new Date((since + stepSeconds) * 1000).toISOString());
      location.assign(`/actions?${url}`);
    });
    u.over.style.cursor = "pointer";
  };

  const volume = (host, data) => {
    const counts = data.counts, present = STACK.filter((name) => counts[name].some(Boolean));
    const totals = data.starts.map(() => 0);
    const tops = present.map((name) => counts[name].map((count, at) => (totals[at] += count)));
    const bars = uPlot.paths.bars({ size: [0.78, 26], align: 1, radius: 0 });
    // The highest part is drawn first, so that each lower one stands in front of it.
    const series = [...present.keys()].reverse();
    const fired = (at) => data.marks.filter((mark) => mark.at >= data.starts[at] && mark.at < data.starts[at] + data.step_s).map((mark) => [css(COLOURS[mark.severity]), mark.name, "fired"]);
    const counted = (at) => [...present].reverse().filter((name) => counts[name][at]).map((name) => [css(`--${name}-fill`), name, counts[name][at].toLocaleString("en-US")]);
    const options = frame(host, short, (at) => [...counted(at), ...fired(at)], { y: { range: (u, low, high) => [0, Math.max(high * 1.08, 1)] }, x: { time: true, range: (u, low, high) => [low, high + data.step_s] } });
    options.plugins.push(markers(data.marks));
    const u = new uPlot({ ...options, series: [{}, ...series.map((at) => ({ fill: css(`--${present[at]}-fill`), stroke: css(`--${present[at]}-fill`), width: 0, paths: bars, points: { show: false } }))] }, [data.starts, ...series.map((at) => tops[at])], host);
    leadTo(u, data.step_s, {});
    return u;
  };

  const line = (colour, dash) => ({ stroke: colour, width: 1.6, spanGaps: false, dash, points: { show: false }, paths: uPlot.paths.linear() });
  const latency = (host, data) => {
    const names = ["p50", "p95", "p99"], colours = ["--c1", "--c2", "--c3"].map(css);
    const options = frame(host, ms, (at) => names.map((name, place) => [colours[place], name, ms(data[name][at])]), { y: { range: (u, low, high) => [0, Math.max((high || 1) * 1.1, 1)] } });
    return new uPlot({ ...options, series: [{}, ...colours.map((colour) => line(colour))] }, [data.starts, ...names.map((name) => data[name])], host);
  };

  const split = (host, data) => {
    const colours = ["--c1", "--c2", "--c3", "--c4", "--c5"].map(css);
    const options = frame(host, short, (at) => data.series.map((one, place) => [colours[place], one.name, one.counts[at].toLocaleString("en-US")]), { y: { range: (u, low, high) => [0, Math.max((high || 1) * 1.1, 1)] } });
    return new uPlot({ ...options, series: [{}, ...data.series.map((one, place) => line(colours[place]))] }, [data.starts, ...data.series.map((one) => one.counts)], host);
  };

  const UNITS = { volume: short, audits: short, failures: short, error_rate: (value) => `${+(value * 100).toFixed(1)}%`, average_ms: ms };
  const trend = (host, data) => {
    const written = (value) => (value == null ? "–" : UNITS[data.measure](Math.round(value * 1e4) / 1e4));
    const was = (at) => data.value[at] != null;
    const options = frame(host, written, (at) => (was(at) ? [[css("--c1"), "was", written(data.value[at])]] : [[css("--c2"), "expected", written(data.expected[at])], [css("--c3"), "95 of 100 between", `${written(data.low[at])} and ${written(data.high[at])}`]]), { y: { range: (u, low, high) => [Math.min(0, low || 0), Math.max((high || 1) * 1.1, 0.01)] } });
    const edge = { ...line(css("--c3")), width: 0 };
    return new uPlot({ ...options, bands: [{ series: [4, 3], fill: css("--bg-sunken") }], series: [{}, line(css("--c1")), line(css("--c2"), [5, 4]), edge, edge] }, [data.starts, data.value, data.expected, data.low, data.high], host);
  };

  const KINDS = { volume, latency, split, trend };
  const draw = (root) => {
    const hosts = [...root.querySelectorAll("[data-chart]")];
    for (const host of hosts) {
      const data = JSON.parse(document.getElementById(`${host.dataset.chart}-data`).textContent);
      drawn.get(host)?.destroy();
      drawn.delete(host);
      if (data.starts.length) drawn.set(host, KINDS[host.dataset.chart](host, data));
    }
  };
  const again = () => { for (const host of drawn.keys()) if (!host.isConnected) { drawn.get(host).destroy(); drawn.delete(host); } draw(document); };

  document.addEventListener("theme", again);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  document.addEventListener("htmx:load", (event) => { if (event.detail.elt !== document.body) draw(event.detail.elt.parentElement ?? document); });
  let timer;
  new ResizeObserver(() => { clearTimeout(timer); timer = setTimeout(() => { for (const [host, u] of drawn) u.setSize({ width: host.clientWidth - 12, height: host.clientHeight - 8 }); }, 60); }).observe(document.body);
  draw(document);
})();
