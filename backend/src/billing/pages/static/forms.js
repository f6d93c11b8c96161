// A form is sent once, and says that it is on its way.

export function setWaiting(form, isWaiting) {
  const button = form.querySelector("button:not([type=button])");
  if (isWaiting) {
    form.dataset.label = button.textContent;
    button.textContent = form.dataset.once;
    button.setAttribute("aria-disabled", "true");
  } else if (form.dataset.label !== undefined) {
    button.textContent = form.dataset.label;
    button.removeAttribute("aria-disabled");
    delete form.dataset.label;
  }
}

export function isWaiting(form) {
  return form.dataset.label !== undefined;
}

export function sendFormsOnce() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("[data-once]")) return;
    if (isWaiting(form)) {
      event.preventDefault();
      event.stopImmediatePropagation();
    } else {
      setWaiting(form, true);
    }
  });
  // Back from another site: the page is shown as it was left, and must be usable again.
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-once]")) setWaiting(form, false);
  });
}
