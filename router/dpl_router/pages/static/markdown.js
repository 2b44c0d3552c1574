// Markdown to DOM nodes. A model's words become text nodes and a handful of elements, never HTML:
// there is no way from them to an attribute but a checked link. Images stay words.

const DEEPEST = 6;
const LONGEST_LINE = 1000;
const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const QUOTE = /^ {0,3}>\s?(.*)$/;
const TABLE_LINE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

// Shows `source` in `box`; blocks that did not change keep their nodes (and focus, and selection).
export function show(box, source) {
  const blocks = split(source.replaceAll("\r\n", "\n").split("\n"));
  const shown = box.children;
  blocks.forEach((block, place) => {
    const key = block.kind + "\n" + block.lines.join("\n");
    if (shown[place]?.source === key) return;
    const made = make(block, 0);
    made.source = key;
    if (shown[place]) shown[place].replaceWith(made);
    else box.append(made);
  });
  while (shown.length > blocks.length) shown[blocks.length].remove();
}

// Lines to blocks: {kind, lines, word}.
function split(lines) {
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) {
      at += 1;
      continue;
    }
    const block = take(lines, at);
    at += block.taken;
    blocks.push(block);
  }
  return blocks;
}

function take(lines, at) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence) return takeFence(lines, at, fence);
  if (isHeading(line)) return { kind: "heading", lines: [line], taken: 1 };
  if (RULE.test(line)) return { kind: "rule", lines: [], taken: 1 };
  if (QUOTE.test(line)) return takeWhile("quote", lines, at, (each) => QUOTE.test(each));
  if (ITEM.test(line)) return takeList(lines, at);
  if (line.includes("|") && isTableLine(lines[at + 1] ?? ""))
    return takeWhile("table", lines, at, (each) => each.includes("|"));
  return takeWhile("paragraph", lines, at, (each, place) => !place || isText(each));
}

function isText(line) {
  if (!line.trim() || isHeading(line)) return false;
  return ![FENCE, RULE, QUOTE, ITEM].some((each) => each.test(line));
}

// These two look at white space more than once: bounded, so that no line makes them slow.
function isHeading(line) {
  return line.length <= LONGEST_LINE && HEADING.test(line);
}

function isTableLine(line) {
  return line.length <= LONGEST_LINE && line.includes("-") && TABLE_LINE.test(line);
}

function takeWhile(kind, lines, at, goesOn) {
  let end = at;
  while (end < lines.length && goesOn(lines[end], end - at)) end += 1;
  return { kind, lines: lines.slice(at, end), taken: end - at };
}

function takeFence(lines, at, fence) {
  const close = fence[1];
  let end = at + 1;
  while (end < lines.length && !closes(lines[end], close)) end += 1;
  const body = lines.slice(at + 1, end);
  return { kind: "code", word: fence[2], lines: body, taken: end - at + 1 };
}

function closes(line, fence) {
  const said = line.trim();
  return said.length >= fence.length && [...said].every((sign) => sign === fence[0]);
}

// An item, what is indented below it, and blank lines between; ends at the first other line.
function takeList(lines, at) {
  const indent = ITEM.exec(lines[at])[1].length;
  const ordered = isOrdered(lines[at]);
  let end = at + 1;
  while (end < lines.length) {
    const line = lines[end];
    const item = ITEM.exec(line);
    if (item && item[1].length <= indent && isOrdered(line) !== ordered) break;
    const inside = line.trim() === "" ? goesOnAfterBlank(lines, end, indent) : belongs(line, indent);
    if (!item && !inside) break;
    end += 1;
  }
  return { kind: "list", lines: lines.slice(at, end), taken: end - at };
}

function isOrdered(line) {
  return /\d/.test(ITEM.exec(line)[2]);
}

function belongs(line, indent) {
  return /^\s*/.exec(line)[0].length > indent || isText(line);
}

function goesOnAfterBlank(lines, at, indent) {
  const next = lines.slice(at).find((line) => line.trim());
  return next !== undefined && (ITEM.test(next) || /^\s*/.exec(next)[0].length > indent);
}

// Blocks to nodes

function make(block, depth) {
  switch (block.kind) {
    case "code":
      return code(block);
    case "heading":
      return heading(block.lines[0]);
    case "rule":
      return element("hr");
    case "quote":
      return quote(block.lines, depth);
    case "list":
      return list(block.lines, depth);
    case "table":
      return table(block.lines);
    default:
      return inlineInto(element("p"), block.lines.join("\n"), 0);
  }
}

function element(name, ...inside) {
  const made = document.createElement(name);
  made.append(...inside);
  return made;
}

function within(box, lines, depth) {
  if (depth >= DEEPEST) box.append(lines.join("\n"));
  else box.append(...split(lines).map((block) => make(block, depth + 1)));
  return box;
}

function heading(line) {
  const [, signs, words] = HEADING.exec(line);
  return inlineInto(element("h" + Math.min(signs.length + 2, 5)), words, 0);
}

function quote(lines, depth) {
  return within(element("blockquote"), lines.map((line) => QUOTE.exec(line)[1]), depth);
}

function list(lines, depth) {
  const box = element(isOrdered(lines[0]) ? "ol" : "ul");
  const first = /\d+/.exec(ITEM.exec(lines[0])[2]);
  if (first && first[0] !== "1") box.start = Number(first[0]);
  const indent = ITEM.exec(lines[0])[1].length;
  let item = [];
  const put = () => item.length && box.append(listItem(item, depth));
  for (const line of lines) {
    const start = ITEM.exec(line);
    if (start && start[1].length <= indent) {
      put();
      item = [start[3]];
    } else item.push(line);
  }
  put();
  return box;
}

function listItem(lines, depth) {
  const deeper = lines.slice(1).filter((line) => line.trim());
  const cut = Math.min(...deeper.map((line) => /^\s*/.exec(line)[0].length), 8);
  const body = [lines[0], ...lines.slice(1).map((line) => line.slice(Math.min(cut, line.length)))];
  const made = within(element("li"), body, depth);
  const only = made.children.length && made.firstElementChild;
  if (only && only.tagName === "P") only.replaceWith(...only.childNodes);
  return made;
}

function table(lines) {
  const [head, , ...rows] = lines.map(cells);
  const made = element("table", element("thead", row("th", head)));
  made.append(element("tbody", ...rows.map((each) => row("td", each))));
  const box = element("div", made);
  box.className = "scroll";
  box.tabIndex = 0;
  return box;
}

function row(kind, texts) {
  return element("tr", ...texts.map((text) => inlineInto(element(kind), text, 0)));
}

function cells(line) {
  return line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
}

function code(block) {
  const text = block.lines.join("\n");
  const copy = element("button", "Copy");
  copy.type = "button";
  copy.className = "quiet";
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Not allowed here";
    }
    setTimeout(() => (copy.textContent = "Copy"), 1500);
  });
  const word = element("span", block.word || "text");
  word.className = "sub";
  const pre = element("pre", element("code", text));
  pre.tabIndex = 0;
  const made = element("div", element("div", word, copy), pre);
  made.className = "code";
  return made;
}

// Inside a line: code, links, strong, em, struck, line breaks. Each alternative is bounded by what
// it must not contain, so that no text makes it slow.
const INLINE =
  /(`{1,9})([^`]+)\1|!?\[([^[\]\n]{0,500})\]\(([^()\s]{1,2000})\)|\*\*([^*\n]{1,2000})\*\*|__([^_\n]{1,2000})__|(?<![\w*])\*([^*\s][^*\n]{0,2000})\*|(?<!\w)_([^_\s][^_\n]{0,2000})_(?!\w)|~~([^~\n]{1,2000})~~|(https?:\/\/[^\s<>"'`)\]]{1,2000})|\\([\\`*_{}[\]()#+.!|~-])|(\n)/g;

function inlineInto(box, text, depth) {
  let last = 0;
  for (const found of text.matchAll(INLINE)) {
    box.append(text.slice(last, found.index), inlineNode(found, depth));
    last = found.index + found[0].length;
  }
  box.append(text.slice(last));
  return box;
}

function inlineNode(found, depth) {
  const [whole, , coded, label, target, strong, strong2, em, em2, struck, bare, escaped] = found;
  const deeper = (name, text) =>
    depth < DEEPEST ? inlineInto(element(name), text, depth + 1) : text;
  if (coded !== undefined) return element("code", coded.trim() || coded);
  if (target !== undefined) return link(target, label || target, whole);
  if (strong ?? strong2) return deeper("strong", strong ?? strong2);
  if (em ?? em2) return deeper("em", em ?? em2);
  if (struck !== undefined) return deeper("s", struck);
  if (bare !== undefined) return link(bare, bare, bare);
  if (escaped !== undefined) return escaped;
  return element("br");
}

function link(target, label, whole) {
  if (!/^(https?:\/\/|mailto:)/i.test(target)) return whole;
  const made = element("a", label);
  made.href = target;
  made.title = target;
  made.target = "_blank";
  made.rel = "noopener noreferrer nofollow";
  return made;
}
