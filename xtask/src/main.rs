//! `cargo xtask COMMAND`: the few commands that a contributor needs, in one list. What a command does
//! is in its script, which runs by itself too; nothing is decided here.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

struct Task {
    name: &'static str,
    /// What may follow the name.
    arguments: &'static str,
    what: &'static str,
    /// Relative to the repository.
    script: &'static str,
}

const TASKS: &[Task] = &[
    Task {
        name: "demo",
        arguments: "[ARGUMENTS OF RUN]",
        what: "build the program, and run its model on the pictures inside it",
        script: "scripts/demo.sh",
    },
    Task {
        name: "test",
        arguments: "[ARGUMENTS OF CARGO TEST]",
        what: "every test on this machine, the trainer's too",
        script: "scripts/test.sh",
    },
    Task { name: "lint", arguments: "", what: "format, lints, documentation", script: "scripts/lint.sh" },
    Task {
        name: "test-arm",
        arguments: "[aarch64|armv7] [--quick]",
        what: "core, kernels, runtime and program, emulated; the verdicts are those of this machine",
        script: "scripts/test-arm.sh",
    },
    Task {
        name: "test-firmware",
        arguments: "",
        what: "the companion's firmware, in QEMU",
        script: "firmware/test-qemu.sh",
    },
    Task {
        name: "test-camera",
        arguments: "[x86_64|aarch64] [PROGRAM]",
        what: "a booted kernel with a virtual camera that comes and goes, in QEMU",
        script: "tests/boards/vivid.sh",
    },
    Task {
        name: "test-pi",
        arguments: "[PROGRAM]",
        what: "a Raspberry Pi with pins, a serial line and the companion, in QEMU",
        script: "tests/boards/pi.sh",
    },
    Task {
        name: "test-bus",
        arguments: "[PROGRAM]",
        what: "an i.MX6 board with chips on I²C and SPI that get the verdicts, in QEMU",
        script: "tests/boards/bus.sh",
    },
    Task {
        name: "build",
        arguments: "x86_64|aarch64|armv7|x86_64-musl|aarch64-musl",
        what: "the program as it is shipped",
        script: "scripts/build.sh",
    },
    Task {
        name: "package",
        arguments: "x86_64|aarch64|armv7",
        what: "a Debian package of it, and its bill of materials",
        script: "scripts/package.sh",
    },
    Task {
        name: "test-package",
        arguments: "x86_64|aarch64|armv7",
        what: "install and purge that package in a small Debian of the same kind",
        script: "scripts/test-package.sh",
    },
    Task {
        name: "test-service",
        arguments: "",
        what: "boot an ARM machine with a camera in QEMU, and run the package's service there",
        script: "scripts/test-service.sh",
    },
    Task {
        name: "audit",
        arguments: "",
        what: "licences, sources, duplicates and advisories of the dependencies",
        script: "scripts/audit.sh",
    },
    Task { name: "ci", arguments: "", what: "everything that must pass before a merge", script: ".ci/run" },
];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let name = arguments.next().unwrap_or_default();
    let Some(task) = TASKS.iter().find(|task| name == task.name) else {
        eprint!("{}", usage());
        let asked = name.is_empty() || ["help", "--help", "-h"].iter().any(|help| name == *help);
        return ExitCode::from(if asked { 0 } else { 2 });
    };
    match Command::new(root().join(task.script)).args(arguments).current_dir(root()).status() {
        // Ended by a signal: like any failure.
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("xtask: {}: {error}", task.script);
            ExitCode::FAILURE
        }
    }
}

/// The repository. Asked for at run time: the program may have been built in another checkout that has
/// the same target folder.
fn root() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&xtask).parent().expect("xtask/ lies in the repository").to_path_buf()
}

fn usage() -> String {
    let mut text = "cargo xtask COMMAND\n\n".to_string();
    for Task { name, arguments, what, .. } in TASKS {
        text += &format!("  {:<38} {what}\n", format!("{name} {arguments}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_its_script_and_is_listed_for_contributors() {
        let guide = std::fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
        for Task { name, script, .. } in TASKS {
            assert!(root().join(script).is_file(), "{script}");
            assert!(guide.contains(&format!("cargo xtask {name}")), "{name} is not in CONTRIBUTING.md");
        }
    }
}
