// What pages do by hand and key: times in the viewer's zone, filters, rows, copying, the theme.
"use strict";

(() => {
  const YEAR_S = 31536000;
  const SEQUENCE_MS = 1500; // between the two keys of a shortcut
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  const remember = (name, value) => {
    document.cookie = `${name}=${encodeURIComponent(value)}; path=/; max-age=${YEAR_S}; SameSite=Lax`;
  };

  // Times: the server writes them in the zone of the cookie; only where that was another, they are
  // written again here, in the same form and so in the same room.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  remember("opsledger_zone", zone);
  const parts = (date, options) =>
    Object.fromEntries(
      new Intl.DateTimeFormat("en-US", { timeZone: zone, ...options })
        .formatToParts(date)
        .map((part) => [part.type, part.value]),
    );
  const two = (number) => String(number).padStart(2, "0");
  const millis = (date) => `.${String(date.getUTCMilliseconds()).padStart(3, "0")}`;
  const clock = (p) => `${two(p.hour % 24)}:${p.minute}:${p.second}`;
  const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };

  const ago = (date) => {
    const seconds = (Date.now() - date) / 1000;
    for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
      if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
    }
    return "now";
  };

  const localize = (root) => {
    for (const time of all("time[data-zone]", root)) {
      if (time.dataset.zone === zone || time.dataset.style === "ago") continue;
      const date = new Date(time.dateTime);
      time.dataset.zone = zone;
      if (time.dataset.style === "full") {
        const p = parts(date, { ...CLOCK, weekday: "short", day: "2-digit", month: "short", year: "numeric", timeZoneName: "short" });
        time.textContent = `${p.weekday}, ${p.day} ${p.month} ${p.year}, ${clock(p)}${millis(date)} ${p.timeZoneName}`;
      } else {
        const p = parts(date, { ...CLOCK, day: "2-digit", month: "short" });
        time.firstChild.textContent = `${p.month} ${p.day}, ${clock(p)}`;
      }
    }
  };
  setInterval(() => all('time[data-style="ago"]').forEach((time) => { time.textContent = ago(new Date(time.dateTime)); }), 10000);

  // Fields of a local time write the moment they name into a hidden field that the API reads.
  const localText = (text) => {
    if (!text) return "";
    const date = new Date(text);
    return Number.isNaN(+date) ? "" : new Date(date - date.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
  };
  const moments = (root) => {
    for (const input of all("input[data-moment]", root)) input.value = localText(input.dataset.value);
  };
  const fillMoment = (input) => {
    const hidden = input.form.elements.namedItem(input.dataset.moment);
    hidden.value = input.value ? new Date(input.value).toISOString() : "";
  };

  // Copying
  const toast = one("#toast");
  let toastTimer;
  const say = (text) => {
    toast.textContent = text;
    toast.classList.add("shown");
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => toast.classList.remove("shown"), 1600);
  };
  const copy = async (text, what) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    say(`${what} copied`);
  };

  // The theme is a cookie, so that the server's page has it from the first pixel.
  const THEMES = ["system", "light", "dark"];
  const switchTheme = () => {
    const root = document.documentElement;
    const next = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
    root.dataset.theme = next;
    all("[data-theme-name]").forEach((name) => { name.textContent = next; });
    remember("opsledger_theme", next);
    document.dispatchEvent(new CustomEvent("theme"));
  };

  // Filters
  const changed = (form) => form.dispatchEvent(new Event("change", { bubbles: true }));
  const addToken = (input) => {
    const value = input.value.trim();
    const box = input.closest("[data-tokens]");
    if (!value) return;
    input.value = "";
    if (all("input[type=hidden]", box).some((held) => held.value === value)) return;
    const token = document.createElement("span");
    token.className = "token";
    const hidden = Object.assign(document.createElement("input"), { type: "hidden", name: box.dataset.tokens, value });
    const drop = Object.assign(document.createElement("button"), { type: "button", textContent: "×" });
    drop.setAttribute("aria-label", `Remove ${value}`);
    drop.dataset.drop = "";
    token.append(hidden, value, drop);
    box.insertBefore(token, input);
    input.placeholder = "+";
  };
  const known = (input) => one(`#${CSS.escape(input.getAttribute("list"))}`)?.options ?? [];

  document.addEventListener("input", (event) => {
    const input = event.target;
    if (input.matches("[data-token-input]") && event.inputType !== "insertText" && [...known(input)].some((option) => option.value === input.value)) {
      addToken(input);
      changed(input.form);
    }
    if (input.dataset.find) find(input);
  });
  document.addEventListener("change", (event) => {
    const input = event.target;
    if (input.matches?.("[data-token-input]")) addToken(input);
    if (input.matches?.("input[data-moment]")) {
      fillMoment(input);
      const period = input.form.elements.namedItem("period");
      if (period) period.value = "";
    }
    if (input.name === "period") {
      all("input[data-moment]", input.form).forEach((field) => { field.value = ""; fillMoment(field); });
    }
    if (input.matches?.("[data-column]")) {
      const url = new URL(location.href);
      const chosen = all("[data-column]:checked").map((box) => box.value);
      url.searchParams.set("columns", chosen.join(","));
      location.assign(url);
    }
  }, true);
  document.addEventListener("submit", (event) => {
    all("input[data-moment]", event.target).forEach(fillMoment);
    if ("here" in event.target.dataset) event.target.elements.query.value = location.search.slice(1);
  }, true);
  document.addEventListener("htmx:configRequest", (event) => {
    const sent = event.detail.parameters;
    if (!event.detail.elt.matches("form")) return;
    for (const [name, value] of Object.entries(sent)) if (value === "") delete sent[name];
  });
  document.addEventListener("htmx:sendError", () => say("No answer. Is the service running?"));
  document.addEventListener("htmx:timeout", () => say("That took too long. Narrow the period."));

  // JSON trees
  const find = (input) => {
    const tree = one(`#${CSS.escape(input.dataset.find)} .j-tree`);
    const wanted = input.value.trim().toLowerCase();
    all(".j-hit", tree).forEach((hit) => hit.classList.remove("j-hit"));
    if (!wanted) return;
    const hits = all(".j-key, .j-string, .j-number, .j-bool, .j-null, .masked", tree).filter((leaf) => leaf.textContent.toLowerCase().includes(wanted));
    for (const hit of hits) {
      hit.classList.add("j-hit");
      for (let node = hit.closest("details"); node; node = node.parentElement.closest("details")) node.open = true;
    }
    if (hits.length) tree.scrollTop += hits[0].getBoundingClientRect().top - tree.getBoundingClientRect().top - 40;
  };
  const fold = (button) => {
    const nodes = all(`#${CSS.escape(button.dataset.fold)} .j-kids details`);
    const open = button.textContent === "Expand";
    nodes.forEach((node) => { node.open = open; });
    button.textContent = open ? "Collapse" : "Expand";
  };

  document.addEventListener("click", (event) => {
    const at = event.target;
    const button = at.closest("button");
    for (const menu of all("details.menu[open]")) if (!menu.contains(at)) menu.open = false;
    if (button) {
      if ("copy" in button.dataset) copy(button.dataset.copy, "curl" in button.dataset ? "Command" : "Id");
      if (button.dataset.copyFrom) copy(one(`#${CSS.escape(button.dataset.copyFrom)}`).textContent, "JSON");
      if ("copyLink" in button.dataset) copy(location.href, "Link");
      if ("live" in button.dataset) follow(!source);
      if ("themeSwitch" in button.dataset) switchTheme();
      if (button.dataset.open) one(`#${button.dataset.open}`).showModal();
      if ("close" in button.dataset) button.closest("dialog").close();
      if (button.dataset.fold) fold(button);
      if (button.dataset.toggle) toggle(button);
      if ("drop" in button.dataset) {
        const form = button.form;
        button.closest(".token").remove();
        changed(form);
      }
      const group = button.closest('.segments[role="group"]');
      if (group && button.hasAttribute("aria-pressed")) all("[aria-pressed]", group).forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      return;
    }
    const row = at.closest("tr.row");
    if (row && !at.closest("a") && !String(getSelection())) {
      const link = one("a", row);
      if (event.metaKey || event.ctrlKey) window.open(link.href);
      else location.assign(link.href);
    }
  });
  const toggle = (button) => {
    const panel = one(`#${button.dataset.toggle}`);
    panel.hidden = !panel.hidden;
    button.setAttribute("aria-expanded", String(!panel.hidden));
    if (!panel.hidden) one("input:not([type=hidden])", panel)?.focus();
  };

  // Live: rows as they are committed. The browser comes back by the cursor of the last event, so
  // none is missed; a row that is shown already is told by its id.
  const ROWS_MAX = 1000;
  const RECONNECT_MS = 2000;
  let source = null;
  const arrive = (event) => {
    const room = one("#rows");
    if (!room) { location.reload(); return; }
    const made = document.createElement("template");
    made.innerHTML = event.data; // of our own server, which escapes what records hold
    const fresh = all("tr.row", made.content).filter((row) => !document.getElementById(row.id));
    fresh.forEach((row) => row.classList.add("arrived"));
    const first = one("tr.row", room);
    const top = first?.getBoundingClientRect().top;
    room.prepend(...fresh);
    if (scrollY > 0 && first) scrollBy(0, first.getBoundingClientRect().top - top);
    all("tr.row", room).slice(ROWS_MAX).forEach((row) => row.remove());
    localize(room);
  };
  const connect = (url, after) => {
    const opened = (source = new EventSource(`${url}&after=${encodeURIComponent(after)}`));
    let last = after;
    opened.addEventListener("rows", (event) => { last = event.lastEventId; arrive(event); });
    opened.addEventListener("none", (event) => { last = event.lastEventId; });
    opened.addEventListener("error", () => {
      // After an error of the server the browser does not come back by itself.
      if (opened.readyState === EventSource.CLOSED && source === opened) setTimeout(() => source === opened && connect(url, last), RECONNECT_MS);
    });
  };
  const follow = (on) => {
    const button = one("[data-live]");
    const url = one("#results")?.dataset.liveUrl;
    source?.close();
    source = null;
    if (on && !url) say("This view ends in the past: choose an open period");
    if (on && url) {
      connect(url, "");
    }
    button.setAttribute("aria-pressed", String(source !== null));
  };
  document.addEventListener("htmx:afterSwap", (event) => { if (source && event.detail.target.id === "results") follow(true); });
  addEventListener("pagehide", () => source?.close());

  // Keys
  let first = "", firstAt = 0;
  const step = (by) => {
    const links = all("tr.row .c-time a, tr.row td:first-child a, .failure, .event-title, a.brief, .course a").filter((link, place, list) => list.indexOf(link) === place && link.offsetParent);
    if (!links.length) return;
    const at = links.findIndex((link) => link.closest("tr, li, a") === document.activeElement?.closest("tr, li, a"));
    const next = links[Math.max(0, Math.min(links.length - 1, at < 0 ? 0 : at + by))];
    next.focus({ preventScroll: true });
    next.closest("tr, li, a").scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("keydown", (event) => {
    const field = event.target.closest("input, select, textarea");
    if (event.key === "Escape") {
      field?.blur();
      all("details.menu[open]").forEach((menu) => { menu.open = false; });
      return;
    }
    if (field && event.key === "Enter" && field.matches("[data-token-input]")) {
      event.preventDefault();
      addToken(field);
      changed(field.form);
      return;
    }
    if (field || event.metaKey || event.ctrlKey || event.altKey || one("dialog[open]")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const sequence = first && Date.now() - firstAt < SEQUENCE_MS ? `${first} ${key}` : key;
    first = key === "g" && sequence === "g" ? "g" : "";
    firstAt = Date.now();
    const act = {
      "/": () => one("#search")?.focus(),
      j: () => step(1), k: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1),
      f: () => one("[data-toggle]")?.click(),
      c: () => one("[data-curl]")?.click(),
      y: () => copy(location.href, "Link"),
      l: () => one("[data-live]")?.click(),
      t: switchTheme,
      "?": () => one("#shortcuts")?.showModal(),
    }[sequence];
    const link = one(`a[data-key="${CSS.escape(sequence)}"]`);
    if (!act && !link) return;
    if ((key === "ArrowDown" || key === "ArrowUp") && !one("tr.row")) return;
    event.preventDefault();
    if (link) location.assign(link.href);
    else act();
  });

  document.addEventListener("htmx:load", (event) => { localize(event.detail.elt); });
  localize(document);
  moments(document);
  const more = one("#more-filters");
  if (more && all("input:not([type=hidden])", more).some((input) => (input.type === "checkbox" ? input.checked : input.value))) { more.hidden = false; one("[data-toggle]").setAttribute("aria-expanded", "true"); }
})();
