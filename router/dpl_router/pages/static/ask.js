// One question to the router, and its answer as it comes.

// `status` is that of HTTP, where the router answered at all.
export class Refused extends Error {
  constructor(words, status) {
    super(words);
    this.status = status;
  }
}

// Yields {node, reason, queued: ms}, {model}, {text}, {thinking}, {usage}; ends after [DONE].
// Throws Refused (the words are for people), or AbortError where `signal` stopped it.
export async function* ask(body, signal) {
  const response = await send(body, signal);
  let done = false;
  for await (const data of events(response)) {
    if (data === "[DONE]") {
      done = true;
      continue;
    }
    yield* read(JSON.parse(data));
  }
  if (!done) throw new Refused("The answer was cut off before its end.");
}

async function send(body, signal) {
  let response;
  try {
    response = await fetch("/api/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRF": "1" },
      body: JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The router does not answer. Is it running?");
  }
  if (!response.ok) throw new Refused(await refusal(response), response.status);
  return response;
}

async function refusal(response) {
  try {
    const told = await response.json();
    return told.detail ?? told.error?.message ?? `The router answered ${response.status}.`;
  } catch {
    return `The router answered ${response.status}.`;
  }
}

function* read(event) {
  if (event.error) throw new Refused(event.error.message ?? "The node reported an error.");
  if (event.node !== undefined) {
    yield { node: event.node, reason: event.reason, queued: event.queue_ms };
  }
  if (typeof event.model === "string" && event.choices?.length) yield { model: event.model };
  const delta = event.choices?.[0]?.delta;
  const thinking = delta?.reasoning_content ?? delta?.reasoning;
  if (typeof thinking === "string" && thinking) yield { thinking };
  if (typeof delta?.content === "string" && delta.content) yield { text: delta.content };
  if (event.usage) yield { usage: event.usage };
}

// The data of each server-sent event. Lines end at \n only: other line signs are part of the text.
async function* events(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let data = [];
  while (true) {
    const { done, value } = await piece(reader);
    if (done) return;
    rest += decoder.decode(value, { stream: true });
    const lines = rest.split("\n");
    rest = lines.pop();
    for (const raw of lines) {
      const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
      if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
      else if (line === "" && data.length) {
        yield data.join("\n");
        data = [];
      }
    }
  }
}

async function piece(reader) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The connection to the router broke.");
  }
}
