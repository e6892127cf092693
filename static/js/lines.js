// Forms with lines of accounts and amounts: rows come and go, totals are shown while one writes.
// Everything works without: blank rows are there to be filled in, and the service checks the totals.
"use strict";

// Whole minor units of a written amount, or null when it is none. No floats: 0.1 + 0.2 must be 0.3.
function minorUnits(text, exponent) {
  const match = /^(\d{1,3}(?:,\d{3})+|\d*)(?:\.(\d+))?$/.exec(text.trim());
  if (!match || (!match[1] && !match[2])) return null;
  const fraction = (match[2] || "").replace(/0+$/, "");
  if (fraction.length > exponent) return null;
  return BigInt((match[1] || "0").replaceAll(",", "") + fraction.padEnd(exponent, "0"));
}

function written(minor, exponent) {
  const digits = (minor < 0n ? -minor : minor).toString().padStart(exponent + 1, "0");
  const whole = digits.slice(0, digits.length - exponent).replace(/\B(?=(\d{3})+$)/g, ",");
  return (minor < 0n ? "-" : "") + whole + (exponent ? "." + digits.slice(-exponent) : "");
}

class LinesForm {
  constructor(form) {
    this.form = form;
    this.exponent = Number(form.dataset.exponent || 2);
    this.rows = form.querySelector("[data-rows]");
    for (const button of form.querySelectorAll("[data-add-row], [data-remove-row]")) button.hidden = false;
    form.addEventListener("input", (event) => this.changed(event));
    form.addEventListener("change", (event) => this.changed(event));
    form.addEventListener("click", (event) => this.clicked(event));
    this.scope();
    this.sides();
    this.totals();
  }

  changed(event) {
    if (event.target.matches("[data-scope]")) this.scope();
    if (event.target.matches("[data-wrong]")) {
      this.sides();
      if (event.type === "change") this.proposeAmount();
    }
    this.totals();
  }

  clicked(event) {
    if (event.target.closest("[data-add-row]")) this.addRow();
    const remove = event.target.closest("[data-remove-row]");
    if (remove) {
      const row = remove.closest("[data-row]");
      if (this.rows.querySelectorAll("[data-row]").length > 1) row.remove();
      else for (const field of row.querySelectorAll("input")) field.value = "";
      this.totals();
    }
  }

  addRow() {
    const all = this.rows.querySelectorAll("[data-row]");
    const row = all[all.length - 1].cloneNode(true);
    for (const field of row.querySelectorAll("input")) field.value = "";
    for (const error of row.querySelectorAll(".c-error")) error.remove();
    all[all.length - 1].after(row);
    row.querySelector("[data-account]").focus();
  }

  // Only what the chosen scope needs is shown.
  scope() {
    const chosen = this.form.querySelector("[data-scope]:checked");
    for (const part of this.form.querySelectorAll("[data-of-scope]")) {
      part.hidden = Boolean(chosen) && part.dataset.ofScope !== chosen.value;
    }
  }

  // Lines of one side only: the first tick closes the other side.
  sides() {
    const ticked = this.form.querySelector("[data-wrong]:checked");
    for (const box of this.form.querySelectorAll("[data-wrong]:not([data-refused])")) {
      box.disabled = Boolean(ticked) && box.dataset.side !== ticked.dataset.side;
    }
  }

  wrong() {
    let sum = 0n;
    for (const box of this.form.querySelectorAll("[data-wrong]:checked")) sum += BigInt(box.dataset.amount);
    return sum;
  }

  // While only one row is begun, its amount follows the ticks: most corrections move everything to one account.
  proposeAmount() {
    const fields = [...this.rows.querySelectorAll("[data-right]")];
    if (fields.slice(1).some((field) => field.value)) return;
    const sum = this.wrong();
    fields[0].value = sum ? written(sum, this.exponent) : "";
  }

  totals() {
    if (this.form.querySelector('[data-total="wrong"]')) this.show(this.wrong(), this.sum(() => true), "wrong", "right");
    else {
      const of = (side) => this.sum((row) => row.querySelector("[data-side-of-row]").value === side);
      this.show(of("D"), of("C"), "debit", "credit");
    }
  }

  sum(counts) {
    let sum = 0n;
    for (const row of this.rows.querySelectorAll("[data-row]")) {
      const field = row.querySelector("[data-right]");
      if (!field.value.trim()) {
        field.removeAttribute("aria-invalid");
        continue;
      }
      const amount = minorUnits(field.value, this.exponent);
      field.setAttribute("aria-invalid", String(amount === null));
      if (amount !== null && counts(row)) sum += amount;
    }
    return sum;
  }

  show(left, right, leftName, rightName) {
    const place = (name) => this.form.querySelector(`[data-total="${name}"]`);
    place(leftName).textContent = written(left, this.exponent);
    place(rightName).textContent = written(right, this.exponent);
    const difference = place("difference");
    difference.textContent = written(left - right, this.exponent);
    difference.classList.toggle("c-neg", left !== right);
    difference.classList.toggle("c-agrees", left === right && left !== 0n);
  }
}

document.addEventListener("DOMContentLoaded", () => {
  for (const form of document.querySelectorAll("form[data-lines]")) new LinesForm(form);
});
