// Depth as points and meshes in 3D, drawn by plotly. All are in the object frame, in millimetres:
// x to the subject's left, y up, z out of the face.
"use strict";

(() => {
  const place = document.querySelector(".viewer");
  const scene = document.getElementById("scene");
  const mesh = document.getElementById("mesh");
  const colours = document.getElementById("colours");
  const fade = document.getElementById("fade");
  const said = document.getElementById("said");
  const scale = document.getElementById("scale");
  const SKIN = "rgb(206,196,186)";
  const EYES = {
    front: { x: 0, y: 0.05, z: 2.1 },
    left: { x: 1.85, y: 0.05, z: 0.93 },
    right: { x: -1.85, y: 0.05, z: 0.93 },
  };
  const KINDS = { f4: Float32Array, i4: Int32Array, u1: Uint8Array };
  let data = null;
  let corners = null;

  function unpacked(text, kind) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    return new KINDS[kind](bytes.buffer);
  }

  // Column of an array of threes.
  function column(values, number) {
    const found = new values.constructor(values.length / 3);
    for (let i = 0; i < found.length; i += 1) found[i] = values[3 * i + number];
    return found;
  }

  function words(rgb) {
    const found = new Array(rgb.length / 3);
    for (let i = 0; i < found.length; i += 1) found[i] = `rgb(${rgb[3 * i]},${rgb[3 * i + 1]},${rgb[3 * i + 2]})`;
    return found;
  }

  function axes(values) {
    return { x: column(values, 0), y: column(values, 1), z: column(values, 2) };
  }

  async function fetched(address) {
    const answer = await fetch(address, { headers: { Accept: "application/json" } });
    const content = await answer.json();
    if (!answer.ok) throw new Error(content.error);
    return content;
  }

  function points() {
    const share = fade.value / 100;
    return {
      type: "scatter3d", mode: "markers", hoverinfo: "skip", ...data.points,
      marker: { size: 1.6, color: data.pointColours, opacity: Math.min(1, 2 * (1 - share)), line: { width: 0 } },
      visible: share < 1,
    };
  }

  function surface() {
    const share = fade.value / 100;
    const chosen = colours.value;
    const drawn = {
      type: "mesh3d", hoverinfo: "skip", ...data.meshes[mesh.value], ...corners,
      opacity: Math.min(1, 2 * share), visible: share > 0, flatshading: false,
      lighting: { ambient: 0.42, diffuse: 0.75, specular: 0.08, roughness: 0.8, fresnel: 0.05 },
      lightposition: { x: -3000, y: 4000, z: 9000 },
    };
    if (mesh.value !== "0" || chosen === "shaded") return { ...drawn, color: SKIN };
    if (chosen === "photo") {
      // The photo has its own light.
      return { ...drawn, vertexcolor: data.photo, lighting: { ambient: 1, diffuse: 0, specular: 0, fresnel: 0 } };
    }
    // Colours, not values: plotly paints what has no value like the largest.
    return {
      ...drawn, vertexcolor: data.values[chosen].colours,
      lighting: { ambient: 0.75, diffuse: 0.35, specular: 0, fresnel: 0 },
    };
  }

  function layout(from) {
    const bare = { visible: false, showspikes: false };
    return {
      margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: "rgba(0,0,0,0)", showlegend: false, uirevision: "kept",
      font: { color: getComputedStyle(scene).color },
      scene: {
        xaxis: bare, yaxis: bare, zaxis: bare, aspectmode: "data", dragmode: "orbit",
        camera: { eye: EYES[from], up: { x: 0, y: 1, z: 0 }, center: { x: 0, y: 0, z: 0 }, projection: { type: "perspective" } },
      },
    };
  }

  function tell() {
    const shown = mesh.value === "0" ? data.values[colours.value] : null;
    colours.disabled = mesh.value !== "0";
    scale.hidden = !shown;
    if (shown) scale.querySelector("b").textContent = `${shown.top} ${shown.unit}`;
    said.textContent = shown ? `${shown.name}, over the whole mesh: ${shown.said}; grey where there is none` : "";
  }

  async function draw() {
    tell();
    const camera = scene._fullLayout?.scene?.camera;
    const now = layout("front");
    if (camera) now.scene.camera = camera;
    await Plotly.react(scene, [points(), surface()], now, { displaylogo: false, displayModeBar: false, responsive: true });
    scene.dataset.shown = colours.selectedOptions[0].label;
  }

  // Five megabytes of script: pictures and keys do not wait for them.
  function plotly() {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = place.dataset.plotly;
      script.onload = resolve;
      script.onerror = () => reject(new Error("the 3D viewer cannot be loaded"));
      document.head.append(script);
    });
  }

  function option(select, value, label) {
    select.add(new Option(label, value));
  }

  async function start() {
    const [found, shared] = await Promise.all([
      fetched(place.dataset.shapes), fetched(place.dataset.topology), plotly(),
    ]);
    const triangles = unpacked(shared.triangles, "i4");
    corners = { i: column(triangles, 0), j: column(triangles, 1), k: column(triangles, 2) };
    data = {
      points: axes(unpacked(found.points.xyz, "f4")),
      pointColours: words(unpacked(found.points.rgb, "u1")),
      meshes: found.meshes.map((each) => axes(unpacked(each.xyz, "f4"))),
      photo: words(unpacked(found.rgb, "u1")),
      values: found.values.map((each) => ({ ...each, colours: words(unpacked(each.rgb, "u1")) })),
    };
    found.meshes.forEach((each, number) => option(mesh, number, each.name));
    option(colours, "shaded", "shaded");
    option(colours, "photo", "photo");
    found.values.forEach((each, number) => option(colours, number, each.name));
    scene.replaceChildren();
    await draw();
    scene.dataset.drawn = "yes";
  }

  for (const control of [mesh, colours]) control.addEventListener("change", draw);
  fade.addEventListener("input", () => {
    if (!data) return;
    const share = fade.value / 100;
    Plotly.restyle(scene, { opacity: Math.min(1, 2 * share), visible: share > 0 }, [1]);
    Plotly.restyle(scene, { "marker.opacity": Math.min(1, 2 * (1 - share)), visible: share < 1 }, [0]);
  });
  function turn(from) {
    if (data) Plotly.relayout(scene, { "scene.camera": layout(from).scene.camera });
  }
  for (const button of place.querySelectorAll("[data-from]")) {
    button.addEventListener("click", () => turn(button.dataset.from));
  }
  function slide(value) {
    fade.value = value;
    fade.dispatchEvent(new Event("input"));
  }
  Object.assign(KEYS, {
    d: () => slide(0), m: () => slide(100),
    c: () => {
      if (!data || colours.disabled) return;
      colours.selectedIndex = (colours.selectedIndex + 1) % colours.length;
      draw();
    },
    1: () => turn("front"), 2: () => turn("left"), 3: () => turn("right"),
  });
  window.addEventListener("load", () => {
    start().catch((error) => { scene.textContent = error.message; });
  });
})();
