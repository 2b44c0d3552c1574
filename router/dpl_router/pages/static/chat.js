// The chat: composer, answers, settings, the chats kept here.

import { ask, Refused } from "./ask.js";
import * as history from "./history.js";
import { AnswerTurn, userTurn } from "./turn.js";

const at = (id) => document.getElementById(id);
const talk = at("talk");
const say = at("say");

let chats = history.load();
let chat = chats[0] ?? history.begin();
let stopper = null; // the AbortController of the answer under way

// Asking

function submit() {
  const content = say.value.trim();
  if (!content || stopper) return;
  say.value = "";
  const message = { role: "user", content };
  chat.messages.push(message);
  talk.append(userTurn(message));
  answer();
}

async function answer() {
  const body = request();
  const message = { role: "assistant", content: "" };
  chat.messages.push(message);
  const turn = new AnswerTurn(message, again, followEnd);
  talk.append(turn.root);
  keep();
  toEnd();
  busy(true);
  turn.busy = true;
  stopper = new AbortController();
  const voice = new Voice();
  try {
    await follow(body, message, turn, voice);
  } catch (error) {
    if (error.name === "AbortError") message.stopped = true;
    else if (error instanceof Refused) {
      message.error = error.message;
      message.refused = error.status;
    }
    else message.error = "The answer could not be read: " + error.message;
  } finally {
    stopper = null;
    message.ended = true;
    turn.busy = false;
    turn.draw();
    voice.end();
    busy(false);
    keep();
  }
}

async function follow(body, message, turn, voice) {
  const began = performance.now();
  let firstAt = null;
  let words = "";
  for await (const event of ask(body, stopper.signal)) {
    if (event.node !== undefined) dispatched(message, event);
    if (event.model && !body.model) message.model = event.model; // what `auto` came to
    if (event.thinking || event.text) {
      const now = performance.now();
      firstAt ??= now;
      message.first = firstAt - began;
      message.seconds = (now - firstAt) / 1000;
      message.tokens = (message.tokens ?? 0) + 1;
    }
    if (event.thinking) message.thinking = (message.thinking ?? "") + event.thinking;
    if (event.text) {
      words += event.text;
      sort(message, words);
      voice.hear(message.content);
    }
    if (event.usage?.completion_tokens) message.tokens = event.usage.completion_tokens;
    turn.changed();
  }
}

function dispatched(message, { node, reason, queued }) {
  if (message.node) message.before = [...(message.before ?? []), message.node];
  if (queued > 0) message.waited = queued;
  Object.assign(message, { node, reason });
}

// Some models think aloud between tags in the text itself.
function sort(message, words) {
  const found = /^\s*<think>([^]*?)(?:<\/think>\s*([^]*)|$)/.exec(words);
  if (found) message.thinking = found[1].trim();
  message.content = found ? (found[2] ?? "") : words;
}

function request() {
  const messages = chat.messages
    .filter((message) => message.content)
    .map(({ role, content }) => ({ role, content }));
  if (chat.system) messages.unshift({ role: "system", content: chat.system });
  const body = { messages, stream: true, stream_options: { include_usage: true } };
  if (at("models").value) body.model = at("models").value;
  if (Number.isFinite(chat.temperature)) body.temperature = chat.temperature;
  if (Number.isFinite(chat.maxTokens)) body.max_tokens = chat.maxTokens;
  return body;
}

function again(turn) {
  if (stopper) return;
  chat.messages.splice(chat.messages.indexOf(turn.message));
  while (turn.root.nextSibling) turn.root.nextSibling.remove();
  turn.root.remove();
  say.focus();
  answer();
}

function stop() {
  stopper?.abort();
}

function busy(value) {
  at("send").hidden = value;
  at("stop").hidden = !value;
  at("welcome").hidden = chat.messages.length > 0;
}

// The screen reader hears whole sentences, not every token.
class Voice {
  constructor() {
    this.said = 0;
    this.text = "";
  }

  hear(text) {
    this.text = text;
    const ends = [...text.slice(this.said).matchAll(/[.!?:]\s|\n/g)];
    if (ends.length) this.speak(this.said + ends.at(-1).index + 1);
  }

  end() {
    this.speak(this.text.length);
  }

  speak(upTo) {
    const words = this.text.slice(this.said, upTo).trim();
    this.said = upTo;
    if (words) at("spoken").textContent = words;
  }
}

// Where to look: the end, as long as the reader has not scrolled away from it.

function nearEnd() {
  const page = document.documentElement;
  return page.scrollHeight - page.scrollTop - page.clientHeight < 120;
}

let atEnd = true;
addEventListener("scroll", () => (atEnd = nearEnd()), { passive: true });
addEventListener("resize", followEnd);

function followEnd() {
  if (atEnd) toEnd();
}

function toEnd() {
  atEnd = true;
  scrollTo(0, document.documentElement.scrollHeight);
}

// Keeping and showing

function keep() {
  chats = [chat, ...chats.filter((each) => each.id !== chat.id)];
  history.save(chats);
}

function open(which) {
  stop();
  chat = which;
  talk.replaceChildren(...chat.messages.map(kept));
  pick(chat.model);
  at("system").value = chat.system ?? "";
  at("temperature").value = chat.temperature ?? "";
  at("max-tokens").value = chat.maxTokens ?? "";
  busy(false);
  toEnd();
}

function kept(message) {
  if (message.role === "user") return userTurn(message);
  if (!message.ended) message.error ??= "The page was left before this answer was complete.";
  return new AnswerTurn(message, again, followEnd).root;
}

function pick(model) {
  const select = at("models");
  select.value = model;
  if (select.value !== model) select.value = "";
}

function listChats() {
  const shown = chats.filter((each) => each.messages.length);
  at("history-list").replaceChildren(...shown.map(historyItem));
  if (!shown.length) at("history-list").append("No chats yet. They stay in this browser.");
}

function historyItem(kept) {
  const item = document.createElement("li");
  const opener = quiet(history.title(kept), () => {
    at("history").close();
    open(kept);
  });
  const remover = quiet("Delete", () => {
    chats = chats.filter((each) => each.id !== kept.id);
    history.save(chats);
    if (kept.id === chat.id) open(history.begin());
    listChats();
  });
  remover.setAttribute("aria-label", "Delete the chat: " + history.title(kept));
  item.append(opener, remover);
  return item;
}

function quiet(label, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "quiet";
  made.textContent = label;
  made.addEventListener("click", act);
  return made;
}

function number(id) {
  const field = at(id);
  return field.value === "" || !field.validity.valid ? undefined : Number(field.value);
}

// Events

at("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
say.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) stop();
});
say.addEventListener("input", () => {
  if (!CSS.supports("field-sizing", "content")) say.rows = Math.min(8, say.value.split("\n").length);
});
addEventListener("pagehide", keep);
at("stop").addEventListener("click", () => {
  stop();
  say.focus();
});
at("models").addEventListener("change", () => {
  chat.model = at("models").value;
  keep();
});
at("new-chat").addEventListener("click", () => {
  const { model, system, temperature, maxTokens } = chat;
  open(history.begin({ model, system, temperature, maxTokens }));
  say.focus();
});
at("open-settings").addEventListener("click", () => at("settings").showModal());
at("settings").addEventListener("close", () => {
  chat.system = at("system").value.trim();
  chat.temperature = number("temperature");
  chat.maxTokens = number("max-tokens");
  keep();
});
at("open-history").addEventListener("click", () => {
  listChats();
  at("history").showModal();
});
at("export").addEventListener("click", () => history.download(chats));

open(chat);
at("send").disabled = false; // until now words would be lost
if (matchMedia("(pointer: fine)").matches) say.focus(); // a phone's keyboard waits to be asked
