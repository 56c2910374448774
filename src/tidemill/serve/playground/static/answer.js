// An answer: the class or the value, scores as bars, where it comes from, and the way to say that it is wrong.

import { askJson, button, failure, make } from "./asking.js";
import { brief } from "./giving.js";

const SHOWN = 5;

export function answerOf(model, document_, milliseconds, example) {
  const result = document_.predictions[0], box = make("div"), isClass = model.labels.length > 0;
  box.append(make("p", isClass ? result.class : brief(result.value), "big"));
  if (example && example.label !== null) box.append(known(model, result, example.label));
  if (isClass) box.append(bars(result));
  box.append(facts(document_, result, milliseconds), feedback(model, result));
  return box;
}

function known(model, result, label) {
  if (!model.labels.length) return make("p", `The reference says ${brief(Number(label))}.`, "soft");
  const right = result.class === label;
  return make("p", right ? "✓ as the reference says" : `✗ the reference says ${label}`, right ? "says good" : "says bad");
}

function bars(result) {
  const list = make("ol", undefined, "bars"), sorted = ranked(result);
  for (const [label, score] of sorted.slice(0, SHOWN)) {
    const row = make("li"), track = make("span", undefined, "track"), fill = make("span");
    fill.style.width = `${(100 * score).toFixed(2)}%`;
    track.append(fill);
    row.append(make("span", label, "label"), track, make("span", `${(100 * score).toFixed(1)} %`, "number"));
    list.append(row);
  }
  if (sorted.length > SHOWN) list.append(make("li", `and ${sorted.length - SHOWN} more`, "soft"));
  return list;
}

const ranked = result => Object.entries(result.scores).sort((a, b) => b[1] - a[1]);

function facts(document_, result, milliseconds) {
  const list = make("dl"), id = make("code", result.id);
  const time = milliseconds < 10 ? milliseconds.toFixed(1) : milliseconds.toFixed(0);
  const name = document_.version ? `${document_.model}, version ${document_.version}` : document_.model;
  const rows = [["Model", name], ["Took", `${time} ms, there and back`]];
  for (const [title, value] of rows) list.append(make("dt", title), make("dd", value));
  const cell = make("dd");
  cell.append(id);
  list.append(make("dt", "Prediction"), cell);
  return list;
}

// People say it of what is wrong more readily than of what is right; only both together tell how often it is wrong.
function feedback(model, result) {
  const box = make("div", undefined, "feedback");
  const start = () => {
    const given = model.labels.length ? result.class : String(result.value);
    box.replaceChildren(
      button("That is right", "", () => send(given)),
      button("That is wrong", "wrong", () => ask()),
    );
  };
  const ask = () => {
    const form = make("form"), field = model.labels.length ? labels(result) : number();
    const named = make("label", model.labels.length ? "What is right? " : "Which value is right? ");
    const sure = make("button", "Send", "main");
    named.append(field);
    form.append(named, sure, button("Back", "", start));
    form.onsubmit = event => { event.preventDefault(); send(field.value) };
    box.replaceChildren(form);
    field.focus();
  };
  const send = async label => {
    for (const each of box.querySelectorAll("button, select, input")) each.disabled = true;
    try {
      const { document: { unchanged } } = await askJson("feedback", { prediction_id: result.id, label });
      const said = make("p", unchanged ? "Kept already: " : "Kept: ", "good");
      said.append(make("b", label), " is the label of this prediction. Thank you.");
      said.setAttribute("role", "status");
      box.replaceChildren(said, button("Change", "", ask));
    } catch (error) {
      start();
      box.append(failure(error));
    }
  };
  start();
  return box;
}

// The likeliest first; where there are many, all in the order of the alphabet below.
function labels(result) {
  const field = make("select"), others = ranked(result).map(([label]) => label).filter(each => each !== result.class);
  const group = (title, names) => {
    const node = make("optgroup");
    node.label = title;
    node.append(...names.map(each => new Option(each, each)));
    return node;
  };
  const none = new Option("choose a label", "");
  none.disabled = none.selected = true;
  field.required = true;
  field.append(none);
  if (others.length <= 12) field.append(...others.map(each => new Option(each, each)));
  else field.append(group("Likely", others.slice(0, SHOWN)), group("All", [...others].sort()));
  return field;
}

function number() {
  const field = make("input");
  field.type = "number";
  field.step = "any";
  field.required = true;
  return field;
}
