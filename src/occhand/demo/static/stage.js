// The picture with its disc, the estimate over it and in 3D. `element`, `trigger`, `watch`, `props`: given by gradio.

const part = (name) => element.querySelector(`[data-part="${name}"]`);
const SVG = "http://www.w3.org/2000/svg";
const BONES = [1, 5, 9, 13, 17].flatMap((k) => [[0, k], [k, k + 1], [k + 1, k + 2], [k + 2, k + 3]]);
const RAMP = [[47, 111, 206], [232, 190, 72], [205, 54, 44]]; // sure, between, unsure: apart in lightness too
const CLAY = [0.886, 0.698, 0.588];
const STEP = 0.02; // of the picture's width, per arrow key

let scene = null; // { size, K } of the picture that is shown
let hands = [];
let disc = { x: 0, y: 0, radius: 0 };
let turn = { yaw: 0.6, pitch: 0.25, zoom: 1 };
let waiting = null, isBusy = false, busySince = 0;

const overlay = createViewer(part("overlay")), orbit = createViewer(part("orbit"));
if (!overlay) part("facts").textContent = "This browser has no WebGL, so the meshes cannot be shown; downloads work.";

const circle = document.createElementNS(SVG, "circle");
circle.setAttribute("class", "disc");
circle.setAttribute("tabindex", "0");
circle.setAttribute("role", "application");
circle.setAttribute("aria-roledescription", "disc to drag");
part("cards").append(circle);

function colourOf(doubt) {
  const at = Math.min(0.9999, Math.max(0, doubt)) * (RAMP.length - 1), low = Math.floor(at), mix = at - low;
  return RAMP[low].map((value, x) => Math.round(value + mix * (RAMP[low + 1][x] - value)));
}

function decode(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Kind(bytes.buffer);
}

/** Each vertex takes its colour from the joints around it. */
function coloursByDoubt(vertices, joints, doubt) {
  const colours = new Float32Array(vertices.length);
  for (let v = 0; v < vertices.length; v += 3) {
    let total = 0, mean = 0;
    joints.forEach((joint, k) => {
      const far = (vertices[v] - joint[0]) ** 2 + (vertices[v + 1] - joint[1]) ** 2 + (vertices[v + 2] - joint[2]) ** 2;
      const weight = 1 / (far + 4e-5) ** 2;
      total += weight;
      mean += weight * doubt[k];
    });
    colourOf(mean / total).forEach((value, x) => (colours[v + x] = value / 255));
  }
  return colours;
}

function toMeshes(hand) {
  const vertices = decode(hand.vertices, Float32Array), faces = decode(hand.faces, Uint16Array);
  const normals = vertexNormals(vertices, faces), plain = new Float32Array(vertices.length).map((_, k) => CLAY[k % 3]);
  const shape = { vertices, faces, normals };
  return { ...hand, overlay: { ...shape, colours: plain }, orbit: { ...shape, colours: coloursByDoubt(vertices, hand.joints, hand.doubt) } };
}

function drawOverlay() {
  if (!scene || !overlay) return;
  const shown = part("has-mesh").checked ? hands.map((hand) => hand.overlay) : [];
  overlay(shown, clipFromPinhole(scene.K, ...scene.size), IDENTITY, 0.82);
}

function drawOrbit() {
  const canvas = part("orbit"), ratio = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [canvas.clientWidth, canvas.clientHeight].map((length) => Math.round(length * ratio));
  if (!orbit) return;
  const points = hands.flatMap((hand) => hand.joints);
  const low = [0, 1, 2].map((x) => Math.min(...points.map((p) => p[x]))), high = [0, 1, 2].map((x) => Math.max(...points.map((p) => p[x])));
  const centre = low.map((value, x) => (value + high[x]) / 2), reach = Math.hypot(...low.map((value, x) => high[x] - value)) / 2 + 0.02;
  const distance = (2.5 * reach) / turn.zoom, focal = 1.35 * Math.min(canvas.width, canvas.height);
  const K = [[focal, 0, (canvas.width - 1) / 2], [0, focal, (canvas.height - 1) / 2]];
  const view = hands.length ? turntableView(centre, distance, turn.yaw, turn.pitch) : IDENTITY;
  orbit(hands.map((hand) => hand.orbit), clipFromPinhole(K, canvas.width, canvas.height), view, 1);
}

function drawMarks() {
  const group = part("joints");
  group.replaceChildren();
  if (!scene || !part("has-joints").checked) return;
  const add = (kind, attributes, style) => {
    const mark = document.createElementNS(SVG, kind);
    for (const [name, value] of Object.entries(attributes)) mark.setAttribute(name, value);
    Object.assign(mark.style, style);
    group.append(mark);
  };
  const unit = scene.size[0] / 100;
  for (const hand of hands) {
    const colours = hand.doubt.map((doubt) => `rgb(${colourOf(doubt)})`), at = hand.joints_img;
    if (hand.sigma_mm) {
      hand.sigma_mm.forEach((sigma, k) => {
        const radius = (sigma / 1000) * scene.K[0][0] / hand.joints[k][2];
        add("circle", { cx: at[k][0], cy: at[k][1], r: radius, class: "halo" }, { fill: colours[k] });
      });
    }
    for (const [from, to] of BONES) {
      add("line", { x1: at[from][0], y1: at[from][1], x2: at[to][0], y2: at[to][1], "stroke-width": 0.55 * unit }, { stroke: colours[to] });
    }
    at.forEach(([x, y], k) => {
      const kind = hand.hidden[k] ? "joint hidden" : "joint";
      add("circle", { cx: x, cy: y, r: unit, class: kind, "stroke-width": 0.4 * unit }, hand.hidden[k] ? { stroke: colours[k] } : { fill: colours[k] });
    });
  }
}

function drawDisc() {
  if (!scene) return;
  circle.style.display = part("has-disc").checked ? "" : "none";
  circle.setAttribute("cx", disc.x);
  circle.setAttribute("cy", disc.y);
  circle.setAttribute("r", disc.radius);
  circle.setAttribute("aria-label", `Disc at ${Math.round((100 * disc.x) / scene.size[0])} %, ${Math.round((100 * disc.y) / scene.size[1])} % of the picture. Arrow keys move it.`);
  part("disc-size").value = (100 * disc.radius) / scene.size[0];
}

function setBusy(value) {
  isBusy = value;
  element.setAttribute("aria-busy", value);
}

/** One request at a time, and after it the latest place of the disc: the page follows as fast as the estimates come. */
function ask() {
  waiting = { shown: part("has-disc").checked, ...disc };
  if (isBusy && Date.now() - busySince < 10000) return;
  busySince = Date.now();
  setBusy(true);
  trigger("move", waiting);
  waiting = null;
}

function moveDisc(x, y, radius = disc.radius) {
  if (!scene) return;
  const [width, height] = scene.size, clip = (value, low, high) => Math.min(high, Math.max(low, value));
  disc = { x: clip(x, 0, width), y: clip(y, 0, height), radius: clip(radius, 0.03 * width, 0.4 * width) };
  drawDisc();
  ask();
}

function showScene(record) {
  part("picture").src = record.picture;
  const [width, height] = record.size, photo = part("photo");
  photo.style.aspectRatio = `${width} / ${height}`;
  photo.style.maxWidth = `calc(70vh * ${width / height})`;
  for (const name of ["cards", "joints"]) part(name).setAttribute("viewBox", `-0.5 -0.5 ${width} ${height}`);
  const sharp = Math.max(1, Math.round(1000 / width));
  [part("overlay").width, part("overlay").height] = [width * sharp, height * sharp];
  // The disc waits in a corner, and hides nothing until it is moved.
  const radius = 0.12 * width;
  disc = { x: width - 0.6 * radius, y: height - 0.6 * radius, radius };
  turn = { yaw: 0.6, pitch: 0.25, zoom: 1 };
  scene = { size: record.size, K: record.K };
  drawDisc();
}

function showAnswer(record) {
  hands = record.hands.map(toMeshes);
  part("facts").replaceChildren(...record.facts.map((line) => Object.assign(document.createElement("p"), { textContent: line })));
  part("facts").classList.remove("error");
  const hasSigma = hands.some((hand) => hand.sigma_mm), [low, high] = record.range_mm;
  part("legend-low").textContent = hasSigma ? `sure, ±${low} mm` : "2D joint seen";
  part("legend-high").textContent = hasSigma ? `unsure, ±${high} mm` : "2D joint hidden";
  part("maps-card").hidden = !record.maps;
  if (record.maps) part("maps").src = record.maps;
  drawOverlay();
  drawOrbit();
  drawMarks();
  element.dataset.answers = Number(element.dataset.answers || 0) + 1;
}

function showError(text) {
  part("facts").replaceChildren(Object.assign(document.createElement("p"), { textContent: text }));
  part("facts").classList.add("error");
}

function save(record) {
  const file = new Blob([decode(record.content, Uint8Array)], { type: record.mime }), url = URL.createObjectURL(file);
  Object.assign(document.createElement("a"), { href: url, download: record.name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

watch("value", () => {
  const record = props.value;
  if (!record) return;
  if (record.kind === "download") return save(record);
  if (record.kind === "error") showError(record.text);
  if (record.kind === "scene") showScene(record);
  if (record.kind !== "error") showAnswer(record);
  setBusy(false);
  if (waiting) ask();
});

// Dragging and keys on the disc.
function toPicture(event) {
  const box = part("cards").getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * scene.size[0] - 0.5, ((event.clientY - box.top) / box.height) * scene.size[1] - 0.5];
}
let grip = null;
circle.addEventListener("pointerdown", (event) => {
  const [x, y] = toPicture(event);
  grip = [disc.x - x, disc.y - y];
  circle.setPointerCapture(event.pointerId);
});
circle.addEventListener("pointermove", (event) => {
  if (!grip) return;
  const [x, y] = toPicture(event);
  moveDisc(x + grip[0], y + grip[1]);
});
for (const name of ["pointerup", "pointercancel"]) circle.addEventListener(name, () => (grip = null));
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
circle.addEventListener("keydown", (event) => {
  const step = STEP * scene.size[0] * (event.shiftKey ? 4 : 1), way = ARROWS[event.key];
  if (way) moveDisc(disc.x + step * way[0], disc.y + step * way[1]);
  else if (event.key === "+" || event.key === "=") moveDisc(disc.x, disc.y, disc.radius + step / 2);
  else if (event.key === "-") moveDisc(disc.x, disc.y, disc.radius - step / 2);
  else return;
  event.preventDefault();
});
part("disc-size").addEventListener("input", (event) => moveDisc(disc.x, disc.y, (event.target.value / 100) * scene.size[0]));
part("has-disc").addEventListener("change", () => { drawDisc(); ask(); });
part("has-mesh").addEventListener("change", drawOverlay);
part("has-joints").addEventListener("change", drawMarks);
for (const button of element.querySelectorAll("[data-save]")) {
  button.addEventListener("click", () => trigger("download", { kind: button.dataset.save }));
}

// Turning the hand in 3D.
let hold = null;
const canvas = part("orbit");
const turnBy = (yaw, pitch, zoom = 1) => {
  turn = { yaw: turn.yaw + yaw, pitch: Math.min(1.5, Math.max(-1.5, turn.pitch + pitch)), zoom: Math.min(3, Math.max(0.4, turn.zoom * zoom)) };
  drawOrbit();
};
canvas.addEventListener("pointerdown", (event) => { hold = [event.clientX, event.clientY]; canvas.setPointerCapture(event.pointerId); });
canvas.addEventListener("pointermove", (event) => {
  if (!hold) return;
  turnBy(-0.01 * (event.clientX - hold[0]), 0.01 * (event.clientY - hold[1]));
  hold = [event.clientX, event.clientY];
});
for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (hold = null));
canvas.addEventListener("keydown", (event) => {
  const way = ARROWS[event.key];
  if (way) turnBy(0.15 * way[0], 0.15 * way[1]);
  else if (event.key === "+" || event.key === "=") turnBy(0, 0, 1.15);
  else if (event.key === "-") turnBy(0, 0, 1 / 1.15);
  else if (event.key === "0") { turn = { yaw: 0.6, pitch: 0.25, zoom: 1 }; drawOrbit(); }
  else return;
  event.preventDefault();
});
new ResizeObserver(() => drawOrbit()).observe(canvas);
