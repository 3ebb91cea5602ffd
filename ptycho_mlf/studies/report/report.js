"use strict";
(() => {
  const data = JSON.parse(document.getElementById("figures").textContent);
  const hidden = new Set();
  const view = {};
  const media = matchMedia("(prefers-color-scheme: dark)");

  // Colours of the style sheet, as they are in the present theme.
  const probe = document.body.appendChild(document.createElement("span"));
  probe.hidden = true;
  function tint(name, alpha) {
    probe.style.color = `var(--${name})`;
    const found = getComputedStyle(probe).color;
    return alpha === undefined ? found : found.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);
  }

  // "@3" is the colour of arm 3, "@3/0.2" the same with an opacity, "@ink" and the like are names of the style sheet.
  function resolve(value) {
    if (Array.isArray(value)) return value.map(resolve);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, resolve(one)]));
    }
    const found = typeof value === "string" && value.match(/^@(\w+)(?:\/([\d.]+))?$/);
    return found ? tint(/^\d+$/.test(found[1]) ? `arm-${found[1]}` : found[1], found[2]) : value;
  }

  function axis(own) {
    const grid = tint("grid");
    return { automargin: true, zeroline: false, gridcolor: grid, linecolor: grid, ticks: "outside", tickcolor: grid,
      ...resolve(own), title: { standoff: 8, ...own.title } };
  }

  function layout(figure, narrow) {
    const made = { ...resolve(figure.layout) };
    for (const key of Object.keys(made)) if (/^[xy]axis/.test(key)) made[key] = axis(figure.layout[key]);
    const ink = tint("ink");
    return { margin: { l: narrow ? 44 : 56, r: 10, t: 8, b: 44 }, hovermode: "closest", dragmode: narrow ? false : "zoom",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: narrow ? 11 : 12.5, color: ink },
      hoverlabel: { bgcolor: tint("paper"), font: { color: ink }, align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: tint("soft"), activecolor: ink }, ...made };
  }

  function shown(trace, figure) {
    const views = trace.meta.views;
    return !hidden.has(trace.meta.arm) && (views.length === 0 || views.includes(view[figure.id]));
  }

  function draw(figure) {
    const place = document.getElementById(figure.id);
    const narrow = place.clientWidth < 480;
    const traces = figure.traces.map((trace) => ({ ...resolve(trace), visible: shown(trace, figure) }));
    Plotly.react(place, traces, layout(figure, narrow), {
      responsive: true, displaylogo: false, displayModeBar: narrow ? false : "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
      toImageButtonOptions: { format: "svg", filename: figure.id } });
  }

  function drawAll() { data.forEach(draw); }

  function chooseView(figure, name) {
    view[figure.id] = name;
    for (const button of document.querySelectorAll(`[data-figure="${figure.id}"] button`)) {
      button.setAttribute("aria-pressed", String(button.textContent === name));
    }
  }

  for (const figure of data) {
    if (figure.views.length) chooseView(figure, figure.views[0]);
    for (const button of document.querySelectorAll(`[data-figure="${figure.id}"] button`)) {
      button.addEventListener("click", () => { chooseView(figure, button.textContent); draw(figure); });
    }
  }

  for (const button of document.querySelectorAll(".arms button")) {
    button.addEventListener("click", () => {
      const arm = Number(button.dataset.arm), on = hidden.has(arm);
      if (on) hidden.delete(arm); else hidden.add(arm);
      button.setAttribute("aria-pressed", String(on));
      for (const part of document.querySelectorAll(`div[data-arm="${arm}"]`)) part.hidden = !on;
      drawAll(); filter();
    });
  }

  // The table of runs: a click on a heading sorts, the tools choose.
  const table = document.getElementById("runs"), body = table.tBodies[0], rows = [...body.rows];
  const chosen = (id) => document.getElementById(id).value;
  function filter() {
    const words = chosen("find").toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = hidden.has(Number(row.dataset.arm)) || (chosen("of-arm") && chosen("of-arm") !== row.dataset.arm)
        || (chosen("of-verdict") && chosen("of-verdict") !== row.dataset.verdict) || !words.every((word) => text.includes(word));
      if (!row.hidden) count += 1;
    }
    document.getElementById("count").textContent = `${count} of ${rows.length} runs`;
  }
  for (const id of ["of-arm", "of-verdict", "find"]) document.getElementById(id).addEventListener("input", filter);

  function sort(head) {
    const up = head.getAttribute("aria-sort") !== "ascending", at = head.cellIndex;
    for (const one of head.parentNode.cells) if (one.hasAttribute("aria-sort")) one.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (row) => row.cells[at].dataset.value ?? row.cells[at].textContent;
    const value = (text) => (text === "" || Number.isNaN(Number(text)) ? text : Number(text));
    const order = (a, b) => {
      const [p, q] = [value(key(a)), value(key(b))];
      if (p === "" || q === "") return (p === "") - (q === "");
      const sign = typeof p === "number" && typeof q === "number" ? p - q : String(p).localeCompare(String(q));
      return up ? sign : -sign;
    };
    body.append(...rows.sort(order));
  }
  for (const head of table.tHead.rows[0].cells) {
    if (!head.hasAttribute("aria-sort")) continue;
    head.tabIndex = 0;
    head.addEventListener("click", () => sort(head));
    head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(head); });
  }

  const dialog = document.querySelector("dialog");
  for (const row of rows) {
    row.querySelector("button").addEventListener("click", () => {
      dialog.replaceChildren(Object.assign(document.createElement("h3"), { textContent: row.dataset.run }),
        Object.assign(document.createElement("pre"), { textContent: row.dataset.command }));
      dialog.showModal();
    });
  }
  for (const thumb of document.querySelectorAll(".thumb")) {
    thumb.addEventListener("click", () => {
      dialog.replaceChildren(thumb.querySelector("img").cloneNode(), thumb.querySelector("span").cloneNode(true));
      dialog.showModal();
    });
  }
  dialog.addEventListener("click", () => dialog.close());

  drawAll(); filter();
  media.addEventListener("change", drawAll);
  // Paper is light.
  for (const [event, printed] of [["beforeprint", true], ["afterprint", false]]) {
    addEventListener(event, () => { document.documentElement.classList.toggle("printed", printed); drawAll(); });
  }
})();
