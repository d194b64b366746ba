// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Container id out of a cgroup path.

/// Length of the ids that docker, containerd, CRI-O and podman make: SHA-256 or 32 random bytes.
const ID_LEN: usize = 64;

/// The id of the innermost container in a cgroup v2 path: 64 lower-case hex digits as a word of
/// their own, with whatever the runtime and systemd put around them:
/// `/system.slice/docker-<id>.scope`, `/docker/<id>`, `/machine.slice/libpod-<id>.scope/container`,
/// `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid>.slice/cri-containerd-<id>.scope`.
pub fn container_id(cgroup_path: &str) -> Option<&str> {
    cgroup_path
        .split(|c: char| !c.is_ascii_alphanumeric())
        .rfind(|w| w.len() == ID_LEN && w.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}
