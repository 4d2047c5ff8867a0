// What scripts add to pages that work without them: confirmations, parts that stay fresh, filters without a button.

const parse = (text) => new DOMParser().parseFromString(text, "text/html");

/** Put the parts (elements with data-part) of a fetched page in the place of those of this page. */
const replaceParts = (fresh) => {
  for (const part of document.querySelectorAll("[data-part]")) {
    const next = fresh.querySelector(`[data-part="${CSS.escape(part.dataset.part)}"]`);
    if (next && next.innerHTML !== part.innerHTML && !part.contains(document.activeElement?.closest("input, select, textarea"))) {
      part.replaceWith(next);
    }
  }
};

/** Fetch a page and update the parts. Nothing changes while the server does not answer. */
const refresh = async (address) => {
  try {
    const answer = await fetch(address, { headers: { Accept: "text/html" }, credentials: "same-origin" });
    if (!answer.ok || answer.redirected) return false;
    replaceParts(parse(await answer.text()));
    return true;
  } catch {
    return false;
  }
};

/** Parts with data-refresh="SECONDS" are fetched again at this interval while the page is visible. */
const keepFresh = () => {
  const seconds = [...document.querySelectorAll("[data-refresh]")].map((part) => Number(part.dataset.refresh)).filter(Boolean);
  if (!seconds.length) return;
  setTimeout(async () => {
    if (!document.hidden) await refresh(location.href);
    keepFresh();
  }, Math.min(...seconds) * 1000);
};

/** Forms with data-confirm ask before they are sent. */
const confirmFirst = (form, submitter) => {
  const dialog = document.getElementById("confirm");
  dialog.querySelector("[data-question]").textContent = submitter?.dataset.confirm ?? form.dataset.confirm;
  dialog.returnValue = "";
  dialog.showModal();
  dialog.addEventListener("close", () => {
    if (dialog.returnValue !== "yes") return;
    form.dataset.confirmed = "yes";
    form.requestSubmit(submitter ?? undefined);
  }, { once: true });
};

document.addEventListener("submit", (event) => {
  const form = event.target;
  const question = event.submitter?.dataset.confirm ?? form.dataset.confirm;
  if (question && form.dataset.confirmed !== "yes") {
    event.preventDefault();
    confirmFirst(form, event.submitter);
    return;
  }
  delete form.dataset.confirmed;
});

// the chosen look is applied at once: forms with data-auto send themselves when a field changes
document.addEventListener("change", (event) => {
  const form = event.target.form;
  if (form?.hasAttribute("data-auto")) form.requestSubmit();
});

// parts with data-kinds are for some values of the form's field "kind": the others are neither displayed nor sent
const fitToKind = (kind) => {
  for (const part of kind.form.querySelectorAll("[data-kinds]")) {
    part.hidden = !part.dataset.kinds.split(" ").includes(kind.value);
    for (const field of part.querySelectorAll("input, select, textarea")) field.disabled = part.hidden;
  }
};
for (const part of document.querySelectorAll("[data-kinds]")) {
  const { kind } = part.closest("form").elements;
  if (kind && !kind.dataset.fits) {
    kind.dataset.fits = "yes";
    kind.addEventListener("change", () => fitToKind(kind));
    fitToKind(kind);
  }
}

// beside a slider stands its value
document.addEventListener("input", (event) => {
  if (event.target.type !== "range") return;
  for (const label of document.querySelectorAll(`output[for="${CSS.escape(event.target.id)}"]`)) label.value = event.target.value;
});

// filters (GET forms with data-live) update the parts while one types, and keep the address
let typing;
document.addEventListener("input", (event) => {
  const form = event.target.form;
  if (!form?.hasAttribute("data-live")) return;
  clearTimeout(typing);
  typing = setTimeout(async () => {
    const address = `${form.action.split("?")[0]}?${new URLSearchParams(new FormData(form))}`;
    if (await refresh(address)) history.replaceState(null, "", address);
  }, 250);
});

// fields with data-suggest are given own ids and names while one types; data-many: after the last comma
let suggesting;
document.addEventListener("input", (event) => {
  const field = event.target;
  if (!field.dataset?.suggest || (event.inputType ?? "insertReplacementText") === "insertReplacementText") return;
  clearTimeout(suggesting);
  suggesting = setTimeout(async () => {
    const typed = field.value;
    const before = "many" in field.dataset ? typed.slice(0, typed.lastIndexOf(",") + 1) : "";
    const query = new URLSearchParams({ kind: field.dataset.suggest, q: typed.slice(before.length).trim() });
    try {
      const answer = await fetch(`/console/suggestions?${query}`, { credentials: "same-origin" });
      if (!answer.ok || answer.redirected || field.value !== typed) return;
      const lead = before && `${before} `;
      field.list.replaceChildren(...(await answer.json()).suggestions.map(({ value, label }) =>
        Object.assign(document.createElement("option"), { value: lead + value, label: lead + label })));
    } catch {
      // without the server a field has no suggestions
    }
  }, 200);
});

for (const button of document.querySelectorAll("[data-only-with-script]")) button.hidden = false;
for (const button of document.querySelectorAll("[data-only-without-script]")) button.hidden = true;
const toast = document.querySelector(".toast:not(.failed)");
if (toast) setTimeout(() => toast.remove(), 8000);
keepFresh();

export { refresh, replaceParts };
