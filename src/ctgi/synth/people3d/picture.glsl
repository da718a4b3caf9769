uniform vec3 first[COUNT]; uniform vec3 second[COUNT];
uniform vec4 cloth[COUNT];  // pattern, repeats per meter, folds, gloss
uniform vec4 weave[COUNT];  // kind, strength, nearness, share of the second color
uniform vec3 sun; uniform vec3 sun_color; uniform vec3 sky; uniform vec3 ground; uniform vec3 side; uniform vec3 side_color;
uniform vec3 eye; uniform float seed; uniform vec4 print_at; uniform vec3 eyes; uniform vec4 face;
uniform vec3 front; uniform vec3 trim; uniform vec4 sole; uniform float upright; uniform int owner;
uniform sampler2D depth; uniform float soft; uniform float shift;
in vec3 at; in vec3 facing; in vec3 cloth_at; in float keep; flat in int material; in vec4 shadow_at;
layout(location=0) out vec4 color; layout(location=1) out vec4 extra;

float hash(vec3 q){ q = fract(q*vec3(.1031,.1030,.0973) + seed*.013); q += dot(q, q.yxz + 33.33); return fract((q.x+q.y)*q.z); }
float noise(vec3 x){
  vec3 i = floor(x), f = fract(x); f = f*f*(3.-2.*f);
  return mix(mix(mix(hash(i),hash(i+vec3(1,0,0)),f.x),mix(hash(i+vec3(0,1,0)),hash(i+vec3(1,1,0)),f.x),f.y),
             mix(mix(hash(i+vec3(0,0,1)),hash(i+vec3(1,0,1)),f.x),mix(hash(i+vec3(0,1,1)),hash(i+vec3(1,1,1)),f.x),f.y),f.z); }
float height(vec3 q){ vec3 w = q + .06*(noise(q*7.)-.5)*vec3(1,-1,.7); return noise(w*vec3(16,16,8)) + .5*noise(w*vec3(34,34,20)+5.) + 1.3*abs(2.*noise(w*vec3(8,8,3.2)+3.)-1.); }

float pattern(int kind, float s, float share, vec3 q, bool limb){
  float u = abs(q.y) > abs(q.x)*.8 ? q.x : q.y, v = q.z;
  if (limb) { u = q.y; v = (abs(q.x) - q.z)*.7; }
  if (kind == 1) return step(fract((upright > .5 ? u : v)*s), share);
  if (kind == 2) return .5*step(fract(v*s), share) + .5*step(fract(u*s), share);
  if (kind == 3) { float n = noise(q*s*1.7); return smoothstep(.6-.1*share, .63-.1*share, n); }
  if (kind == 4) { vec2 p = fract(vec2(u + .5*floor(mod(v*s,2.))/s, v)*s) - .5; return step(dot(p,p), .06 + .12*share); }
  if (kind == 5) { vec2 p = (q.xz - print_at.xy)/print_at.zw;
    if (q.y > 0. || abs(p.x) > 1. || abs(p.y) > 1.) return 0.;
    if (front.z < .5) return step(.47, noise(vec3(p*2.6, seed)));
    if (front.z < 1.5) return step(dot(p,p), 1.)*step(.32, noise(vec3(p*3.2, seed)));
    return step(.35, fract(p.y*1.5))*step(.3, noise(vec3(p.x*9., floor(p.y*1.5)*7., seed))); }
  if (kind == 6) { float n = noise(q*s*.8) + .4*noise(q*s*2.3); return smoothstep(.74-.2*share, .78-.2*share, n); }
  return 0.;
}

void main(){
  if (keep < 0.0) discard;
  bool still = material == FLOOR || material == WALL;
  vec3 N = normalize(facing), V = normalize(eye - at);
  if (dot(N, V) < 0. && !still) N = -N;
  vec3 a = first[material]; vec4 c = cloth[material], w = weave[material]; int kind = int(c.x + .5);
  vec3 q = cloth_at; bool limb = material == UPPER && abs(q.x) > .19;
  if (c.z > 0.0 && !still) {
    float e = .006, h = height(q);
    vec3 g = vec3(height(q+vec3(e,0,0))-h, height(q+vec3(0,e,0))-h, height(q+vec3(0,0,e))-h)/e;
    N = normalize(N - (g - dot(g,N)*N)*c.z);
    a *= 1. - .25*clamp(1.1-h, 0., 1.)*min(c.z*60., 1.);
  }
  if (w.x > .5 && w.x < 1.5) {  // quilted
    float v = limb ? (abs(q.x)-q.z)*.7 : q.z, t = fract(v*13.); N = normalize(N + vec3(0,0,1)*cos(t*6.283)*.55*w.y*2.); a *= 1. - .45*smoothstep(.1,.0,min(t,1.-t));
  } else if (w.x < 2.5 && w.x > 1.5) { a *= 1. + w.y*(.5*noise(q*vec3(260,260,90)) - .25);  // knitted
  } else if (w.x < 3.5 && w.x > 2.5) { a *= 1. + w.y*1.6*(noise(q*vec3(7,7,5)) + .35*noise(q*280.) - .65);  // denim
  } else if (w.x < 4.5 && w.x > 3.5) { a *= 1. + w.y*1.4*(noise(q*vec3(120,120,60)) - .5); N = normalize(N + .5*(vec3(noise(q*90.),noise(q*90.+7.),noise(q*90.+13.))-.5));  // fur
  } else if (w.x > 4.5) { float t = fract((abs(q.x)+abs(q.y)*.8)*60.); a *= 1. + w.y*(t-.5)*.7; }  // ribs
  if (kind > 0 && !still) a = mix(a, second[material], pattern(kind, c.y, w.w, q, limb));
  if (material == UPPER && q.y < 0. && front.x > .5) {
    float line = abs(q.x - .004);
    if (front.x > 1.5) { if (line < .005) a = mix(a, trim, .8); }  // a zip
    else { if (line < .003) a *= .6; if (length(vec2(q.x+.004, fract(q.z*10.)/10.-.05)) < .007 && q.z > front.y) a = mix(a, trim, .85); }
  }
  if (material == SHOES && q.z < sole.w) a = sole.rgb;
  if (material == SKIN) {
    a *= .92 + .16*noise(q*30.);
    vec3 p = q - eyes;
    if (p.y < .09 && p.z < .09 && p.z > -.13) {
      float brow = step(abs(abs(p.x)-.034), .02)*step(abs(p.z-.022+.12*abs(abs(p.x)-.034)), .0055)*step(p.y, .03);
      float lips = smoothstep(.028,.022,abs(p.x))*smoothstep(.009,.005,abs(p.z+.068+.4*p.x*p.x*20.*.02))*step(p.y, .03);
      a = mix(a, first[HAIR]*.8, brow*.75); a = mix(a, a*vec3(.82,.5,.5), lips*.75*face.y);
      if (p.z < -.03 && p.y < .06) { float cheek = smoothstep(-.03,-.06,p.z); a = mix(a, first[HAIR]*.7 + a*.2, face.x*cheek*(.5+.5*noise(q*150.))*(1.-.8*lips)); }
    }
  }
  if (material == EYE) a = mix(vec3(.62), vec3(.035,.025,.02), step(length((q-eyes).xz*vec2(1,1) - vec2(sign(q.x)*face.z,0)), .0075));
  if (material == HAIR) a *= .6 + .8*noise(q*vec3(170,170,20));
  if (material == FLOOR) {
    float t = noise(vec3(at.xy*c.y,1.))*.6 + .4*noise(vec3(at.xy*c.y*7.,2.)), fine = noise(vec3(at.xy*90.,3.));
    a = mix(a, second[material], w.y*t) * (1. + (fine-.5)*w.w);
    vec2 p = fract(at.xy*c.y*.55 + seed); vec2 tile = floor(at.xy*c.y*.55 + seed);
    if (kind == 1 || kind == 2) { a *= .9 + .2*hash(vec3(tile,4.)); if (min(p.x,p.y) < .035) a *= .62; }
    if (kind == 2 && mod(tile.x+tile.y, 2.) < .5) a = mix(a, second[material], .9);
    if (kind == 3 && abs(fract(at.x*.22+seed)-.5) < .03) a = mix(a, vec3(.6,.6,.55), .8);
  }
  if (material == WALL) {
    vec2 p = cloth_at.xz*c.y; float row = floor(p.y); p.x += .5*mod(row, 2.);
    float t = noise(vec3(cloth_at.xz*1.7, 5.))*.6 + .4*noise(vec3(cloth_at.xz*9., 6.));
    a *= .8 + .4*t;
    if (kind == 1) { vec2 f = fract(p*vec2(.45,1)); a *= .82 + .36*hash(vec3(floor(p*vec2(.45,1)),7.)); if (min(f.x*2.2,f.y) < .09) a = mix(a, second[material], .7); }
    if (kind == 2) { vec2 f = fract(p*vec2(.12,.06)); if (min(f.x,f.y) < .03) a *= .6; a = mix(a, second[material], step(.5, hash(vec3(floor(p*vec2(.12,.06)),8.)))*.5); }
    if (kind == 3 && cloth_at.z < .9) a = second[material]*(.8+.4*t);
    if (kind == 4) { float f = fract(cloth_at.x*c.y*.5); if (f < .12) a *= .65; }
  }
  vec3 s = shadow_at.xyz/shadow_at.w*.5 + .5; float lit = 1.;
  if (s.x > 0. && s.x < 1. && s.y > 0. && s.y < 1.) {
    lit = 0.;
    for (int i = -1; i <= 1; i++) for (int j = -1; j <= 1; j++) lit += texture(depth, s.xy + vec2(i,j)*soft).r < s.z - .006 ? 0. : 1.;
    lit /= 9.;
  }
  float bend = still ? 0. : .15, nl = dot(N, sun), direct = max(0., (nl+bend)/(1.+bend))*lit;
  vec3 ambient = mix(ground, sky, .5 + .5*N.z);
  vec3 light = ambient + sun_color*direct + side_color*max(0., dot(N, side));
  float gloss = c.w;
  vec3 shine = sun_color*lit*pow(max(0., dot(N, normalize(V+sun))), mix(8., 60., gloss))*gloss*.3*step(0., nl);
  float rim = pow(1. - clamp(dot(N, V), 0., 1.), 4.);  // beyond 1 by rounding, pow is undefined
  shine += ambient*(rim*(still ? .02 : .05 + .1*gloss) + (still ? 0. : .008));
  color = vec4(a*light + shine, 1.);
  extra = vec4(length(eye-at), float(material + owner*100) + .5, dot(light, vec3(.3,.59,.11)), 1);
}
