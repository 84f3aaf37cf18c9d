// Colours: as the system, light or dark; remembered where the browser allows it.
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
    button.setAttribute("aria-label", "Colours: " + state);
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
