in float keep; flat in int material;
void main(){ if (keep < 0.0 || material == FLOOR || material == WALL) discard; }
