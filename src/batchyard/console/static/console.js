// The console's script. Every page can be read and every form sent without it; it adds what is live and quick.
"use strict";
(() => {
  const body = document.body;
  const announce = text => { document.querySelector("[data-announce]").textContent = text; };
  const store = {
    get: name => { try { return localStorage.getItem("batchyard " + name); } catch { return null; } },
    set: (name, value) => { try { localStorage.setItem("batchyard " + name, value); } catch { /* private windows */ } },
  };

  // -- times: in the reader's zone, UTC on hover --
  const zone = new Date().toLocaleTimeString("en-GB", { timeZoneName: "short" }).split(" ").pop();
  const pad = (n, width = 2) => String(n).padStart(width, "0");
  const local = d => `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
  const age = ms => {
    const s = Math.max(0, ms) / 1000;
    if (s < 60) return `${Math.floor(s)} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
    return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
  };
  const times = root => {
    for (const each of root.querySelectorAll("time[datetime]")) {
      const at = new Date(each.dateTime);
      const text = each.hasAttribute("data-ago") ? age(Date.now() - at) : local(at);
      if (each.textContent !== text) each.textContent = text;
    }
  };
  const clock = at => { const d = new Date(at * 1000); return `${pad(d.getHours())}:${pad(d.getMinutes())}`; };
  const chartTimes = root => {
    for (const each of root.querySelectorAll("text[data-at]")) if (each.textContent.includes(":")) each.textContent = clock(Number(each.dataset.at));
    for (const each of root.querySelectorAll(".no-script")) each.hidden = true;
  };
  times(document);
  chartTimes(document);
  const zoneText = document.querySelector("[data-zone]");
  if (zoneText) { zoneText.textContent = zone; zoneText.title = "The zone of times; UTC is shown on hover"; }
  setInterval(() => { if (!document.hidden) times(document); }, 1000);

  // -- morphing: only what differs is touched, so that focus, scroll and selection stay --
  const key = node => node.nodeType === 1 ? (node.id || node.getAttribute("data-key") || "") : "";
  const isKept = node => node.nodeType === 1 && (node.hasAttribute("data-keep") || node === document.activeElement && "value" in node);
  function morph(from, to) {
    if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName || key(from) !== key(to)) { from.replaceWith(to); return; }
    if (from.nodeType !== 1) { if (from.data !== to.data) from.data = to.data; return; }
    if (isKept(from)) return;
    if (from.nodeName === "TIME" && from.dateTime === to.dateTime) return;
    for (const { name, value } of [...to.attributes]) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
    for (const { name } of [...from.attributes])
      if (!to.hasAttribute(name) && !(name === "open" && from.nodeName === "DETAILS") && name !== "data-script") from.removeAttribute(name);
    children(from, to);
  }
  function children(from, to) {
    const known = new Map();
    for (const each of from.childNodes) if (key(each)) known.set(key(each), each);
    let at = from.firstChild;
    for (const wanted of [...to.childNodes]) {
      const same = key(wanted) && known.get(key(wanted));
      if (same && same !== at) from.insertBefore(same, at);
      else if (!at || (key(wanted) && !same)) { const added = from.insertBefore(wanted, at); if (added.nodeName === "TR") added.classList.add("is-new"); continue; }
      else if (!same && key(at)) { from.insertBefore(wanted, at); continue; }
      const current = same || at;
      at = current.nextSibling;
      morph(current, wanted);
    }
    while (at) { const next = at.nextSibling; if (!isKept(at)) at.remove(); at = next; }
  }

  // -- live: the page fetches itself again when something on it has changed, at most once a second --
  const indicator = document.querySelector("[data-live-state]");
  const kinds = body.dataset.stream;
  const job = body.dataset.streamJob || "";
  const MIN_PAUSE = 900;
  let number = Number(body.dataset.number || 0), stream = null, isPaused = store.get("live") === "off";
  let fetching = false, wanted = false, last = 0, waiting = 0;
  const show = on => { if (indicator) { indicator.hidden = !kinds; indicator.classList.toggle("is-on", on); const b = indicator.querySelector("button"); b.textContent = isPaused ? "paused" : on ? "live" : "connecting"; b.setAttribute("aria-pressed", String(!isPaused)); } };
  async function refresh() {
    wanted = true;
    if (fetching) return;
    const pause = last + MIN_PAUSE - performance.now();
    if (pause > 0) { clearTimeout(waiting); waiting = setTimeout(refresh, pause); return; }
    fetching = true; wanted = false; last = performance.now();
    try {
      const answer = await fetch(location.href.split("#")[0], { headers: { "X-Console-Fragment": "1" }, cache: "no-store" });
      if (answer.status === 401) { location.reload(); return; }
      if (answer.ok) take(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch { /* the stream's own reconnection calls again */ } finally { fetching = false; last = performance.now(); if (wanted) refresh(); }
  }
  function take(page) {
    times(page);
    chartTimes(page);
    for (const part of page.querySelectorAll("[data-live]")) {
      const shown = document.querySelector(`[data-live="${CSS.escape(part.dataset.live)}"]`);
      if (!shown) continue;
      if (shown.hasAttribute("data-rows")) holdNew(shown, part);
      morph(shown, part);
    }
    document.title = page.title;
    drawCells();
  }
  // New rows go in at the top only when the reader is there; else they are held, and offered.
  const atTop = () => scrollY < 40 && !document.querySelector("tr.is-cursor") && !document.querySelector("td input:checked");
  let held = 0;
  function holdNew(shown, part) {
    if (!shown.tBodies.length || !part.tBodies.length) return;
    const offer = document.querySelector("[data-new-rows]");
    const now = new Map([...shown.tBodies[0].rows].map(row => [row.id, row]));
    const fresh = [...part.tBodies[0].rows].filter(row => row.id && !now.has(row.id));
    if (!offer || atTop() || !fresh.length) { if (offer && !fresh.length) offer.hidden = true; if (fresh.length && atTop()) { held = 0; if (offer) offer.hidden = true; } return; }
    const next = new Map([...part.tBodies[0].rows].map(row => [row.id, row]));
    held = fresh.length;
    const rows = [...now.values()].map(row => next.get(row.id) || row.cloneNode(true));
    part.tBodies[0].replaceChildren(...rows);
    offer.hidden = false;
    offer.querySelector("button").textContent = `${held} new ${held === 1 ? "job" : "jobs"}: show`;
    later(`${held} new jobs`);
  }
  let said = 0;
  const later = text => { if (Date.now() - said > 5000) { said = Date.now(); announce(text); } };
  document.querySelector("[data-new-rows] button")?.addEventListener("click", () => { scrollTo(0, 0); document.querySelectorAll("tr.is-cursor").forEach(r => r.classList.remove("is-cursor")); refresh(); });
  const concerns = change => {
    if (change.all || !body.dataset.streamRows) return true;
    if (change.submitted) return true;
    return change.jobs.some(id => document.getElementById("job-" + id));
  };
  function open() {
    if (!kinds || isPaused || document.hidden || stream) return;
    stream = new EventSource(`/console/live?after=${number}&kinds=${encodeURIComponent(kinds)}${job ? "&job=" + encodeURIComponent(job) : ""}`);
    stream.onopen = () => show(true);
    stream.onerror = () => { show(false); if (stream.readyState === EventSource.CLOSED) { close(); setTimeout(open, 2000 + Math.random() * 3000); } };
    stream.addEventListener("change", event => { number = Number(event.lastEventId) || number; if (concerns(JSON.parse(event.data))) refresh(); });
  }
  function close() { stream?.close(); stream = null; show(false); }
  indicator?.querySelector("button").addEventListener("click", () => { isPaused = !isPaused; store.set("live", isPaused ? "off" : "on"); if (isPaused) close(); else { open(); refresh(); } show(false); });
  document.addEventListener("visibilitychange", () => document.hidden ? close() : open());
  addEventListener("pagehide", close);
  addEventListener("pageshow", event => { if (event.persisted) { open(); refresh(); } });
  if (kinds) { show(false); open(); }
  // What changes without facts, as an execution that waits for a time, is looked at again while it is marked so.
  let looked = Date.now();
  setInterval(() => {
    const marked = document.querySelector("[data-poll]");
    if (!marked || document.hidden || isPaused || Date.now() - looked < 1000 * (Number(marked.dataset.poll) || 2)) return;
    looked = Date.now();
    refresh();
  }, 1000);

  // -- questions open in a dialog --
  const dialog = document.getElementById("dialog");
  document.addEventListener("click", async event => {
    const link = event.target.closest("a[data-ask]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
      event.preventDefault();
      const answer = await fetch(link.href, { headers: { "X-Console-Fragment": "1" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const question = page.querySelector(".question") || page.querySelector("main");
      dialog.replaceChildren(question);
      dialog.showModal();
      (dialog.querySelector("input:not([type=hidden])") || dialog.querySelector("button"))?.focus();
    }
    if (event.target.closest("[data-close]") && dialog.open) { event.preventDefault(); dialog.close(); }
    const copy = event.target.closest("[data-copy]");
    if (copy) { await navigator.clipboard?.writeText(copy.dataset.copy); announce("copied"); }
  });

  // -- rows: j and k move, Enter opens; g and a letter goes to a page; ? lists the keys --
  const pages = { o: "", j: "jobs", q: "queues", e: "environments", d: "definitions", w: "workflows", m: "metrics", l: "insights" };
  let pressed = "", pressedAt = 0;
  const rowsOf = () => [...document.querySelectorAll("table[data-rows] tbody tr")];
  function moveRow(by) {
    const rows = rowsOf();
    if (!rows.length) return;
    const now = rows.findIndex(row => row.classList.contains("is-cursor"));
    rows[now]?.classList.remove("is-cursor");
    const row = rows[Math.min(rows.length - 1, Math.max(0, now + by))];
    row.classList.add("is-cursor");
    row.querySelector("a")?.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }
  const HELP = `<section class="question"><h1>Keys</h1><dl class="facts"><div><dt><kbd>/</kbd></dt><dd>to the filter or search</dd></div><div><dt><kbd>j</kbd> <kbd>k</kbd></dt><dd>next and previous row; <kbd>Enter</kbd> opens it</dd></div><div><dt><kbd>g</kbd> <kbd>o j q e d w m l</kbd></dt><dd>go to Overview, Jobs, Queues, Environments, Definitions, Workflows, Metrics, Logs</dd></div><div><dt><kbd>?</kbd></dt><dd>this list</dd></div></dl><p class="buttons"><button type="button" data-keys></button> <button type="button" data-close>Close</button></p></section>`;
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, [data-own-keys]")) return;
    if (event.key === "?") {
      const page = new DOMParser().parseFromString(HELP, "text/html");
      dialog.replaceChildren(page.querySelector("section"));
      const toggle = dialog.querySelector("[data-keys]");
      const label = () => { toggle.textContent = store.get("keys") === "off" ? "Switch keys on" : "Switch keys off"; };
      label();
      toggle.addEventListener("click", () => { store.set("keys", store.get("keys") === "off" ? "on" : "off"); label(); });
      dialog.showModal();
      return;
    }
    if (store.get("keys") === "off" || dialog.open) return;
    if (pressed === "g" && Date.now() - pressedAt < 750 && event.key in pages) { location.href = "/console/" + pages[event.key]; return; }
    pressed = event.key; pressedAt = Date.now();
    if (event.key === "/") { const field = document.querySelector("[data-search]"); if (field) { event.preventDefault(); field.focus(); field.select(); } }
    if (event.key === "j") moveRow(1);
    if (event.key === "k") moveRow(-1);
  });

  // -- selecting rows --
  const bulk = document.getElementById("bulk");
  if (bulk) {
    const count = bulk.querySelector("[data-selected]");
    const update = () => { const n = document.querySelectorAll("td input:checked").length; count.textContent = n ? `${n} selected` : ""; };
    document.addEventListener("change", event => { if (event.target.matches("td input[type=checkbox]")) update(); });
  }

  // -- cells of an array: one listener, a cursor by arrow keys --
  const cells = () => document.querySelector("svg.cells");
  let cursor = -1;
  const ranges = svg => JSON.parse(svg.dataset.ranges);
  const stateAt = (svg, index) => { for (const [state, list] of Object.entries(ranges(svg))) for (const [start, stop] of list) if (index >= start && index < stop) return state; return "PENDING"; };
  function say(svg, index) {
    const each = Number(svg.dataset.each), size = Number(svg.dataset.size);
    const first = index * each, lastIndex = Math.min(size, first + each) - 1;
    const exits = JSON.parse(svg.dataset.exits);
    const text = first >= size ? "" : each > 1 ? `${first}–${lastIndex}` : `${first} ${stateAt(svg, first)}${first in exits ? " exit " + exits[first] : ""}`;
    document.querySelector("[data-readout]").textContent = text;
  }
  function place(event, svg) {
    const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal, columns = Number(svg.dataset.columns);
    const x = Math.floor((event.clientX - box.left) / box.width * view.width / 10), y = Math.floor((event.clientY - box.top) / box.height * view.height / 10);
    return y * columns + Math.min(columns - 1, Math.max(0, x));
  }
  function openCell(svg, index) { const first = index * Number(svg.dataset.each); if (first < Number(svg.dataset.size)) location.href = `${svg.dataset.url}:${first}`; }
  function drawCells() {
    const svg = cells();
    const mark = svg?.querySelector(".cell-cursor");
    if (!mark || cursor < 0) return;
    const columns = Number(svg.dataset.columns);
    mark.setAttribute("d", `M${cursor % columns * 10} ${Math.floor(cursor / columns) * 10}h10v10h-10z`);
    say(svg, cursor);
  }
  document.addEventListener("mousemove", event => { const svg = event.target.closest?.("svg.cells"); if (svg) say(svg, place(event, svg)); });
  document.addEventListener("click", event => { const svg = event.target.closest?.("svg.cells"); if (svg) openCell(svg, place(event, svg)); });
  document.addEventListener("keydown", event => {
    const svg = event.target.closest?.("svg.cells");
    if (!svg) return;
    const columns = Number(svg.dataset.columns), most = Math.ceil(Number(svg.dataset.size) / Number(svg.dataset.each)) - 1;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -1e9, End: 1e9 }[event.key];
    if (step !== undefined) { event.preventDefault(); const isFirst = cursor < 0 && Math.abs(step) < 1e9; cursor = isFirst ? 0 : Math.max(0, Math.min(most, Math.max(0, cursor) + step)); drawCells(); }
    if (event.key === "Enter" && cursor >= 0) openCell(svg, cursor);
  });

  // -- charts: what is under the pointer, or by arrow keys --
  function readChart(svg, share) {
    const frame = svg.closest("[data-chart]"), data = JSON.parse(frame.dataset.chart);
    const at = data.start + (data.end - data.start) * share;
    let nearest = null;
    for (const line of data.lines) for (const [when] of line.p) if (nearest === null || Math.abs(when - at) < Math.abs(nearest - at)) nearest = when;
    if (nearest === null) return;
    const left = Number(svg.dataset.left), x = left + (Number(svg.dataset.width) - left) * (nearest - data.start) / (data.end - data.start);
    svg.querySelector(".pointer").setAttribute("d", `M${x.toFixed(1)} ${svg.dataset.top}V${svg.dataset.base}`);
    const values = data.lines.map(line => [line.n, line.p.find(point => point[0] === nearest)]).filter(pair => pair[1]);
    frame.querySelector(".readout").textContent = `${local(new Date(nearest * 1000))}: ` + values.map(([name, point]) => `${name} ${point[1].toLocaleString("en-US", { maximumFractionDigits: 2 })}`).join(", ");
    frame.dataset.at = nearest;
  }
  document.addEventListener("mousemove", event => {
    const svg = event.target.closest?.("svg.chart");
    if (!svg) return;
    const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal, scale = Math.min(box.width / view.width, box.height / view.height);
    const left = Number(svg.dataset.left), x = (event.clientX - box.left) / scale;
    if (x >= left - 4) readChart(svg, Math.min(1, (x - left) / (Number(svg.dataset.width) - left)));
  });
  document.addEventListener("keydown", event => {
    const svg = event.target.closest?.("svg.chart");
    if (!svg || !["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    const frame = svg.closest("[data-chart]"), data = JSON.parse(frame.dataset.chart);
    const all = [...new Set(data.lines.flatMap(line => line.p.map(point => point[0])))].sort((a, b) => a - b);
    const now = frame.dataset.at ? all.indexOf(Number(frame.dataset.at)) : -1;
    const next = { ArrowLeft: Math.max(0, now < 0 ? all.length - 1 : now - 1), ArrowRight: Math.min(all.length - 1, now + 1), Home: 0, End: all.length - 1 }[event.key];
    readChart(svg, (all[next] - data.start) / (data.end - data.start));
  });

  // -- a choice shows its page at once --
  document.addEventListener("change", event => { if (event.target.matches("select[data-submit]")) event.target.form.requestSubmit(); });

  // -- logs: follow, earlier lines, search --
  const log = document.querySelector("[data-log]");
  if (log) {
    const lines = log.querySelector(".log-lines"), follow = log.querySelector("[data-follow]"), url = log.dataset.log;
    const MOST_LINES = 5000;
    let isFollowing = log.dataset.ended !== "yes", unread = 0;
    const atEnd = () => lines.scrollHeight - lines.scrollTop - lines.clientHeight < 20;
    const label = () => { if (follow) { follow.setAttribute("aria-pressed", String(isFollowing)); follow.textContent = isFollowing ? "Following" : unread ? `Follow ▼ ${unread} new lines` : "Follow ▼"; } };
    let placed = -1; // where the script scrolled to: that event is not the reader's
    const toEnd = () => { lines.scrollTop = lines.scrollHeight; placed = lines.scrollTop; };
    if (!location.hash && !log.dataset.query) toEnd();
    if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView({ block: "center" });
    label();
    lines.addEventListener("scroll", () => { if (lines.scrollTop === placed) return; placed = -1; const end = atEnd(); if (end !== isFollowing && log.dataset.ended !== "yes") { isFollowing = end; if (end) unread = 0; label(); } });
    follow?.addEventListener("click", () => { isFollowing = !isFollowing; if (isFollowing) { unread = 0; toEnd(); } label(); });
    const parse = text => new DOMParser().parseFromString(text, "text/html").querySelector(".chunk-page");
    async function more() {
      if (document.hidden || isPaused || log.dataset.ended === "yes" || log.dataset.query) return;
      try {
        const answer = await fetch(`${url}${url.includes("?") ? "&" : "?"}after=${encodeURIComponent(log.dataset.stop)}`, { headers: { "X-Console-Fragment": "1" } });
        if (!answer.ok) return;
        const page = parse(await answer.text());
        if (!page) return;
        const added = [...page.querySelectorAll(".chunk")], n = page.querySelectorAll(".chunk .line").length;
        times(page);
        lines.append(...added);
        log.dataset.stop = page.dataset.stop;
        if (page.dataset.ended === "yes") log.dataset.ended = "yes";
        while (lines.querySelectorAll(".line").length > MOST_LINES && lines.querySelectorAll(".chunk").length > 1) lines.querySelector(".chunk").remove();
        if (isFollowing) toEnd(); else if (n) { unread += n; label(); }
        if (n) log.querySelector("[data-no-lines]")?.remove();
      } catch { /* tried again in a second */ }
    }
    if (log.dataset.ended !== "yes") setInterval(more, 1000);
    log.querySelector("[data-wrap]")?.addEventListener("click", event => { const off = lines.classList.toggle("no-wrap"); event.target.setAttribute("aria-pressed", String(!off)); });
    log.querySelector("[data-times]")?.addEventListener("click", event => { const off = lines.classList.toggle("no-times"); event.target.setAttribute("aria-pressed", String(!off)); });
    log.querySelector("[data-end]")?.addEventListener("click", toEnd);
    log.querySelector("[data-top]")?.addEventListener("click", () => { lines.scrollTop = 0; });
    lines.addEventListener("click", async event => {
      const link = event.target.closest("a[data-earlier]");
      if (!link) return;
      event.preventDefault();
      const answer = await fetch(link.href, { headers: { "X-Console-Fragment": "1" } });
      const page = parse(await answer.text());
      if (!page) return;
      times(page);
      const height = lines.scrollHeight;
      link.replaceWith(...page.childNodes);
      lines.scrollTop += lines.scrollHeight - height;
    });
  }
})();
