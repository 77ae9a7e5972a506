"use strict";
(() => {
  const MOST = 200;
  const [ID, SUBJECT, EXPRESSION, SOURCE, QUALITY, STATE, REASON, PAGE] = [0, 1, 2, 3, 4, 5, 6, 7];
  const rows = window.FG3D_CAPTURES;
  const texts = rows.map((r) => [r[ID], r[SUBJECT], r[EXPRESSION], r[SOURCE], r[REASON]].join(" ").toLowerCase());
  const words = document.getElementById("words");
  const state = document.getElementById("state");
  const order = document.getElementById("order");

  // A capture that failed has no quality: nothing is worse.
  const quality = (r) => (r[QUALITY] === null ? -1 : r[QUALITY]);
  const orders = {
    worst: (a, b) => quality(a) - quality(b),
    best: (a, b) => quality(b) - quality(a),
    id: (a, b) => (a[ID] < b[ID] ? -1 : a[ID] > b[ID] ? 1 : 0),
  };

  function cell(line, text, right) {
    const made = document.createElement("td");
    made.textContent = text;
    if (!right) made.className = "text";
    line.append(made);
    return made;
  }

  function show() {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (r, i) => (!state.value || r[STATE] === state.value) && wanted.every((w) => texts[i].includes(w));
    const found = rows.filter(fits).sort(orders[order.value]);
    const lines = found.slice(0, MOST).map((r) => {
      const line = document.createElement("tr");
      const link = document.createElement("a");
      link.textContent = r[ID];
      link.href = r[PAGE] + "#" + encodeURIComponent(r[ID]);
      cell(line, "").append(link);
      cell(line, r[SUBJECT]);
      cell(line, r[EXPRESSION]);
      cell(line, r[SOURCE]);
      cell(line, r[QUALITY] === null ? "" : r[QUALITY].toFixed(2), true);
      cell(line, r[STATE]);
      cell(line, r[REASON]);
      return line;
    });
    document.getElementById("found").replaceChildren(...lines);
    const more = found.length > MOST ? `, the first ${MOST} of them are shown` : "";
    document.getElementById("count").textContent = `${found.length.toLocaleString("en")} captures${more}.`;
  }

  for (const part of [words, state, order]) part.addEventListener("input", show);
  show();
})();
