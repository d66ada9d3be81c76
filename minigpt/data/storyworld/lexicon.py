"""The words of the world, and what there is to know about them: which food an animal eats, which tool reaches where."""

from __future__ import annotations

from minigpt.data.storyworld.facts import Person


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GIRLS = _words("Anna Clara Emma Eva Grace Helen Ida Jane Kate Lily Lucy Maria Mia Nora Rosa Ruth Sara Zoe")
BOYS = _words("Adam Ben David Felix Frank Henry Hugo Jack Leo Luke Max Oscar Paul Peter Sam Simon Tom Victor")
PEOPLE = tuple(Person(name, True) for name in GIRLS) + tuple(Person(name, False) for name in BOYS)

# What the friend is to the hero, for a woman or girl and for a man or boy, in the same order.
RELATIONS = {
    True: ("friend", "sister", "cousin", "neighbour", "aunt", "teacher"),
    False: ("friend", "brother", "cousin", "neighbour", "uncle", "teacher"),
}

# Things that one can wish for, carry, lose, swap: everything that is true of one is true of all.
THINGS = _words(
    "ball drum kite doll book hat lamp flute umbrella clock basket ring puppet mask map bell flag apron robot "
    "violin blanket teapot accordion album"
)
ADJECTIVES = _words("red blue green yellow white old new little orange purple")

# Places, and the words that put something there. "He looked in the barn": in + the barn.
OUTDOORS = {
    "garden": "in",
    "park": "in",
    "forest": "in",
    "meadow": "on",
    "beach": "at",
    "harbour": "at",
    "market": "at",
    "playground": "on",
}
INDOORS = {
    "kitchen": "in",
    "library": "in",
    "barn": "in",
    "attic": "in",
    "museum": "in",
    "cellar": "in",
    "station": "at",
    "school": "at",
}
PLACES = OUTDOORS | INDOORS

VERBS = _words("see find hold draw wash carry bring take follow watch paint like")

# Weather: how a day is called, how it is told, what comes of it, what one puts on.
WEATHER_DAY = {"rain": "rainy", "sun": "sunny", "wind": "windy", "snow": "snowy"}
WEATHER_TOLD = {
    "rain": ("it rained hard", "the rain poured down"),
    "sun": ("the sun shone", "it was sunny and warm"),
    "wind": ("a strong wind blew", "it was very windy"),
    "snow": ("it snowed", "thick snow fell"),
}
WEATHER_NOUN = {"rain": "rain", "sun": "sunshine", "wind": "wind", "snow": "snow"}
CLOTHES = {"rain": "rubber boots", "sun": "straw hat", "wind": "scarf", "snow": "warm gloves"}

# What a plan needs of the sky, and how it is told when it is carried out.
PLANS = {
    "fly the kite": ("wind", "flew the kite"),
    "sail the boat": ("wind", "sailed the boat"),
    "see the windmill turn": ("wind", "saw the windmill turn"),
    "build a snowman": ("snow", "built a snowman"),
    "ride the sled": ("snow", "rode the sled"),
    "throw snowballs": ("snow", "threw snowballs"),
    "have a picnic": ("sun", "had a picnic"),
    "lie on the grass": ("sun", "lay on the grass"),
    "paint outside": ("sun", "painted outside"),
    "jump in puddles": ("rain", "jumped in puddles"),
    "fill the barrel": ("rain", "filled the barrel"),
    "try the new umbrella": ("rain", "tried the new umbrella"),
}

# What keeps somebody from a thing: the tool that helps, how it is told, where the thing still is if it does not.
OBSTACLES = {
    "tree": ("ladder", ("was stuck at the top of a tall tree", "hung in a tall tree"), "in the tree"),
    "river": ("boat", ("lay on the other side of the river", "was across the river"), "across the river"),
    "chest": ("key", ("was locked in a heavy chest", "lay in a chest with a big lock"), "in the chest"),
    "cave": ("lantern", ("was somewhere in a dark cave", "had rolled into a dark cave"), "in the cave"),
    "well": ("rope", ("had fallen into a deep well", "lay at the bottom of a deep well"), "in the well"),
    "sand": ("shovel", ("was buried under the sand", "lay deep under the sand"), "under the sand"),
}
TOOLS = tuple(tool for tool, _, _ in OBSTACLES.values())

# Shy animals: what they eat, and where they hide.
FOODS = {
    "rabbit": "a carrot",
    "dog": "a bone",
    "cat": "some fish",
    "mouse": "some cheese",
    "bird": "some seeds",
    "horse": "an apple",
    "monkey": "a banana",
    "squirrel": "a nut",
    "cow": "some hay",
    "bear": "some honey",
}
COATS = _words("black white brown grey young small")
HIDING = ("under a bush", "behind a tree", "behind the fence", "under a bench")

TIMES = {"morning": "noon", "afternoon": "evening", "evening": "night"}  # and what comes after

GLAD = _words("happy glad proud cheerful pleased delighted merry content")
SAD = _words("sad unhappy gloomy upset disappointed miserable sorry bitter")
SMILED = _words("smiled laughed danced sang clapped grinned")
SIGHED = _words("sighed cried frowned wept moaned sulked")
