// The chats, kept in this browser alone. Blocked or full storage: they last as long as the page.

const KEY = "dpl-chats";
const MOST = 50;

export function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((chat) => Array.isArray(chat?.messages)) : [];
  } catch {
    return [];
  }
}

// Newest first; the oldest go where the browser has no room.
export function save(chats) {
  let kept = chats.filter((chat) => chat.messages.length).slice(0, MOST);
  while (true) {
    try {
      localStorage.setItem(KEY, JSON.stringify(kept));
      return;
    } catch {
      if (kept.length <= 1) return;
      kept = kept.slice(0, Math.floor(kept.length / 2));
    }
  }
}

export function begin(settings = {}) {
  const id = Array.from(crypto.getRandomValues(new Uint32Array(2)), (n) => n.toString(36)).join("");
  return { id, messages: [], model: "", ...settings };
}

export function title(chat) {
  const first = chat.messages.find((message) => message.role === "user");
  return first ? first.content.slice(0, 80) : "Empty chat";
}

export function download(chats) {
  const file = new Blob([JSON.stringify(chats, null, 2)], { type: "application/json" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = "dpl-chats.json";
  link.click();
  URL.revokeObjectURL(link.href);
}
