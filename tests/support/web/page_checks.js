// The faults of an open page as lines of text; run in the page by tests/support/web/pages.py.
() => {
  const faults = [];
  const shown = (e) => e.getClientRects().length > 0 && getComputedStyle(e).visibility !== "hidden";
  const describe = (e) => `<${e.tagName.toLowerCase()}${e.id ? "#" + e.id : ""}> ${(e.textContent || e.getAttribute("name") || "").trim().replace(/\s+/g, " ").slice(0, 50)}`;

  // names of controls
  const nameOf = (e) => {
    const by = e.getAttribute("aria-labelledby");
    if (by) return by.split(/\s+/).map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
    return e.getAttribute("aria-label") || [...(e.labels ?? [])].map((l) => l.textContent).join(" ") ||
      (/^(INPUT|SELECT|TEXTAREA)$/.test(e.tagName) ? (/^(submit|button)$/.test(e.type) ? e.value : "") : e.textContent) ||
      [...e.querySelectorAll("img[alt]")].map((i) => i.alt).join(" ") || e.getAttribute("title") || "";
  };
  for (const e of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [role=button], [tabindex='0']")) {
    if (shown(e) && !nameOf(e).trim()) faults.push(`no name: ${describe(e)} ${e.outerHTML.slice(0, 120)}`);
  }
  for (const e of document.querySelectorAll("img")) if (!e.hasAttribute("alt")) faults.push(`no alt: ${e.src}`);
  for (const e of document.querySelectorAll("svg")) {
    if (!e.closest("[aria-hidden=true]") && !e.getAttribute("aria-label")) faults.push(`svg without a name: ${e.outerHTML.slice(0, 80)}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) faults.push(`id twice: ${id}`);

  // structure
  if (!document.documentElement.lang) faults.push("no language");
  if (!document.title.trim()) faults.push("no title");
  const heads = [...document.querySelectorAll("h1")].filter(shown);
  if (heads.length !== 1) faults.push(`${heads.length} h1 headings`);
  if (document.querySelectorAll("main").length !== 1) faults.push("not exactly one main");
  if (document.querySelector("[style]:not(svg *)")) faults.push(`inline style: ${document.querySelector("[style]").outerHTML.slice(0, 80)}`);

  // room: nothing scrolls sideways but tables in their own box
  const wide = document.documentElement.scrollWidth;
  if (wide > innerWidth + 1) {
    const outside = [...document.querySelectorAll("body *")].filter((e) => shown(e) && !e.closest(".scroll") && e.getBoundingClientRect().right > innerWidth + 1);
    faults.push(`page is ${wide} wide in ${innerWidth}: ${outside.slice(-3).map(describe).join(" | ")}`);
  }

  // no header cell breaks inside a word that has room in the widest such cell
  for (const cell of document.querySelectorAll("th")) {
    if (!shown(cell)) continue;
    const room = parseFloat(getComputedStyle(cell).maxWidth) - parseFloat(getComputedStyle(cell).paddingRight);
    const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      for (const word of texts.currentNode.data.matchAll(/[\p{L}\p{M}\p{N}]+/gu)) {
        const range = document.createRange();
        range.setStart(texts.currentNode, word.index);
        range.setEnd(texts.currentNode, word.index + word[0].length);
        const lines = [...range.getClientRects()];
        const length = lines.reduce((sum, line) => sum + line.width, 0);
        if (new Set(lines.map((line) => Math.round(line.top))).size > 1 && !(length > room)) faults.push(`header breaks inside a word: ${word[0]} in ${describe(cell)}`);
      }
    }
  }

  // contrast (WCAG 2.2, 1.4.3): of each text with what stands behind it
  const parse = (text) => {
    const c = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    c.clearRect(0, 0, 1, 1); c.fillStyle = text; c.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = c.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const cache = new Map();
  const colour = (text) => cache.get(text) ?? cache.set(text, parse(text)).get(text);
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const behind = (e) => {
    const layers = [];
    for (let n = e; n; n = n.parentElement) {
      const style = getComputedStyle(n);
      if (style.backgroundImage !== "none") return null;
      layers.push(colour(style.backgroundColor));
    }
    return layers.reverse().reduce((below, top) => over(top, below), colour(getComputedStyle(document.documentElement).colorScheme.includes("dark") ? "#121212" : "#fff"));
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const weak = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), e = walker.currentNode.parentElement;
    if (!text || !shown(e) || e.closest("svg, script, noscript, option, .visually-hidden, :disabled, [aria-hidden=true]")) continue;
    const style = getComputedStyle(e), back = behind(e);
    if (!back) continue;
    const opacity = (() => { let o = 1; for (let n = e; n; n = n.parentElement) o *= Number(getComputedStyle(n).opacity); return o; })();
    const ink = colour(style.color);
    const front = over([ink[0], ink[1], ink[2], ink[3] * opacity], back);
    const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
    const least = size >= 24 || (size >= 18.66 && bold) ? 3 : 4.5;
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least - 0.01) weak.add(`contrast ${ratio.toFixed(2)}: ${describe(e)}`);
  }
  faults.push(...[...weak].slice(0, 8));

  // targets (2.5.8): buttons and fields are at least 24 pixels high
  for (const e of document.querySelectorAll("button, select, input:not([type=hidden], [type=checkbox], [type=radio], [type=range]), summary, .button")) {
    if (shown(e) && e.getBoundingClientRect().height < 23.5) faults.push(`target too small: ${describe(e)}`);
  }

  // the order of focus is that of the page (2.4.3)
  for (const e of document.querySelectorAll("[tabindex]")) if (e.tabIndex > 0) faults.push(`positive tabindex: ${describe(e)}`);
  return faults;
}
