// Cards load again one by one; nothing else on the page is touched, least of all what the customer is typing.

const WAIT_MS_MAX = 15_000;

export function cardNamed(name) {
  return document.querySelector(`[data-card="${CSS.escape(name)}"]`);
}

/** Loads a card again; answers whether the server sent one. The old content stays until then. */
export async function reload(card) {
  card.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(card.dataset.src, {
      headers: { Accept: "text/html" },
      signal: AbortSignal.timeout(WAIT_MS_MAX),
    });
    // A redirect means that the session has ended: the sign-in page is not a card.
    if (!answer.ok || answer.redirected) return false;
    const fresh = document.createElement("div");
    fresh.innerHTML = await answer.text();
    // Content that is the same stays, so that nothing is announced twice and no focus is lost.
    if (fresh.innerHTML !== card.innerHTML) card.replaceChildren(...fresh.childNodes);
    return true;
  } catch {
    return false;
  } finally {
    card.removeAttribute("aria-busy");
  }
}

/** "Try again" loads its own card only. Without this module the same link loads the page. */
export function offerRetries() {
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("[data-retry]");
    const card = link && cardNamed(link.dataset.retry);
    if (!card?.dataset.src || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    if (card.hasAttribute("aria-busy")) return;
    if (await reload(card)) {
      // The link that had the focus is gone; what it was about takes it.
      card.focus({ preventScroll: true });
      card.dispatchEvent(new CustomEvent("card:reloaded", { bubbles: true }));
    }
  });
}
