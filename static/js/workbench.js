// The workbench from the keyboard. Every key does what a link or a button on the page does too.
"use strict";

(() => {
  // Looked up anew each time: going back puts other elements into their places.
  const bench = () => document.querySelector("[data-workbench]");
  const help = () => document.querySelector("[data-keys]");
  const rows = () => [...document.querySelectorAll("[data-row]")];
  const here = () => document.activeElement?.closest?.("[data-row]");

  function focusRow(row) {
    if (!row) return;
    for (const other of rows()) other.tabIndex = other === row ? 0 : -1;
    row.focus();
    row.scrollIntoView({ block: "nearest" });
  }

  function step(by) {
    const all = rows();
    const current = here();
    focusRow(current ? all[all.indexOf(current) + by] : all[0]);
  }

  function go(address) {
    if (address) window.location.assign(address);
  }

  function tick(row) {
    const box = row?.querySelector("[data-select]");
    if (box) box.click();
  }

  function tickAll() {
    document.querySelector("[data-select-all]")?.click();
  }

  function pickTile(number) {
    const tiles = [...document.querySelectorAll("[data-tile]")];
    if (number === 0) tiles.find((tile) => tile.matches(".c-tile-chosen"))?.click();
    else tiles[number - 1]?.click();
  }

  function page(rel) {
    const link = document.querySelector(`.c-pages a[rel=${rel}]`);
    if (link) link.click();
  }

  const keys = {
    j: () => step(1),
    k: () => step(-1),
    e: () => go(here()?.dataset.story),
    t: () => go(here()?.dataset.own),
    l: () => go(here()?.dataset.line),
    x: () => tick(here()),
    a: tickAll,
    h: () => document.querySelector("[data-bulk] select")?.focus(),
    n: () => page("next"),
    p: () => page("prev"),
    "[": () => go(bench().dataset.previous),
    "]": () => go(bench().dataset.next),
    "?": () => help().showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !bench() || help().open) return;
    if (event.target.matches("input:not([type=checkbox]), textarea, select, [contenteditable]")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === "Enter") {
      // A link or a button that has the focus keeps its own Enter.
      if (event.target.matches("[data-row]")) go(event.target.dataset.open);
      return;
    }
    const act = /^[0-9]$/.test(event.key) ? () => pickTile(Number(event.key)) : keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-help]")) help().showModal();
  });

  // After a filter the differences are others: the first one is where one goes on.
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id !== "workbench-results") return;
    countSelected();
    if (document.activeElement === document.body) focusRow(rows()[0]);
  });

  document.querySelector(".w-days [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  document.addEventListener("DOMContentLoaded", () => {
    // Where one begins with the keyboard; the page itself stays at its head.
    if (!window.location.hash && document.activeElement === document.body) rows()[0]?.focus({ preventScroll: true });
  });
})();
