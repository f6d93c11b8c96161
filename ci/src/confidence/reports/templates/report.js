"use strict";
// Names of tests are only ever set as text. The list grows on demand, so that many tests open as fast as few.
(() => {
  const data = JSON.parse(document.getElementById("test-data").textContent);
  const page = 200;
  const table = document.getElementById("test-table");
  const body = table.tBodies[0];
  const text = document.getElementById("filter-text");
  const outcome = document.getElementById("filter-outcome");
  const suite = document.getElementById("filter-suite");
  const count = document.getElementById("filter-count");
  const more = document.getElementById("more");
  const rank = ["lost", "timed_out", "failed", "error", "xpassed", "flaky", "skipped", "xfailed", "passed"];
  const order = new Map(rank.map((name, index) => [name, index]));
  data.tests.sort((a, b) => order.get(a[2]) - order.get(b[2]));
  const names = data.tests.map((test) => test[0].toLowerCase());
  let found = [];
  let shown = 0;

  const cell = (row, content, className) => {
    const made = row.insertCell();
    made.textContent = content;
    if (className) made.className = className;
    return made;
  };
  const seconds = (value) => (value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`);
  const grow = () => {
    const rows = document.createDocumentFragment();
    for (const index of found.slice(shown, shown + page)) {
      const [id, suiteIndex, result, took, process] = data.tests[index];
      const row = document.createElement("tr");
      cell(row, id);
      cell(row, data.suites[suiteIndex]);
      const tag = document.createElement("span");
      tag.className = `tag ${result}`;
      tag.textContent = result.replace("_", " ");
      cell(row, "").append(tag);
      cell(row, seconds(took), "n");
      cell(row, process);
      rows.append(row);
    }
    body.append(rows);
    shown = Math.min(shown + page, found.length);
    more.hidden = shown >= found.length;
    count.textContent = `${found.length} of ${data.tests.length} tests`;
  };
  const filter = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    found = [];
    for (let index = 0; index < data.tests.length; index += 1) {
      const test = data.tests[index];
      if (outcome.value && test[2] !== outcome.value) continue;
      if (suite.value && String(test[1]) !== suite.value) continue;
      if (words.every((word) => names[index].includes(word))) found.push(index);
    }
    body.replaceChildren();
    shown = 0;
    grow();
  };
  for (const name of rank) {
    if (data.tests.some((test) => test[2] === name)) outcome.add(new Option(name.replace("_", " "), name));
  }
  data.suites.forEach((name, index) => suite.add(new Option(name, String(index))));
  for (const control of [text, outcome, suite]) control.addEventListener("input", filter);
  more.addEventListener("click", grow);
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      text.focus();
    } else if (event.key === "Escape" && event.target === text) {
      text.value = "";
      filter();
    }
  });
  for (const button of document.querySelectorAll("button.copy")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
      button.textContent = "Copied";
    });
  }
  document.querySelector(".filters").hidden = false;
  table.hidden = data.tests.length === 0;
  filter();
})();
