// Theme: auto (as the system), light or dark; stored if the browser allows it.
"use strict";
(() => {
  const button = document.getElementById("theme");
  const states = ["auto", "light", "dark"];
  let state = "auto";
  const load = () => { try { return localStorage.getItem("harness-theme"); } catch { return null; } };
  const save = () => { try { localStorage.setItem("harness-theme", state); } catch { /* not remembered */ } };
  const show = () => {
    if (state === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = state;
    button.querySelector("span").textContent = state;
    button.setAttribute("aria-label", "Theme: " + state);
  };
  const stored = load();
  if (states.includes(stored)) state = stored;
  button.addEventListener("click", () => {
    state = states[(states.indexOf(state) + 1) % states.length];
    save();
    show();
  });
  show();
})();

// Points and rows of the same Cell are highlighted together. A click on a point opens its Cell. One machine is shown at a time.
(() => {
  const tip = document.getElementById("tip");
  const pages = new Map();
  for (const link of document.querySelectorAll("a[data-cell]")) pages.set(link.dataset.cell, link.href);
  const move = (event) => {
    const right = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    tip.style.left = Math.max(8, right) + "px";
    tip.style.top = (event.clientY > 60 ? event.clientY - tip.offsetHeight - 12 : event.clientY + 18) + "px";
  };
  for (const group of document.querySelectorAll(".group")) {
    const names = new Map(), parts = new Map();
    for (const part of group.querySelectorAll("[data-cell]")) {
      if (!parts.has(part.dataset.cell)) parts.set(part.dataset.cell, []);
      parts.get(part.dataset.cell).push(part);
    }
    for (const point of group.querySelectorAll(".pt")) {
      const title = point.querySelector("title");
      if (title) { names.set(point.dataset.cell, title.textContent); title.remove(); }
    }
    // Overlapping points are all named, the one under the pointer first.
    const namesAt = (event, cell) => {
      const here = document.elementsFromPoint(event.clientX, event.clientY).map((part) => part.closest(".pt"));
      const cells = new Set([cell, ...here.filter((point) => group.contains(point)).map((point) => point.dataset.cell)]);
      return [...cells].map((one) => names.get(one)).filter(Boolean).join("\n");
    };
    const highlight = (cell, on) => {
      group.querySelector(".figures, .drawing")?.classList.toggle("lit", on);
      parts.get(cell)?.forEach((part) => part.classList.toggle("lit", on));
    };
    group.addEventListener("pointerover", (event) => {
      const part = event.target.closest("[data-cell]");
      if (!part) return;
      highlight(part.dataset.cell, true);
      if (part.matches(".pt")) {
        tip.textContent = namesAt(event, part.dataset.cell);
        tip.hidden = !tip.textContent;
        move(event);
      }
    });
    group.addEventListener("pointerout", (event) => {
      const part = event.target.closest("[data-cell]");
      if (part) { highlight(part.dataset.cell, false); tip.hidden = true; }
    });
    group.addEventListener("click", (event) => {
      const point = event.target.closest(".pt");
      const page = point && pages.get(point.dataset.cell);
      if (page) location.href = page;
    });
  }

  const runs = [...document.querySelectorAll(".run")];
  const links = [...document.querySelectorAll(".machines a")];
  const choose = (key) => {
    if (links.length === 0) return;
    runs.forEach((run) => { run.hidden = run.id !== key; });
    links.forEach((link) => {
      if (link.dataset.machine === key) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  };
  const follow = () => {
    let id = location.hash.slice(1);
    try { id = decodeURIComponent(id); } catch { /* not a valid id */ }
    const run = document.getElementById(id)?.closest(".run");
    if (run) choose(run.id);
  };
  if (runs.length) choose(runs[0].id);
  addEventListener("hashchange", follow);
  follow();
})();

// Leaderboards: sort by a header (or by the list on a phone), filter by text, lists and sliders. Missing values come last.
(() => {
  const keyOf = (entry, column) => entry.rows[0].cells[column].dataset.v;
  const sort = (table, key, direction) => {
    const heads = [...table.tHead.rows[0].cells];
    const column = heads.findIndex((head) => head.querySelector("button").dataset.key === key);
    if (column < 0) return;
    heads.forEach((head, index) => head.setAttribute("aria-sort", index === column ? direction : "none"));
    const words = new Intl.Collator(undefined, { numeric: true });
    const sign = direction === "ascending" ? 1 : -1;
    const keyed = [...table.tBodies].map((body) => [keyOf(body, column), body]);
    keyed.sort(([x], [y]) => {
      if (x === "" || y === "") return (x === "") - (y === "");
      return sign * (key === "name" ? words.compare(x, y) : Number(x) - Number(y));
    });
    table.append(...keyed.map(([, body]) => body));
    table.dispatchEvent(new Event("sorted", { bubbles: true }));
  };
  for (const table of document.querySelectorAll("table.board")) {
    table.addEventListener("click", (event) => {
      const header = event.target.closest("thead button");
      if (!header) return;
      const now = header.closest("th").getAttribute("aria-sort");
      const flipped = now === "ascending" ? "descending" : "ascending";
      sort(table, header.dataset.key, now === "none" ? header.dataset.first : flipped);
    });
  }

  const sorter = (form, tables) => {
    const list = form.elements.sort;
    const seen = new Set();
    for (const button of tables.flatMap((table) => [...table.querySelectorAll("thead button")])) {
      if (seen.has(button.dataset.key)) continue;
      seen.add(button.dataset.key);
      const chosen = button.dataset.key === "speedup";
      list.add(new Option(button.firstChild.textContent.trim(), button.dataset.key, chosen, chosen));
    }
    list.addEventListener("change", () => {
      for (const table of tables) {
        // Each table has its own first direction: for some metrics less is better.
        const button = [...table.querySelectorAll("thead button")].find((one) => one.dataset.key === list.value);
        if (button) sort(table, list.value, button.dataset.first);
      }
    });
  };

  // The last stop of a slider filters nothing; other stops hide rows with a larger or an unknown value.
  // The slider of a quality metric filters only rows with that metric.
  const limit = (slider) => {
    const values = JSON.parse(slider.dataset.values), texts = JSON.parse(slider.dataset.texts);
    const { key, metric } = slider.dataset, shown = slider.parentElement.querySelector(".at");
    return {
      read: () => {
        const at = Number(slider.value), open = at >= values.length;
        shown.textContent = open ? "any" : "≤ " + texts[at];
        slider.setAttribute("aria-valuetext", open ? "any" : "at most " + texts[at]);
        const holds = (d) => d[key] !== undefined && Number(d[key]) <= values[at] * (1 + 1e-12);
        return open ? null : (d) => (metric && d.metric !== metric) || holds(d);
      },
    };
  };

  for (const form of document.querySelectorAll("form.tools")) {
    const tables = [...form.parentElement.querySelectorAll("table.board")];
    const limits = [...form.querySelectorAll("input[type=range]")].map(limit);
    const boards = tables.map((table) => {
      const group = table.closest(".group"), points = new Map();
      for (const point of group.querySelectorAll(".pt")) {
        if (!points.has(point.dataset.cell)) points.set(point.dataset.cell, []);
        points.get(point.dataset.cell).push(point);
      }
      const rest = group.querySelector(".rest"), board = { table, points, rest, most: Number(table.dataset.most), empty: group.querySelector(".empty") };
      rest.querySelector("button").addEventListener("click", () => { board.most = Infinity; filter(); });
      return board;
    });
    const all = tables.reduce((sum, table) => sum + table.tBodies.length, 0), faded = new Set();
    sorter(form, tables);
    const filter = () => {
      const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
      const { family, runtime, within } = form.elements;
      const active = limits.map((one) => one.read()).filter(Boolean);
      let shown = 0;
      for (const { table, points, empty, rest, most } of boards) {
        let here = 0;
        for (const entry of table.tBodies) {
          const d = entry.dataset;
          const fits = words.every((word) => d.search.includes(word)) && (!family.value || d.family === family.value)
            && (!runtime.value || d.runtime === runtime.value) && (!within || !within.checked || d.within === "yes")
            && active.every((holds) => holds(d));
          here += fits;
          const laid = fits && here <= most;
          if (entry.hidden === laid) entry.hidden = !laid;
          if (faded.has(d.cell) === !fits) continue;
          if (fits) faded.delete(d.cell); else faded.add(d.cell);
          points.get(d.cell)?.forEach((point) => point.classList.toggle("off", !fits));
        }
        shown += here;
        table.parentElement.hidden = here === 0;
        empty.hidden = here > 0;
        rest.hidden = here <= most;
        rest.querySelector("button").textContent = "Show all " + here + " rows";
      }
      form.querySelector("output").textContent = shown === all ? all + " Cells" : shown + " of " + all + " Cells";
    };
    form.addEventListener("input", filter);
    form.parentElement.addEventListener("sorted", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(() => {
      filter();
      form.elements.sort.dispatchEvent(new Event("change"));
    }));
    filter();
  }
})();
