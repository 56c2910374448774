// Where people give an input, by the task of the model, and the examples beside it.

import { button, make } from "./asking.js";

// Each gives { node, show(input), request() }: what stands on the page, how an example gets into it, and the request
// that is sent; `go` has it sent.
export const FORMS = { image, text, tabular };

function image(model, go) {
  const drop = make("label", undefined, "drop"), choose = make("input"), seen = make("img");
  let file = null, address = null;
  choose.type = "file";
  choose.accept = "image/*";
  seen.alt = "";
  seen.hidden = true;
  drop.append(choose, seen, make("span", "Drop a picture here, paste one, or choose a file"));

  function take(blob) {
    if (!blob) return;
    file = blob;
    if (address) URL.revokeObjectURL(address);
    address = URL.createObjectURL(blob);
    seen.hidden = false;
    seen.src = address;
    go();
  }
  seen.onload = () => seen.classList.toggle("small", seen.naturalWidth < 96);
  seen.onerror = () => { seen.hidden = true }; // a format that browsers do not show; the server may read it
  choose.onchange = () => { take(choose.files[0]); choose.value = "" };
  drop.ondragover = event => { event.preventDefault(); drop.classList.add("over") };
  drop.ondragleave = () => drop.classList.remove("over");
  drop.ondrop = event => { event.preventDefault(); drop.classList.remove("over"); take(event.dataTransfer.files[0]) };
  document.onpaste = event => take(event.clipboardData?.files[0]);
  const kind = () => file.type.startsWith("image/") ? file.type : "image/unknown";
  return {
    node: drop,
    show: input => take(toBlob(input)),
    request: () => ({ method: "POST", body: file, type: kind() }),
  };
}

function text(model, go) {
  const form = make("form"), area = make("textarea");
  area.rows = 5;
  area.required = true;
  area.placeholder = "A sentence";
  area.setAttribute("aria-label", "Text");
  area.onkeydown = event => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit() };
  form.onsubmit = event => { event.preventDefault(); go() };
  form.append(area, ending("Ctrl + Enter"));
  return {
    node: form,
    show: input => { area.value = input; go() },
    request: () => json(area.value),
  };
}

function tabular(model, go, ranges) {
  const form = make("form"), grid = make("div", undefined, "fields"), fields = new Map();
  for (const column of model.columns) {
    const label = make("label"), field = column.categories.length ? menu(column) : box(column);
    label.append(make("span", column.name), field);
    const range = ranges[column.name];
    if (range && column.type !== "category") label.append(make("small", `seen ${range.map(brief).join(" to ")}`));
    fields.set(column, field);
    grid.append(label);
  }
  form.onsubmit = event => { event.preventDefault(); go() };
  form.append(grid, ending());
  const row = () => Object.fromEntries([...fields].map(([column, field]) => [column.name, value(column, field)]));
  return {
    node: form,
    show(input) {
      for (const [column, field] of fields) field.value = input[column.name] ?? "";
      go();
    },
    request: () => json(row()),
  };
}

function menu(column) {
  const field = make("select");
  if (column.nullable) field.append(new Option("none", ""));
  field.append(...column.categories.map(each => new Option(each, each)));
  return field;
}

function box(column) {
  const field = make("input");
  field.required = !column.nullable;
  if (column.type !== "category") {
    field.type = "number";
    field.step = column.type === "integer" ? "1" : "any";
  }
  return field;
}

function value(column, field) {
  if (field.value === "" && column.nullable) return null;
  return column.type === "category" ? field.value : Number(field.value);
}

function ending(keys) {
  const row = make("div", undefined, "row"), send = make("button", "Predict", "main");
  row.append(send);
  if (keys) row.append(make("kbd", keys));
  return row;
}

export function example(model, each, use) {
  const label = each.label === null ? "" : model.labels.length ? each.label : brief(Number(each.label));
  const node = button(undefined, "example " + model.task, use);
  if (model.task === "image") {
    const seen = make("img");
    seen.alt = "";
    seen.onload = () => { seen.classList.toggle("small", seen.naturalWidth < 96); URL.revokeObjectURL(seen.src) };
    seen.onerror = () => seen.replaceWith(make("span", "no preview", "soft"));
    seen.src = URL.createObjectURL(toBlob(each.input));
    node.append(seen);
  } else {
    node.append(make("span", model.task === "text" ? each.input : inWords(model, each.input), "words"));
  }
  node.append(make("b", label));
  node.title = label ? `${label}: try it` : "try it";
  return node;
}

const inWords = (model, row) => model.columns.filter(({ name }) => row[name] !== null).map(({ name }) => `${name} ${row[name]}`).join(" · ");
const json = input => ({ method: "POST", body: JSON.stringify({ inputs: [input] }), type: "application/json" });
const toBlob = input => new Blob([Uint8Array.from(atob(input.b64), each => each.charCodeAt(0))]);

export const brief = number => Number(number.toPrecision(5)).toLocaleString("en", { maximumSignificantDigits: 5 });
