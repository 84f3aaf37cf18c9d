// Points and rows of the same Cell light up together; a click on a point leads to its row; machines one by one.
(() => {
  const tip = document.getElementById("tip");
  const light = (group, cell, on) => {
    group.querySelector(".figures")?.classList.toggle("lit", on);
    group.querySelectorAll("[data-cell]").forEach((part) =>
      part.classList.toggle("lit", on && part.dataset.cell === cell));
  };
  const move = (event) => {
    const right = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    tip.style.left = Math.max(8, right) + "px";
    tip.style.top = (event.clientY > 60 ? event.clientY - tip.offsetHeight - 12 : event.clientY + 18) + "px";
  };
  const visit = (row) => {
    row.closest(".box").hidden = false;
    row.hidden = false;
    row.scrollIntoView({ block: "center" });
    row.classList.add("flash");
    row.querySelector(".more")?.focus({ preventScroll: true });
    setTimeout(() => row.classList.remove("flash"), 1600);
  };
  for (const group of document.querySelectorAll(".group")) {
    const names = new Map();
    for (const point of group.querySelectorAll(".pt")) {
      const title = point.querySelector("title");
      if (title) { names.set(point.dataset.cell, title.textContent); title.remove(); }
    }
    group.addEventListener("pointerover", (event) => {
      const part = event.target.closest("[data-cell]");
      if (!part) return;
      light(group, part.dataset.cell, true);
      if (part.matches(".pt")) {
        tip.textContent = names.get(part.dataset.cell) ?? "";
        tip.hidden = !tip.textContent;
        move(event);
      }
    });
    group.addEventListener("pointerout", (event) => {
      const part = event.target.closest("[data-cell]");
      if (part) { light(group, part.dataset.cell, false); tip.hidden = true; }
    });
    group.addEventListener("click", (event) => {
      const point = event.target.closest(".pt");
      const row = point && [...group.querySelectorAll(".entry")].find((e) => e.dataset.cell === point.dataset.cell);
      if (row) { tip.hidden = true; visit(row); }
    });
  }

  const runs = [...document.querySelectorAll(".run")];
  const links = [...document.querySelectorAll(".machines a")];
  const choose = (key) => {
    if (links.length === 0) return;
    document.getElementById("main").classList.add("one");
    runs.forEach((run) => { run.hidden = run.id !== key; });
    links.forEach((link) => {
      if (link.dataset.machine === key) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  };
  const follow = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const run = target?.closest(".run");
    if (run) choose(run.id);
    if (target?.matches(".entry")) visit(target);
    else if (run && target !== run) target.scrollIntoView();
  };
  if (runs.length) choose(runs[0].id);
  addEventListener("hashchange", follow);
  follow();
})();
