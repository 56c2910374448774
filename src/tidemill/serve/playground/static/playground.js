// The page: which models there are, and what happens when somebody gives one of them something.

import { answerOf } from "./answer.js";
import { ask, failure, keepToken, make } from "./asking.js";
import { FORMS, example } from "./giving.js";

const at = id => document.getElementById(id);
let models = [], model = null, form = null, tried = null, turn = 0;

const key = each => `${each.name}/${each.version}`;

async function start() {
  try {
    models = (await ask("ui/models.json")).document;
  } catch (error) {
    at("main").hidden = error.status === 401;
    at("token").hidden = error.status !== 401;
    if (error.status !== 401) at("answer").replaceChildren(failure(error));
    return error;
  }
  at("token").hidden = true;
  at("main").hidden = false;
  listModels();
  await choose(decodeURIComponent(location.hash.slice(1)));
}

// The model that `wanted` names (NAME/VERSION, or NAME), or the first.
async function choose(wanted) {
  model = models.find(each => key(each) === wanted) ?? models.find(each => each.name === wanted) ?? models[0];
  if (!model) {
    at("answer").replaceChildren(make("p", "No model is in service yet.", "soft"));
    return;
  }
  const chosen = model;
  turn += 1;
  at("name").textContent = document.title = model.name;
  showVersion();
  at("about").textContent = `reads ${model.reads} · trained on ${model.dataset}`;
  at("answer").replaceChildren(make("p", "Choose an example, or give your own.", "soft"));
  let found = { examples: [], ranges: {} }, problem = null;
  try {
    const query = new URLSearchParams({ model: model.name, version: model.version });
    found = (await ask(`ui/examples.json?${query}`)).document;
  } catch (error) {
    problem = error;
  }
  if (chosen !== model) return;
  document.onpaste = null;
  form = FORMS[model.task](model, predict, found.ranges);
  at("input").replaceChildren(form.node);
  showExamples(found.examples, problem);
}

function listModels() {
  at("models").replaceChildren(...models.map(each => new Option(`${each.name} ${each.version || ""}`, key(each))));
  at("choice").hidden = models.length < 2;
}

function showVersion() {
  at("models").value = key(model);
  at("version").textContent = `version ${model.version}`;
  at("version").hidden = !model.version; // a bundle that comes from no registry has none
}

function showExamples(examples, problem) {
  at("offered").hidden = !examples.length && !problem;
  at("examples-about").hidden = !examples.some(each => each.label !== null);
  at("examples").className = "examples " + model.task;
  at("examples").replaceChildren(...examples.map(each => example(model, each, () => tryOut(each))));
  if (problem) at("examples").append(failure(problem));
}

function tryOut(each) {
  tried = each;
  form.show(each.input); // which asks for a prediction
}

async function predict() {
  const mine = ++turn, asked = model, shown = tried;
  tried = null;
  at("answer").classList.add("waiting");
  let node;
  try {
    const { document: answer, milliseconds } = await ask(asked.predict, form.request());
    if (mine !== turn) return;
    node = answerOf(asked, answer, milliseconds, shown);
    if (answer.version !== asked.version) moved(asked, answer.version);
  } catch (error) {
    if (mine !== turn) return;
    node = failure(error);
    if (error.status === 401) at("token").hidden = false;
  } finally {
    if (mine === turn) at("answer").classList.remove("waiting");
  }
  at("answer").replaceChildren(node);
  at("answer").parentElement.scrollIntoView({ block: "nearest" });
}

// Another version came into service while the page was open.
async function moved(old, version) {
  try {
    models = (await ask("ui/models.json")).document;
  } catch {
    return;
  }
  const now = models.find(each => each.name === old.name && each.version === version);
  if (!now || model !== old) return;
  model = now;
  listModels();
  showVersion();
}

at("models").onchange = event => { location.hash = encodeURIComponent(event.target.value) };
addEventListener("hashchange", () => choose(decodeURIComponent(location.hash.slice(1))));
at("token").onsubmit = async event => {
  event.preventDefault();
  keepToken(event.target.querySelector("input").value.trim());
  const error = await start();
  at("refused").textContent = error?.status === 401 ? "That is not the token of this server." : "";
};
start();
