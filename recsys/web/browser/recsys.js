// recsys.js: lists, search and events on the pages of a shop. Guide: docs/guides/integrate.md.
//   <script type="module" src="https://api.example/recsys.js" data-key="pk_…"></script>
//   <recsys-list placement="for_you"></recsys-list>

const script = document.querySelector('script[data-key^="pk_"]');
const api = (script?.dataset.api ?? new URL('.', import.meta.url).href).replace(/\/$/, '');
let key = script?.dataset.key;
let consented = script?.dataset.consent !== 'required';

const FIELDS = 'sku,name,price,currency,image,url';
const OF_PRODUCT = {similar: 'similar', bought_together: 'bought-together'};
const FEEDBACK_OF = {add_to_cart: 'carted', purchase: 'purchased'};
const BATCH = 50, MOST_WAITING = 500, MOST_CLICKS = 100, CLICK_DAYS = 30;
const FLUSH_MS = 2000, LONGEST_WAIT_MS = 60000, SHOWN_MS = 1000, TIMEOUT_MS = 10000, MOST_LISTS = 10;

// --- storage: under one prefix, in memory where the browser has none, nothing without consent

const PREFIX = 'recsys.';
const memory = new Map();

function read(name) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + name) ?? 'null') ?? memory.get(name) ?? null;
  } catch {
    return memory.get(name) ?? null;
  }
}

function write(name, value) {
  if (!consented && value !== null) return;
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, JSON.stringify(value));
    memory.delete(name);
  } catch {
    memory.set(name, value);
  }
}

function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

// --- requests

async function call(method, path, {body, headers = {}, keepalive = false} = {}) {
  const response = await fetch(`${api}/api/v1${path}`, {
    method, keepalive, credentials: 'omit', cache: 'no-store',
    headers: {'X-Api-Key': key, ...(body && {'Content-Type': 'application/json'}), ...headers},
    body: body && JSON.stringify(body),
    signal: keepalive ? undefined : AbortSignal.timeout(TIMEOUT_MS),
  });
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    const seconds = Number(response.headers.get('Retry-After')) || 0;
    throw Object.assign(new Error(problem.detail ?? `status ${response.status}`), {status: response.status, seconds});
  }
  return response.status === 204 ? null : response.json().catch(() => null);
}

// whether the same request can succeed later
const isTemporary = ({status}) => !status || status >= 500 || [401, 408, 425, 429].includes(status);

// --- the visitor: the user of a signed token, else the guest of a session that the server issued

let tokenSource = null, token = null, sessionRequest = null, consentSent = null;

// the session that the shop's server has is used here, too; another one is another visitor's
function adoptSession() {
  const given = script?.dataset.session;
  if (!consented || !given || given === read('session')) return;
  for (const name of ['claimed', 'clicks', 'queue']) write(name, null);
  write('session', given);
}

async function guestSession() {
  if (!consented) return null;
  adoptSession();
  const stored = read('session');
  if (stored) return stored;
  sessionRequest ??= call('POST', '/auth/guest')
    .then(({session_id: issued}) => {
      write('session', issued);
      write('claimed', null);
      return issued;
    })
    .finally(() => { sessionRequest = null; });
  return sessionRequest;
}

async function currentToken() {
  if (!consented || !tokenSource) return null;
  token ??= (typeof tokenSource === 'function' ? await tokenSource() : tokenSource) || null;
  return token;
}

function headersOf(session, bearer) {
  return {...(session && {'X-Session-Id': session}), ...(bearer && {Authorization: `Bearer ${bearer}`})};
}

// an expired token is asked for once more, by an event where the page gave a text
async function asVisitor(request, asUser = true, isConsent = false) {
  if (!isConsent) await consentSent;
  for (let attempt = 0; ; attempt += 1) {
    const bearer = asUser ? await currentToken() : null;
    try {
      return await request(headersOf(await guestSession(), bearer));
    } catch (error) {
      if (attempt) throw error;
      if (error.status === 422 && error.message.includes('guest session')) {
        // signed with a secret that the server has dropped
        write('session', null);
        continue;
      }
      if (error.status !== 401 || !bearer) throw error;
      token = null;
      if (typeof tokenSource !== 'function') {
        tokenSource = null;
        dispatchEvent(new CustomEvent('recsys-token', {detail: error.message}));
      }
    }
  }
}

async function claim() {
  try {
    if (!read('session') || read('claimed') || !(await currentToken())) return;
    await asVisitor((headers) => call('POST', '/auth/guest/claim', {headers}));
    write('claimed', true);
  } catch {
    // the next page tries again
  }
}

// --- events: kept until the server has them, and sent again with the same ids

let timer = null, sending = false, failures = 0, notBefore = 0;

function enqueue(path, body) {
  if (!consented || !key) return;
  const event = {id: newId(), path, body, of_user: Boolean(tokenSource)};
  if (path !== '/search/clicks') Object.assign(body, {event_id: body.event_id ?? event.id, created_at: new Date().toISOString()});
  write('queue', [...(read('queue') ?? []), event].slice(-MOST_WAITING));
  dispatchEvent(new CustomEvent('recsys-event', {detail: {path, body: {...body}}}));
  schedule(FLUSH_MS);
}

function schedule(milliseconds) {
  timer ??= setTimeout(() => { timer = null; flush(); }, Math.max(milliseconds, notBefore - Date.now()));
}

function remove(batch) {
  const ids = new Set(batch.map((event) => event.id));
  const left = (read('queue') ?? []).filter((event) => !ids.has(event.id));
  write('queue', left.length ? left : null);
}

// batches of one address, and of the guest or the user: a repeat has the same sender
function nextBatch() {
  const queue = (read('queue') ?? []).filter((event) => !event.of_user || tokenSource);
  const first = queue[0];
  if (!first) return null;
  const alone = first.path === '/search/clicks';
  return queue.filter((event) => event.path === first.path && event.of_user === first.of_user).slice(0, alone ? 1 : BATCH);
}

const bodyOf = (batch) => (batch[0].path === '/search/clicks' ? batch[0].body : batch.map((event) => event.body));

async function flush() {
  if (sending || !consented || !key) return;
  if (Date.now() < notBefore) { schedule(0); return; }
  sending = true;
  try {
    for (let batch = nextBatch(); batch && consented; batch = nextBatch()) {
      const [{path, of_user: ofUser}] = batch;
      try {
        await asVisitor((headers) => call('POST', path, {body: bodyOf(batch), headers}), ofUser);
        failures = 0;
      } catch (error) {
        if (isTemporary(error)) {
          failures += 1;
          const wait = Math.min(LONGEST_WAIT_MS, 1000 * 2 ** Math.min(failures, 6)) * (0.75 + Math.random() / 2);
          notBefore = Date.now() + Math.max(wait, error.seconds * 1000 || 0);
          schedule(0);
          return;
        }
      }
      remove(batch);
    }
  } finally {
    sending = false;
  }
}

// the page is closed: send without waiting for an answer; the next page repeats it with the same ids
function flushNow() {
  if (!consented || !key) return;
  const session = read('session');
  const waiting = (read('queue') ?? []).filter((event) => event.path !== '/search/clicks');
  for (const ofUser of [false, true]) {
    if (ofUser ? !token : !session) continue;
    for (const path of ['/interactions', '/recommendations/feedback']) {
      const batch = waiting.filter((event) => event.path === path && event.of_user === ofUser).slice(0, BATCH);
      const headers = headersOf(session, ofUser ? token : null);
      if (batch.length) call('POST', path, {body: bodyOf(batch), headers, keepalive: true}).then(() => remove(batch), () => {});
    }
  }
}

// --- attribution: a product that is put into the cart or bought counts for the list in which it was clicked

function remember(item, requestId) {
  const since = Date.now() - CLICK_DAYS * 864e5;
  const clicks = (read('clicks') ?? []).filter((click) => click.sku !== item.sku && click.at > since);
  write('clicks', [...clicks, {sku: item.sku, product: item.product_id, request: requestId, at: Date.now()}].slice(-MOST_CLICKS));
}

function feedback(type, product, request, eventId) {
  enqueue('/recommendations/feedback', {product_id: product, request_id: request, feedback_type: type, ...(eventId && {event_id: eventId})});
}

// --- lists: all elements of a page are one request, and no product is in two of them

const requested = [];

async function listAlone({placement, query}) {
  const path = `/recommendations?placement=${encodeURIComponent(placement)}&${new URLSearchParams(query)}`;
  return answerOf(await asVisitor((headers) => call('GET', path, {headers})));
}

function answerOf({items, provenance}) {
  return {items, request_id: provenance.request_id, provenance};
}

function listOfPage({placement, query: {limit, category, novelty}}, place, all) {
  const isNamed = all.findIndex((each) => each.placement === placement) < place;
  return {
    placement, limit: Number(limit), ...(novelty && {novelty}), ...(category && {filters: {category: [category]}}),
    ...(isNamed && {name: `${placement}-${place}`}),
  };
}

async function listsOfPage(part) {
  const body = {shelves: part.map(listOfPage), fields: FIELDS.split(',')};
  const {request_id: id, shelves} = await asVisitor((headers) => call('POST', '/recommendations', {body, headers}));
  return shelves.map(({items, provenance}) => answerOf({items, provenance: {...provenance, request_id: id}}));
}

async function requestPart(part) {
  let alone = part.length === 1;
  if (!alone) {
    try {
      const answers = await listsOfPage(part);
      part.forEach(({resolve}, place) => resolve(answers[place]));
    } catch (error) {
      // a request that is wrong is wrong in one of the lists: the others are answered
      alone = !isTemporary(error);
      if (!alone) for (const {reject} of part) reject(error);
    }
  }
  if (alone) for (const list of part) listAlone(list).then(list.resolve, list.reject);
}

function requestLists() {
  const all = requested.splice(0).filter(({isCurrent}) => isCurrent());
  for (let start = 0; start < all.length; start += MOST_LISTS) requestPart(all.slice(start, start + MOST_LISTS));
}

// isCurrent: false once the element has requested another list instead
function listOfElement(placement, {sku, ...query}, isCurrent) {
  if (OF_PRODUCT[placement]) return recsys.recommend(placement, {sku, ...query});
  if (!requested.length) setTimeout(requestLists);
  const list = {placement, query: {...query, fields: FIELDS}, isCurrent};
  return new Promise((resolve, reject) => requested.push({...list, resolve, reject}));
}

const recsys = {
  // type: view, like, add_to_cart, purchase, review, dismissed; an order: {id, items: [{sku, quantity}]}
  // is_stored: the server has the event itself, and only the list counts it in which the product was clicked
  track(type, {sku, value, quantity, id, items, is_stored: isStored = false} = {}) {
    const tracked = items ?? [{sku, quantity: quantity ?? value}];
    if (tracked.some((item) => (item.sku ?? '') === '')) throw new TypeError(`${type} needs a sku`);
    for (const item of tracked) {
      const eventId = id === undefined ? undefined : `${type}:${id}:${item.sku}`;
      if (!isStored) {
        enqueue('/interactions', {
          sku: String(item.sku), interaction_type: type,
          ...(item.quantity !== undefined && {interaction_value: item.quantity}),
          ...(eventId && {event_id: eventId}),
        });
      }
      const click = FEEDBACK_OF[type] && (read('clicks') ?? []).find((each) => each.sku === String(item.sku));
      if (click) feedback(FEEDBACK_OF[type], click.product, click.request, eventId);
    }
  },

  async recommend(placement = 'for_you', {sku, limit = 12, fields = FIELDS, ...filters} = {}) {
    const query = {limit, fields, ...filters};
    if (!OF_PRODUCT[placement]) return listAlone({placement, query});
    if (sku === undefined) throw new TypeError(`${placement} needs a sku`);
    const path = `/products/sku:${encodeURIComponent(sku)}/${OF_PRODUCT[placement]}?${new URLSearchParams(query)}`;
    return answerOf(await asVisitor((headers) => call('GET', path, {headers})));
  },

  // a click on a product of a list or a search that the page has drawn itself
  clicked({sku, product_id: product, request_id: request, search_id: search, query, position}) {
    if (search) {
      enqueue('/search/clicks', {search_id: search, query, product_id: product, position});
    } else {
      remember({sku: String(sku), product_id: product}, request);
      feedback('clicked', product, request, `clicked:${request}:${product}`);
    }
  },

  async search(text, {limit = 8, fields = FIELDS} = {}) {
    const query = new URLSearchParams({q: text, limit, fields});
    return asVisitor((headers) => call('GET', `/search/products?${query}`, {headers}));
  },

  // a signed token, or a function that brings a fresh one; null: the user has logged out
  user(source) {
    if (source === null) {
      flushNow();
      for (const name of ['session', 'claimed', 'clicks']) write(name, null);
      write('queue', (read('queue') ?? []).filter((event) => !event.of_user));
    }
    tokenSource = source;
    token = typeof source === 'string' ? source : null;
    dispatchEvent(new Event('recsys-visitor'));
    return claim();
  },

  // false: nothing is stored, and no event and nothing about the visitor is sent; lists are those for everybody
  // an object says it by purpose, to the server: {personalisation: false, analytics: true}
  async consent(given) {
    if (given && typeof given === 'object') {
      const {personalisation, analytics, ...others} = given;
      if (Object.keys(others).length || [personalisation, analytics].some((each) => typeof each !== 'boolean')) {
        throw new TypeError('consent takes {personalisation, analytics}, both true or false');
      }
      // who has allowed nothing has no session that could refuse anything
      if (!consented && !personalisation && !analytics) return;
      consented = true;
      const isRefusal = !personalisation || !analytics;
      write('refusal', isRefusal ? given : null);
      const request = (headers) => call('PUT', '/consent', {headers, body: given});
      const sent = asVisitor(request, true, true);
      consentSent = sent.catch(() => {});
      try {
        await sent;
        write('refusal', null);
      } catch (error) {
        // until the server has it, nothing is sent at all; the next page tries again
        if (isRefusal) recsys.consent(false);
        throw error;
      }
      dispatchEvent(new Event('recsys-visitor'));
      return;
    }
    consented = Boolean(given);
    if (!consented) {
      clearTimeout(timer);
      timer = null;
      memory.clear();
      for (const name of ['session', 'claimed', 'clicks', 'queue']) write(name, null);
      token = null;
    } else {
      write('refusal', null);
      flush();
      claim();
    }
    dispatchEvent(new Event('recsys-visitor'));
  },

  // for pages that import this module instead of naming the key in the script element
  init(publishableKey) {
    key = publishableKey;
    dispatchEvent(new Event('recsys-visitor'));
  },
};

addEventListener('pagehide', flushNow);
document.addEventListener('visibilitychange', () => { if (document.hidden) flushNow(); });
addEventListener('online', () => { notBefore = 0; flush(); });

// --- elements

// only addresses of the web: a product's own data must not run script
function webAddress(text) {
  try {
    const address = new URL(text, document.baseURI);
    return ['http:', 'https:'].includes(address.protocol) ? address.href : null;
  } catch {
    return null;
  }
}

function priceOf(item) {
  if (item.price === undefined || item.price === null) return '';
  const language = document.documentElement.lang || undefined;
  try {
    return new Intl.NumberFormat(language, item.currency ? {style: 'currency', currency: item.currency} : {minimumFractionDigits: 2}).format(item.price);
  } catch {
    return String(item.price);
  }
}

// of the attributes link and picture
function completed(form, item) {
  return webAddress(form.replaceAll('{sku}', encodeURIComponent(item.sku ?? '')).replaceAll('{id}', item.product_id ?? item.id));
}

function addressOf(element, item) {
  const form = element.getAttribute('link');
  if (form) return completed(form, item);
  return item.url ? webAddress(item.url) : null;
}

function imageOf(element, item) {
  const form = element.getAttribute('picture');
  if (item.image) return webAddress(item.image);
  return form && item.name ? completed(form, item) : null;
}

function make(name, part, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  if (part) element.setAttribute('part', part);
  element.append(...children);
  return element;
}

// data-text, data-src and data-href of a template name fields of the item; an empty item is a skeleton
function filled(template, element, item) {
  const copy = template.content.cloneNode(true);
  const values = {...item, price: priceOf(item), reason: item.reason?.text, image: imageOf(element, item)};
  for (const node of copy.querySelectorAll('[data-text],[data-src],[data-href]')) {
    const {text, src, href} = node.dataset;
    if (text) node.textContent = values[text] ?? '';
    if (src && webAddress(values[src] ?? '') && values[src]) node.setAttribute('src', webAddress(values[src]));
    const address = href === 'url' ? addressOf(element, item) : href && values[href] && webAddress(values[href]);
    if (address) node.setAttribute('href', address);
  }
  return copy;
}

// not a style element, which a page's Content-Security-Policy may forbid
function sheet(rules) {
  const made = new CSSStyleSheet();
  made.replaceSync(rules);
  return made;
}

function pictureOf(element, item) {
  const frame = make('span', 'image', {className: 'image'});
  const source = imageOf(element, item);
  // the name stands beside it
  if (source) frame.append(make('img', null, {src: source, alt: '', loading: 'lazy', decoding: 'async'}));
  return frame;
}

const STYLE = sheet(`
:host{display:block;box-sizing:border-box}:host([hidden]),[hidden]{display:none!important}
ul{display:grid;grid-template-columns:repeat(auto-fill,minmax(8rem,1fr));gap:1rem;list-style:none;margin:0;padding:0}
li{min-width:0}a{color:inherit;text-decoration:none;display:block}a:focus-visible,input:focus-visible{outline:3px solid Highlight;outline-offset:2px}
.image{display:block;aspect-ratio:1;background:#8881;overflow:hidden}.image img{width:100%;height:100%;object-fit:contain}
.name{display:block;height:2.6em;line-height:1.3;overflow:hidden;margin-top:.5em}.price{display:block;height:1.3em;line-height:1.3;font-weight:600}
.empty{visibility:hidden}:host([state=loading]) .skeleton .image,:host([state=loading]) .skeleton .name{background:#8882;border-radius:4px}
:host([state=empty]){visibility:hidden}`);
const SEARCH_STYLE = sheet(`
:host{position:relative}label{display:block}input{font:inherit;width:100%;box-sizing:border-box;padding:.5em}
ul{display:block;position:absolute;inset-inline:0;top:100%;z-index:10;background:Canvas;color:CanvasText;border:1px solid #8886;max-height:70vh;overflow:auto}
li{display:grid;grid-template-columns:3rem 1fr auto;gap:.5rem;align-items:center;padding:.5rem;cursor:pointer}li[aria-selected=true]{background:Highlight;color:HighlightText}
.name{height:auto;margin:0}.status{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}`);

class RecsysList extends HTMLElement {
  static observedAttributes = ['placement', 'sku', 'limit', 'heading', 'link', 'picture', 'category', 'novelty'];
  #root = this.attachShadow({mode: 'open'});
  #observer = null;
  #timers = new Map();
  #retry = null;
  #attempts = 0;
  #round = 0;
  #queued = false;
  #again = () => this.#soon();

  connectedCallback() {
    addEventListener('recsys-visitor', this.#again);
    addEventListener('online', this.#again);
    this.#soon();
  }

  disconnectedCallback() {
    removeEventListener('recsys-visitor', this.#again);
    removeEventListener('online', this.#again);
    this.#stop();
  }

  attributeChangedCallback() {
    if (this.isConnected) this.#soon();
  }

  get #limit() {
    return Math.min(100, Math.max(1, Number(this.getAttribute('limit')) || 6));
  }

  #soon() {
    if (this.#queued) return;
    this.#queued = true;
    queueMicrotask(() => {
      this.#queued = false;
      if (this.isConnected) this.#load();
    });
  }

  #stop() {
    this.#round += 1;
    clearTimeout(this.#retry);
    this.#observer?.disconnect();
    for (const each of this.#timers.values()) clearTimeout(each);
    this.#timers.clear();
  }

  async #load() {
    this.#stop();
    const round = this.#round;
    if (!this.#root.querySelector('li:not(.empty,.skeleton)')) this.#render([], null, 'loading');
    if (!key) return;
    try {
      const sku = this.getAttribute('sku') ?? undefined;
      const filters = ['category', 'novelty'].filter((name) => this.hasAttribute(name)).map((name) => [name, this.getAttribute(name)]);
      const began = performance.now();
      const {items, provenance} = await listOfElement(
        this.getAttribute('placement') ?? 'for_you', {sku, limit: this.#limit, ...Object.fromEntries(filters)},
        () => round === this.#round);
      if (round !== this.#round) return;
      this.#attempts = 0;
      this.#render(items, provenance, items.length ? 'ready' : 'empty', performance.now() - began);
    } catch (error) {
      if (round !== this.#round) return;
      const isShown = this.#root.querySelector('li:not(.empty,.skeleton)');
      if (!isShown) this.#render([], null, 'empty');
      if (error instanceof TypeError && error.message.includes('sku') || !isTemporary(error)) return;
      this.#attempts += 1;
      const wait = Math.min(LONGEST_WAIT_MS, 1000 * 2 ** Math.min(this.#attempts, 6)) * (0.75 + Math.random() / 2);
      this.#retry = setTimeout(() => this.#load(), wait);
    }
  }

  #render(items, provenance, state, milliseconds) {
    const template = this.querySelector(':scope > template');
    for (const old of this.querySelectorAll(':scope > [slot^="recsys-"]')) old.remove();
    this.setAttribute('state', state);
    const rows = Array.from({length: Math.max(items.length, this.#limit)}, (_, place) => {
      const item = items[place];
      const row = item ? make('li', 'item') : make('li', 'skeleton', {className: state === 'loading' ? 'skeleton' : 'empty', ariaHidden: 'true', inert: true});
      if (template) {
        const name = `recsys-${place}`;
        const holder = make('div', null, {slot: name}, filled(template, this, item ?? {}));
        if (!item) holder.inert = true;
        this.append(holder);
        row.append(make('slot', null, {name}));
      } else {
        const content = [pictureOf(this, item ?? {}), make('span', 'name', {className: 'name', textContent: item?.name ?? ''}),
          make('span', 'price', {className: 'price', textContent: item ? priceOf(item) : ''})];
        const address = item && addressOf(this, item);
        row.append(address ? make('a', 'link', {href: address}, ...content) : make('div', 'link', {}, ...content));
      }
      return row;
    });
    const list = make('ul', 'list', {role: 'list', ariaBusy: String(state === 'loading')}, ...rows);
    const heading = this.getAttribute('heading');
    const section = make('section', 'section', {ariaLabel: heading ?? this.getAttribute('placement') ?? 'for_you'});
    if (heading) section.append(make('h2', 'heading', {textContent: heading}));
    section.append(list);
    this.#root.adoptedStyleSheets = [STYLE];
    this.#root.replaceChildren(section);
    if (!provenance) return;
    const requestId = provenance.request_id;
    const clicked = (event) => {
      const place = rows.findIndex((row) => event.composedPath().includes(row));
      const item = items[place];
      if (!item || (event.type === 'auxclick' && event.button !== 1)) return;
      recsys.clicked({...item, request_id: requestId});
    };
    list.addEventListener('click', clicked);
    list.addEventListener('auxclick', clicked);
    this.#watch(rows.slice(0, items.length), items, requestId);
    this.dispatchEvent(new CustomEvent('recsys-ready', {bubbles: true, detail: {items, request_id: requestId, provenance, milliseconds}}));
  }

  // shown: half of it visible for one second
  #watch(rows, items, requestId) {
    this.#observer = new IntersectionObserver((entries) => {
      for (const {target, intersectionRatio} of entries) {
        clearTimeout(this.#timers.get(target));
        if (intersectionRatio < 0.5) continue;
        this.#timers.set(target, setTimeout(() => {
          if (document.hidden) return;
          this.#observer.unobserve(target);
          const item = items[rows.indexOf(target)];
          feedback('shown', item.product_id, requestId, `shown:${requestId}:${item.product_id}`);
        }, SHOWN_MS));
      }
    }, {threshold: 0.5});
    for (const row of rows) this.#observer.observe(row);
  }
}

class RecsysSearch extends HTMLElement {
  #root = this.attachShadow({mode: 'open'});
  #items = [];
  #found = null;
  #active = -1;
  #timer = null;
  #round = 0;

  connectedCallback() {
    if (this.#root.childElementCount) return;
    const label = this.getAttribute('label') ?? 'Search';
    const input = make('input', 'input', {id: 'input', type: 'search', role: 'combobox', autocomplete: 'off', placeholder: this.getAttribute('placeholder') ?? ''});
    for (const [name, value] of Object.entries({'aria-autocomplete': 'list', 'aria-expanded': 'false', 'aria-controls': 'options'})) input.setAttribute(name, value);
    const form = make('form', 'form', {role: 'search'}, make('label', 'label', {htmlFor: 'input', textContent: label}), input);
    const options = make('ul', 'options', {id: 'options', role: 'listbox', ariaLabel: label, hidden: true});
    this.#root.adoptedStyleSheets = [STYLE, SEARCH_STYLE];
    this.#root.append(form, options, make('div', 'status', {className: 'status', role: 'status'}));
    input.addEventListener('input', () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#search(input.value.trim()), 150);
    });
    input.addEventListener('keydown', (event) => this.#onKey(event));
    input.addEventListener('blur', () => this.#close());
    // a press must not take the focus, and with it the options, away before the click
    options.addEventListener('pointerdown', (event) => event.preventDefault());
    options.addEventListener('click', (event) => this.#choose([...options.children].findIndex((option) => event.composedPath().includes(option))));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      if (this.#active >= 0) this.#choose(this.#active);
      else this.#submit(input.value.trim());
    });
  }

  async #search(text) {
    this.#round += 1;
    const round = this.#round;
    if (!text || !key) { this.#show([]); return; }
    try {
      const found = await recsys.search(text, {limit: Number(this.getAttribute('limit')) || 8});
      if (round !== this.#round) return;
      this.#found = {id: found.search_id, query: text};
      this.#show(found.items, text);
    } catch {
      // the field stays a plain search field
      if (round === this.#round) this.#show([]);
    }
  }

  // what was typed before is not answered any more
  #close() {
    clearTimeout(this.#timer);
    this.#round += 1;
    this.#show([]);
  }

  #show(items, text = '') {
    const options = this.#root.getElementById('options');
    const active = this.#items[this.#active];
    this.#items = items;
    const template = this.querySelector(':scope > template');
    options.replaceChildren(...items.map((item, place) => {
      const option = make('li', 'option', {id: `option-${place}`, role: 'option', ariaSelected: 'false'});
      option.append(...(template ? [filled(template, this, item)] : [pictureOf(this, item),
        make('span', 'name', {className: 'name', textContent: item.name}), make('span', 'price', {className: 'price', textContent: priceOf(item)})]));
      return option;
    }));
    options.hidden = !items.length;
    this.#root.getElementById('input').setAttribute('aria-expanded', String(items.length > 0));
    const form = this.getAttribute('results') ?? 'Results: {n}';
    this.#root.querySelector('.status').textContent = text ? form.replace('{n}', items.length) : '';
    // results of further letters keep the option that a key has reached
    this.#activate(active ? items.findIndex((item) => item.id === active.id) : -1);
  }

  #activate(place) {
    this.#active = place;
    const input = this.#root.getElementById('input');
    [...this.#root.getElementById('options').children].forEach((option, index) => {
      option.ariaSelected = String(index === place);
      if (index === place) option.scrollIntoView({block: 'nearest'});
    });
    if (place < 0) input.removeAttribute('aria-activedescendant');
    else input.setAttribute('aria-activedescendant', `option-${place}`);
  }

  #onKey(event) {
    const count = this.#items.length;
    if (event.key === 'Escape') this.#close();
    if (!count) return;
    if (event.key === 'ArrowDown') this.#activate((this.#active + 1) % count);
    else if (event.key === 'ArrowUp') this.#activate(this.#active > 0 ? this.#active - 1 : count - 1);
    else if (event.key !== 'Escape') return;
    event.preventDefault();
  }

  #choose(place) {
    const item = this.#items[place];
    if (!item) return;
    recsys.clicked({product_id: item.id, search_id: this.#found.id, query: this.#found.query, position: item.position});
    flush();
    const address = addressOf(this, item);
    const event = new CustomEvent('recsys-choose', {bubbles: true, cancelable: true, detail: item});
    if (this.dispatchEvent(event) && address) location.assign(address);
  }

  #submit(text) {
    const event = new CustomEvent('recsys-search', {bubbles: true, cancelable: true, detail: text});
    const action = webAddress(this.getAttribute('action') ?? '');
    if (!this.dispatchEvent(event) || !this.hasAttribute('action') || !action || !text) return;
    const address = new URL(action);
    address.searchParams.set(this.getAttribute('name') ?? 'q', text);
    location.assign(address);
  }
}

adoptSession();
globalThis.recsys = recsys;
if (consented && read('refusal')) recsys.consent(read('refusal')).catch(() => {});
if (!customElements.get('recsys-list')) {
  customElements.define('recsys-list', RecsysList);
  customElements.define('recsys-search', RecsysSearch);
}
dispatchEvent(new Event('recsys-loaded'));
// what the page before could not send
schedule(0);

export {recsys};
export default recsys;
