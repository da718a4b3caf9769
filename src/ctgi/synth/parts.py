"""What a pixel of a picture belongs to."""

from enum import IntEnum


class Part(IntEnum):
    """Label of a pixel: the surroundings, or what the person is made of and wears."""

    BACKGROUND = 0
    SKIN = 1
    HAIR = 2
    UPPER = 3
    INNER = 4
    LOWER = 5
    SHOES = 6
    BAG = 7
    HAT = 8
    GLASSES = 9
    HELD = 10
    SCARF = 11
    BELT = 12
    SOCKS = 13
    VEHICLE = 14
    OTHERS = 15
