# SPDX-License-Identifier: Apache-2.0
"""Unit tests of judge.py: which wall an outcome, or a comparison of columns, is put down to."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import judge  # noqa: E402: its folder had to be added first


def cell(everything, no_seccomp, no_landlock, none):
    return dict(zip(judge.COLUMNS, (everything, no_seccomp, no_landlock, none)))


class RefusedBy(unittest.TestCase):
    def check(self, wall, column, outcomes, jailed=False, attempt="open-etc"):
        self.assertEqual(wall, judge.refused_by(attempt, cell(*outcomes), column, jailed))

    def test_success_is_no_wall(self):
        self.check(None, "all", ["SUCCEEDED"] * 4)

    def test_sigsys_is_seccomp(self):
        self.check("seccomp", "all", ("seccomp", "EACCES", "seccomp", "SUCCEEDED"))

    def test_permission_that_is_there_without_landlock_is_landlock(self):
        self.check("Landlock", "no-seccomp", ("seccomp", "EACCES", "seccomp", "SUCCEEDED"))
        self.check("Landlock", "all", ("EACCES", "EACCES", "SUCCEEDED", "SUCCEEDED"))

    def test_race_that_is_lost_only_without_landlock_is_landlock(self):
        self.check("Landlock", "all", ("held", "held", "SUCCEEDED", "SUCCEEDED"))

    def test_permission_that_stays_is_ids(self):
        self.check("ids", "none", ("EPERM",) * 4)
        self.check("ids", "all", ("EPERM",) * 4)

    def test_name_that_is_not_there_is_the_jail_only_where_there_is_one(self):
        self.check("jail", "all", ("ENOENT",) * 4, jailed=True)
        self.check("absent", "all", ("ENOENT",) * 4, jailed=False)

    def test_other_errno_that_goes_with_seccomp_is_seccomp(self):
        self.check("seccomp", "all", ("ENOSYS", "SUCCEEDED", "ENOSYS", "SUCCEEDED"))

    def test_refusal_by_the_ring_is_the_ring(self):
        self.check("ring", "all", ("EACCES",) * 4, attempt="ring-open")


class SingleWall(unittest.TestCase):
    def check(self, wall, outcomes, jailed=False):
        self.assertEqual(wall, judge.single_wall("open-etc", cell(*outcomes), jailed))

    def test_one_wall_is_named(self):
        self.check("seccomp", ("seccomp", "SUCCEEDED", "seccomp", "SUCCEEDED"))
        self.check("Landlock", ("EACCES", "EACCES", "SUCCEEDED", "SUCCEEDED"))
        self.check("jail", ("ENOENT",) * 4, jailed=True)

    def test_two_walls_are_none(self):
        self.check(None, ("seccomp", "EACCES", "seccomp", "SUCCEEDED"))
        self.check(None, ("seccomp", "EPERM", "seccomp", "EPERM"))

    def test_no_wall_is_none(self):
        self.check(None, ("SUCCEEDED",) * 4)

    def test_what_this_host_has_not_is_none(self):
        self.check(None, ("ENOENT",) * 4)
        self.check(None, ("ENOSYS",) * 4)


if __name__ == "__main__":
    unittest.main()
