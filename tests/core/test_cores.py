"""How many cores there are for us, by the files that Linux keeps; the files here are made up, their formats are not."""

import os

import pytest

from minigpt import cli
from minigpt.core import cores
from minigpt.core.cores import available_cores, cpu_quota

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "30 23 0:26 {root} /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n"
    "31 23 0:27 {root} /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
)


def tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def unified(groups, own="/system/job", mounts=V2):
    files = {f"sys/fs/cgroup{path}/cpu.max": text for path, text in groups.items()}
    return {"proc/self/cgroup": f"0::{own}\n", "proc/self/mountinfo": mounts} | files


def legacy(groups, own="/docker/abc", root="/"):
    files = {"proc/self/cgroup": f"5:memory:/other\n4:cpu,cpuacct:{own}\n", "proc/self/mountinfo": V1.format(root=root)}
    for path, (quota, period) in groups.items():
        files[f"sys/fs/cgroup/cpu,cpuacct{path}/cpu.cfs_quota_us"] = f"{quota}\n"
        files[f"sys/fs/cgroup/cpu,cpuacct{path}/cpu.cfs_period_us"] = f"{period}\n"
    return files


@pytest.mark.parametrize(
    "files, quota",
    [
        (unified({"/system/job": "150000 100000\n"}), 1.5),
        (unified({"/system/job": "max 100000\n"}), None),
        (unified({"/system/job": "max 100000\n", "/system": "50000 100000\n"}), 0.5),  # a group above
        (unified({"/system/job": "400000 100000", "/system": "max 100000", "": "300000 100000"}), 3.0),
        (unified({"": "200000 100000\n"}, own="/"), 2.0),  # in a container, which sees its own group as the root
        (unified({"/elsewhere": "50000 100000\n"}), None),
        (unified({"": "200000 100000"}, own="/a/b", mounts=V2.replace(" / /sys", " /a/b /sys")), 2.0),
        (legacy({"/docker/abc": (250000, 100000)}), 2.5),
        (legacy({"/docker/abc": (-1, 100000)}), None),
        (legacy({"/docker/abc": (-1, 100000), "/docker": (80000, 40000)}), 2.0),
        (legacy({"": (100000, 100000)}, root="/docker/abc"), 1.0),  # what a container of version 1 sees
        (unified({"/system/job": ""}), None),
        (unified({"/system/job": "garbage"}), None),
        (unified({"/system/job": "100000 0"}), None),
        ({"proc/self/cgroup": "nonsense\n\n", "proc/self/mountinfo": "short - cgroup2\n"}, None),
        ({}, None),  # not Linux
    ],
)
def test_the_quota_of_a_container(tmp_path, files, quota):
    assert cpu_quota(tree(tmp_path, files)) == quota


@pytest.mark.parametrize("quota, cores_then", [(None, 4), (0.5, 1), (1.5, 2), (2.0, 2), (9.0, 4)])
def test_neither_more_than_the_quota_nor_than_the_cores_we_are_bound_to(monkeypatch, quota, cores_then):
    monkeypatch.setattr(cores, "cpu_quota", lambda: quota)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 4, raising=False)
    assert available_cores() == cores_then


def test_without_python_s_own_count_the_affinity_counts(monkeypatch):
    monkeypatch.setattr(cores, "cpu_quota", lambda: None)
    monkeypatch.delattr(os, "process_cpu_count", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 5, 6}, raising=False)
    assert available_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1


def test_blas_keeps_to_the_quota_too(monkeypatch, capsys):
    """Its variables are set before NumPy is imported, unless somebody has set them."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    for name in names:
        monkeypatch.setenv(name, "9")  # so that what is set below is put back
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(cli, "available_cores", lambda: 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert [os.environ[name] for name in names] == ["2", "1", "2"]
