// The answer appears beside the prompt, so that reloading the page never sends (and pays for) a prompt again.
import { cardNamed, reload } from "./cards.js";
import { isWaiting, setWaiting } from "./forms.js";

const DRAFT = "billing.prompt";

/** An address cannot carry every prompt; this tab remembers what its links leave behind. */
export function keepPrompt() {
  const prompt = document.getElementById("prompt");
  // Nobody is signed in here: the next person must not find the last one's words.
  if (document.getElementById("password")) sessionStorage.removeItem(DRAFT);
  if (!prompt) return;
  if (prompt.value === "") prompt.value = sessionStorage.getItem(DRAFT) ?? "";
  prompt.addEventListener("input", () => sessionStorage.setItem(DRAFT, prompt.value));
}

function say(place, sentence) {
  const notice = document.createElement("p");
  notice.className = "notice notice-bad";
  notice.setAttribute("role", "alert");
  notice.textContent = sentence;
  place.replaceChildren(notice);
}

async function ask(form, place) {
  place.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new FormData(form),
      headers: { Accept: "text/html", "X-Fragment": "answer" },
    });
    if (answer.redirected) location.assign(answer.url);
    else place.innerHTML = await answer.text();
  } catch {
    // Whether the call was made is not known here, so nothing is said about its cost.
    say(place, form.dataset.lost);
  } finally {
    place.removeAttribute("aria-busy");
    setWaiting(form, false);
  }
  const chip = cardNamed("chip");
  if (chip) await reload(chip);
}

export function answerInPlace() {
  const form = document.querySelector("form[data-into]");
  if (!form) return;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!isWaiting(form)) ask(form, document.getElementById(form.dataset.into));
  });
}
