from pathlib import Path

import psutil
import pytest

from llm_chatbot.machine.memory import available_memory

GB = 1_000_000_000


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 10 GB of available memory."""
    memory = psutil.virtual_memory()._replace(available=10 * GB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


def write_files(folder: Path, **contents: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_text(f"{content}\n", encoding="utf-8")


def write_v2(root: Path, group: str, limit: int | str, used: int, inactive_file: int = 0) -> None:
    folder = root / "sys/fs/cgroup" / group
    write_files(folder, **{"memory.max": limit, "memory.current": used})
    write_files(folder, **{"memory.stat": f"anon 5\nactive_file 7\ninactive_file {inactive_file}"})


def write_v1(root: Path, group: str, limit: int, used: int, inactive_file: int = 0) -> None:
    folder = root / "sys/fs/cgroup/memory" / group
    write_files(folder, **{"memory.limit_in_bytes": limit, "memory.usage_in_bytes": used})
    write_files(folder, **{"memory.stat": f"inactive_file 3\ntotal_inactive_file {inactive_file}"})


def test_without_control_groups_the_machines_memory_is_available(tmp_path: Path):
    assert available_memory(tmp_path) == 10 * GB
    write_files(tmp_path / "proc/self", cgroup="0::/user.slice")
    assert available_memory(tmp_path) == 10 * GB


def test_a_containers_limit_counts_and_its_file_cache_is_free(tmp_path: Path):
    write_files(tmp_path / "proc/self", cgroup="0::/")
    write_v2(tmp_path, "", 6 * GB, 5 * GB, inactive_file=3 * GB)
    assert available_memory(tmp_path) == 4 * GB


@pytest.mark.parametrize(("limit", "expected"), [("max", 10), (64 * GB, 10), (3 * GB, 1), (1 * GB, 0)])
def test_a_limit_counts_where_it_is_the_lowest(limit: int | str, expected: int, tmp_path: Path):
    write_files(tmp_path / "proc/self", cgroup="0::/")
    write_v2(tmp_path, "", limit, 2 * GB)
    assert available_memory(tmp_path) == expected * GB


def test_the_limit_of_a_group_above_counts_too(tmp_path: Path):
    write_files(tmp_path / "proc/self", cgroup="0::/system.slice/job.service")
    write_v2(tmp_path, "system.slice/job.service", "max", 1 * GB)
    write_v2(tmp_path, "system.slice", 4 * GB, 2 * GB)
    assert available_memory(tmp_path) == 2 * GB


@pytest.mark.parametrize("group", ["/docker/4f2a", "/"])
def test_version_1_has_other_files_and_the_hosts_path(group: str, tmp_path: Path):
    """Without a namespace of its own, a container sees the host's path, which is not mounted."""
    lines = f"12:cpu,cpuacct:{group}\n7:memory:{group}\n1:name=systemd:{group}\n0::{group}"
    write_files(tmp_path / "proc/self", cgroup=lines)
    write_v1(tmp_path, "", 6 * GB, 5 * GB, inactive_file=1 * GB)
    assert available_memory(tmp_path) == 2 * GB
    write_v1(tmp_path, "", 9_223_372_036_854_771_712, 5 * GB)  # no limit
    assert available_memory(tmp_path) == 10 * GB


def test_this_machine_has_an_answer():
    assert 0 < available_memory() <= 10 * GB
