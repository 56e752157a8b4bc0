// Meshes on a canvas through WebGL, without a library: from the photograph's own camera, or from one that turns around them.

const VERTEX_SHADER = [
  "attribute vec3 place; attribute vec3 normal; attribute vec3 colour;",
  "uniform mat4 clipFromView; uniform mat4 viewFromCamera;",
  "varying vec3 seenPlace; varying vec3 seenNormal; varying vec3 seenColour;",
  "void main() {",
  "  vec4 view = viewFromCamera * vec4(place, 1.0);",
  "  seenPlace = view.xyz; seenNormal = mat3(viewFromCamera) * normal; seenColour = colour;",
  "  gl_Position = clipFromView * view;",
  "}",
].join("\n");

// Key light from the upper left, fill from the right, sky above; OpenCV's axes, so y points down and z away.
const FRAGMENT_SHADER = [
  "precision mediump float;",
  "varying vec3 seenPlace; varying vec3 seenNormal; varying vec3 seenColour; uniform float opacity;",
  "void main() {",
  "  vec3 n = normalize(seenNormal); float inside = step(0.0, dot(n, seenPlace)); n = mix(n, -n, inside);",
  "  float key = max(0.0, 0.25 + 0.75 * dot(n, normalize(vec3(-0.6, -0.75, -0.55))));",
  "  float fill = max(0.0, dot(n, normalize(vec3(0.85, 0.1, -0.45))));",
  "  float light = 0.36 - 0.10 * n.y + 0.62 * key + 0.16 * fill;",
  "  vec3 shaded = seenColour * light * mix(1.0, 0.55, inside);",
  "  gl_FragColor = vec4(shaded * opacity, opacity);",
  "}",
].join("\n");

/** Draws meshes on a canvas; null where the browser has no WebGL. */
function createViewer(canvas) {
  const gl = canvas.getContext("webgl", { antialias: true, preserveDrawingBuffer: true });
  if (!gl) return null;
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX_SHADER], [gl.FRAGMENT_SHADER, FRAGMENT_SHADER]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  gl.useProgram(program);
  gl.enable(gl.DEPTH_TEST);
  const buffers = {};
  const fill = (name, values) => {
    buffers[name] = buffers[name] || gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name]);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.DYNAMIC_DRAW);
    const where = gl.getAttribLocation(program, name);
    gl.enableVertexAttribArray(where);
    gl.vertexAttribPointer(where, 3, gl.FLOAT, false, 0, 0);
  };
  const uniform = (name) => gl.getUniformLocation(program, name);

  return function draw(meshes, clipFromView, viewFromCamera, opacity) {
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.uniformMatrix4fv(uniform("clipFromView"), false, clipFromView);
    gl.uniformMatrix4fv(uniform("viewFromCamera"), false, viewFromCamera);
    gl.uniform1f(uniform("opacity"), opacity);
    for (const mesh of meshes) {
      fill("place", mesh.vertices);
      fill("normal", mesh.normals);
      fill("colour", mesh.colours);
      buffers.faces = buffers.faces || gl.createBuffer();
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.faces);
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, mesh.faces, gl.DYNAMIC_DRAW);
      gl.drawElements(gl.TRIANGLES, mesh.faces.length, gl.UNSIGNED_SHORT, 0);
    }
  };
}

const NEAR = 0.01, FAR = 20;

/** Clip space of a pinhole camera, by columns; pixel (0, 0) has its centre at (0, 0). */
function clipFromPinhole(K, width, height) {
  const depth = (FAR + NEAR) / (FAR - NEAR), shift = (-2 * FAR * NEAR) / (FAR - NEAR);
  return new Float32Array([
    (2 * K[0][0]) / width, 0, 0, 0,
    (2 * K[0][1]) / width, (-2 * K[1][1]) / height, 0, 0,
    (2 * (K[0][2] + 0.5)) / width - 1, 1 - (2 * (K[1][2] + 0.5)) / height, depth, 1,
    0, 0, shift, 0,
  ]);
}

const IDENTITY = new Float32Array([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);

/** A camera that looks at `centre` from `distance`, turned by yaw and pitch; by columns. */
function turntableView(centre, distance, yaw, pitch) {
  const [a, b, c, d] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  const rows = [[a, 0, b], [d * b, c, -d * a], [-c * b, d, c * a]];
  const move = rows.map((row, k) => (k === 2 ? distance : 0) - (row[0] * centre[0] + row[1] * centre[1] + row[2] * centre[2]));
  return new Float32Array([0, 1, 2].flatMap((k) => [rows[0][k], rows[1][k], rows[2][k], 0]).concat([...move, 1]));
}

/** Unit normals at the vertices: the mean over the faces around each, weighted by area. */
function vertexNormals(vertices, faces) {
  const normals = new Float32Array(vertices.length);
  for (let f = 0; f < faces.length; f += 3) {
    const [i, j, k] = [3 * faces[f], 3 * faces[f + 1], 3 * faces[f + 2]];
    const u = [0, 1, 2].map((x) => vertices[j + x] - vertices[i + x]), v = [0, 1, 2].map((x) => vertices[k + x] - vertices[i + x]);
    const n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    for (const corner of [i, j, k]) for (let x = 0; x < 3; x++) normals[corner + x] += n[x];
  }
  for (let v = 0; v < normals.length; v += 3) {
    const length = Math.hypot(normals[v], normals[v + 1], normals[v + 2]) || 1;
    for (let x = 0; x < 3; x++) normals[v + x] /= length;
  }
  return normals;
}
