// Requests to the server that the page came from, and nowhere else.

const KEY = "tidemill-token";
const root = new URL("..", location.href);

export class Refusal extends Error {
  constructor(status, message, remedy) {
    super(message);
    this.status = status;
    this.remedy = remedy;
  }
}

export function keepToken(token) {
  sessionStorage.setItem(KEY, token);
}

// The JSON of an answer, and how many milliseconds it took to come. Throws Refusal.
export async function ask(path, { method = "GET", body, type } = {}) {
  const headers = {}, token = sessionStorage.getItem(KEY), began = performance.now();
  if (token) headers["Authorization"] = "Bearer " + token;
  if (type) headers["Content-Type"] = type;
  let answer, document_;
  try {
    answer = await fetch(new URL(path, root), { method, body, headers, redirect: "error", cache: "no-store" });
    document_ = await answer.json();
  } catch {
    if (!answer) throw new Refusal(0, "the server does not answer", "see whether it still runs, then try again");
  }
  const milliseconds = performance.now() - began;
  if (answer.ok && document_) return { document: document_, milliseconds };
  const error = document_?.error;
  throw new Refusal(answer.status, error?.message ?? `the server says ${answer.status}`, error?.remedy ?? "");
}

export const askJson = (path, content) =>
  ask(path, { method: "POST", body: JSON.stringify(content), type: "application/json" });

// An element. Text never becomes markup: what a label holds stays text.
export function make(tag, text, name) {
  const node = document.createElement(tag);
  if (text !== undefined && text !== null) node.textContent = text;
  if (name) node.className = name;
  return node;
}

export function button(text, name, act) {
  const node = make("button", text, name);
  node.type = "button";
  node.onclick = act;
  return node;
}

export function failure(error) {
  const box = make("div", undefined, "failure");
  box.setAttribute("role", "alert");
  box.append(make("strong", error.message));
  if (error.remedy) box.append(make("p", error.remedy, "soft"));
  return box;
}
