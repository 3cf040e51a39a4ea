// The balance, live. All amounts arrive as the text to show; the only arithmetic here moves digits for the eye and is
// never what stays on the page.

const root = document.querySelector("[data-live]");
const state = document.querySelector("[data-live-state]");
const note = document.querySelector("[data-live-note]");
const still = window.matchMedia("(prefers-reduced-motion: reduce)");

const { point: mark = "." } = document.documentElement.dataset;
const MOVED_MS = 1500;
const NOTE_MS = 10000;
const SILENT_MS = 60000;

function receive(message) {
  let moved = false;
  for (const balance of message.balances) {
    const box = document.querySelector(`[data-balance="${CSS.escape(balance.asset)}"]`);
    if (!box) {
      // An asset that was not in the wallet when the page was made.
      location.reload();
      return;
    }
    const figure = box.querySelector("[data-figure]");
    const held = document.querySelector(`[data-held="${CSS.escape(balance.asset)}"] .money`);
    if (held && held.value !== balance.held) {
      held.textContent = balance.held_text;
      held.title = balance.held_exact;
      held.value = balance.held;
    }
    if (figure.value !== balance.available) {
      roll(figure, balance);
      point(box, balance);
      announce(balance);
      moved = true;
    }
    moved ||= box.dataset.seq !== String(balance.seq);
    box.dataset.seq = balance.seq;
  }
  if (moved) tellOthers();
}

function settle(figure, balance) {
  const [whole, fraction, tail] = balance.available_parts;
  figure.querySelector(".figure-whole").textContent = whole;
  figure.querySelector(".figure-fraction").textContent = fraction;
  figure.querySelector(".figure-tail").textContent = tail;
}

const rolling = new WeakMap();

function roll(figure, balance) {
  cancelAnimationFrame(rolling.get(figure));
  const from = Number(figure.value);
  const to = Number(balance.available);
  figure.value = balance.available;
  figure.title = balance.available_exact;
  const [whole, fraction, tail] = balance.available_parts;
  if (still.matches || document.hidden) {
    settle(figure, balance);
    return;
  }
  const lead = whole.match(/^[^\d]*/)[0];
  const decimals = Math.max(0, fraction.length - 1);
  const tailDigits = tail.length;
  const began = performance.now();
  const step = (now) => {
    const part = Math.min(1, (now - began) / 500);
    if (part === 1) {
      settle(figure, balance);
      return;
    }
    const eased = 1 - (1 - part) ** 3;
    const digits = window.anteWritten(Math.abs(from + (to - from) * eased), {
      minimumFractionDigits: decimals + tailDigits,
      maximumFractionDigits: decimals + tailDigits,
    });
    const [front, back = ""] = digits.split(mark);
    figure.querySelector(".figure-whole").textContent = lead + front;
    figure.querySelector(".figure-fraction").textContent = decimals ? `${mark}${back.slice(0, decimals)}` : "";
    figure.querySelector(".figure-tail").textContent = back.slice(decimals);
    rolling.set(figure, requestAnimationFrame(step));
  };
  rolling.set(figure, requestAnimationFrame(step));
}

function point(box, balance) {
  const change = box.querySelector("[data-change]");
  if (!change || !balance.change_text) return;
  change.textContent = balance.change_text;
  change.dataset.direction = balance.change_text.startsWith("+") ? "in" : "out";
  delete change.dataset.show;
  void change.offsetWidth; // Starts the animation anew.
  change.dataset.show = "";
}

let announced = -Infinity;
let waiting = null;

function announce(balance) {
  clearTimeout(waiting);
  waiting = setTimeout(
    () => {
      announced = performance.now();
      note.textContent = note.dataset.liveNote.replace("…", balance.available_text);
    },
    Math.max(0, announced + NOTE_MS - performance.now()),
  );
}

let told = -Infinity;
let telling = null;

function tellOthers() {
  if (telling) return;
  telling = setTimeout(
    () => {
      telling = null;
      told = performance.now();
      document.body.dispatchEvent(new CustomEvent("balance-moved"));
    },
    Math.max(0, told + MOVED_MS - performance.now()),
  );
}

// What no balance tells of is looked at once a minute.
setInterval(() => {
  if (!document.hidden) tellOthers();
}, SILENT_MS);

// A matter that came up is read out, and what stands in its place is not.
let matters = document.getElementById("attention-head")?.textContent.trim();
document.body.addEventListener("htmx:oobAfterSwap", ({ detail: { target } }) => {
  if (target.id !== "attention-head") return;
  const now = target.textContent.trim();
  if (now !== matters) document.querySelector("[data-matters-note]").textContent = now;
  matters = now;
});

if (root && state) {
  window.anteListen({ stream: root.dataset.live, poll: root.dataset.poll, event: "balance", state, receive });
}
