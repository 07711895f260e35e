"""A viewer where there are workspaces: what it asks, and how it is refused."""

import pytest

from riverrun.auth.levels import Level
from riverrun.auth.viewer import EXPERIMENT, FOUND_MAX, Resource, Undecided, Viewer
from riverrun.errors import NoSuchResource

MANY = range(FOUND_MAX + 1)


def admin(*, is_confined: bool) -> Viewer:
    return Viewer("root", "team-a", all_powerful=True, user_id=1, is_confined=is_confined)


def test_an_admin_is_free_unless_there_are_workspaces():
    free, confined = admin(is_confined=False), admin(is_confined=True)
    assert free.readable(MANY) == list(MANY)
    free.require(Level.MANAGE, 1)
    for viewer in (free, confined):
        viewer.require(Level.MANAGE, None)
        viewer.require_admin()
    with pytest.raises(Undecided):
        confined.require(Level.READ, 1)
    with pytest.raises(Undecided):
        confined.require_folder(Level.READ, "a/1")


def test_what_lies_elsewhere_does_not_exist_for_an_admin():
    viewer = admin(is_confined=True)
    viewer.rights.learn({Resource(EXPERIMENT, 7): Level.PUBLIC})
    with pytest.raises(NoSuchResource, match=r"^No Experiment with id=7 exists$"):
        viewer.require(Level.READ, 7)


def test_more_than_can_be_remembered_is_decided_in_one_go():
    """Also when some of it is known, and has to make room for the rest."""
    viewer = admin(is_confined=True)
    viewer.rights.learn({Resource(EXPERIMENT, 0): Level.MANAGE})
    with pytest.raises(Undecided) as undecided:
        viewer.readable(MANY)
    viewer.rights.learn(dict.fromkeys(undecided.value.resources, Level.MANAGE))
    assert viewer.readable(MANY) == list(MANY)
