// A match by hand: while items are ticked, what both sides come to and what they differ by. The service checks it again.
"use strict";

class MatchSums {
  constructor(shown) {
    this.shown = shown;
    this.form = shown.closest("section").querySelector("form");
    this.exponent = Number(shown.dataset.exponent);
    this.form.addEventListener("change", () => this.show());
    shown.hidden = false;
    this.show();
  }

  ticked(name) {
    const boxes = this.form.querySelectorAll(`input[name="${name}"]:checked`);
    return [...boxes].reduce((sum, box) => sum + BigInt(box.dataset.amount), 0n);
  }

  show() {
    const mine = BigInt(this.shown.dataset.amount) + this.ticked("beside");
    const theirs = this.ticked("others");
    const [own, channel] = this.shown.dataset.side === "own" ? [mine, theirs] : [theirs, mine];
    for (const [name, value] of Object.entries({ own, channel, difference: channel - own })) {
      this.shown.querySelector(`[data-sum="${name}"]`).textContent = this.written(value);
    }
    this.shown.classList.toggle("c-error", own !== channel);
    this.shown.classList.toggle("c-agrees", own === channel);
  }

  written(minor) {
    const digits = (minor < 0n ? -minor : minor).toString().padStart(this.exponent + 1, "0");
    const whole = digits.slice(0, digits.length - this.exponent).replace(/\B(?=(\d{3})+$)/g, ",");
    return (minor < 0n ? "-" : "") + whole + (this.exponent ? "." + digits.slice(-this.exponent) : "");
  }
}

for (const shown of document.querySelectorAll("[data-match-sums]")) new MatchSums(shown);
