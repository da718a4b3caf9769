"""What counts more in the lessons: what the models got wrong most, and what searches need most.

Moderate on purpose: with all weights 1 the same things are learned, the easy ones a little better.
"""

FIELDS = {
    "gender": 2.0,  # nearly every description says it; 65 % right on photographs
    "bag": 2.0,  # 80 % right, and most bags on photographs are missed
    "bag_color": 1.5,
    "upper_type": 1.6,  # 56 % right
    "lower_type": 1.6,
    "shoes_type": 1.6,  # 66 % right
    "action": 1.3,
    "scene": 1.3,
    "upper_color": 1.2,  # what witnesses say first
    "lower_color": 1.2,
}
"""Of the first lesson, by field; the others count 1."""
ANSWERS = {
    "gender": 1.6,
    "bag": 1.6,
    "bag_color": 1.4,
    "backpack": 1.3,
    "carried_objects": 1.3,
    "upper_type": 1.4,
    "lower_type": 1.4,
    "shoes": 1.3,
}
"""Of the second lesson's questions, by attribute."""
CLAIMS = {"person": 2.0, "bag": 1.6, "upper": 1.2, "lower": 1.2, "shoes": 1.2}
"""Of its descriptions, by topic."""
