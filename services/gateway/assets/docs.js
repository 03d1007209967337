// Shows /openapi.json, and tries what is in it. Whatever it shows is put into the page as text.

const DEPTH = 4;
const page = { token: byId("token"), find: byId("find"), operations: byId("operations") };
let schemas = {};

function byId(id) {
  return document.getElementById(id);
}

/** Makes an element with properties and children. */
function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function resolve(schema) {
  const name = schema?.$ref?.split("/").pop();
  return name ? { ...schemas[name], description: schema.description ?? schemas[name]?.description } : schema ?? {};
}

function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** A value of a schema, to begin with. */
function sample(given, name = "", depth = 0) {
  const schema = resolve(given);
  if (schema.enum) return schema.enum[Math.min(1, schema.enum.length - 1)];
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  switch (type) {
    case "object": {
      const inner = depth < DEPTH ? Object.entries(schema.properties ?? {}) : [];
      return Object.fromEntries(inner.map(([key, value]) => [key, sample(value, key, depth + 1)]));
    }
    case "array":
      return depth < DEPTH ? [sample(schema.items, name, depth + 1)] : [];
    case "boolean":
      return false;
    case "integer":
    case "number":
      return 1;
    case "string":
      if (name === "requestId") return uuid();
      if (schema.format === "int64" || schema.format === "uint64") return "1";
      return schema.format === "date-time" ? new Date().toISOString() : "";
    default:
      return null;
  }
}

/** A field for a parameter; what it holds is `read` when it is sent. */
function parameterField(parameter) {
  const schema = resolve(parameter.schema);
  const many = schema.type === "array";
  const values = resolve(many ? schema.items : schema).enum ?? (schema.type === "boolean" ? ["true", "false"] : null);
  const input = values && !many
    ? make("select", {}, make("option", { value: "" }), ...values.map((value) => make("option", { value }, value)))
    : make("input", { autocomplete: "off", spellcheck: false });
  Object.assign(input, { name: parameter.name, required: parameter.required });
  if (many) input.placeholder = "several, with commas between them";
  const title = make("span", { className: parameter.required ? "required" : "" }, parameter.name);
  const about = parameter.description ?? schema.description ?? "";
  const label = make("label", {}, title, input, make("small", {}, about));
  const read = () => (many ? input.value.split(",").map((it) => it.trim()).filter(Boolean) : [input.value]);
  return { label, parameter, read };
}

/** The path and query that the fields ask for. */
function target(path, fields) {
  const query = new URLSearchParams();
  let filled = path;
  for (const { parameter, read } of fields) {
    const values = read().filter((value) => value !== "");
    if (parameter.in === "path") {
      filled = filled.replace(`{${parameter.name}}`, encodeURIComponent(values[0] ?? ""));
    } else {
      values.forEach((value) => query.append(parameter.name, value));
    }
  }
  const text = query.toString();
  return text ? `${filled}?${text}` : filled;
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** The same as a command; the token has a name in it, not its value. */
function command(method, url, headers, body) {
  const parts = ["curl", "-X", method.toUpperCase(), quoted(url)];
  for (const [name, value] of Object.entries(headers)) {
    parts.push("-H", name === "authorization" ? '"authorization: Bearer $TOKEN"' : quoted(`${name}: ${value}`));
  }
  if (body !== undefined) parts.push("--data", quoted(body));
  return parts.join(" ");
}

function pretty(text, type) {
  if (!type.startsWith("application/json")) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** Shows an answer; one that comes piece by piece, as it comes. */
async function show(response, output) {
  const type = response.headers.get("content-type") ?? "";
  output.status.className = response.ok ? "good" : "bad";
  output.status.textContent = `${response.status} ${response.statusText}`;
  const told = ["x-request-id", "etag", "server-timing", "retry-after", "ratelimit"];
  const headers = told.map((name) => [name, response.headers.get(name)]).filter(([, value]) => value);
  output.headers.textContent = headers.map(([name, value]) => `${name}: ${value}`).join("\n");
  output.body.textContent = "";
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    text += piece.value;
    output.body.textContent = text;
  }
  output.body.textContent = pretty(text, type);
}

/** The form that tries an operation. */
function form(path, method, operation) {
  const fields = (operation.parameters ?? []).map(parameterField);
  const content = operation.requestBody?.content?.["application/json"];
  const body = content && make("textarea", { name: "body", spellcheck: false });
  if (body) body.value = JSON.stringify(sample(content.schema), null, 2);
  const send = make("button", { type: "submit" }, "Send");
  const stop = make("button", { type: "button", disabled: true }, "Stop");
  const output = { status: make("p"), headers: make("pre"), body: make("pre"), command: make("pre") };
  const all = Object.values(output);
  all.forEach((part) => (part.hidden = true));
  for (const [name, part] of Object.entries(output)) part.dataset.part = name;
  const labels = fields.map((field) => field.label);
  if (body) labels.push(make("label", {}, make("span", {}, "body"), body));
  const element = make("form", {}, make("p", { className: "about" }, operation.description ?? ""), ...labels, send, " ", stop, ...all);
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    const headers = {};
    if (page.token.value.trim()) headers.authorization = `Bearer ${page.token.value.trim()}`;
    if (body) headers["content-type"] = "application/json";
    const url = target(path, fields);
    const abort = new AbortController();
    stop.onclick = () => abort.abort();
    [send.disabled, stop.disabled] = [true, false];
    all.forEach((part) => (part.hidden = false));
    output.command.textContent = command(method, location.origin + url, headers, body?.value);
    try {
      const asked = { method: method.toUpperCase(), headers, body: body?.value, signal: abort.signal, credentials: "omit" };
      await show(await fetch(url, asked), output);
    } catch (error) {
      output.status.className = "bad";
      output.status.textContent = abort.signal.aborted ? "Stopped." : `No answer: ${error.message}`;
    }
    [send.disabled, stop.disabled] = [false, true];
    element.dataset.done = "true";
  });
  return element;
}

function operationElement(path, method, operation) {
  const title = make("summary", {},
    make("strong", { className: `method ${method}` }, method.toUpperCase()),
    make("code", {}, path), make("span", {}, operation.summary ?? ""));
  const element = make("details", { id: operation.operationId }, title);
  // Made when it is wanted: a page of all forms would be slow.
  element.addEventListener("toggle", () => {
    if (element.open && element.children.length === 1) element.append(form(path, method, operation));
  });
  element.dataset.text = `${path} ${operation.operationId} ${operation.description ?? ""}`.toLowerCase();
  return element;
}

/** Opens what the address names. */
function follow() {
  const wanted = byId(decodeURIComponent(location.hash.slice(1)));
  if (wanted instanceof HTMLDetailsElement) {
    wanted.open = true;
    wanted.scrollIntoView();
  }
}

function find() {
  const wanted = page.find.value.trim().toLowerCase();
  for (const section of page.operations.children) {
    const all = [...section.querySelectorAll("details")];
    all.forEach((element) => (element.hidden = !element.dataset.text.includes(wanted)));
    section.hidden = all.every((element) => element.hidden);
  }
}

async function begin() {
  const response = await fetch("/openapi.json", { credentials: "omit" });
  if (!response.ok) throw new Error(`/openapi.json: ${response.status}`);
  const api = await response.json();
  schemas = api.components?.schemas ?? {};
  document.title = `${api.info.title} API`;
  byId("title").textContent = `${api.info.title} ${api.info.version}`;
  const sections = new Map((api.tags ?? []).map((tag) => [tag.name,
    make("section", {}, make("h2", {}, tag.name), make("p", { className: "about" }, tag.description ?? ""))]));
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      sections.get(operation.tags[0])?.append(operationElement(path, method, operation));
    }
  }
  page.operations.replaceChildren(...sections.values());
  page.operations.ariaBusy = "false";
  page.find.addEventListener("input", find);
  addEventListener("hashchange", follow);
  follow();
}

begin().catch((error) => {
  page.operations.replaceChildren(make("p", { className: "bad" }, `The page cannot be shown: ${error.message}`));
});
