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
