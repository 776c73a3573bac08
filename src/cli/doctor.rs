//! `anchorwatch doctor`: whether `run` would go well here, with the same settings, and what to do if not.
//! It looks; it changes nothing.

use super::settings::Settings;
use super::{model, terminal};
use crate::board::Heat;
use crate::capture::{Source, clock_is_set, has_battery};
use crate::network::GoldenResult;
use crate::network::metadata::Colour;
#[cfg(feature = "gpio")]
use crate::notify::BoardOutputs;
use anchorwatch_kernels::Isa;
use clap::{ArgMatches, Args};
use rustix::fs::{Access, access, statvfs};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Check camera, permissions, model, disk, pins and clock, and say what to do
///
/// It takes the settings of 'run', from flags, environment and configuration file, and tries what 'run'
/// would need. Give it the configuration of the service (--config /etc/anchorwatch/service.toml) and the
/// service's user ('sudo -u anchorwatch') to check the service. The exit code is 1 if something fails.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    #[command(flatten)]
    settings: Settings,

    /// Print a JSON array
    #[arg(long, help_heading = "What to print")]
    json: bool,
}

/// How it stands with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warn,
    Fail,
}

/// One line.
#[derive(Debug, PartialEq, Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    /// What was found.
    found: String,
    /// What to do about it.
    advice: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, state: State::Ok, found: found.into(), advice: None }
    }

    fn warn(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, state: State::Warn, found: found.into(), advice: Some(advice.into()) }
    }

    fn fail(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, state: State::Fail, found: found.into(), advice: Some(advice.into()) }
    }
}

pub fn run(args: DoctorArgs, matches: &ArgMatches, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let settings = args.settings.over_file(matches, file)?.settings;
    let mut findings = Vec::new();
    let grey = check_model(&settings, &mut findings);
    findings.push(camera(&settings, grey));
    findings.extend(permissions(&settings));
    findings.push(disk(settings.events.as_deref()));
    #[cfg(feature = "gpio")]
    findings.push(pins(&settings));
    findings.extend([clock(), processor(), heat(&Heat::read(Path::new("/sys"))), service()]);
    if args.json {
        terminal::print_json(&findings)?;
    } else {
        for finding in &findings {
            terminal::print_line(&text(finding))?;
        }
    }
    let failed = findings.iter().any(|finding| finding.state == State::Fail);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn text(Finding { check, state, found, advice }: &Finding) -> String {
    let state = match state {
        State::Ok => "ok",
        State::Warn => "warn",
        State::Fail => "FAIL",
    };
    let advice = advice.as_ref().map_or(String::new(), |advice| format!("\n{:19}→ {advice}", ""));
    format!("{state:<5} {check:<12} {found}{advice}")
}

/// Whether the model wants grey pictures.
fn check_model(settings: &Settings, findings: &mut Vec<Finding>) -> bool {
    const AGAIN: &str = "copy the model file again; if that does not help, report it";
    let model = match model::load(settings.model.as_deref()) {
        Ok(model) => model,
        Err(error) => {
            findings.push(Finding::fail("model", error.to_string(), "name a model file with --model"));
            return false;
        }
    };
    let place = model::place(settings.model.as_deref());
    findings.push(match model.verify() {
        Ok(results) if results.is_empty() => Finding::warn(
            "model",
            format!("{place} carries no golden pictures, so it cannot be verified"),
            "train it again with anchorwatch-train",
        ),
        Ok(results) if results.iter().all(GoldenResult::passes) => {
            Finding::ok("model", format!("{place}: {} golden pictures come out right", results.len()))
        }
        Ok(_) => Finding::fail("model", format!("{place}: this device computes something else"), AGAIN),
        Err(error) => Finding::fail("model", error.to_string(), AGAIN),
    });
    model.metadata().input.colour == Colour::Grey
}

fn camera(settings: &Settings, grey: bool) -> Finding {
    const SEE: &str =
        "'anchorwatch cameras' lists what is there; is it plugged in, and used by nothing else?";
    let Some(source) = &settings.source else {
        let advice = "name one with --source, such as /dev/video0; 'anchorwatch cameras' lists them";
        return Finding::warn("source", "none is set", advice);
    };
    // Whoever asks wants to know whether it is there now.
    let options = crate::capture::SourceOptions { wait: false, ..settings.source_options(grey) };
    let tried = Source::open(source, &options).and_then(|mut opened| {
        let frame = opened.next_frame()?;
        let format = opened.live().and_then(|live| live.description());
        Ok(frame.map(|frame| {
            format.unwrap_or_else(|| format!("{}x{}", frame.picture.width(), frame.picture.height()))
        }))
    });
    match tried {
        Ok(Some(format)) => Finding::ok("source", format!("'{source}' gives frames: {format}")),
        Ok(None) => Finding::fail("source", format!("'{source}' gives no frame"), SEE),
        Err(error) => Finding::fail("source", error.to_string(), SEE),
    }
}

/// Devices that are there but may not be used: what is set, and what is not.
fn permissions(settings: &Settings) -> Vec<Finding> {
    const KINDS: [(&str, &[&str]); 5] = [
        ("video", &["video"]),
        ("gpio", &["gpiochip", "gpiomem"]),
        ("dialout", &["ttyAMA", "ttyS", "ttyTHS", "ttyACM", "ttyUSB"]),
        ("i2c", &["i2c-"]),
        ("spi", &["spidev"]),
    ];
    let used = [
        settings.source.clone(),
        settings.uart.as_ref().map(ToString::to_string),
        #[cfg(feature = "gpio")]
        settings.bus.map(anchorwatch_pins::BusAddress::device),
    ];
    let (mut findings, mut usable) = (Vec::new(), 0);
    for (group, beginnings) in KINDS {
        let devices: Vec<PathBuf> = std::fs::read_dir("/dev")
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| {
                let name = entry.file_name();
                beginnings.iter().any(|beginning| name.to_string_lossy().starts_with(beginning))
            })
            .map(|entry| entry.path())
            .collect();
        let (open, closed): (Vec<_>, Vec<_>) =
            devices.into_iter().partition(|path| access(path, Access::READ_OK | Access::WRITE_OK).is_ok());
        usable += open.len();
        let Some(first) = closed.first() else { continue };
        let found = format!("{} may not be used", first.display());
        let advice = format!("sudo usermod -aG {group} $USER, then log in again");
        let is_used = closed.iter().any(|path| used.iter().flatten().any(|used| Path::new(used) == path));
        findings.push(if is_used {
            Finding::fail("permissions", found, advice)
        } else {
            Finding::warn("permissions", found, format!("if you want it: {advice}"))
        });
    }
    if findings.is_empty() {
        let found = format!("cameras, pins, buses, serial ports: {usable} are there, and may be used");
        findings.push(Finding::ok("permissions", found));
    }
    findings
}

fn disk(events: Option<&Path>) -> Finding {
    const MIB: u64 = 1 << 20;
    let Some(folder) = events else {
        return Finding::warn("disk", "events are not kept", "name a folder for them with --events");
    };
    // It may yet have to be made.
    let place = folder.ancestors().find(|place| place.is_dir()).unwrap_or(Path::new("."));
    let shown = folder.display();
    if let Err(error) = tempfile::tempfile_in(place) {
        let advice = "let this user write there, or name another folder with --events";
        return Finding::fail("disk", format!("nothing can be written to {shown}: {error}"), advice);
    }
    let free = match statvfs(place) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize) / MIB,
        Err(error) => return Finding::warn("disk", format!("{shown}: {error}"), "check the disk"),
    };
    let kind = file_system(place).unwrap_or_else(|| "unknown file system".to_string());
    let found = format!("{shown}: {free} MiB free, {kind}");
    match kind.as_str() {
        _ if free < 100 => Finding::fail("disk", found, "make room: less than 100 MiB will soon be full"),
        "tmpfs" | "ramfs" | "overlay" => {
            Finding::warn("disk", found, "what is in memory is lost with the power: name a folder on a disk")
        }
        "vfat" | "exfat" => {
            Finding::warn("disk", found, "this file system may be damaged by a power cut: use ext4")
        }
        _ if free < 1024 => Finding::warn("disk", found, "make room: less than 1 GiB is not much"),
        _ => Finding::ok("disk", found),
    }
}

/// The type of the file system that a folder is on: that of the longest mount point above it.
fn file_system(place: &Path) -> Option<String> {
    let place = place.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    // Of those at the same point, the last was put over the others, and is what max_by_key gives.
    let above = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let point = words.next()?.replace("\\040", " ");
        place.starts_with(&point).then(|| (point.len(), words.next().unwrap_or_default().to_string()))
    });
    above.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

#[cfg(feature = "gpio")]
fn pins(settings: &Settings) -> Finding {
    if !settings.pins().is_used() && settings.bus.is_none() {
        return Finding::ok("pins", "none is set");
    }
    match BoardOutputs::check(&settings.pins(), settings.bus) {
        Ok(()) => Finding::ok("pins", "all that are set can be had"),
        Err(error) => Finding::fail("pins", error.to_string(), "docs/pins.md explains pins and buses"),
    }
}

fn clock() -> Finding {
    if !clock_is_set() {
        let advice = "sudo timedatectl set-ntp true, or fit a clock with a battery; until then events say that \
                      their time is not to be trusted";
        return Finding::warn("clock", "it has not been set", advice);
    }
    Finding::ok("clock", if has_battery() { "set, from one with a battery" } else { "set by a time service" })
}

fn processor() -> Finding {
    match Isa::from_environment() {
        Ok(Isa::Scalar) => Finding::warn(
            "processor",
            "no vector instructions are used",
            "on a 64-bit board install the 64-bit system and program",
        ),
        Ok(isa) => Finding::ok("processor", format!("computes with {}", isa.name())),
        Err(error) => Finding::fail("processor", error.to_string(), "unset that variable"),
    }
}

fn heat(heat: &Heat) -> Finding {
    let degrees = heat.celsius.map_or("no sensor".to_string(), |celsius| format!("{celsius:.1} °C"));
    let list = |slowed: &[_]| slowed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let advice = "cool it, feed it well, or judge less: --max-temperature, --max-fps";
    match (heat.now.is_empty(), heat.earlier.is_empty()) {
        (true, true) => Finding::ok("heat", degrees),
        (true, false) => {
            Finding::warn("heat", format!("{degrees}; earlier: {}", list(&heat.earlier)), advice)
        }
        _ => Finding::warn("heat", format!("{degrees}; now: {}", list(&heat.now)), advice),
    }
}

fn service() -> Finding {
    if !Path::new("/run/systemd/system").is_dir() {
        return Finding::ok("service", "there is no systemd here");
    }
    let state = |what| {
        let output = Command::new("systemctl").args([what, "anchorwatch.service"]).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_string()).filter(|state| !state.is_empty())
    };
    match (state("is-enabled").as_deref(), state("is-active").as_deref()) {
        (None | Some("not-found"), _) => Finding::ok("service", "not installed"),
        (_, Some("failed")) => {
            Finding::fail("service", "it has failed", "journalctl -u anchorwatch says why")
        }
        (Some("enabled"), Some("active")) => Finding::ok("service", "enabled, and it runs"),
        (enabled, active) => Finding::warn(
            "service",
            format!("{}, {}", enabled.unwrap_or("?"), active.unwrap_or("?")),
            "sudo systemctl enable --now anchorwatch",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Slowed;

    #[test]
    fn a_disk_is_found_with_its_file_system() {
        let folder = tempfile::tempdir().unwrap();
        let finding = disk(Some(&folder.path().join("yet/to/be/made")));
        let kind = file_system(folder.path()).unwrap();
        assert!(finding.found.contains("MiB free") && finding.found.ends_with(&kind), "{finding:?}");
        assert_eq!(file_system(Path::new("/proc")).as_deref(), Some("proc"));
        // Nobody writes there, not even root.
        assert_eq!(disk(Some(Path::new("/proc/anchorwatch"))).state, State::Fail);
    }

    #[test]
    fn a_slowed_board_is_a_warning() {
        let mut reading = Heat { celsius: Some(61.04), ..Heat::default() };
        assert_eq!(heat(&reading), Finding::ok("heat", "61.0 °C"));
        reading.earlier = vec![Slowed::UnderVoltage];
        assert_eq!(heat(&reading).state, State::Warn);
        assert!(text(&heat(&reading)).contains("voltage"));
    }
}
