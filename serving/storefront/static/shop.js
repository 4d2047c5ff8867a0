// What the pages of the shop front add to recsys.js: who the visitor is, what the page reports, and the drawer.
// It runs before recsys.js, so that no event of it is missed.

const read = (name, store = sessionStorage) => {
  try { return JSON.parse(store.getItem(`shop.${name}`)); } catch { return null; }
};
const write = (name, value, store = sessionStorage) => {
  try { store.setItem(`shop.${name}`, JSON.stringify(value)); } catch { /* private windows have no storage */ }
};
const make = (tag, text, className = "") => Object.assign(document.createElement(tag), { textContent: text, className });
const script = document.querySelector('script[data-key^="pk_"]');
const visit = script?.dataset.session;
const drawer = document.getElementById("drawer");
const lists = drawer?.querySelector("[data-lists]");
const events = drawer?.querySelector("[data-events]");
const hint = drawer?.querySelector("[data-drawer-hint]");

// --- a visit of another visitor begins with an empty memory

if (read("visit") !== visit) {
  for (const name of ["events", "seen"]) write(name, name === "events" ? [] : {});
  write("visit", visit);
}

// --- lists: where they come from, and what is new in them since they were last seen

const SOURCES = { stored: "ranked ahead", live: "ranked now", popular: "counted, without a model" };

const changeOf = (name, items) => {
  const seen = read("seen") ?? {};
  const former = seen[name];
  write("seen", { ...seen, [name]: items });
  return former ? items.filter((item) => !former.includes(item)) : [];
};

const rowOf = (title) => {
  lists.querySelector("li.soft")?.remove();
  const row = lists.querySelector(`[data-list="${CSS.escape(title)}"]`) ?? lists.appendChild(document.createElement("li"));
  row.dataset.list = title;
  return row;
};

const showList = (title, provenance, milliseconds, items, fresh) => {
  if (!lists) return;
  const row = rowOf(title);
  row.replaceChildren();
  const head = make("div", "", "line");
  head.append(make("strong", title), make("span", `${Math.round(milliseconds)} ms`, "soft nowrap"));
  const reasons = new Map();
  for (const item of items) {
    const code = item.reason?.code?.replaceAll("_", " ");
    if (code) reasons.set(code, (reasons.get(code) ?? 0) + 1);
  }
  const why = [...reasons].map(([code, count]) => `${count} ${code}`).join(", ");
  const model = provenance.model ? ` by ${provenance.model}` : "";
  row.append(head, make("div", `${SOURCES[provenance.source] ?? provenance.source}${model}${provenance.generation ? `, generation ${provenance.generation}` : ""}`));
  if (!provenance.complete) row.append(make("div", "late: the best list that was ready", "warn"));
  if (why) row.append(make("div", why, "soft"));
  if (fresh) row.append(make("div", `${fresh} of ${items.length} new since you last saw it`, "good"));
};

// in the order of the page, whichever comes first
if (lists) {
  for (const list of document.querySelectorAll("recsys-list")) {
    const head = make("div", "", "line");
    head.append(make("strong", list.dataset.title), make("span", "…", "soft"));
    rowOf(list.dataset.title).append(head);
  }
}

const late = new WeakSet();
const LATE_MS = 400;

// how long the server took: without the time that the request waited in the browser
const serverTime = (list, milliseconds) => {
  const sku = list.getAttribute("sku");
  const part = sku ? encodeURIComponent(sku) : `placement=${list.getAttribute("placement")}&`;
  const timing = performance.getEntriesByType("resource").findLast(({ name }) => name.includes("/api/v1/") && name.includes(part)
    && (!sku || name.includes(list.getAttribute("placement").replace("_", "-"))));
  return timing?.responseStart ? timing.responseStart - timing.requestStart : milliseconds;
};

// names of the products that were displayed, for the ticker
const nameOf = (sku) => (read("names") ?? {})[sku] ?? sku;
const learnNames = (pairs) => {
  const names = { ...(read("names") ?? {}), ...Object.fromEntries(pairs) };
  write("names", Object.fromEntries(Object.entries(names).slice(-400)));
};
for (const page of document.querySelectorAll('[data-track="view"]')) learnNames([[page.dataset.sku, document.querySelector("h1").textContent]]);

document.addEventListener("recsys-ready", (event) => {
  const list = event.target;
  const { items, provenance } = event.detail;
  const milliseconds = serverTime(list, event.detail.milliseconds);
  learnNames(items.map((item) => [item.sku, item.name]));
  // filled with popular products, the list is not because of anything
  list.closest(".shelf").hidden = list.getAttribute("placement") === "because_you_viewed" && provenance.source === "popular";
  const title = list.dataset.title ?? list.getAttribute("placement");
  const skus = items.map((item) => item.sku);
  // the server ranks on after its deadline, and has the list for the next request
  if (!provenance.complete && !late.has(list)) {
    late.add(list);
    setTimeout(() => list.setAttribute("limit", list.getAttribute("limit")), LATE_MS);
    showList(title, provenance, milliseconds, items, 0);
    return;
  }
  const isHome = location.pathname === "/shop";
  const fresh = isHome ? changeOf(list.getAttribute("placement"), skus) : [];
  showList(title, provenance, milliseconds, items, fresh.length);
  // trends and new products change for everybody; the marks are for what changed for this visitor
  if (!["for_you", "because_you_viewed"].includes(list.getAttribute("placement"))) return;
  for (const [place, item] of items.entries()) {
    list.querySelector(`:scope > [slot="recsys-${place}"]`)?.classList.toggle("fresh", fresh.includes(item.sku));
  }
  const change = document.querySelector("[data-change]");
  if (change && fresh.length && list.getAttribute("placement") === "for_you") {
    change.hidden = false;
    change.textContent = `${fresh.length} of ${items.length} products of “${title}” are new since you last saw this page.`;
    if (hint) hint.textContent = `${fresh.length} changed`;
  }
});

for (const drawn of document.querySelectorAll("[data-provenance]")) {
  const provenance = JSON.parse(drawn.dataset.provenance);
  const title = drawn.querySelector("h2")?.textContent ?? document.querySelector("h1").textContent;
  showList(title, provenance, Number(drawn.dataset.milliseconds), [], 0);
}

// --- events: a ticker of what the pages report

const WORDS = { shown: "seen in a list", clicked: "clicked in a list", carted: "into the cart from a list", purchased: "bought from a list" };
const MOST_EVENTS = 12;

const wordsOf = ({ path, body }) => {
  if (path === "/search/clicks") return "clicked in a search";
  return body.interaction_type?.replaceAll("_", " ") ?? WORDS[body.feedback_type] ?? body.feedback_type;
};

const showEvents = () => {
  const noted = read("events") ?? [];
  if (!events || !noted.length) return;
  events.replaceChildren(...noted.map(({ kind, count, at }) => {
    const row = document.createElement("li");
    row.append(make("span", count > 1 ? `${kind} × ${count}` : kind, "kind"), make("span", new Date(at).toLocaleTimeString(), "soft nowrap"));
    return row;
  }));
};

addEventListener("recsys-event", ({ detail }) => {
  const noted = read("events") ?? [];
  const kind = wordsOf(detail) + (detail.body.sku ? `: ${nameOf(detail.body.sku)}` : "");
  // a list of twelve products is one line
  if (noted[0]?.kind === kind && Date.now() - noted[0].at < 5000) noted[0] = { kind, count: noted[0].count + 1, at: Date.now() };
  else noted.unshift({ kind, count: 1, at: Date.now() });
  write("events", noted.slice(0, MOST_EVENTS));
  showEvents();
});
showEvents();

// --- what the page reports, once recsys.js is there

const reported = (key) => {
  const done = read("reported") ?? [];
  if (done.includes(key)) return true;
  write("reported", [...done, key].slice(-50));
  return false;
};

addEventListener("recsys-loaded", () => {
  const { recsys } = globalThis;
  if (script.hasAttribute("data-user")) {
    recsys.user(() => fetch("/shop/user-token").then((answer) => (answer.ok ? answer.text() : null)));
  }
  const tracked = document.querySelector("[data-track]");
  // a page that is loaded again repeats no cart change
  if (tracked && (tracked.dataset.track === "view" || performance.getEntriesByType("navigation")[0]?.type === "navigate")) {
    recsys.track(tracked.dataset.track, {
      sku: tracked.dataset.sku, ...(tracked.dataset.quantity && { quantity: Number(tracked.dataset.quantity) }),
      is_stored: tracked.hasAttribute("data-stored"),
    });
  }
  const order = document.querySelector("[data-order]")?.dataset.order;
  // the server has the purchase itself; the script says for which lists it counts
  if (order && !reported(order)) recsys.track("purchase", { ...JSON.parse(order), is_stored: true });
}, { once: true });

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("[data-click]");
  if (!link || !globalThis.recsys) return;
  const { product, sku, request, search, query, position } = link.dataset;
  recsys.clicked({
    sku, product_id: Number(product), request_id: request,
    ...(search && { search_id: search, query, position: Number(position) }),
  });
});

// --- the drawer stays as the visitor left it; beside the page it is open at first

if (drawer && script) {
  drawer.open = read("drawer", localStorage) ?? matchMedia("(min-width: 1200px)").matches;
  drawer.addEventListener("toggle", () => write("drawer", drawer.open, localStorage));
}
const menu = document.querySelector(".switch");
document.addEventListener("click", (event) => { if (menu?.open && !menu.contains(event.target)) menu.open = false; });
document.addEventListener("focusin", (event) => { if (menu?.open && !menu.contains(event.target)) menu.open = false; });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && menu?.open) { menu.open = false; menu.querySelector("summary").focus(); }
});
