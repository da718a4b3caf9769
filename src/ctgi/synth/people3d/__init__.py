"""People rendered in 3D: bodies, clothes, poses, light and a camera. `picture.render3d` is the door."""
