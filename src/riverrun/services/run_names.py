"""Names for runs that were given none: adjective-animal-number, as clients expect."""

import secrets
from typing import Final

_ADJECTIVES: Final = """
  able amber bold brave bright brisk calm clean clever cool crisp curious daring deft eager
  early fair fancy fast fine fleet fond free fresh gentle glad golden grand green handy happy
  hardy honest humble jolly keen kind lively lucky merry mild neat nimble noble patient placid
  polite proud quick quiet rapid rare ready robust rosy sharp shiny silent silver smart smooth
  snowy solid steady stout sunny sure swift tidy trusty upbeat vivid warm wise witty zesty
"""
_ANIMALS: Final = """
  ant auk badger bat bear beaver bee bison boar buck calf carp cat chimp clam cod colt crab
  crane crow deer dog dolphin dove duck eagle eel elk falcon fawn finch fish fox frog gnat goat
  goose grouse gull hare hawk hen heron horse hound ibis jay kit koi lamb lark lynx mare midge
  mink mole moose moth mouse mule newt owl ox panda perch pig pike pony quail ram rat raven
  robin roo seal shad shark sheep shrew shrike skink skunk sloth slug smelt snail snake snipe
  sow sponge squid squirrel steed stoat stork swan tern toad trout turtle vole wasp whale wolf
  worm wren yak zebra
"""


def random_run_name() -> str:
    adjective, animal = secrets.choice(_ADJECTIVES.split()), secrets.choice(_ANIMALS.split())
    return f"{adjective}-{animal}-{secrets.randbelow(1000)}"
