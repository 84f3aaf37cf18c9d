// Leaderboards: sort by a header (or the list on a phone), filter, and unfold a row. Missing values come last.
(() => {
  const keyOf = (entry, column) => entry.rows[0].cells[column].dataset.v;
  const order = (column, direction, numeric) => (a, b) => {
    const [x, y] = [keyOf(a, column), keyOf(b, column)];
    if (x === "" || y === "") return (x === "") - (y === "");
    const difference = numeric ? Number(x) - Number(y) : x.localeCompare(y, undefined, { numeric: true });
    return direction === "ascending" ? difference : -difference;
  };
  const sort = (table, key, direction) => {
    const heads = [...table.tHead.rows[0].cells];
    const column = heads.findIndex((head) => head.querySelector("button").dataset.key === key);
    if (column < 0) return;
    heads.forEach((head, index) => head.setAttribute("aria-sort", index === column ? direction : "none"));
    table.append(...[...table.tBodies].sort(order(column, direction, key !== "name")));
  };
  const toggle = (button, open) => {
    button.setAttribute("aria-expanded", String(open));
    document.getElementById(button.getAttribute("aria-controls")).hidden = !open;
  };

  for (const table of document.querySelectorAll("table.board")) {
    table.addEventListener("click", (event) => {
      const header = event.target.closest("thead button");
      if (header) {
        const now = header.closest("th").getAttribute("aria-sort");
        const flipped = now === "ascending" ? "descending" : "ascending";
        sort(table, header.dataset.key, now === "none" ? header.dataset.first : flipped);
      }
      const more = event.target.closest(".more");
      if (more) toggle(more, more.getAttribute("aria-expanded") !== "true");
    });
  }

  for (const form of document.querySelectorAll("form.tools")) {
    const run = form.closest(".run");
    const tables = [...run.querySelectorAll("table.board")];
    const list = form.elements.sort;
    const seen = new Set();
    for (const button of run.querySelectorAll("table.board thead button")) {
      if (seen.has(button.dataset.key)) continue;
      seen.add(button.dataset.key);
      list.add(new Option(button.firstChild.textContent.trim(), button.dataset.key + " " + button.dataset.first));
    }
    list.value = "speedup descending";
    list.addEventListener("change", () => {
      const [key, direction] = list.value.split(" ");
      tables.forEach((table) => sort(table, key, direction));
    });
    const filter = () => {
      const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
      const { family, runtime, within } = form.elements;
      let shown = 0, all = 0;
      for (const table of tables) {
        let here = 0;
        for (const entry of table.tBodies) {
          const d = entry.dataset;
          const fits = words.every((word) => d.search.includes(word)) && (!family.value || d.family === family.value)
            && (!runtime.value || d.runtime === runtime.value) && (!within || !within.checked || d.within === "yes");
          entry.hidden = !fits;
          here += fits;
          all += 1;
          table.closest(".group").querySelectorAll(".pt").forEach((point) => {
            if (point.dataset.cell === d.cell) point.classList.toggle("off", !fits);
          });
        }
        shown += here;
        table.parentElement.hidden = here === 0;
        table.closest(".group").querySelector(".empty").hidden = here > 0;
      }
      form.querySelector("output").textContent = shown === all ? all + " Cells" : shown + " of " + all + " Cells";
    };
    form.addEventListener("input", filter);
    filter();
  }
})();
