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
