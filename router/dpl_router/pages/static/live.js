// Keeps a page true: patches from the event stream, ages that count, theme, keys.
// What is patched in is our own server's HTML, in which everything foreign is escaped.

const LOST_AFTER = 12_000; // the server says something at least every 5 s
const AGAIN_AFTER = 3_000;

const page = document.body.dataset.page;
let skew = Number(document.body.dataset.now) * 1000 - Date.now();
let heardAt = Date.now();
let signedOut = false;

function now() {
  return Date.now() + skew;
}

// Patches

function patch(id, html) {
  const old = document.getElementById(id);
  if (!old || html === undefined) return;
  const opened = [...old.querySelectorAll("details[open]")].map((each) => each.dataset.key);
  const focused = keyOf(old.contains(document.activeElement) && document.activeElement);
  const chosen = old instanceof HTMLSelectElement ? old.value : null;
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  if (old.tagName === "TR") old.replaceWith(fresh.content.firstElementChild);
  else old.replaceChildren(fresh.content);
  const root = document.getElementById(id);
  for (const each of root.querySelectorAll("details")) each.open = opened.includes(each.dataset.key);
  if (focused) [...root.querySelectorAll("a, summary")].find((each) => keyOf(each) === focused)?.focus();
  if (chosen !== null) choose(old, chosen);
  tellAges(root);
}

function keyOf(element) {
  if (!element) return null;
  return element.parentElement?.dataset.key ?? element.textContent;
}

function choose(select, value) {
  select.value = value;
  if (select.value === value) return;
  select.add(new Option(value + " (not served now)", value));
  select.value = value;
}

// Ages

function tellAges(root) {
  for (const time of root.querySelectorAll("time")) {
    const at = Date.parse(time.dateTime);
    if (Number.isNaN(at)) continue;
    const said = ago((now() - at) / 1000);
    if (time.textContent !== said) time.textContent = said;
    if (!time.title) time.title = new Date(at).toLocaleString();
  }
}

function ago(seconds) {
  if (seconds < -90) return "in " + Math.round(-seconds / 60) + " min";
  if (seconds < -5) return "in " + Math.round(-seconds) + " s";
  if (seconds < 5) return "just now";
  if (seconds < 90) return Math.round(seconds) + " s ago";
  if (seconds < 5400) return Math.round(seconds / 60) + " min ago";
  if (seconds < 129_600) return Math.round(seconds / 3600) + " h ago";
  return Math.round(seconds / 86_400) + " days ago";
}

// The stream

function listen() {
  const source = new EventSource("/events?page=" + page);
  source.onmessage = (event) => {
    const told = JSON.parse(event.data);
    heardAt = Date.now();
    signedOut = false;
    skew = told.now * 1000 - heardAt;
    for (const [id, html] of Object.entries(told.pieces)) patch(id, html);
    showTitle();
    showLost();
  };
  source.onerror = () => {
    // A refused stream stays closed; a broken one comes back by itself.
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(listen, AGAIN_AFTER);
    lookWhy();
  };
}

// Of a refusal the stream tells no status.
async function lookWhy() {
  try {
    const answer = await fetch("/events", { method: "HEAD", cache: "no-store" });
    signedOut = answer.status === 401;
  } catch {
    signedOut = false;
  }
  showLost();
}

function showTitle() {
  const alerts = Number(document.querySelector("[data-alerts]")?.dataset.alerts ?? 0);
  const title = document.title.replace(/^\(\d+\) /, "");
  document.title = alerts ? `(${alerts}) ${title}` : title;
}

function showLost() {
  const silent = Date.now() - heardAt;
  const lost = signedOut || silent > LOST_AFTER;
  const line = document.getElementById("lost");
  document.body.classList.toggle("is-lost", lost);
  line.hidden = !lost;
  if (!lost) {
    line.textContent = "";
    return;
  }
  if (signedOut) {
    if (line.querySelector("a")) return;
    const link = document.createElement("a");
    link.href = "/login?next=" + encodeURIComponent(location.pathname);
    link.textContent = "Sign in";
    line.replaceChildren("This browser is signed out, or its key has ended. ", link, " to go on.");
    return;
  }
  const last = new Date(heardAt).toLocaleTimeString();
  line.textContent = `The router does not answer. This is what was known at ${last}; the page goes on by itself when it is back.`;
}

// Theme

const themes = ["system", "light", "dark"];

function showTheme(button) {
  const theme = document.documentElement.dataset.theme ?? "system";
  button.querySelector("span").textContent = theme[0].toUpperCase() + theme.slice(1);
  button.setAttribute("aria-label", `Theme: ${theme}. Change it`);
}

function nextTheme() {
  const root = document.documentElement;
  const theme = themes[(themes.indexOf(root.dataset.theme ?? "system") + 1) % themes.length];
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  try {
    localStorage.setItem("dpl-theme", theme);
  } catch {
    // storage is blocked: the choice holds for this page
  }
}

const themeButton = document.getElementById("theme");
themeButton.hidden = false;
themeButton.addEventListener("click", () => {
  nextTheme();
  showTheme(themeButton);
});
showTheme(themeButton);

// Keys: g o, g c; / goes to the page's own field.

let after = "";
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, dialog")) return;
  const both = after + event.key;
  after = event.key === "g" ? "g" : "";
  if (both === "go") location.assign("/");
  else if (both === "gc") location.assign("/chat");
  else if (event.key === "/" && document.getElementById("say")) {
    event.preventDefault();
    document.getElementById("say").focus();
  }
});

// Back after "Sign out" shows the page as it was left: whether it may be seen, the router says.
addEventListener("pageshow", (event) => {
  if (event.persisted && document.querySelector('form[action="/logout"]')) location.reload();
});

setInterval(() => {
  tellAges(document);
  showLost();
}, 1000);
tellAges(document);
showTitle();
listen();
