// Asks about one payment until it has ended. The customer can leave; the server finishes it without this page.
import { cardNamed, reload } from "./cards.js";

const WAITS_SECONDS = [1, 2, 2, 3, 5, 8, 13, 20];
const CHECKS_MAX = 40;

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

const becomesVisible = () =>
  new Promise((resolve) => {
    if (!document.hidden) resolve();
    else document.addEventListener("visibilitychange", resolve, { once: true });
  });

const stateOf = (card) => card.querySelector("[data-state]")?.dataset.state;
const isOpen = (card) => ["waiting", "processing", "unknown"].includes(stateOf(card));

async function showNewBalance() {
  // One after the other: each is small, and the money comes first.
  for (const name of ["balance", "chip", "notice", "activity"]) {
    const card = cardNamed(name);
    if (card) await reload(card);
  }
}

export async function watchTopup() {
  const card = cardNamed("topup");
  if (!card) return;
  card.addEventListener("card:reloaded", () => {
    if (stateOf(card) === "credited") showNewBalance();
  });
  for (let check = 0; check < CHECKS_MAX && isOpen(card); check += 1) {
    await pause(WAITS_SECONDS[Math.min(check, WAITS_SECONDS.length - 1)]);
    await becomesVisible();
    // "Check again" may have ended it meanwhile.
    if (!isOpen(card)) return;
    const hadFocus = card.contains(document.activeElement);
    await reload(card);
    if (hadFocus && !card.contains(document.activeElement)) card.focus({ preventScroll: true });
    if (stateOf(card) === "credited") await showNewBalance();
  }
}
