uniform mat4 view; uniform mat4 light; uniform vec4 weave[COUNT]; uniform vec3 eye;
in vec3 place; in vec3 normal; in vec3 rest; in vec2 surface;
out vec3 at; out vec3 facing; out vec3 cloth_at; out float keep; flat out int material; out vec4 shadow_at;
void main(){
  at = place; facing = normal; cloth_at = rest; keep = surface.x; material = int(surface.y + 0.5);
  shadow_at = light * vec4(place, 1);
  gl_Position = view * vec4(place + normalize(eye - place)*weave[material].z*.003, 1);
}
