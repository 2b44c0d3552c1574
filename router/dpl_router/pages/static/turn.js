// One message on the page.

import { show } from "./markdown.js";

const REASONS = {
  cheapest: "answers soonest",
  warm: "free and warm",
  affinity: "knows this chat",
  only: "the only one that can",
  retry: "another node failed",
  panic: "last resort",
  preempted: "made room for you",
};
const REDRAW = 60;
const KEY = [401, 403];

function element(name, className, ...inside) {
  const made = document.createElement(name);
  made.className = className;
  made.append(...inside);
  return made;
}

export function userTurn(message) {
  const turn = element("article", "turn you", element("h2", "", "You"));
  turn.append(element("div", "text", message.content));
  return turn;
}

// An answer: `message` holds all that is shown, so that a kept one looks as a fresh one.
export class AnswerTurn {
  constructor(message, retry, drawn) {
    this.message = message;
    this.retry = retry;
    this.drawn = drawn;
    this.head = element("h2", "");
    this.thinking = element("details", "thinking", element("summary", "", "Thinking"));
    this.thinking.append(element("p", ""));
    this.text = element("div", "text");
    this.foot = element("div", "");
    this.root = element("article", "turn answer", this.head, this.thinking, this.text, this.foot);
    this.timer = null;
    this.draw();
  }

  set busy(value) {
    this.root.setAttribute("aria-busy", String(value));
  }

  // Soon, and not more often than the drawing itself takes.
  changed() {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.draw();
    }, REDRAW);
  }

  draw() {
    clearTimeout(this.timer);
    this.timer = null;
    const message = this.message;
    const head = headline(message);
    this.head.replaceChildren(...head);
    this.head.hidden = !head.length;
    this.thinking.hidden = !message.thinking;
    this.thinking.lastElementChild.textContent = message.thinking ?? "";
    show(this.text, message.content);
    this.foot.replaceChildren(...this.ending());
    this.drawn();
  }

  ending() {
    const parts = [];
    if (this.message.error) {
      const said = element("p", "", this.message.error);
      parts.push(element("div", "problem", said, this.wayOut()));
      parts[0].setAttribute("role", "alert");
    }
    const speed = speedLine(this.message);
    if (speed) parts.push(element("p", "sub speed", speed));
    return parts;
  }

  // The same key is refused again.
  wayOut() {
    if (KEY.includes(this.message.refused)) {
      const link = element("a", "", "Sign in with another key");
      link.href = "/login?next=/chat";
      return link;
    }
    const again = element("button", "quiet", "Try again");
    again.type = "button";
    again.addEventListener("click", () => this.retry(this));
    return again;
  }
}

function headline(message) {
  if (!message.node) return message.ended ? [] : ["Looking for a node"];
  const rest = [];
  if (message.model) rest.push(message.model);
  if (message.reason) rest.push("chosen: " + (REASONS[message.reason] ?? message.reason));
  if (message.before?.length) rest.push("after " + message.before.join(", "));
  if (message.waited) rest.push(`waited ${duration(message.waited)}`);
  return [element("b", "", message.node), rest.length ? " · " + rest.join(" · ") : ""];
}

function duration(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

// "41 tok/s · first token 0.21 s · 312 tokens"
function speedLine({ tokens, first, seconds, stopped }) {
  const parts = stopped ? ["stopped"] : [];
  if (tokens > 1 && seconds > 0.02) parts.push(`${rate((tokens - 1) / seconds)} tok/s`);
  if (first !== undefined) parts.push(`first token ${(first / 1000).toFixed(2)} s`);
  if (tokens) parts.push(tokens === 1 ? "1 token" : `${tokens} tokens`);
  return parts.join(" · ");
}

function rate(value) {
  return value < 10 ? value.toFixed(1) : Math.round(value);
}
