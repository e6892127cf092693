// The console's few behaviours: confirm before sending, send once, select all, "/" to search, accounts to choose from.
// Everything works without.
"use strict";

document.addEventListener("submit", (event) => {
  const form = event.target;
  const question = event.submitter?.dataset.confirm || form.dataset.confirm;
  if (question && !window.confirm(question)) {
    event.preventDefault();
    return;
  }
  if (form.matches("[data-filters]")) {
    // Empty filters stay out of the address, so that it can be read and sent to a colleague.
    for (const field of form.elements) {
      if (field.name && field.value === "") field.disabled = true;
    }
    return;
  }
  if (form.method === "post") {
    // A second click must not send again; the services refuse it anyway.
    setTimeout(() => {
      for (const button of form.querySelectorAll("button[type=submit]")) button.disabled = true;
    });
  }
});

window.addEventListener("pageshow", (event) => {
  // Only a page that comes back from the browser's memory still has what sending switched off.
  if (!event.persisted) return;
  for (const field of document.querySelectorAll("form :disabled")) field.disabled = false;
  countSelected();
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-select-all]")) {
    for (const box of document.querySelectorAll("[data-select]")) box.checked = event.target.checked;
  }
  if (event.target.matches("[data-select], [data-select-all]")) countSelected();
  if (event.target.matches("[data-action-kind]")) showParams(event.target);
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, textarea, select, [contenteditable]")) return;
  const field = document.querySelector('[data-shortcut="/"]');
  if (field) {
    event.preventDefault();
    field.focus();
  }
});

// Accounts that begin with what is written, for a field inside (or with) the address they are asked from.
let asking = 0;
document.addEventListener("input", (event) => {
  if (!event.target.matches("[data-account]")) return;
  const source = event.target.closest("[data-suggest]");
  const text = event.target.value.trim();
  clearTimeout(asking);
  if (source && text.length > 1) asking = setTimeout(() => suggestAccounts(source, event.target.list, text), 200);
});

async function suggestAccounts(source, list, text) {
  const query = new URLSearchParams({ q: text, currency: source.dataset.currency || "" });
  const response = await fetch(`${source.dataset.suggest}?${query}`, { credentials: "same-origin" });
  if (!response.ok) return;
  const { accounts } = await response.json();
  const options = accounts.map((account) => {
    const option = document.createElement("option");
    option.value = account.number;
    option.label = account.label;
    option.textContent = account.label;
    return option;
  });
  list.replaceChildren(...options);
}

function countSelected() {
  const bar = document.querySelector("[data-bulk]");
  if (!bar) return;
  const chosen = document.querySelectorAll("[data-select]:checked").length;
  bar.querySelector("[data-bulk-count]").textContent = String(chosen);
  for (const button of bar.querySelectorAll("button:not([data-always])")) button.disabled = chosen === 0;
}

// Only the details the chosen action needs are shown.
function showParams(select) {
  for (const field of select.form.querySelectorAll("[data-for]")) {
    field.hidden = !field.dataset.for.split(" ").includes(select.value);
  }
}

document.addEventListener("DOMContentLoaded", () => {
  const waiting = document.querySelector("[data-reload]");
  if (waiting) setTimeout(() => window.location.reload(), Number(waiting.dataset.reload) * 1000);
  countSelected();
  for (const select of document.querySelectorAll("[data-action-kind]")) showParams(select);
});
